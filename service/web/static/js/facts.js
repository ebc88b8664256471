/** Reads from a file's header what the camera wrote: exposure, time, size, and the thumbnail in it. */

import "../vendor/exifreader/exif-reader.js";
import { shutter } from "./words.js";

const HEAD_BYTES = 512 * 1024;
const WHOLE_BYTES = 256 * 1024 * 1024;
const GROUPS = { file: true, exif: true, png: true, riff: true, thumbnail: true };

/**
 * @typedef {Object} Facts What a header says; null where it does not.
 * @property {number|null} width Pixels as stored, before the orientation is applied.
 * @property {number|null} height
 * @property {number|null} shutter Seconds.
 * @property {number|null} aperture The f-number.
 * @property {number|null} iso
 * @property {number|null} bias EV.
 * @property {"auto"|"manual"|null} mode Who chose the exposure.
 * @property {number|null} focal Millimetres.
 * @property {number} orientation 1 to 8.
 * @property {string|null} taken As EXIF writes it, `YYYY:MM:DD hh:mm:ss`.
 * @property {string|null} subseconds Digits behind the second.
 * @property {string|null} make
 * @property {string|null} model
 * @property {string|null} serial Of the body.
 * @property {Blob|null} thumbnail JPEG, as stored.
 */

/**
 * Read a file's header; a file that cannot be read has no facts, which is no error here.
 * @param {File} file
 * @returns {Promise<Facts>}
 */
export async function readFacts(file) {
  let tags = await load(file, HEAD_BYTES);
  // The directory of a TIFF file may lie behind its pixels.
  if (!tags.exif && /\.tiff?$/i.test(file.name) && file.size > HEAD_BYTES && file.size < WHOLE_BYTES) {
    tags = await load(file);
  }
  return collect(tags);
}

async function load(file, length) {
  try {
    const options = { expanded: true, computed: true, includeTags: GROUPS };
    return await globalThis.ExifReader.load(file, length ? { ...options, length } : options);
  } catch {
    return {};
  }
}

function collect(tags) {
  const exif = tags.exif ?? {};
  const size = { ...tags.png, ...tags.pngFile, ...tags.riff, ...tags.file };
  return {
    width: numberOf(size["Image Width"] ?? size.ImageWidth ?? exif.PixelXDimension ?? exif.ImageWidth),
    height: numberOf(size["Image Height"] ?? size.ImageHeight ?? exif.PixelYDimension ?? exif.ImageLength),
    shutter: positive(numberOf(exif.ExposureTime)),
    aperture: positive(numberOf(exif.FNumber)),
    iso: positive(numberOf(exif.ISOSpeedRatings ?? exif.PhotographicSensitivity)),
    bias: numberOf(exif.ExposureBiasValue),
    mode: { 0: "auto", 1: "manual" }[numberOf(exif.ExposureMode)] ?? null,
    focal: positive(numberOf(exif.FocalLength)),
    orientation: numberOf(exif.Orientation) ?? 1,
    taken: textOf(exif.DateTimeOriginal ?? exif.DateTime),
    subseconds: textOf(exif.SubSecTimeOriginal),
    make: textOf(exif.Make),
    model: textOf(exif.Model),
    serial: textOf(exif.BodySerialNumber ?? exif.CameraSerialNumber ?? exif.SerialNumber),
    thumbnail: tags.Thumbnail?.image ? new Blob([tags.Thumbnail.image], { type: "image/jpeg" }) : null,
  };
}

function numberOf(tag) {
  const given = tag?.computed ?? tag?.value;
  const one = Array.isArray(given) ? given[0] : given;
  return typeof one === "number" && Number.isFinite(one) ? one : null;
}

function positive(number) {
  return number !== null && number > 0 ? number : null;
}

function textOf(tag) {
  const given = tag?.computed ?? tag?.value;
  const one = Array.isArray(given) ? given[0] : given;
  const text = typeof one === "string" || typeof one === "number" ? String(one).replaceAll("\0", "").trim() : "";
  return text || null;
}

/**
 * How bright an exposure is set, in EV; only differences mean anything.
 * @param {Facts} facts
 * @returns {number|null} Null where the shutter time is not known.
 */
export function settingOf(facts) {
  if (!facts.shutter) return null;
  return Math.log2((facts.shutter * (facts.iso ?? 100)) / (facts.aperture ?? 1) ** 2);
}

/** `1/60 s · f/8 · ISO 100`, or an empty string. */
export function describeSetting(facts) {
  const parts = [
    facts.shutter && shutter(facts.shutter),
    facts.aperture && `f/${Number(facts.aperture.toFixed(1))}`,
    facts.iso && `ISO ${facts.iso}`,
  ];
  return parts.filter(Boolean).join(" · ");
}
