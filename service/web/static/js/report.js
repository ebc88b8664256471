/** Says in words what the headers of an answer say of a fusion. */

import { STAGES } from "./progress.js";
import { count, list } from "./words.js";

const REFUSALS = {
  few_matches: "too little in common to hold on to",
  few_inliers: "what they have in common does not fit one movement",
};
const REASONS = { blank: "black or white nearly everywhere", duplicate: "the same as another one", surplus: "one more than these weights take" };
const MOVEMENT_MATTERS = 0.0005;

/** The parts of a header that are separated by semicolons. */
const split = (text) => text.split(";").map((part) => part.trim()).filter(Boolean);

/**
 * What became of the alignment.
 * @param {string} header X-Expofuse-Alignment
 * @returns {{title: string, words: string, isGood: boolean}}
 */
export function describeAlignment(header) {
  const [outcome, ...rest] = split(header);
  const figures = new Map(rest.map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]));
  const said = { off: describeOff, identity: describeStill, homography: describeAligned, refused: describeRefused }[outcome];
  return said ? said(rest, figures) : { title: "Alignment", words: header, isGood: true };
}

const describeOff = () => ({ title: "Not aligned", words: "Alignment is off.", isGood: true });

function describeStill(rest) {
  const words = rest.some((part) => part.startsWith("one exposure")) ? "Only one exposure adds something: it is the picture." : "The exposures lie on each other as they are.";
  return { title: "Held still", words, isGood: true };
}

function describeAligned(rest, figures) {
  const shift = Number(figures.get("max-corner-shift-px"));
  const moved = rest.filter((part) => /^\d+=homography/.test(part)).map((part) => Number.parseInt(part, 10));
  const many = `${moved.length > 1 ? "Exposures" : "Exposure"} ${list(moved.map(String))} moved onto the reference.`;
  return { title: "Aligned", words: shift ? `Moved by up to ${shift < 10 ? shift.toFixed(1) : Math.round(shift)} pixels.` : many, isGood: true };
}

function describeRefused(rest, figures) {
  const numbered = rest.map((part) => /^(\d+)=refused/.exec(part)).filter(Boolean).map((match) => match[1]);
  const reason = REFUSALS[figures.get("reason")] ?? (figures.get("reason") ?? "").replaceAll("_", " ");
  const who = numbered.length ? `${numbered.length > 1 ? "Exposures" : "Exposure"} ${list(numbered)} could not be aligned safely` : "They could not be aligned safely";
  return { title: "Fused as they lie", words: `${who}${reason ? `: ${reason}` : ""}.`, isGood: false };
}

/**
 * What became of things that moved.
 * @param {string} header X-Expofuse-Ghosts
 */
export function describeGhosts(header) {
  const [mode, figure = ""] = split(header);
  const share = Number(figure.split("=")[1] ?? 0);
  if (mode === "off") return { title: "Not looked for", words: "What moved shows as it is in each exposure.", isGood: true };
  if (share < MOVEMENT_MATTERS) return { title: "Nothing moved", words: "All exposures show the same scene.", isGood: true };
  const percent = (100 * share).toFixed(share < 0.01 ? 2 : 1);
  return { title: "Movement shown once", words: `${percent} % of the picture comes from the reference alone.`, isGood: true };
}

/**
 * Which exposures are in the picture.
 * @param {string} header X-Expofuse-Unused
 * @param {number} sent How many were sent.
 */
export function describeUse(header, sent) {
  const unused = readUnused(header);
  if (!unused.size) return { title: `${count(sent, "exposure")} used`, words: "Each adds something.", isGood: true };
  const words = [...unused].map(([number, reason]) => `Exposure ${number} is left out: ${reason}.`).join(" ");
  return { title: `${sent - unused.size} of ${count(sent, "exposure")} used`, words, isGood: false };
}

/** Numbers of the exposures that were not used, with the reason in words. */
export function readUnused(header) {
  const parts = header === "none" || !header ? [] : header.split(" ");
  return new Map(parts.map((part) => part.split("=")).map(([number, reason]) => [Number(number), REASONS[reason] ?? reason]));
}

/**
 * Time of each stage.
 * @param {string} header Server-Timing
 * @returns {{stage: string, name: string, ms: number}[]}
 */
export function readTimes(header) {
  const times = new Map([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, stage, ms]) => [stage, Number(ms)]));
  return STAGES.map(([stage, name]) => ({ stage, name, ms: times.get(stage) ?? 0 }));
}

/** What files held beside their picture, and the fused one does not, as a sentence; empty where nothing. */
export function describeDropped(header) {
  if (!header || header === "none") return "";
  const parts = split(header).map((part) => part.split("="));
  return parts.map(([number, what]) => `Exposure ${number} also held ${list(what.split("+").map((one) => one.replaceAll("-", " ")))}, which is left out.`).join(" ");
}
