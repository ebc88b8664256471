/** A fused picture with everything that is known about it. */

import { endingFor, stemOf } from "./formats.js";

/**
 * @typedef {Object} Entry
 * @property {import("./photos.js").Photo[]} photos As sent: number n is `photos[n - 1]`.
 * @property {import("./fusing.js").Answer} answer
 * @property {number} reference Number of the exposure that stayed where it is.
 * @property {{left: number, top: number, width: number, height: number}|null} frame What was cut out of the reference.
 * @property {string} fileName For the download.
 * @property {Date} made
 */

/**
 * Put together what an answer and its request say.
 * @param {import("./photos.js").Photo[]} photos As sent.
 * @param {import("./fusing.js").Answer} answer
 * @param {URLSearchParams} options Of the request.
 * @returns {Entry}
 */
export function makeEntry(photos, answer, options) {
  return {
    photos,
    answer,
    reference: Number(answer.header("X-Expofuse-Reference")),
    frame: options.get("crop") === "common" ? readFrame(answer.header("X-Expofuse-Frame")) : null,
    fileName: nameFile(photos, answer.picture.type),
    made: new Date(),
  };
}

/** The first photo's name, and that it is fused; in the order in which cameras count. */
export function nameFile(photos, mediaType) {
  const [first] = photos.map((photo) => photo.name).sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return `${stemOf(first)}_fused.${endingFor(mediaType)}`;
}

/** `left,top,width,height`; null for `none`. */
export function readFrame(text) {
  const [left, top, width, height] = text.split(",").map(Number);
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}
