/** Says a problem in words, and what can be done about it. */

const ADVICE = {
  "unreachable": "Check that the service is running and that this device can reach it, then try again.",
  "unauthorized": "Enter the key that whoever runs the service gave you, at the top of the page, then try again.",
  "rate-limited": "Your key has used up what it may ask for in a minute. Try again in a minute.",
  "too-many-concurrent": "Other requests of your key are being answered. Try again when they are.",
  "queue-full": "Others are being served. Try again in a moment.",
  "worker-stopped": "The service is starting or stopping. Try again in a minute.",
  "scarcity": "The machine of the service has nothing left for this request. Try again later.",
  "shared-memory": "The service is short of memory. Try again later, or ask whoever runs it to give it more.",
  "body-too-large": "Send fewer or smaller files: JPEG instead of TIFF, for instance.",
  "too-many-pixels": "Export the photos smaller, or use fewer exposures.",
  "metadata-too-large": "Export this photo anew, without its metadata.",
  "codec-memory": "Export the photos smaller.",
  "unsupported-media-type": "Leave this file out, or export it as JPEG, PNG or TIFF.",
  "unsupported-image": "Export this photo anew as a plain JPEG, PNG or TIFF.",
  "image-damaged": "Copy this file from the card again, or leave it out.",
  "exposure-mismatch": "Check that all photos show one scene and are held the same way. Leave out what does not belong.",
  "alignment-failed": "Set Alignment to “Automatic”, which fuses them as they lie where they cannot be aligned safely.",
  "bad-option": "Set the options back to those that are recommended.",
  "not-acceptable": "Choose another format.",
  "request-timeout": "The connection is too slow or broke off. Try again on a faster one, or export the photos smaller.",
  "deadline-passed": "Try again when there is less to do, or use fewer or smaller photos.",
  "codec-timeout": "Try again, or export the photos smaller.",
};
const OTHERWISE = "Try again. If it stays, tell whoever runs the service the request id below.";
const EXPOSURE = /^exposures\[(\d+)\](?: of \d+)?: /;

/**
 * A problem as it is shown.
 * @param {Problem} problem
 * @param {{name: string}[]} photos As they were sent.
 * @returns {{title: string, detail: string, advice: string, number: number|null}} `number`: of the photo it is about.
 */
export function explain(problem, photos = []) {
  const match = EXPOSURE.exec(problem.detail);
  const number = match ? Number(match[1]) : null;
  const photo = number === null ? null : photos[number - 1];
  const detail = photo ? `${photo.name}: ${problem.detail.slice(match[0].length)}` : problem.detail;
  return { title: problem.title, detail, advice: ADVICE[problem.code] ?? OTHERWISE, number };
}
