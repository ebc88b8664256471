/** Puts the exposures of a scene in order, dark to bright. */

import { settingOf } from "./facts.js";
import { ev } from "./words.js";

/**
 * Dark to bright, by what the cameras wrote; where one says nothing, by how bright they look.
 * @param {import("./photos.js").Photo[]} photos
 * @returns {import("./photos.js").Photo[]} A new list; as given where neither is known of all.
 */
export function sortByExposure(photos) {
  for (const measure of [(photo) => settingOf(photo.facts), (photo) => photo.mean]) {
    const keys = new Map(photos.map((photo) => [photo, measure(photo)]));
    const values = [...keys.values()];
    if (values.every((value) => value !== null) && new Set(values).size > 1) {
      return [...photos].sort((one, other) => keys.get(one) - keys.get(other));
    }
  }
  return [...photos];
}

/**
 * Of each exposure its distance from the one in the middle (of two, the darker), as `+2 EV`.
 * @param {import("./photos.js").Photo[]} photos In order.
 * @returns {string[]} Empty words where the settings are not known.
 */
export function describeSteps(photos) {
  const settings = photos.map((photo) => settingOf(photo.facts));
  if (settings.includes(null)) return photos.map(() => "");
  const middle = settings[Math.floor((settings.length - 1) / 2)];
  return settings.map((setting) => ev(setting - middle));
}
