/** Shows the brackets of a shoot, one row each. */

import { make } from "../dom.js";
import { stemOf } from "../formats.js";
import { describeSteps, sortByExposure } from "../order.js";
import { describeStep } from "../progress.js";
import { makeDownload } from "../report_view.js";
import { describeAlignment, describeGhosts } from "../report.js";
import { smallPicture } from "../tray.js";
import { count } from "../words.js";

/**
 * @typedef {Object} Hooks
 * @property {(bracket: import("./brackets.js").Bracket, at: number) => void} onSplit
 * @property {(bracket: import("./brackets.js").Bracket) => void} onJoin
 * @property {(bracket: import("./brackets.js").Bracket, isWanted: boolean) => void} onWant
 * @property {(bracket: import("./brackets.js").Bracket) => void} onOpen
 * @property {(bracket: import("./brackets.js").Bracket) => void} onRetry
 */

/**
 * One bracket as a row.
 * @param {import("./brackets.js").Bracket} bracket
 * @param {{name: string, isLast: boolean, isLocked: boolean, checks: string[]}} state `isLocked`: the shoot is being fused.
 * @param {Hooks} hooks
 */
export function makeRow(bracket, state, hooks) {
  const row = make("li", { class: `bracket ${bracket.state}${bracket.photos.length > 1 ? "" : " alone"}`, "data-id": bracket.id });
  row.append(makeHead(bracket, state, hooks), makeStrip(bracket, state, hooks), makeFoot(bracket, state, hooks));
  return row;
}

/** Say in a row what is being done for it. */
export function tellStep(row, step) {
  const place = row?.querySelector(".bracket-state");
  if (place) place.textContent = describeStep(step);
}

function makeHead(bracket, { name, isLocked, checks }, { onWant }) {
  const words = [make("strong", {}, name), make("span", { class: "hint" }, describeBracket(bracket))];
  if (bracket.photos.length < 2) return make("div", { class: "bracket-head" }, make("span", { class: "bracket-words" }, ...words));
  const box = make("input", { type: "checkbox", checked: bracket.isWanted && !checks.length, disabled: isLocked || checks.length > 0 || bracket.state === "done", onchange: (event) => onWant(bracket, event.target.checked) });
  return make("div", { class: "bracket-head" }, make("label", { class: "bracket-words" }, box, make("span", { class: "bracket-name" }, ...words)));
}

/** Its files, and why they are one; what was put together by hand says how far its exposures reach. */
function describeBracket({ photos, reason, isByHand }) {
  const names = photos.length > 1 ? `${stemOf(photos[0].name)} to ${stemOf(photos.at(-1).name)}` : photos[0].name;
  const steps = describeSteps(sortByExposure(photos)).filter(Boolean);
  const reach = isByHand && steps.length > 1 ? `${count(photos.length, "exposure")}, ${steps[0]} to ${steps.at(-1)}` : "";
  return [names, reach, reason].filter(Boolean).join(" · ");
}

function makeStrip(bracket, { name, isLocked }, { onSplit }) {
  const items = bracket.photos.flatMap((photo, index) => {
    const picture = make("span", { class: "bracket-photo", title: photo.name }, smallPicture(photo));
    if (!index) return [picture];
    const words = `Split ${name} before ${photo.name}`;
    return [make("button", { type: "button", class: "split", title: "Split here", "aria-label": words, disabled: isLocked, onclick: () => onSplit(bracket, index) }), picture];
  });
  if (bracket.entry) items.push(make("span", { class: "bracket-becomes", "aria-hidden": "true" }, "→"), make("img", { class: "thumb fused", src: bracket.entry.answer.url, alt: `${name}, fused`, loading: "lazy" }));
  return make("div", { class: "bracket-strip" }, ...items);
}

function makeFoot(bracket, { name, isLast, isLocked, checks }, { onJoin, onOpen, onRetry }) {
  const foot = make("div", { class: "bracket-foot" }, make("span", { class: "bracket-state" }, describeState(bracket, checks)));
  const button = (words, onclick, disabled = false) => make("button", { type: "button", class: "button small", "aria-label": `${words}: ${name}`, disabled, onclick }, words);
  if (bracket.state === "done") foot.append(button("Compare", () => onOpen(bracket)), makeDownload(bracket.entry, "Download", { class: "button small", "aria-label": `Download ${bracket.entry.fileName}` }));
  if (bracket.state === "failed") foot.append(button("Try again", () => onRetry(bracket), isLocked));
  if (!isLast) foot.append(button("Join next", () => onJoin(bracket), isLocked));
  return foot;
}

function describeState(bracket, checks) {
  if (checks.length) return checks.join(" ");
  if (bracket.state === "failed") return [`${bracket.failure.title}.`, bracket.failure.detail, bracket.failure.advice].filter(Boolean).join(" ");
  if (bracket.state === "running") return "Starting";
  if (bracket.state !== "done") return "";
  const { header } = bracket.entry.answer;
  return `${describeAlignment(header("X-Expofuse-Alignment")).title} · ${describeGhosts(header("X-Expofuse-Ghosts")).title}`;
}
