/** Starts the page: what the service is, the ways in which photos come, and where they go. */

import { get } from "./api.js";
import { Desk } from "./desk.js";
import { byId } from "./dom.js";
import { History } from "./history.js";
import { listenForFiles } from "./intake.js";
import { describeLimits } from "./limits.js";
import { announce } from "./live.js";
import { Options } from "./options.js";
import { readPhoto } from "./photos.js";
import { count, list } from "./words.js";

const options = new Options(byId("options-form"), byId("options-note"));
const history = new History({ onOpen: (entry) => (show("desk"), desk.open(entry)) });
const desk = new Desk(options, { onFused: (entry) => history.add(entry) });

listenForFiles({ onFiles: take });
byId("anew").addEventListener("click", () => {
  desk.setPhotos([]);
  show("intake");
  byId("choose").focus();
});
await connect();

async function connect() {
  try {
    const [limits, weights] = await Promise.all([get("limits"), get("weights")]);
    desk.limits = limits;
    options.offerWeights(weights);
    byId("intake-limits").append(` ${describeLimits(limits)}`);
    tellService("ready", weights.default);
  } catch (error) {
    tellService("away", error.message);
  }
}

function tellService(state, words) {
  byId("service").dataset.state = state;
  byId("service-words").textContent = words;
}

async function take({ files, leftOut, isMore }) {
  tell(leftOut.length ? `Left out, because ${leftOut.length > 1 ? "they are no photos" : "it is no photo"} that the service takes: ${list(leftOut.slice(0, 5).map((file) => file.name))}${leftOut.length > 5 ? " and others" : ""}.` : "");
  if (!files.length) return;
  const read = await Promise.all(files.map((file) => readPhoto(file)));
  desk.setPhotos(isMore ? [...desk.photos, ...read] : read);
  show("desk");
  byId("photos-title").focus({ preventScroll: true });
  announce(`${count(desk.photos.length, "photo")}, dark to bright.`);
}

function show(view) {
  for (const id of ["intake", "desk", "shoot"]) byId(id).hidden = id !== view;
  byId("anew").hidden = view === "intake";
  document.body.dataset.view = view;
}

function tell(words) {
  byId("notice").textContent = words;
  byId("notice").hidden = !words;
}
