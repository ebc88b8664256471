/** Tells readers of the screen what happens, one short sentence at a time. */

import { byId } from "./dom.js";

/** Say a sentence; one that was said before is said again. */
export function announce(sentence) {
  const region = byId("live");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = sentence));
}
