/** Shows the stage that a request is in, live. */

import { byId, make } from "./dom.js";
import { announce } from "./live.js";
import { seconds } from "./words.js";

/** The stages of the service in order, as a list shows them, and as a sentence says them. */
export const STAGES = [
  ["receive", "Send", "The photos are being sent."],
  ["decode", "Read", "The photos are being read."],
  ["align", "Align", "The exposures are being aligned, and what moved is looked for."],
  ["queue", "Wait", "The scene waits for its turn."],
  ["fuse", "Fuse", "The exposures are being fused."],
  ["encode", "Write", "The picture is being written."],
];
const TICK_MS = 100;

/** The panel of one request at a time. */
export class Progress {
  /** Show the panel, at the first stage. */
  begin() {
    this.began = performance.now();
    this.said = "";
    byId("progress").hidden = false;
    byId("steps").replaceChildren(...STAGES.map(([stage, name]) => make("li", { "data-stage": stage }, name)));
    this.ticking = setInterval(() => this.#tick(), TICK_MS);
    this.show({ stage: "upload", share: 0 });
  }

  /** @param {import("./fusing.js").Step} step */
  show(step) {
    const stage = step.stage === "upload" || step.stage === "busy" ? "receive" : step.stage === "send" ? "encode" : step.stage;
    const now = STAGES.findIndex(([name]) => name === stage);
    for (const [index, item] of [...byId("steps").children].entries()) {
      item.className = index < now ? "done" : index === now ? "now" : "";
      if (index === now) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    const words = describeStep(step);
    byId("progress-words").textContent = words;
    if (step.stage !== this.said) announce(words);
    this.said = step.stage;
  }

  /** Hide the panel. */
  end() {
    clearInterval(this.ticking);
    byId("progress").hidden = true;
  }

  #tick() {
    byId("progress-time").textContent = seconds((performance.now() - this.began) / 1000);
  }
}

/**
 * What is being done, as a sentence.
 * @param {import("./fusing.js").Step} step
 */
export function describeStep(step) {
  if (step.stage === "busy") return `The service is busy. Trying again in ${step.seconds} s.`;
  if (step.stage === "upload") return `Sending: ${Math.round(100 * step.share)} %`;
  if (step.stage === "send") return "The picture is on its way.";
  if (step.stage === "queue" && step.place) return `Waiting for its turn: number ${step.place} in the queue.`;
  return STAGES.find(([name]) => name === step.stage)[2];
}
