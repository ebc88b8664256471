/** The divider between two pictures: the vendored slider, made a slider for keys and readers too. */

import "../vendor/img-comparison-slider/index.js";
import { make } from "./dom.js";

const STEP = 2;
const PAGE = 10;

/**
 * Make the divider with its two sides.
 * @param {HTMLElement} left Shown left of it.
 * @param {HTMLElement} right Shown right of it.
 * @param {string} name What is left, for readers of the screen.
 * @returns {HTMLElement}
 */
export function makeDivider(left, right, name) {
  left.slot = "first";
  right.slot = "second";
  const grip = make("span", { slot: "handle", class: "grip", "aria-hidden": "true" });
  const slider = make(
    "img-comparison-slider",
    { value: "50", keyboard: "disabled", tabindex: "0", role: "slider", "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "100" },
    left,
    right,
    grip,
  );
  slider.addEventListener("slide", () => tell(slider));
  slider.addEventListener("keydown", (event) => onKey(slider, event));
  nameDivider(slider, name);
  return slider;
}

/** Say what is left of a divider. */
export function nameDivider(slider, name) {
  slider.setAttribute("aria-label", `Divider: ${name} on the left, the fused picture on the right`);
  slider.dataset.left = name;
  tell(slider);
}

/** Whether an event lies on the grip of a divider. */
export function isOnGrip(slider, { clientX, clientY }) {
  const box = slider.querySelector(".grip").getBoundingClientRect();
  return clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
}

/** Take any drag for the divider, or drags of its grip alone. */
export function dragByGrip(slider, isByGrip) {
  slider.handle = `${isByGrip}`;
}

/** The component moves while a key is held; steps are what a slider does, and what can be counted. */
function onKey(slider, event) {
  if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  const now = Number(slider.value);
  const to = { ArrowLeft: now - STEP, ArrowRight: now + STEP, PageDown: now - PAGE, PageUp: now + PAGE, Home: 0, End: 100 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  slider.value = Math.min(100, Math.max(0, to));
  slider.slide(0);
}

function tell(slider) {
  const share = Math.round(slider.value);
  slider.setAttribute("aria-valuenow", `${share}`);
  slider.setAttribute("aria-valuetext", `${share} per cent ${slider.dataset.left}`);
}
