// Size, model and format: what is sent as the options of a job.

import { attempt, byId, json } from "./api.js";
import { isClip } from "./thumbnails.js";

let models = [];

function listed(select) {
  const here = document.createElement("optgroup"), elsewhere = document.createElement("optgroup");
  here.label = "On this machine";
  elsewhere.label = "Fetched when first used";
  for (const model of models) (model.here ? here : elsewhere).append(new Option(model.name, model.name));
  const groups = [here, elsewhere].filter((group) => group.childElementCount);
  const best = bestModel();
  select.replaceChildren(new Option(`Best on this machine${best ? ` (${best})` : ""}`, ""), ...groups);
}

function describe() {
  const model = models.find((one) => one.name === byId("model").value);
  const parts = model ? [model.about, model.licence, model.here ? "" : "fetched when first used"] : [];
  byId("about").textContent = parts.filter(Boolean).join(" · ");
  const isSide = byId("size").value === "side";
  byId("side-box").hidden = !isSide;
  byId("size-note").hidden = byId("size").value !== "";
}

export const model = () => byId("model").value || null;

export function useModel(name) {
  byId("model").value = name ?? "";
  describe();
}

const bestModel = () => models.find((one) => one.best)?.name;

// Another model than the chosen one that is here, to be seen beside it.
export function otherModel() {
  const chosen = model() ?? bestModel();
  return models.find((one) => one.here && one.name !== chosen)?.name ?? "";
}

// How many times larger a picture of that size becomes.
export function scaleFor(width, height) {
  const size = byId("size").value;
  if (size === "side") return Number(byId("side").value) / Math.max(width, height);
  return Number(size) || 4;
}

export function optionsFor(file) {
  const options = {}, size = byId("size").value;
  if (model()) options.model = model();
  if (size === "side") options.target = { long_side: Number(byId("side").value) };
  else if (size) options.target = { scale: Number(size) };
  if (byId("format").value && !isClip(file)) options.format = byId("format").value;
  return options;
}

export const isValid = () => byId("side-box").hidden || byId("side").reportValidity();

export async function begin() {
  for (const id of ["size", "model"]) byId(id).addEventListener("change", describe);
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  listed(byId("model"));
  models = (await attempt(() => json("/api/models"))) ?? [];
  listed(byId("model"));
  for (const side of ["a", "b"]) listed(byId(`model-${side}`));
  describe();
}
