/** The work on a whole shoot: find its brackets, let a person put them right, fuse one after another. */

import { post } from "../api.js";
import { byId } from "../dom.js";
import { makeEntry } from "../entries.js";
import { describeFailure } from "../failure.js";
import { fuse } from "../fusing.js";
import { checkStack } from "../limits.js";
import { announce } from "../live.js";
import { readPhoto, releasePhoto } from "../photos.js";
import { count, seconds } from "../words.js";
import { save, zipEntries } from "./archive.js";
import { joinBracket, listBrackets, listWaiting, orderedPhotos, splitBracket } from "./brackets.js";
import { describeFrame, nameFrames } from "./frames.js";
import { makeRow, tellStep } from "./rows.js";

const READERS = 4;

/** The shoot; there is one at a time. */
export class Shoot {
  /**
   * @param {import("../options.js").Options} options
   * @param {{onOpen: (entry: import("../entries.js").Entry) => void}} hooks
   */
  constructor(options, { onOpen }) {
    this.options = options;
    this.onOpen = onOpen;
    this.limits = null;
    this.brackets = [];
    this.running = null;
    this.isPausing = false;
    byId("shoot-fuse").addEventListener("click", () => this.run(listWaiting(this.brackets)));
    byId("shoot-pause").addEventListener("click", () => this.#pause());
    byId("shoot-zip").addEventListener("click", () => this.#zip());
  }

  /** Whether there is something to come back to. */
  get isThere() {
    return this.brackets.length > 0;
  }

  /**
   * Read the headers of files and find the brackets among them.
   * @param {File[]} files
   */
  async read(files) {
    this.clear();
    const names = nameFrames(files);
    const photos = await this.#readPhotos(files);
    const byName = new Map([...names].map(([file, name]) => [name, photos.get(file)]));
    const frames = [...byName].map(([name, photo]) => describeFrame(name, photo));
    const order = new Map(frames.map((frame) => [frame.name, frame.taken_s ?? Infinity]));
    const sorted = [...byName].sort(([one], [other]) => order.get(one) - order.get(other) || one.localeCompare(other, "en", { numeric: true }));
    this.brackets = listBrackets(await post("group", { frames }), new Map(sorted));
    this.#render();
    const found = this.brackets.filter((one) => one.photos.length > 1).length;
    announce(`${count(found, "bracket")} found in ${count(files.length, "photo")}. Look at them, then fuse.`);
  }

  /** Let go of the shoot. */
  clear() {
    this.running?.abort(new DOMException("cancelled", "AbortError"));
    for (const { photos, entry } of this.brackets) {
      photos.forEach(releasePhoto);
      if (entry) URL.revokeObjectURL(entry.answer.url);
    }
    this.brackets = [];
    this.doneSeconds = [];
    byId("brackets").replaceChildren();
    byId("shoot-note").textContent = "";
    this.#renderAction();
  }

  /** Fuse brackets one after another, until all are done or somebody pauses. */
  async run(brackets) {
    const running = new AbortController();
    this.running = running;
    this.isPausing = false;
    this.#render();
    byId("shoot-pause").focus();
    for (const bracket of brackets) {
      if (this.isPausing || running.signal.aborted) break;
      if (bracket.isWanted && !this.#check(bracket).length) await this.#fuseOne(bracket, running.signal);
    }
    if (running.signal.aborted) return;
    const hadFocus = document.activeElement === byId("shoot-pause");
    this.running = null;
    this.#render();
    if (hadFocus) (byId("shoot-fuse").hidden ? byId("shoot-zip") : byId("shoot-fuse")).focus();
    announce(this.#describeOutcome());
  }

  async #readPhotos(files) {
    const waiting = [...files];
    const read = new Map();
    const work = async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        read.set(file, await readPhoto(file, { isQuick: true }));
        byId("shoot-note").textContent = `Reading ${read.size} of ${count(files.length, "photo")}`;
      }
    };
    await Promise.all(Array.from({ length: READERS }, work));
    return read;
  }

  async #fuseOne(bracket, signal) {
    bracket.state = "running";
    bracket.failure = null;
    this.#renderRow(bracket);
    const photos = orderedPhotos(bracket);
    const options = this.options.read();
    options.delete("reference");
    const onStep = (step) => tellStep(this.#rowOf(bracket), step);
    try {
      const answer = await fuse(photos.map((photo) => photo.file), options, { signal, onStep });
      bracket.entry = makeEntry(photos, answer, options);
      bracket.state = "done";
      this.doneSeconds.push(answer.seconds);
    } catch (error) {
      if (error.name === "AbortError") return;
      bracket.failure = describeFailure(error, photos);
      bracket.state = "failed";
    }
    this.#renderRow(bracket);
    this.#renderAction();
    announce(`${this.#nameOf(bracket)}: ${bracket.state === "done" ? "done" : bracket.failure.title}.`);
  }

  #pause() {
    this.isPausing = true;
    byId("shoot-pause").disabled = true;
    byId("shoot-pause").textContent = "Pausing after this bracket";
    announce("Pausing after this bracket.");
  }

  async #zip() {
    const entries = this.brackets.map((one) => one.entry).filter(Boolean);
    save(await zipEntries(entries), "expofuse.zip");
  }

  #edit(brackets) {
    this.brackets = brackets;
    this.#render();
    byId("brackets-title").scrollIntoView({ block: "nearest" });
    announce(`${count(listWaiting(brackets).length, "bracket")} to fuse.`);
  }

  #check(bracket) {
    return bracket.photos.length > 1 ? checkStack(orderedPhotos(bracket), this.limits).map(({ words }) => words) : [];
  }

  /** `Bracket 3`; what stands alone has no number of its own. */
  #nameOf(bracket) {
    const several = this.brackets.filter((one) => one.photos.length > 1);
    return bracket.photos.length > 1 ? `Bracket ${several.indexOf(bracket) + 1}` : "Alone";
  }

  #rowOf(bracket) {
    return byId("brackets").querySelector(`[data-id="${bracket.id}"]`);
  }

  #makeRow(bracket) {
    const state = { name: this.#nameOf(bracket), isLast: bracket === this.brackets.at(-1), isLocked: this.running !== null, checks: this.#check(bracket) };
    return makeRow(bracket, state, {
      onSplit: (one, at) => this.#edit(splitBracket(this.brackets, one, at)),
      onJoin: (one) => this.#edit(joinBracket(this.brackets, one)),
      onWant: (one, isWanted) => ((one.isWanted = isWanted), this.#renderAction()),
      onOpen: (one) => this.onOpen(one.entry),
      onRetry: (one) => this.run([one]),
    });
  }

  #renderRow(bracket) {
    this.#rowOf(bracket)?.replaceWith(this.#makeRow(bracket));
  }

  #render() {
    byId("brackets").replaceChildren(...this.brackets.map((one) => this.#makeRow(one)));
    const alone = this.brackets.filter((one) => one.photos.length === 1).length;
    const found = `${count(this.brackets.length - alone, "bracket")} in ${count(this.brackets.reduce((sum, one) => sum + one.photos.length, 0), "photo")}`;
    byId("shoot-note").textContent = `${found}${alone ? `; ${alone} alone` : ""}. Split or join what was not found right, untick what should not be fused.`;
    this.#renderAction();
  }

  #renderAction() {
    const waiting = listWaiting(this.brackets).filter((one) => !this.#check(one).length);
    const done = this.brackets.filter((one) => one.state === "done").length;
    const isRunning = this.running !== null;
    byId("shoot-fuse").hidden = isRunning || (done > 0 && !waiting.length);
    byId("shoot-fuse").disabled = !waiting.length;
    byId("shoot-fuse").textContent = done ? `Go on with ${count(waiting.length, "bracket")}` : `Fuse ${count(waiting.length, "bracket")}`;
    byId("shoot-pause").hidden = !isRunning;
    if (!this.isPausing) Object.assign(byId("shoot-pause"), { disabled: false, textContent: "Pause" });
    byId("shoot-zip").hidden = !done || isRunning;
    byId("shoot-zip").classList.toggle("primary", byId("shoot-fuse").hidden);
    byId("shoot-progress").hidden = !done && !isRunning;
    byId("shoot-bar").max = Math.max(1, done + waiting.length);
    byId("shoot-bar").value = done;
    byId("shoot-words").textContent = isRunning ? `${done} of ${done + waiting.length} done${this.#describeLeft(waiting.length)}` : this.#describeOutcome();
  }

  #describeLeft(waiting) {
    if (!this.doneSeconds.length) return "";
    const mean = this.doneSeconds.reduce((sum, one) => sum + one, 0) / this.doneSeconds.length;
    return `, about ${seconds(mean * waiting)} left`;
  }

  #describeOutcome() {
    const of = (state) => this.brackets.filter((one) => one.state === state).length;
    const failed = of("failed") ? `, ${of("failed")} failed` : "";
    return `${count(of("done"), "bracket")} done${failed}.`;
  }
}
