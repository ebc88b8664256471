/** The work on one scene: its exposures, what stands against fusing them, the request, its picture. */

import { byId, make } from "./dom.js";
import { makeEntry } from "./entries.js";
import { showFailure } from "./failure.js";
import { fuse } from "./fusing.js";
import { checkStack } from "./limits.js";
import { announce } from "./live.js";
import { sortByExposure } from "./order.js";
import { Progress } from "./progress.js";
import { readUnused } from "./report.js";
import { showReport } from "./report_view.js";
import { showTray } from "./tray.js";
import { Viewer } from "./viewer.js";
import { count, seconds } from "./words.js";

/** The desk; there is one, and one scene on it at a time. */
export class Desk {
  /**
   * @param {import("./options.js").Options} options
   * @param {{onFused: (entry: import("./entries.js").Entry) => void}} hooks
   */
  constructor(options, { onFused }) {
    this.options = options;
    this.onFused = onFused;
    this.limits = null;
    this.photos = [];
    this.shown = 1;
    this.entry = null;
    this.progress = new Progress();
    this.viewer = new Viewer({ onAgainst: (number) => this.#show(number) });
    byId("fuse").addEventListener("click", () => this.fuse());
    byId("cancel").addEventListener("click", () => this.cancel());
    options.form.addEventListener("change", () => this.#render());
  }

  /** Lay photos on the desk, in order; what was there goes. */
  setPhotos(photos) {
    this.cancel();
    this.photos = sortByExposure(photos);
    this.entry = null;
    this.shown = this.photos.length;
    this.#hideOutcome();
    this.#render();
    this.#show(this.shown);
  }

  /** Show a picture of this visit again, with its exposures. */
  async open(entry) {
    this.cancel();
    this.photos = entry.photos;
    this.shown = 1;
    this.#hideOutcome();
    await this.#showEntry(entry);
  }

  /** Fuse what lies here. */
  async fuse() {
    const photos = this.photos;
    const options = this.options.read();
    this.running = new AbortController();
    this.#hideOutcome();
    this.#setRunning(true);
    this.progress.begin();
    try {
      const answer = await fuse(photos.map((photo) => photo.file), options, { signal: this.running.signal, onStep: (step) => this.progress.show(step) });
      const entry = makeEntry(photos, answer, options);
      this.#finish();
      await this.#showEntry(entry);
      this.onFused(entry);
      announce(`Done in ${seconds(answer.seconds)}. The fused picture is shown.`);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#finish();
      showFailure(byId("failure"), error, photos, () => this.fuse());
      this.#reveal("failure");
    }
  }

  /** Stop what runs; the service drops the work of a client that leaves. */
  cancel() {
    if (!this.running) return;
    this.running.abort(new DOMException("cancelled", "AbortError"));
    this.#finish();
    announce("Cancelled.");
  }

  #finish() {
    this.running = null;
    this.progress.end();
    this.#setRunning(false);
  }

  async #showEntry(entry) {
    this.entry = entry;
    this.shown = this.shown <= this.photos.length ? this.shown : 1;
    if (this.shown === this.photos.length) this.shown = 1;
    this.#render();
    await this.viewer.showFused(entry, this.shown);
    showReport(byId("report"), entry, this.viewer.entry ? this.viewer.size : null);
    this.#reveal("viewer");
  }

  #show(number) {
    this.shown = number;
    if (this.entry && this.viewer.entry) this.viewer.compareWith(number);
    else if (!this.entry && this.photos.length) this.viewer.showStill(this.photos[number - 1], number);
    this.#renderTray();
  }

  #remove(photo) {
    const left = this.photos.filter((one) => one !== photo);
    this.setPhotos(left);
    byId("photos-title").focus();
    announce(`${photo.name} removed. ${count(left.length, "photo")} left.`);
    if (!left.length) byId("still").replaceChildren();
  }

  #render() {
    this.checks = checkStack(this.photos, this.limits);
    byId("checks").replaceChildren(...this.checks.map(({ words }) => make("li", {}, words)));
    byId("fuse").disabled = this.checks.length > 0;
    byId("fuse").textContent = this.entry ? "Fuse again" : `Fuse ${count(this.photos.length, "exposure")}`;
    byId("photos-note").textContent = this.photos.length > 1 ? "dark to bright" : "";
    this.options.offerReferences(this.photos.length);
    this.#renderTray();
  }

  #renderTray() {
    const chosen = Number(this.options.read().get("reference")) || null;
    const state = {
      shown: this.shown,
      reference: this.entry ? this.entry.reference : chosen,
      faulty: new Set(this.checks.map(({ photo }) => photo).filter(Boolean)),
      unused: this.entry ? readUnused(this.entry.answer.header("X-Expofuse-Unused")) : new Map(),
    };
    const hooks = { onShow: (number) => this.#show(number), onRemove: (photo) => this.#remove(photo) };
    const hadFocus = byId("tray").contains(document.activeElement);
    showTray(byId("tray"), this.photos, state, hooks);
    if (hadFocus) byId("tray").querySelector('[aria-pressed="true"]')?.focus();
  }

  #setRunning(isRunning) {
    const hadFocus = [byId("fuse"), byId("cancel")].includes(document.activeElement);
    byId("fuse").hidden = isRunning;
    byId("cancel").hidden = !isRunning;
    byId("stage").classList.toggle("is-running", isRunning);
    if (hadFocus) byId(isRunning ? "cancel" : "fuse").focus();
    if (isRunning) this.#reveal("progress");
  }

  #hideOutcome() {
    for (const id of ["failure", "report"]) byId(id).hidden = true;
  }

  #reveal(id) {
    byId(id).scrollIntoView({ block: "nearest" });
  }
}
