"use strict";
// Contact sheets, and the view in which all pictures of a scene show the same crop.

const byId = (id) => document.getElementById(id);
const create = (name, properties) => Object.assign(document.createElement(name), properties);

const SCALES = [0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16];
const MAGNIFIED = 2;
// Nine exposures would leave no room for the pictures: those of a pair are shown at once.
const hidden = new Set(SHEETS.flatMap((sheet) => {
  const labels = sheet.cells.filter((cell) => cell.isExposure).map((cell) => cell.label);
  return labels.length > 2 ? labels : [];
}));
// The pixel (x, y) of the picture that lies in the middle of every tile.
const view = { sheet: 0, x: 0, y: 0, scale: MAGNIFIED };
let tiles = [];

function showSheets() {
  SHEETS.forEach((sheet, index) => {
    const section = create("div", { className: "scene" });
    const exposures = create("div", { className: "cells exposures" });
    const fused = create("div", { className: "cells" });
    const title = create("h3", { textContent: sheet.scene + " " });
    title.append(create("a", { href: sheet.sheet, textContent: "one picture" }));
    section.append(title, exposures, fused);
    for (const cell of sheet.cells) {
      const image = create("img", { src: cell.thumbnail, alt: `${sheet.scene}, ${cell.label}`, loading: "lazy" });
      image.addEventListener("click", (event) => {
        const box = image.getBoundingClientRect();
        openZoom(index, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      });
      const caption = create("figcaption", { textContent: cell.label });
      const value = create("span");
      caption.append(value);
      cell.caption = value;
      const figure = create("figure");
      figure.append(image, caption);
      (cell.isExposure ? exposures : fused).append(figure);
    }
    byId("scenes").append(section);
  });
  showValues();
}

function showValues() {
  const metric = byId("shown-metric").value;
  for (const cell of SHEETS.flatMap((sheet) => sheet.cells)) {
    const value = cell.scores[metric];
    cell.caption.textContent = value === undefined ? "" : Number(value.toPrecision(4)).toString();
  }
}

function openZoom(sheet, relativeX, relativeY) {
  view.sheet = sheet;
  if (!byId("zoom").open) byId("zoom").showModal();
  showTiles(() => {
    const image = tiles[0].image;
    view.x = relativeX * image.naturalWidth;
    view.y = relativeY * image.naturalHeight;
  });
}

function showTiles(place) {
  const sheet = SHEETS[view.sheet];
  byId("zoom-scene").textContent = sheet.scene;
  showChoices(sheet);
  const shown = sheet.cells.filter((cell) => !hidden.has(cell.label));
  tiles = shown.map((cell) => {
    const box = create("div", { className: "tile" });
    const image = create("img", { src: cell.full, alt: cell.label, draggable: false });
    box.append(image, create("b", { textContent: cell.label }));
    return { box, image };
  });
  // As many columns as keep the tiles closest to squares.
  const area = byId("zoom-tiles");
  const columns = Math.ceil(Math.sqrt((shown.length * window.innerWidth) / window.innerHeight));
  area.style.gridTemplateColumns = `repeat(${Math.min(columns, shown.length)}, 1fr)`;
  area.replaceChildren(...tiles.map((tile) => tile.box));
  if (tiles.length === 0) return;
  tiles[0].image.decode().then(() => { place(); draw(); });
  for (const tile of tiles) tile.image.addEventListener("load", draw);
}

function showChoices(sheet) {
  byId("zoom-columns").replaceChildren(...sheet.cells.map((cell) => {
    const label = create("label");
    const box = create("input", { type: "checkbox", checked: !hidden.has(cell.label) });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(cell.label); else hidden.add(cell.label);
      showTiles(() => {});
    });
    label.append(box, cell.label);
    return label;
  }));
}

function draw() {
  if (tiles.length === 0) return;
  const { naturalWidth, naturalHeight } = tiles[0].image;
  view.x = Math.min(Math.max(view.x, 0), naturalWidth);
  view.y = Math.min(Math.max(view.y, 0), naturalHeight);
  byId("zoom-scale").textContent = `${view.scale * 100} %`;
  for (const { box, image } of tiles) {
    const left = box.clientWidth / 2 - view.x * view.scale;
    const top = box.clientHeight / 2 - view.y * view.scale;
    image.style.transform = `translate(${left}px, ${top}px) scale(${view.scale})`;
    image.style.imageRendering = view.scale >= MAGNIFIED ? "pixelated" : "auto";
  }
}

function zoomBy(steps) {
  const at = SCALES.findIndex((scale) => scale >= view.scale);
  view.scale = SCALES[Math.min(Math.max(at + steps, 0), SCALES.length - 1)];
  draw();
}

function turn(steps) {
  const before = tiles.length ? tiles[0].image : null;
  const relativeX = before ? view.x / before.naturalWidth : 0.5;
  const relativeY = before ? view.y / before.naturalHeight : 0.5;
  openZoom((view.sheet + steps + SHEETS.length) % SHEETS.length, relativeX, relativeY);
}

byId("zoom-tiles").addEventListener("pointermove", (event) => {
  if (event.buttons !== 1) return;
  view.x -= event.movementX / view.scale;
  view.y -= event.movementY / view.scale;
  draw();
});
byId("zoom-tiles").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1 : -1);
}, { passive: false });
byId("zoom").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), "+": () => zoomBy(1), "-": () => zoomBy(-1) };
  if (event.key in steps) { event.preventDefault(); steps[event.key](); }
});
byId("zoom-in").addEventListener("click", () => zoomBy(1));
byId("zoom-out").addEventListener("click", () => zoomBy(-1));
byId("zoom-previous").addEventListener("click", () => turn(-1));
byId("zoom-next").addEventListener("click", () => turn(1));
byId("zoom-close").addEventListener("click", () => byId("zoom").close());
byId("shown-metric").addEventListener("change", showValues);
window.addEventListener("resize", draw);
showSheets();
