/** Zooms and pans the two pictures of a comparison together, by mouse, touch and keys. */

import Panzoom from "../vendor/panzoom/panzoom.es.js";

const STEP = 1.25;
const KEY_PAN_PX = 60;
const MAX_OF_FULL = 4;
const MAX_OF_FIT = 4;
/** A scale below this is the whole picture: measured sides are not exact. */
const FIT = 1.001;

/** One view of pictures that lie on each other. */
export class Zoom {
  /**
   * @param {HTMLElement} viewport Takes the events.
   * @param {HTMLElement[]} panes All are moved alike; the first one is measured.
   * @param {{width: number}} size Of the picture, in pixels.
   * @param {{isDivider: (event: PointerEvent) => boolean, onChange: (zoom: Zoom) => void}} hooks
   */
  constructor(viewport, panes, size, { isDivider, onChange }) {
    this.viewport = viewport;
    this.panes = panes;
    this.size = size;
    this.isDivider = isDivider;
    this.onChange = onChange;
    this.pointers = new Map();
    this.panzoom = Panzoom(panes[0], {
      noBind: true,
      minScale: 1,
      maxScale: Math.max(MAX_OF_FIT, MAX_OF_FULL * this.full),
      contain: "outside",
      cursor: "inherit",
      touchAction: "",
      pinchAndPan: true,
      handleStartEvent: () => {},
      setTransform: (_pane, { scale, x, y }) => this.#move(scale, x, y),
    });
    this.#listen();
  }

  /** The scale at which a pixel of the picture is a pixel of the screen; 1 is the whole picture. */
  get full() {
    return this.size.width / (this.viewport.clientWidth * devicePixelRatio);
  }

  /** The scale now. */
  get scale() {
    return this.panzoom.getScale();
  }

  /** Whether the whole picture is shown. */
  get isFit() {
    return this.scale < FIT;
  }

  /** Per cent of the picture's own size that it is shown at. */
  get percent() {
    return Math.round((100 * this.scale) / this.full);
  }

  /** Show the whole picture. */
  fit() {
    this.panzoom.reset({ animate: false });
  }

  /** Show pixels as they are, as near as a view that is never smaller than the whole allows. */
  showFull() {
    this.panzoom.zoom(Math.max(1, this.full), { animate: false });
  }

  /** Zoom in (true) or out (false) by one step, around the middle. */
  step(isIn) {
    this.panzoom.zoom(this.scale * (isIn ? STEP : 1 / STEP), { animate: false });
  }

  /** Move the picture by a part of the view. */
  pan(right, down) {
    const { x, y } = this.panzoom.getPan();
    this.panzoom.pan(x - (right * KEY_PAN_PX) / this.scale, y - (down * KEY_PAN_PX) / this.scale, { animate: false });
  }

  /** Let go of everything. */
  destroy() {
    this.listening.abort();
  }

  #move(scale, x, y) {
    for (const pane of this.panes) pane.style.transform = `scale(${scale}) translate(${x}px, ${y}px)`;
    this.viewport.classList.toggle("is-zoomed", !this.isFit);
    this.onChange(this);
  }

  #listen() {
    this.listening = new AbortController();
    const { signal } = this.listening;
    this.viewport.addEventListener("pointerdown", (event) => this.#onDown(event), { signal });
    document.addEventListener("pointermove", (event) => this.panzoom.handleMove(event), { signal, passive: true });
    for (const name of ["pointerup", "pointercancel"]) {
      document.addEventListener(name, (event) => (this.pointers.delete(event.pointerId), this.panzoom.handleUp(event)), { signal, passive: true });
    }
    this.viewport.addEventListener("wheel", (event) => this.#onWheel(event), { signal, passive: false });
    this.viewport.addEventListener("dblclick", (event) => this.#onDouble(event), { signal });
    // The divider follows one finger; two are for the picture.
    for (const name of ["touchstart", "touchmove"]) {
      this.viewport.addEventListener(name, (event) => event.touches.length > 1 && event.stopPropagation(), { signal, capture: true, passive: true });
    }
  }

  #onDown(event) {
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size > 1) for (const one of this.pointers.values()) this.panzoom.handleDown(one);
    else if (!this.isFit && !this.isDivider(event)) this.panzoom.handleDown(event);
  }

  /** The wheel scrolls the page unless Ctrl is held (which trackpads say of a pinch) or it is zoomed. */
  #onWheel(event) {
    if (event.ctrlKey || !this.isFit) this.panzoom.zoomWithWheel(event, { step: 0.5 });
  }

  #onDouble(event) {
    if (this.isDivider(event)) return;
    if (!this.isFit) this.fit();
    else this.panzoom.zoomToPoint(Math.max(2, this.full), event, { animate: false });
  }
}
