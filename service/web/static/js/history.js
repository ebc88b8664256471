/** Keeps the pictures of this visit, for as long as the page is open. */

import { byId, make } from "./dom.js";
import { smallPicture } from "./tray.js";

const MAX_ENTRIES = 30;

/** The pictures of this visit, the newest first. */
export class History {
  /** @param {{onOpen: (entry: import("./entries.js").Entry) => void}} hooks */
  constructor({ onOpen }) {
    this.onOpen = onOpen;
    this.entries = [];
  }

  /** Keep a picture; the oldest of too many goes. */
  add(entry) {
    this.entries.unshift(entry);
    for (const old of this.entries.splice(MAX_ENTRIES)) URL.revokeObjectURL(old.answer.url);
    byId("history-list").replaceChildren(...this.entries.map((one) => this.#makeItem(one)));
    byId("history").hidden = false;
  }

  #makeItem(entry) {
    const time = entry.made.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    const open = make(
      "button",
      { type: "button", class: "history-item", onclick: () => this.onOpen(entry) },
      makeSmall(entry),
      make("span", { class: "history-name" }, entry.fileName),
      make("span", { class: "hint" }, `${time} · ${entry.photos.length} exposures`),
    );
    return make("li", {}, open);
  }
}

function makeSmall(entry) {
  const image = make("img", { class: "thumb", src: entry.answer.url, alt: "", loading: "lazy", draggable: "false" });
  image.addEventListener("error", () => image.replaceWith(smallPicture(entry.photos[0])), { once: true });
  return image;
}
