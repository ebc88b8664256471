/** Shows how a picture came about, and offers it for download. */

import { make } from "./dom.js";
import { describeAlignment, describeDropped, describeGhosts, describeUse, readTimes } from "./report.js";
import { bytes, seconds } from "./words.js";

/**
 * Fill the report.
 * @param {HTMLElement} place
 * @param {import("./entries.js").Entry} entry
 * @param {{width: number, height: number}|null} size Of the picture; null where the browser cannot show it.
 */
export function showReport(place, entry, size) {
  const { answer, photos } = entry;
  const facts = [
    ["Alignment", describeAlignment(answer.header("X-Expofuse-Alignment"))],
    ["Movement", describeGhosts(answer.header("X-Expofuse-Ghosts"))],
    ["Exposures", describeUse(answer.header("X-Expofuse-Unused"), photos.length)],
    ["Weights", { title: answer.header("X-Expofuse-Weights"), words: `Exposure ${entry.reference} is the reference.`, isGood: true }],
  ];
  const dropped = describeDropped(answer.header("X-Expofuse-Dropped"));
  place.replaceChildren(
    makeHead(entry, size),
    make("dl", { class: "facts" }, ...facts.map(([term, fact]) => makeFact(term, fact))),
    makeTimes(answer),
    ...(dropped ? [make("p", { class: "hint" }, dropped)] : []),
  );
  place.hidden = false;
}

/** A link that saves a picture under its name. */
export function makeDownload(entry, words, attributes = {}) {
  return make("a", { class: "button", href: entry.answer.url, download: entry.fileName, ...attributes }, words);
}

function makeHead(entry, size) {
  const parts = [entry.fileName, size && `${size.width} × ${size.height}`, bytes(entry.answer.picture.size)];
  return make(
    "div",
    { class: "report-head" },
    make("div", {}, make("h2", { id: "report-title", tabindex: "-1" }, "Your picture"), make("p", { class: "hint" }, parts.filter(Boolean).join(" · "))),
    makeDownload(entry, "Download", { class: "button primary", id: "download" }),
  );
}

function makeFact(term, { title, words, isGood }) {
  return make("div", { class: isGood ? "fact" : "fact warn" }, make("dt", {}, term), make("dd", {}, make("strong", {}, title), make("span", {}, words)));
}

function makeTimes(answer) {
  const times = readTimes(answer.header("Server-Timing"));
  const total = times.reduce((sum, { ms }) => sum + ms, 0);
  const bar = make("div", { class: "times-bar", "aria-hidden": "true" });
  for (const { stage, ms } of times) {
    const part = make("span", { "data-stage": stage });
    part.style.flexGrow = `${ms / (total || 1)}`;
    bar.append(part);
  }
  const rows = times.map(({ stage, name, ms }) => make("div", { "data-stage": stage }, make("dt", {}, name), make("dd", {}, seconds(ms / 1000))));
  return make(
    "div",
    { class: "times" },
    make("p", { class: "times-title" }, make("strong", {}, `${seconds(total / 1000)} in the service`), ` · ${seconds(answer.seconds)} in all`),
    bar,
    make("dl", { class: "times-list" }, ...rows),
  );
}
