/** The brackets of a shoot as a list that a person splits and joins. */

import { sortByExposure } from "../order.js";

/**
 * @typedef {Object} Bracket
 * @property {number} id
 * @property {import("../photos.js").Photo[]} photos In the order in which they were taken; one stands alone.
 * @property {string} reason Why they belong together, or why one stands alone.
 * @property {boolean} isByHand Somebody split or joined it.
 * @property {boolean} isWanted Is fused with the shoot.
 * @property {"waiting"|"running"|"done"|"failed"} state
 * @property {import("../entries.js").Entry|null} entry
 * @property {{title: string, detail: string, advice: string}|null} failure
 */

let lastId = 0;

/** A bracket of these photos. */
function makeBracket(photos, reason, isByHand = false) {
  lastId += 1;
  return { id: lastId, photos, reason, isByHand, isWanted: photos.length > 1, state: "waiting", entry: null, failure: null };
}

/**
 * What was found, as one list in the order of the shoot.
 * @param {{brackets: {files: string[], reason: string}[], singles: {file: string, reason: string}[]}} groups
 * @param {Map<string, import("../photos.js").Photo>} photos By their names; their order is that of the shoot.
 * @returns {Bracket[]}
 */
export function listBrackets(groups, photos) {
  const place = new Map([...photos.keys()].map((name, index) => [name, index]));
  const all = [...groups.brackets, ...groups.singles.map(({ file, reason }) => ({ files: [file], reason }))];
  all.sort((one, other) => place.get(one.files[0]) - place.get(other.files[0]));
  return all.map(({ files, reason }) => makeBracket(files.map((name) => photos.get(name)), reason));
}

/** Split one bracket before its photo number `at`, from 0. */
export function splitBracket(brackets, bracket, at) {
  const parts = [bracket.photos.slice(0, at), bracket.photos.slice(at)].map((photos) => makeBracket(photos, "split by hand", true));
  return brackets.flatMap((one) => (one === bracket ? parts : [one]));
}

/** Join one bracket with the one behind it. */
export function joinBracket(brackets, bracket) {
  const next = brackets[brackets.indexOf(bracket) + 1];
  const joined = makeBracket([...bracket.photos, ...next.photos], "joined by hand", true);
  return brackets.flatMap((one) => (one === bracket ? [joined] : one === next ? [] : [one]));
}

/** The photos of a bracket as they are sent: dark to bright. */
export const orderedPhotos = (bracket) => sortByExposure(bracket.photos);

/** What is fused with the shoot, and is not done. */
export const listWaiting = (brackets) => brackets.filter((one) => one.isWanted && one.photos.length > 1 && one.state !== "done");
