/** Takes photos in: dropped, chosen, a whole folder, or the sample. */

import { byId } from "./dom.js";
import { ACCEPT, isTaken } from "./formats.js";

const SAMPLE = { "sample-1.jpg": "under", "sample-2.jpg": "over" };

/**
 * Listen to every way in which photos come.
 * @param {{onFiles: (came: {files: File[], leftOut: File[], isFolder: boolean, isMore: boolean}) => void}} hooks
 */
export function listenForFiles({ onFiles }) {
  const deliver = (all, { isFolder = false, isMore = false } = {}) =>
    onFiles({ files: all.filter(isTaken), leftOut: all.filter((file) => !isTaken(file)), isFolder, isMore });
  let isMore = false;
  listenToInput(byId("files"), (files) => deliver(files, { isMore }));
  listenToInput(byId("folder"), (files) => deliver(files, { isFolder: true }));
  byId("files").accept = ACCEPT;
  for (const id of ["choose", "add"]) byId(id).addEventListener("click", () => ((isMore = id === "add"), byId("files").click()));
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("use-sample").addEventListener("click", async () => deliver(await loadSample()));
  listenToDrops(deliver);
}

function listenToInput(input, onChosen) {
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) onChosen(files);
  });
}

/** The sample pair, from this service. */
export async function loadSample() {
  return Promise.all(
    Object.entries(SAMPLE).map(async ([name, kind]) => {
      const answer = await fetch(`page/sample/${kind}.jpg`);
      return new File([await answer.blob()], name, { type: "image/jpeg" });
    }),
  );
}

/** The whole page takes what is dropped, so that a drop beside the field does not leave the page. */
function listenToDrops(deliver) {
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("is-dropping", depth > 0);
  };
  addEventListener("dragenter", (event) => (event.preventDefault(), mark(1)));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(-depth);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const isFolder = entries.some((entry) => entry.isDirectory);
    // Read before anything is awaited: the list is empty afterwards.
    const plain = [...event.dataTransfer.files];
    const files = isFolder ? (await Promise.all(entries.map(walk))).flat() : plain;
    if (files.length) deliver(files, { isFolder });
  });
}

/** Every file below an entry of the file system. */
async function walk(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  // A folder is told in pieces; an empty one is the last.
  for (;;) {
    const piece = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!piece.length) break;
    found.push(...(await Promise.all(piece.map(walk))).flat());
  }
  return found;
}
