/** Asks the service; whatever goes wrong becomes a Problem. */

import { askForKey, keyHeaders } from "./key.js";

/** A problem document (RFC 9457), or what stands for one where the service did not answer. */
export class Problem extends Error {
  /**
   * @param {{code: string, title: string, detail?: string, status?: number, requestId?: string, retryAfter?: number}} facts
   */
  constructor({ code, title, detail = "", status = 0, requestId = "", retryAfter = 0 }) {
    super(title);
    Object.assign(this, { code, title, detail, status, requestId, retryAfter });
  }
}

/** The problem of an answer that is none: the service is away, or the network is. */
export function unreachable() {
  return new Problem({ code: "unreachable", title: "The service cannot be reached" });
}

/**
 * Read the problem document of a refused request; where it is for want of a key, ask for one.
 * @param {number} status
 * @param {string} text The body.
 * @param {string|null} retryAfter The header.
 */
export function readProblem(status, text, retryAfter) {
  if (status === 401) askForKey();
  try {
    const told = JSON.parse(text);
    const code = told.type.split("/").at(-1);
    return new Problem({ ...told, code, status, requestId: told.request_id, retryAfter: Number(retryAfter) || 0 });
  } catch {
    return new Problem({ code: "no-document", title: `The service answered with ${status}`, status });
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (answer.ok) return answer.json();
  throw readProblem(answer.status, await answer.text(), answer.headers.get("Retry-After"));
}

/** What a route of GET tells. */
export const get = (path) => ask(path);

/** What a route of POST answers to a JSON document. */
export const post = (path, document, signal) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document), signal });
