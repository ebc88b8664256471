/** Keeps the API key that a service may ask for until the tab is closed, and asks for it. */

import { byId } from "./dom.js";
import { announce } from "./live.js";

const PLACE = "expofuse-key";
let key = read();

/** What a request says of who asks; nothing where no key was given. */
export const keyHeaders = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** Show the field, because the service has answered that a key is needed. */
export function askForKey() {
  if (!byId("key-form").hidden) return;
  const words = key ? "The service does not take this key. Enter another one." : "Whoever runs the service gives you one.";
  byId("key-words").textContent = `${words} It is kept until this tab is closed.`;
  byId("key-form").hidden = false;
  announce(`${byId("key-title").textContent}. ${words}`);
}

/**
 * Take a key from the field.
 * @param {() => void} onGiven
 */
export function listenForKey(onGiven) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = byId("key-field").value.trim();
    keep(key);
    byId("key-field").value = "";
    byId("key-form").hidden = true;
    onGiven();
  });
}

function read() {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // The browser is set to keep nothing: the key lives as long as the page does.
  }
}

function keep(given) {
  try {
    sessionStorage.setItem(PLACE, given);
  } catch {
    // As above.
  }
}
