/** Shows what went wrong, and what to do. */

import { explain } from "./advice.js";
import { Problem } from "./api.js";
import { make } from "./dom.js";
import { announce } from "./live.js";

/**
 * Show a failed request.
 * @param {HTMLElement} place
 * @param {unknown} error
 * @param {{name: string}[]} photos As they were sent.
 * @param {() => void} onRetry
 */
export function showFailure(place, error, photos, onRetry) {
  const { title, detail, advice } = describeFailure(error, photos);
  const requestId = error instanceof Problem ? error.requestId : "";
  const parts = [
    make("h2", { id: "failure-title", tabindex: "-1" }, title),
    detail && make("p", {}, detail),
    make("p", { class: "failure-advice" }, advice),
    make("p", { class: "row" }, make("button", { type: "button", class: "button", onclick: onRetry }, "Try again")),
    requestId && make("p", { class: "hint" }, `Request id: ${requestId}`),
  ];
  place.replaceChildren(...parts.filter(Boolean));
  place.hidden = false;
  announce(`${title}. ${advice}`);
}

/** A failure in words; what is no problem of the service is a fault of this page, and is not hidden. */
export function describeFailure(error, photos) {
  if (error instanceof Problem) return explain(error, photos);
  console.error(error);
  return { title: "This page failed", detail: String(error), advice: "Reload the page and try again." };
}
