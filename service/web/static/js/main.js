/** Starts the page: what the service is, the ways in which photos come, and where they go. */

import { get } from "./api.js";
import { Desk } from "./desk.js";
import { byId } from "./dom.js";
import { describeFailure } from "./failure.js";
import { History } from "./history.js";
import { listenForFiles } from "./intake.js";
import { listenForKey } from "./key.js";
import { describeLimits } from "./limits.js";
import { announce } from "./live.js";
import { Options } from "./options.js";
import { readPhoto } from "./photos.js";
import { Shoot } from "./shoot/shoot.js";
import { count, list } from "./words.js";

const MAX_NAMED = 5;
/** Where the limits of the service are not known. */
const MAX_EXPOSURES = 9;

const options = new Options(byId("options-form"), byId("options-note"));
const history = new History({ onOpen: (entry) => (show("desk"), desk.open(entry)) });
const desk = new Desk(options, { onFused: (entry) => history.add(entry) });
const shoot = new Shoot(options, { onOpen: (entry) => (show("desk"), desk.open(entry)) });

listenForKey(connect);
listenForFiles({ onFiles: take });
byId("anew").addEventListener("click", () => {
  desk.setPhotos([]);
  shoot.clear();
  tell("");
  show("intake");
  byId("choose").focus();
});
byId("back").addEventListener("click", () => (show("shoot"), options.offerReferences(null), byId("shoot-title").focus()));
await connect();

async function connect() {
  try {
    const [limits, weights] = await Promise.all([get("limits"), get("weights")]);
    if (!desk.limits) byId("intake-limits").append(` ${describeLimits(limits)}`);
    desk.limits = limits;
    shoot.limits = limits;
    options.offerWeights(weights);
    tellService("ready", weights.default);
  } catch (error) {
    tellService("away", error.message);
  }
}

function tellService(state, words) {
  byId("service").dataset.state = state;
  byId("service-words").textContent = words;
}

async function take({ files, leftOut, isFolder, isMore }) {
  tell(describeLeftOut(leftOut));
  if (!files.length) return;
  const isShoot = isFolder || (!isMore && files.length > (desk.limits?.max_exposures ?? MAX_EXPOSURES));
  await (isShoot ? takeShoot(files) : takeScene(files, isMore));
}

async function takeScene(files, isMore) {
  const read = await Promise.all(files.map((file) => readPhoto(file)));
  if (!isMore) shoot.clear();
  desk.setPhotos(isMore ? [...desk.photos, ...read] : read);
  show("desk");
  byId("photos-title").focus({ preventScroll: true });
  announce(`${count(desk.photos.length, "photo")}, dark to bright.`);
}

async function takeShoot(files) {
  const most = desk.limits?.max_group_frames ?? Infinity;
  if (files.length > most) {
    tell(`These are ${count(files.length, "photo")}; this service groups ${most} at one time. Bring them in parts.`);
    return;
  }
  desk.setPhotos([]);
  show("shoot");
  byId("shoot-title").focus({ preventScroll: true });
  try {
    await shoot.read(files);
  } catch (error) {
    const { title, detail, advice } = describeFailure(error, []);
    tell([`${title}.`, detail, advice].filter(Boolean).join(" "));
    show("intake");
  }
}

function describeLeftOut(files) {
  if (!files.length) return "";
  const named = list(files.slice(0, MAX_NAMED).map((file) => file.name));
  const others = files.length > MAX_NAMED ? ` and ${files.length - MAX_NAMED} more` : "";
  return `Left out, because ${files.length > 1 ? "they are no photos" : "it is no photo"} that the service takes: ${named}${others}.`;
}

function show(view) {
  for (const id of ["intake", "desk", "shoot"]) byId(id).hidden = id !== view;
  byId("anew").hidden = view === "intake";
  byId("back").hidden = view !== "desk" || !shoot.isThere;
  if (view !== "intake") byId(view === "shoot" ? "shoot-options" : "scene-options").append(byId("options"));
  document.body.dataset.view = view;
  scrollTo(0, 0);
}

function tell(words) {
  byId("notice").textContent = words;
  byId("notice").hidden = !words;
}
