/** Writes the pictures of a shoot into one zip, in the browser. */

import { downloadZip } from "../../vendor/client-zip/index.js";
import { endingOf, stemOf } from "../formats.js";

/**
 * Pictures as a zip; they are stored as they are, because no zip makes a JPEG smaller.
 * @param {import("../entries.js").Entry[]} entries
 * @returns {Promise<Blob>}
 */
export async function zipEntries(entries) {
  const names = distinctNames(entries.map((entry) => entry.fileName));
  const files = entries.map((entry, index) => ({ name: names[index], input: entry.answer.picture, lastModified: entry.made }));
  return downloadZip(files).blob();
}

/** Names that differ: `a.jpg`, `a-2.jpg`. */
export function distinctNames(names) {
  const taken = new Set();
  return names.map((name) => {
    let free = name;
    for (let number = 2; taken.has(free); number += 1) free = `${stemOf(name)}-${number}.${endingOf(name)}`;
    taken.add(free);
    return free;
  });
}

/** Save a file under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
