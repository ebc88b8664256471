/** Writes what the headers of a shoot's files say as `POST /group` takes it. */

import { isRaw } from "../formats.js";

/**
 * Names that differ: the path in the folder, or the file's name; what comes twice gets a number.
 * @param {File[]} files
 * @returns {Map<File, string>}
 */
export function nameFrames(files) {
  const names = new Map();
  const taken = new Set();
  for (const file of files) {
    const path = file.webkitRelativePath || file.name;
    let name = path;
    for (let number = 2; taken.has(name); number += 1) name = `${path} (${number})`;
    taken.add(name);
    names.set(file, name);
  }
  return names;
}

/**
 * The facts of one photo.
 * @param {string} name
 * @param {import("../photos.js").Photo} photo
 */
export function describeFrame(name, { facts }) {
  const frame = {
    name,
    kind: isRaw(name) ? "raw" : "picture",
    taken_s: timeOf(facts),
    has_fraction: facts.subseconds !== null,
    exposure_s: facts.shutter,
    f_number: facts.aperture,
    iso: facts.iso,
    bias_ev: facts.bias,
    mode: facts.mode,
    focal_length_mm: facts.focal,
    width_px: facts.width,
    height_px: facts.height,
    orientation: facts.orientation,
    make: facts.make,
    model: facts.model,
    serial: facts.serial,
  };
  return Object.fromEntries(Object.entries(frame).filter(([, value]) => value !== null));
}

/** Seconds since 1970 as if the camera's clock showed UTC; null where it says nothing. */
export function timeOf({ taken, subseconds }) {
  const match = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)/.exec(taken ?? "");
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  const whole = Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  return whole + (/^\d+$/.test(subseconds ?? "") ? Number(`0.${subseconds}`) : 0);
}
