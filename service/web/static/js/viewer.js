/** The large view: one exposure, or the fused picture beside any exposure. */

import { dragByGrip, isOnGrip, makeDivider, nameDivider } from "./divider.js";
import { byId, make } from "./dom.js";
import { formatOf } from "./formats.js";
import { Zoom } from "./zoom.js";

const SMALLEST_PX = 640;

/** The view and its tools. */
export class Viewer {
  /** @param {{onAgainst: (number: number) => void}} hooks */
  constructor({ onAgainst }) {
    this.onAgainst = onAgainst;
    this.zoom = null;
    byId("zoom-in").addEventListener("click", () => this.zoom?.step(true));
    byId("zoom-out").addEventListener("click", () => this.zoom?.step(false));
    byId("zoom-fit").addEventListener("click", () => this.zoom?.fit());
    byId("zoom-full").addEventListener("click", () => this.zoom?.showFull());
    byId("viewport").addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Show one exposure. */
  showStill(photo, number) {
    this.#clear();
    byId("viewer-title").textContent = `Exposure ${number}`;
    const shown = photo.isShown ? make("img", { src: photo.url, alt: `Exposure ${number}: ${photo.name}` }) : makePlaceholder(photo);
    byId("still").replaceChildren(shown);
  }

  /**
   * Show a fused picture beside one of its exposures.
   * @param {import("./entries.js").Entry} entry
   * @param {number} number Of the exposure, from 1.
   */
  async showFused(entry, number) {
    this.#clear();
    byId("viewer-title").textContent = "Fused";
    const fused = make("img", { src: entry.answer.url, alt: "", draggable: "false" });
    try {
      await fused.decode();
    } catch {
      byId("still").replaceChildren(makeNotice("This browser cannot show the format that you chose. Download the picture to see it."));
      return;
    }
    this.entry = entry;
    this.size = { width: fused.naturalWidth, height: fused.naturalHeight };
    this.#layOut(fused, number);
    this.#offerExposures(number);
  }

  /** Put another exposure beside the fused picture. */
  compareWith(number) {
    const photo = this.entry.photos[number - 1];
    this.left.replaceChildren(this.#makeExposure(photo));
    nameDivider(this.slider, `exposure ${number}`);
    byId("viewport").querySelector(".label-left").textContent = `Exposure ${number}`;
    for (const radio of byId("against").querySelectorAll("input")) radio.checked = radio.value === `${number}`;
  }

  #clear() {
    this.zoom?.destroy();
    this.zoom = null;
    this.entry = null;
    byId("viewport").replaceChildren();
    byId("still").replaceChildren();
    for (const id of ["viewport", "against", "zoom", "keys"]) byId(id).hidden = true;
    byId("still").hidden = false;
  }

  #layOut(fused, number) {
    this.left = make("div", { class: "pane" });
    const right = make("div", { class: "pane" }, fused);
    const layers = [this.left, right].map((pane) => make("div", { class: "layer" }, pane));
    this.slider = makeDivider(layers[0], layers[1], `exposure ${number}`);
    const viewport = byId("viewport");
    viewport.style.setProperty("--ratio", `${this.size.width / this.size.height}`);
    viewport.style.setProperty("--widest", `${Math.max(SMALLEST_PX, this.size.width)}px`);
    viewport.replaceChildren(this.slider, make("span", { class: "label label-left", "aria-hidden": "true" }), make("span", { class: "label label-right", "aria-hidden": "true" }, "Fused"));
    byId("still").hidden = true;
    for (const id of ["viewport", "zoom", "keys"]) byId(id).hidden = false;
    this.zoom = new Zoom(viewport, [right, this.left], this.size, {
      isDivider: (event) => isOnGrip(this.slider, event),
      onChange: (zoom) => this.#onZoom(zoom),
    });
    this.compareWith(number);
  }

  #offerExposures(number) {
    const against = byId("against");
    against.hidden = this.entry.photos.length < 2;
    const choices = this.entry.photos.map((_photo, index) => {
      const value = `${index + 1}`;
      const radio = make("input", { type: "radio", name: "against", value, checked: index + 1 === number, onchange: () => this.onAgainst(index + 1) });
      return make("label", { class: "against-choice" }, radio, make("span", {}, value));
    });
    against.replaceChildren(make("legend", {}, "Compare with exposure"), ...choices);
  }

  /** An exposure as it lies behind the fused picture, which may be cut out of the reference. */
  #makeExposure(photo) {
    if (!photo.isShown) return makePlaceholder(photo);
    const image = make("img", { src: photo.url, alt: "", draggable: "false" });
    const { frame } = this.entry;
    if (frame && photo.size) {
      const place = { left: -frame.left, top: -frame.top, width: photo.size.width, height: photo.size.height };
      for (const [side, pixels] of Object.entries(place)) {
        const whole = side === "left" || side === "width" ? frame.width : frame.height;
        image.style[side] = `${(100 * pixels) / whole}%`;
      }
    }
    return image;
  }

  #onZoom(zoom) {
    byId("zoom-level").textContent = `${zoom.percent} %`;
    byId("zoom-fit").setAttribute("aria-pressed", `${zoom.isFit}`);
    byId("zoom-full").setAttribute("aria-pressed", `${zoom.percent === 100 && !zoom.isFit}`);
    dragByGrip(this.slider, !zoom.isFit);
  }

  #onKey(event) {
    if (!this.zoom || event.ctrlKey || event.altKey || event.metaKey) return;
    const pans = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.shiftKey && pans[event.key]) this.zoom.pan(...pans[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom.step(true);
    else if (event.key === "-") this.zoom.step(false);
    else if (event.key === "0") this.zoom.fit();
    else if (event.key === "1") this.zoom.showFull();
    else return;
    event.preventDefault();
  }
}

function makePlaceholder(photo) {
  const words = `This browser cannot show ${formatOf(photo.file)}; the service reads it.`;
  const picture = photo.small ? make("img", { src: photo.small, alt: "", class: "placeholder-small" }) : null;
  return make("div", { class: "placeholder" }, picture, make("p", {}, make("strong", {}, photo.name)), make("p", {}, words));
}

function makeNotice(words) {
  return make("div", { class: "placeholder" }, make("p", {}, words));
}
