/** Sends one scene to /fuse, tells what happens meanwhile, waits where the service is busy. */

import { Problem, get, readProblem, unreachable } from "./api.js";
import { pause } from "./dom.js";
import { keyHeaders } from "./key.js";

const POLL_MS = 200;
const MAX_ATTEMPTS = 12;
/** Of a service that is busy, and of a key that has used up what it may ask for in a minute. */
const PASSING = [429, 503];
/** JPEG, unless what was sent has 16 bits: then PNG, which keeps them and which browsers show. */
const ACCEPT = "image/jpeg, image/png;q=0.9, */*;q=0.5";

/**
 * @typedef {Object} Step What is being done.
 * @property {"upload"|"receive"|"decode"|"align"|"queue"|"fuse"|"encode"|"send"|"busy"} stage
 * @property {number} [share] Of an upload, 0 to 1.
 * @property {number} [place] Of a queue.
 * @property {number} [seconds] Of a pause because the service is busy.
 */

/**
 * @typedef {Object} Answer
 * @property {Blob} picture
 * @property {string} url Its address.
 * @property {(name: string) => string} header
 * @property {number} seconds From the first byte sent to the last one received.
 */

/**
 * Fuse one scene.
 * @param {File[]} files Two to nine.
 * @param {URLSearchParams} options Of /fuse.
 * @param {{signal: AbortSignal, onStep: (step: Step) => void}} hooks
 * @returns {Promise<Answer>}
 */
export async function fuse(files, options, { signal, onStep }) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(files, options, { signal, onStep });
    } catch (error) {
      const mayRetry = error instanceof Problem && PASSING.includes(error.status) && error.retryAfter > 0;
      if (!mayRetry || attempt === MAX_ATTEMPTS) throw error;
      await waitOut(error.retryAfter, { signal, onStep });
    }
  }
}

async function waitOut(seconds, { signal, onStep }) {
  for (let left = seconds; left > 0; left -= 1) {
    onStep({ stage: "busy", seconds: left });
    await pause(1000, signal);
  }
  // Those who were refused together should not come back together.
  await pause(1000 * Math.random(), signal);
}

async function send(files, options, { signal, onStep }) {
  const id = makeId();
  const begin = performance.now();
  const state = { isOver: false };
  const request = post(files, options, id, {
    signal,
    onUpload: (share) => !state.isOver && onStep({ stage: "upload", share }),
    onUploaded: () => follow(id, state, onStep),
  });
  try {
    const answered = await request;
    if (answered.status !== 200) {
      const text = await answered.response.text();
      throw readProblem(answered.status, text, answered.getResponseHeader("Retry-After"));
    }
    return {
      picture: answered.response,
      url: URL.createObjectURL(answered.response),
      header: (name) => answered.getResponseHeader(name) ?? "",
      seconds: (performance.now() - begin) / 1000,
    };
  } finally {
    state.isOver = true;
  }
}

/** Nobody else can guess it: whoever knows it may ask how far the request is. */
function makeId() {
  const numbers = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(numbers, (number) => number.toString(16).padStart(2, "0")).join("");
}

/** `fetch` tells nothing of an upload; XMLHttpRequest does. */
function post(files, options, id, { signal, onUpload, onUploaded }) {
  const form = new FormData();
  for (const file of files) form.append("exposures", file, file.name);
  const query = options.size ? `?${options}` : "";
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => (request.abort(), reject(signal.reason)), { once: true });
    signal.throwIfAborted();
    request.open("POST", `fuse${query}`);
    request.responseType = "blob";
    request.setRequestHeader("Accept", ACCEPT);
    request.setRequestHeader("X-Request-ID", id);
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onUpload(event.lengthComputable ? event.loaded / event.total : 0));
    request.upload.addEventListener("load", onUploaded);
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(unreachable()));
    request.send(form);
  });
}

/** Ask now and then how far a request is, until it is over. */
async function follow(id, state, onStep) {
  while (!state.isOver) {
    try {
      const { stage, place } = await get(`requests/${id}`);
      if (!state.isOver && stage !== "none") onStep({ stage, place });
    } catch {
      // The answer to the request itself will tell what is wrong.
    }
    await pause(POLL_MS);
  }
}
