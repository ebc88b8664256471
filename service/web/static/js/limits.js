/** Compares photos with the bounds at /limits before anything is sent. */

import { bytes, count } from "./words.js";

const FORM_BYTES = 8192;

/**
 * What stands against fusing these photos.
 * @param {import("./photos.js").Photo[]} photos
 * @param {Object<string, number>|null} limits Those of the service; null: not known, so only counted.
 * @returns {{words: string, photo: import("./photos.js").Photo|null}[]}
 */
export function checkStack(photos, limits) {
  const least = limits?.min_exposures ?? 2;
  const most = limits?.max_exposures ?? 9;
  const found = [];
  const say = (words, photo = null) => found.push({ words, photo });
  if (photos.length < least) say(`Add ${count(least - photos.length, "more photo")}: a picture is fused from ${least} to ${most}.`);
  if (photos.length > most) say(`Leave out ${count(photos.length - most, "photo")}: a picture is fused from at most ${most}.`);
  if (!limits) return found;
  for (const photo of photos) checkPhoto(photo, limits, say);
  const total = photos.reduce((sum, photo) => sum + photo.file.size, FORM_BYTES);
  if (total > limits.max_body_bytes) {
    say(`The files have ${bytes(total)} together; this service takes ${bytes(limits.max_body_bytes)}.`);
  }
  return found;
}

function checkPhoto(photo, limits, say) {
  if (photo.file.size === 0) say(`${photo.name} is empty.`, photo);
  if (!photo.size) return;
  const { width, height } = photo.size;
  const megapixels = (width * height) / 1e6;
  if (megapixels > limits.max_megapixels) {
    say(`${photo.name} has ${megapixels.toFixed(1)} megapixels; this service takes ${limits.max_megapixels}.`, photo);
  } else if (Math.max(width, height) > limits.max_side_px) {
    say(`${photo.name} is ${Math.max(width, height)} pixels long; this service takes ${limits.max_side_px}.`, photo);
  }
  if (Math.min(width, height) < limits.min_side_px) {
    say(`${photo.name} is ${Math.min(width, height)} pixels wide; at least ${limits.min_side_px} are needed.`, photo);
  }
}

/** The bounds in one line, for people who have not chosen yet. */
export function describeLimits(limits) {
  return `Up to ${limits.max_megapixels} megapixels a photo and ${bytes(limits.max_body_bytes)} a scene.`;
}
