/** Reads a file as a photo: what its header says, its size, brightness and a small picture of it. */

import { readFacts } from "./facts.js";

const SMALL_SIDE = 480;
const SAMPLE_SIDE = 48;
const TURNS = { 3: 180, 6: 90, 8: 270 };

/**
 * @typedef {Object} Photo
 * @property {File} file
 * @property {string} name
 * @property {import("./facts.js").Facts} facts
 * @property {{width: number, height: number}|null} size Upright, in pixels.
 * @property {string|null} small Address of a small picture; null where the browser can show none.
 * @property {number|null} mean Mean brightness, 0 to 255.
 * @property {boolean} isShown Whether the browser can show the file itself.
 * @property {string} url Address of the file.
 */

/**
 * Read a file.
 * @param {File} file
 * @param {{isQuick?: boolean}} options Quick: a thumbnail in the file is enough.
 * @returns {Promise<Photo>}
 */
export async function readPhoto(file, { isQuick = false } = {}) {
  const facts = await readFacts(file);
  const photo = { file, name: file.name, facts, size: uprightSize(facts), small: null, mean: null, isShown: true, url: URL.createObjectURL(file) };
  if (isQuick && facts.thumbnail && (await drawEmbedded(photo))) return photo;
  if (!(await drawWhole(photo))) {
    photo.isShown = false;
    if (facts.thumbnail) await drawEmbedded(photo);
  }
  return photo;
}

/** Forget the addresses of a photo that is shown nowhere any more. */
export function releasePhoto(photo) {
  for (const address of [photo.url, photo.small]) if (address) URL.revokeObjectURL(address);
}

function uprightSize({ width, height, orientation }) {
  if (!width || !height) return null;
  return orientation > 4 ? { width: height, height: width } : { width, height };
}

async function drawWhole(photo) {
  const image = new Image();
  image.src = photo.url;
  try {
    await image.decode();
  } catch {
    return false;
  }
  photo.size = { width: image.naturalWidth, height: image.naturalHeight };
  await keepSmall(photo, image, image.naturalWidth, image.naturalHeight, 0);
  return true;
}

/** A thumbnail has no orientation of its own: it lies as the stored pixels do. */
async function drawEmbedded(photo) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(photo.facts.thumbnail, { imageOrientation: "none" });
  } catch {
    return false;
  }
  await keepSmall(photo, bitmap, bitmap.width, bitmap.height, TURNS[photo.facts.orientation] ?? 0);
  bitmap.close();
  return true;
}

async function keepSmall(photo, source, width, height, turn) {
  const scale = Math.min(1, SMALL_SIDE / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const isOnItsSide = turn % 180 === 90;
  const canvas = new OffscreenCanvas(isOnItsSide ? h : w, isOnItsSide ? w : h);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((turn * Math.PI) / 180);
  context.drawImage(source, -w / 2, -h / 2, w, h);
  photo.mean = meanOf(canvas);
  photo.small = URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 }));
}

function meanOf(canvas) {
  const tiny = new OffscreenCanvas(SAMPLE_SIDE, SAMPLE_SIDE);
  const context = tiny.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0, SAMPLE_SIDE, SAMPLE_SIDE);
  const { data } = context.getImageData(0, 0, SAMPLE_SIDE, SAMPLE_SIDE);
  let sum = 0;
  for (let index = 0; index < data.length; index += 4) sum += data[index] + data[index + 1] + data[index + 2];
  return sum / (3 * SAMPLE_SIDE * SAMPLE_SIDE);
}
