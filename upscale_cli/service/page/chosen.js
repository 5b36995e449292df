// Files that were dropped or chosen and wait for the button.

import { attempt, byId, login, newKey, tell } from "./api.js";
import { isValid, optionsFor } from "./settings.js";
import { open as openPreview } from "./preview.js";
import { send as sendFile } from "./send.js";
import { isClip, showThumbnail, thumbnailOf } from "./thumbnails.js";
import { bytes, icon, nameFile } from "./words.js";
import { addUpload } from "./jobs.js";

const chosen = new Map(); // row -> file
const thumbnails = new WeakMap(); // file -> address

function count() {
  byId("chosen-box").hidden = chosen.size === 0;
  byId("start").textContent = chosen.size === 1 ? "Upscale 1 file" : `Upscale ${chosen.size} files`;
}

function addRow(file) {
  const row = byId("chosen-row").content.firstElementChild.cloneNode(true);
  nameFile(row, file.name);
  row.querySelector(".note").textContent = bytes(file.size);
  row.querySelector(".thumb").append(icon(isClip(file) ? "clip" : "photo"));
  const preview = row.querySelector(".preview"), drop = row.querySelector(".drop");
  preview.setAttribute("aria-label", `Preview ${file.name}`);
  drop.setAttribute("aria-label", `Remove ${file.name}`);
  preview.addEventListener("click", () => openPreview(file));
  drop.addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    removeRow(row);
    (next?.querySelector(".drop") ?? byId("choose")).focus();
  });
  chosen.set(row, file);
  byId("chosen").append(row);
  void thumbnailOf(file).then((url) => {
    if (!url) return;
    thumbnails.set(file, url);
    showThumbnail(row.querySelector(".thumb"), url);
  });
}

function removeRow(row) {
  chosen.delete(row);
  row.remove();
  count();
}

export function add(files) {
  for (const file of files) addRow(file);
  count();
}

// Files of what was dropped; folders with all that is in them.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  while (entries.length) {
    const entry = entries.shift();
    if (entry.isFile) files.push(await new Promise((done, fail) => entry.file(done, fail)));
    else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!some.length) break;
        entries.push(...some.filter((one) => !one.name.startsWith(".")));
      }
    }
  }
  return files;
}

async function send(row, file, options) {
  const key = newKey();
  let part = sendFile(file, options, key, (done) => row.sent(done));
  row.onAbort(() => part.abort());
  try {
    row.become(await part.done);
  } catch (problem) {
    if (problem.status === 401) {
      await login();
      part = sendFile(file, options, key, (done) => row.sent(done));
      return attempt(async () => row.become(await part.done)).finally(() => row.end());
    }
    row.end();
    tell(problem);
  }
  return undefined;
}

// One after the other: each arrives as soon as it can.
let queue = Promise.resolve();
let unsent = 0;
addEventListener("beforeunload", (event) => unsent && event.preventDefault()); // what is not sent would be lost

function start() {
  if (!isValid()) return;
  byId("problem").hidden = true;
  for (const [row, file] of [...chosen]) {
    const options = optionsFor(file), upload = addUpload(file, thumbnails.get(file));
    removeRow(row);
    unsent++;
    queue = queue.then(() => (upload.isWanted() ? send(upload, file, options) : undefined)).finally(() => { unsent--; });
  }
  byId("jobs-title").scrollIntoView({ block: "nearest" });
}

export function begin() {
  const input = byId("files");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  byId("start").addEventListener("click", start);
  byId("clear").addEventListener("click", () => {
    for (const row of [...chosen.keys()]) removeRow(row);
    byId("choose").focus();
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("over"));
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.remove("over");
    void dropped(event.dataTransfer).then(add);
  });
  addEventListener("paste", (event) => event.clipboardData?.files.length && add(event.clipboardData.files));
}
