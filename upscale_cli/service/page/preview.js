// A part of a picture by two models, before it is sent as a whole.

import { ask, byId, Problem } from "./api.js";
import { model, otherModel, scaleFor, useModel } from "./settings.js";
import { bitmapOf } from "./thumbnails.js";
import { duration } from "./words.js";

const MOST = 256; // LR pixels of a crop that are sent
const SHOWN = 1200; // pixels of the canvas that shows the whole
const WAIT_MS = 250; // after the last move

let bitmap = null, place = { x: 0.5, y: 0.5 }, used = { width: 128, height: 128 }, wanted = 0, timer = 0;

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

export async function open(file) {
  byId("preview-title").textContent = file.name;
  state("Reading the picture …");
  clear();
  byId("preview").showModal();
  bitmap?.close();
  bitmap = null;
  byId("place").hidden = true;
  try {
    bitmap = await bitmapOf(file);
  } catch {
    state(`This browser cannot show ${file.name}, so there is no preview of it. Upscaling works all the same.`);
    return;
  }
  place = { x: 0.5, y: 0.5 };
  byId("model-a").value = model() ?? "";
  byId("model-b").value = otherModel();
  drawWhole();
  byId("place").hidden = false;
  mark();
  byId("place").focus();
  run();
}

function state(text) {
  byId("preview-state").textContent = text;
}

function clear() {
  for (const side of ["a", "b"]) {
    byId(`view-${side}`).hidden = true;
    byId(`time-${side}`).textContent = "";
  }
  byId("view-before").width = byId("view-before").height = 0;
}

function drawWhole() {
  const canvas = byId("whole"), factor = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

// The part around the place, whole pixels, all of it within the picture.
function part(width, height) {
  const side = { width: Math.min(width, bitmap.width), height: Math.min(height, bitmap.height) };
  return {
    left: clamp(Math.round(place.x * bitmap.width - side.width / 2), 0, bitmap.width - side.width),
    top: clamp(Math.round(place.y * bitmap.height - side.height / 2), 0, bitmap.height - side.height), ...side,
  };
}

function mark() {
  draw(part(used.width, used.height));
}

function draw(one) {
  const style = byId("marker").style;
  const percent = (length, whole) => `${(100 * length) / whole}%`;
  style.left = percent(one.left, bitmap.width);
  style.top = percent(one.top, bitmap.height);
  style.width = percent(one.width, bitmap.width);
  style.height = percent(one.height, bitmap.height);
  byId("place-at").textContent = `From ${one.left}, ${one.top}: ${one.width} by ${one.height} pixels`;
}

function move(x, y) {
  place = { x: clamp(x, 0, 1), y: clamp(y, 0, 1) };
  mark();
  wanted++; // what is still being made is of another place
  clearTimeout(timer);
  timer = setTimeout(run, WAIT_MS);
}

function cut(one) {
  const canvas = document.createElement("canvas");
  canvas.width = one.width;
  canvas.height = one.height;
  canvas.getContext("2d").drawImage(bitmap, -one.left, -one.top);
  return canvas;
}

async function base64Of(canvas) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const data = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
  return btoa(text);
}

// Asks for the part by both models; an answer that was overtaken is left aside.
async function run() {
  if (!bitmap || !byId("preview").open) return;
  const mine = ++wanted, sent = part(MOST, MOST), canvas = cut(sent);
  const middle = [place.x * bitmap.width - sent.left, place.y * bitmap.height - sent.top];
  const models = ["a", "b"].map((side) => byId(`model-${side}`).value || null);
  const scale = Math.min(16, scaleFor(bitmap.width, bitmap.height));
  state("Upscaling the part …");
  let made;
  try {
    const body = JSON.stringify({ crop: await base64Of(canvas), middle, models, scale });
    const response = await ask("/api/preview", {
      method: "POST", headers: { "Content-Type": "application/json" }, body,
    });
    made = await response.json();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine === wanted) state(problem.message);
    return;
  }
  if (mine !== wanted) return;
  used = { width: made.width, height: made.height };
  draw({ left: sent.left + made.left, top: sent.top + made.top, ...used });
  show(canvas, made);
  state(`${made.width} × ${made.height} pixels, ${scale.toFixed(2).replace(/\.?0+$/, "")} times larger.`);
}

function show(canvas, made) {
  const before = byId("view-before"), { width, height } = made.pictures[0];
  before.width = width;
  before.height = height;
  const pen = before.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvas, made.left, made.top, made.width, made.height, 0, 0, width, height);
  for (const [at, side] of ["a", "b"].entries()) {
    const one = made.pictures[at], image = byId(`view-${side}`);
    image.src = `data:image/png;base64,${one.picture}`;
    image.alt = `The part by ${one.model}`;
    image.width = one.width;
    image.height = one.height;
    image.hidden = false;
    byId(`time-${side}`).textContent = `${one.model}, ${duration(one.seconds)}`;
  }
}

function at(event) {
  const box = byId("whole").getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
}

export function begin() {
  const area = byId("place");
  area.addEventListener("pointerdown", (event) => {
    area.setPointerCapture(event.pointerId);
    at(event);
  });
  area.addEventListener("pointermove", (event) => event.buttons && at(event));
  area.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const far = event.shiftKey ? 1 : 0.25, one = part(used.width, used.height);
    move(
      (one.left + one.width / 2 + dx * far * one.width) / bitmap.width,
      (one.top + one.height / 2 + dy * far * one.height) / bitmap.height,
    );
  });
  for (const side of ["a", "b"]) byId(`model-${side}`).addEventListener("change", run);
  for (const button of document.querySelectorAll("[data-use]")) {
    button.addEventListener("click", () => {
      useModel(byId(`model-${button.dataset.use}`).value || null);
      byId("preview").close();
    });
  }
  byId("preview").addEventListener("close", () => { wanted++; });
}
