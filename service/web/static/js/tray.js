/** The list of a scene's exposures: small pictures, what the cameras wrote, which one is the reference. */

import { make } from "./dom.js";
import { describeSetting } from "./facts.js";
import { formatOf } from "./formats.js";
import { describeSteps } from "./order.js";
import { bytes } from "./words.js";

/**
 * Show the exposures.
 * @param {HTMLElement} place An empty list.
 * @param {import("./photos.js").Photo[]} photos In order.
 * @param {{shown: number, reference: number|null, faulty: Set<object>, unused: Map<number, string>}} state Numbers from 1.
 * @param {{onShow: (number: number) => void, onRemove: (photo: object) => void}} hooks
 */
export function showTray(place, photos, state, hooks) {
  const steps = describeSteps(photos);
  place.replaceChildren(...photos.map((photo, index) => makeItem(photo, index + 1, steps[index], state, hooks)));
}

function makeItem(photo, number, step, { shown, reference, faulty, unused }, { onShow, onRemove }) {
  const marks = [
    number === reference && make("span", { class: "mark" }, "Reference"),
    unused.has(number) && make("span", { class: "mark warn" }, `Not used: ${unused.get(number)}`),
    faulty.has(photo) && make("span", { class: "mark bad" }, "Cannot be sent"),
  ].filter(Boolean);
  const words = make(
    "span",
    { class: "photo-words" },
    make("span", { class: "photo-name" }, photo.name),
    ...describePhoto(photo, step).map((line) => make("span", { class: "photo-facts" }, line)),
    marks.length ? make("span", { class: "marks" }, ...marks) : null,
  );
  const show = make(
    "button",
    { type: "button", class: "photo", "aria-pressed": `${number === shown}`, onclick: () => onShow(number) },
    make("span", { class: "photo-number", "aria-label": `Exposure ${number}:` }, `${number}`),
    smallPicture(photo),
    words,
  );
  const remove = make("button", { type: "button", class: "button icon quiet", "aria-label": `Remove ${photo.name}`, onclick: () => onRemove(photo) }, "×");
  return make("li", { class: "tray-item" }, show, remove);
}

/** A small picture of a photo, or its format's name where there is none. */
export function smallPicture(photo) {
  if (photo.small) return make("img", { class: "thumb", src: photo.small, alt: "", draggable: "false" });
  return make("span", { class: "thumb none" }, formatOf(photo.file));
}

/** What the camera wrote, and what the file is, a line each. */
function describePhoto(photo, step) {
  const size = photo.size ? `${photo.size.width} × ${photo.size.height}` : formatOf(photo.file);
  return [describeSetting(photo.facts), [step, size, bytes(photo.file.size)].filter(Boolean).join(" · ")].filter(Boolean);
}
