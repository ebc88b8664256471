/** The form of every option of /fuse, with the defaults that the service has. */

import { make } from "./dom.js";

/**
 * @typedef {Object} Field
 * @property {string} name As in the query.
 * @property {string} label
 * @property {string} hint
 * @property {[string, string][]} [choices] Values with their words, the default first.
 */

/** @type {[string, Field[]][]} */
const GROUPS = [
  ["The scene", [
    { name: "align", label: "Alignment", hint: "Lays the exposures on each other.", choices: [["auto", "Automatic"], ["require", "Required: refuse where it is not safe"], ["off", "Off: they lie on each other already"]] },
    { name: "ghosts", label: "What moved", hint: "People, leaves, cars between the exposures.", choices: [["auto", "Show once"], ["off", "Leave as it is"]] },
    { name: "reference", label: "Reference", hint: "The exposure that stays where it is and gives the picture its size.", choices: [["auto", "Automatic"]] },
    { name: "crop", label: "Crop", hint: "Where some exposures do not reach the edge.", choices: [["none", "Whole frame"], ["common", "What all exposures cover"]] },
    { name: "weights", label: "Weights", hint: "The version of the network that fuses.", choices: [["", "Recommended"]] },
  ]],
  ["The file", [
    { name: "format", label: "Format", hint: "Automatic: JPEG, or PNG where the photos have 16 bits.", choices: [["", "Automatic"], ["jpeg", "JPEG"], ["png", "PNG"], ["webp", "WebP"], ["tiff", "TIFF"], ["avif", "AVIF"], ["jxl", "JPEG XL"]] },
    { name: "quality", label: "Quality", hint: "1 to 100, of JPEG, WebP and AVIF." },
    { name: "bit_depth", label: "Depth", hint: "Bits of a sample; PNG and TIFF hold 16.", choices: [["auto", "As the photos"], ["8", "8 bit"], ["10", "10 bit"], ["16", "16 bit"]] },
    { name: "subsampling", label: "Chroma", hint: "Halved below quality 90.", choices: [["auto", "Automatic"], ["444", "Full (4:4:4)"], ["420", "Halved (4:2:0)"]] },
    { name: "progressive", label: "Progressive", hint: "A JPEG that shows itself coarse first.", choices: [["false", "No"], ["true", "Yes"]] },
    { name: "metadata", label: "Metadata", hint: "EXIF of the reference exposure.", choices: [["keep", "Keep"], ["no-gps", "Keep, without the place"], ["strip", "Leave out"]] },
    { name: "profile", label: "Colour", hint: "sRGB suits screens and the web.", choices: [["srgb", "sRGB"], ["keep", "Profile of the reference"]] },
  ]],
];
const DEFAULT_QUALITY = 90;

/** The options of one form. */
export class Options {
  /**
   * @param {HTMLFormElement} form Is filled here.
   * @param {HTMLElement} note Says how many options are set.
   */
  constructor(form, note) {
    this.form = form;
    this.note = note;
    form.append(...GROUPS.map(([title, fields]) => makeGroup(title, fields)));
    form.append(make("p", { class: "row" }, make("button", { type: "reset", class: "button small" }, "As recommended")));
    form.addEventListener("input", () => this.#describe());
    form.addEventListener("reset", () => setTimeout(() => this.#describe()));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The options that differ from their defaults, as the query of /fuse. */
  read() {
    const set = new URLSearchParams();
    for (const control of this.form.elements) {
      if (control.name && control.value && control.value !== control.dataset.default) set.set(control.name, control.value);
    }
    return set;
  }

  /** Offer every weights version that is loaded. */
  offerWeights({ default: recommended, loaded }) {
    const options = loaded.map(({ label, architecture }) => make("option", { value: label }, `${label} (${architecture})`));
    const first = make("option", { value: "" }, `Recommended (${recommended})`);
    this.form.elements.weights.replaceChildren(first, ...options);
  }

  /** Offer each exposure as the reference; null where there are many scenes. */
  offerReferences(number) {
    const select = this.form.elements.reference;
    const numbers = Array.from({ length: number ?? 0 }, (_, index) => `${index + 1}`);
    const kept = numbers.includes(select.value) ? select.value : "auto";
    select.replaceChildren(make("option", { value: "auto" }, "Automatic"), ...numbers.map((one) => make("option", { value: one }, `Exposure ${one}`)));
    select.value = kept;
    this.#describe();
  }

  #describe() {
    const { size } = this.read();
    this.note.textContent = size ? `${size} changed` : "as recommended";
  }
}

function makeGroup(title, fields) {
  return make("fieldset", { class: "options-group" }, make("legend", {}, title), ...fields.map(makeField));
}

function makeField({ name, label, hint, choices }) {
  const id = `option-${name}`;
  const described = { id, name, "aria-describedby": `${id}-hint` };
  const control = choices
    ? make("select", { ...described, "data-default": choices[0][0] }, ...choices.map(([value, words]) => make("option", { value }, words)))
    : make("input", { ...described, type: "number", min: "1", max: "100", step: "1", value: `${DEFAULT_QUALITY}`, "data-default": `${DEFAULT_QUALITY}` });
  return make("div", { class: "field" }, make("label", { for: id }, label), control, make("p", { class: "hint", id: `${id}-hint` }, hint));
}
