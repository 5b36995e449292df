// The list of jobs: what the service tells of them, and what can be done with them.

import { announce, ask, attempt, byId, json } from "./api.js";
import { open as openCompare } from "./compare.js";
import { showThumbnail, wantThumbnail } from "./thumbnails.js";
import { bytes, duration, icon, nameFile, time } from "./words.js";

const ENDED = ["done", "failed", "cancelled", "skipped"];
const rows = new Map(); // id -> {element, job, heard}: `heard` is the number of its last event
const thumbnails = new Map(); // id -> address, of what was sent from here
let older = null; // cursor of the next page
let events = 0; // that were heard
let arriving = null; // {element, file}: sent, and not answered yet

function newRow(name, kind) {
  const element = byId("job-row").content.firstElementChild.cloneNode(true);
  nameFile(element, name);
  element.querySelector(".thumb").append(icon(kind));
  element.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  return element;
}

function show(element, selector, isShown, label) {
  const one = element.querySelector(selector);
  one.hidden = !isShown;
  one.setAttribute("aria-label", label);
  return one;
}

function setProgress(element, done) {
  const bar = element.querySelector("progress");
  if (done === null || done === undefined) bar.removeAttribute("value");
  else bar.value = done;
}

// A number stays beside its unit where a line breaks.
const unbroken = (text) => text.replaceAll(" ", "\u00a0");

// Why a job has no result, or what was lost; whose it is stands above it.
function reason({ name, message }) {
  if (!message.startsWith(`${name}: `)) return message;
  const rest = message.slice(name.length + 2);
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

// What a job is at, in one line.
function words(job) {
  const progress = job.progress;
  switch (job.state) {
    case "queued": return "waiting";
    case "running": {
      if (!progress || (!progress.done && progress.done !== null)) return "beginning …";
      const parts = [progress.done === null ? `frame ${progress.frames}` : `${Math.floor(100 * progress.done)} %`];
      if (progress.seconds_left !== null) parts.push(`about ${duration(progress.seconds_left)} left`);
      if (progress.fps) parts.push(`${progress.fps.toFixed(1)} frames/s`);
      return parts.join(" · ");
    }
    case "done": {
      const { width, height, model, seconds } = job.facts;
      return [
        width && `${width} × ${height}`, bytes(job.result_bytes), model, seconds && duration(seconds),
        time(job.ended),
      ].filter(Boolean).map(unbroken).concat(reason(job) || []).join(" · ");
    }
    case "cancelled": return "cancelled";
    default: return reason(job) || job.state;
  }
}

function describe(row) {
  const { element, job } = row, isEnded = ENDED.includes(job.state), name = job.name;
  element.dataset.state = job.state;
  element.querySelector(".state").textContent = words(job);
  element.querySelector("progress").hidden = job.state !== "running";
  setProgress(element, job.progress?.done);
  const compare = show(element, ".compare", job.state === "done" && job.kind !== "book", `Compare ${name}`);
  compare.href = `/api/jobs/${job.id}/compare`;
  const result = show(element, ".download", job.state === "done", `Download ${job.result_name}`);
  result.href = `/api/jobs/${job.id}/result`;
  show(element, ".retry", ["failed", "cancelled", "skipped"].includes(job.state), `Retry ${name}`);
  show(element, ".cancel", !isEnded, `Cancel ${name}`);
  show(element, ".remove", isEnded, `Delete ${name}`);
}

function listen(row) {
  const on = (selector, action) => row.element.querySelector(selector).addEventListener("click", action);
  const post = (verb) => () => attempt(async () => {
    const since = events;
    answered(await json(`/api/jobs/${row.job.id}/${verb}`, { method: "POST" }), since);
  });
  on(".cancel", post("cancel"));
  on(".retry", post("retry"));
  on(".remove", async () => {
    if (await sure(question([row.job]))) await attempt(() => remove(row.job.id));
  });
  on(".compare", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void attempt(() => openCompare(row.job));
  });
}

// What is asked before jobs are deleted. Results of watched folders stay there.
function question(jobs) {
  const what = jobs.length === 1 ? jobs[0].name : `${jobs.length} jobs`;
  const results = jobs.filter((job) => job.state === "done"), kept = results.filter((job) => job.watched).length;
  if (results.length === 0) return `Delete ${what}?`;
  if (kept === 0) return `Delete ${what}, with ${jobs.length === 1 ? "its result" : "their results"}?`;
  if (kept < results.length) return `Delete ${what}, with their results? Those of watched folders stay there.`;
  return `Delete ${what} from this list? ${jobs.length === 1 ? "The result stays" : "Their results stay"} in the watched folder's output.`;
}

async function remove(id) {
  try {
    await ask(`/api/jobs/${id}`, { method: "DELETE" });
  } catch (problem) {
    if (problem.status !== 404) throw problem; // somebody else was faster
  }
  forget(id);
}

// All jobs that have ended, those too that the list does not show.
async function ended() {
  const states = ENDED.map((state) => `state=${state}`).join("&"), found = [];
  for (let before = ""; before !== null;) {
    const page = await json(`/api/jobs?limit=500&${states}${before}`);
    found.push(...page.jobs);
    before = page.before === null ? null : `&before=${page.before}`;
  }
  return found;
}

function forget(id) {
  const row = rows.get(id);
  if (!row) return;
  const next = row.element.nextElementSibling?.querySelector(".remove:not([hidden])");
  const hadFocus = row.element.contains(document.activeElement);
  row.element.remove();
  rows.delete(id);
  if (thumbnails.has(id)) URL.revokeObjectURL(thumbnails.get(id));
  thumbnails.delete(id);
  if (hadFocus) (next ?? byId("choose")).focus();
  count();
}

function sure(question) {
  const dialog = byId("ask");
  byId("ask-title").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => { dialog.onclose = () => done(dialog.returnValue === "yes"); });
}

function count() {
  const jobs = [...rows.values()].map((row) => row.job);
  byId("none").hidden = byId("jobs").childElementCount > 0;
  byId("all").hidden = !jobs.some((job) => job.state === "done" && !job.watched);
  byId("tidy").hidden = !jobs.some((job) => ENDED.includes(job.state));
  const open = jobs.filter((job) => !ENDED.includes(job.state)).length;
  document.title = open ? `(${open}) upscale` : "upscale";
}

const isTaken = (element) => [...rows.values()].some((row) => row.element === element);

// A job's record: a new row, the newest first, or the row that it has.
function put(job, element = null) {
  let row = rows.get(job.id);
  const before = row?.job.state;
  if (!row && !element && arriving?.file.name === job.name && arriving.file.size === job.input_bytes) {
    element = arriving.element; // its event comes before the answer
    arriving = null;
  } else if (element && element !== row?.element && (row || isTaken(element))) {
    if (!isTaken(element)) element.remove();
    element = null;
  }
  if (!row) {
    row = { element: element ?? newRow(job.name, job.kind), job, heard: 0 };
    rows.set(job.id, row);
    if (!element) {
      const after = [...rows.values()].filter((one) => one.job.number < job.number).sort((a, b) => b.job.number - a.job.number)[0];
      byId("jobs").insertBefore(row.element, after?.element ?? null);
    }
    listen(row);
  }
  row.job = job;
  const thumb = row.element.querySelector(".thumb");
  if (thumbnails.has(job.id)) showThumbnail(thumb, thumbnails.get(job.id));
  else if (job.kind !== "book" && job.state !== "failed") wantThumbnail(thumb, job.id);
  describe(row);
  count();
  if (before && before !== job.state && ENDED.includes(job.state)) {
    announce(`${job.name}: ${job.state}${job.message ? `. ${job.message}` : ""}`);
  }
}

// A job's record from the answer to a request: what was heard after the request was made is newer.
function answered(job, since, element = null) {
  const row = rows.get(job.id);
  put(row && row.heard > since ? row.job : job, element);
}

// A row for a file that is being sent.
export function addUpload(file, thumbnail) {
  const element = newRow(file.name, file.type.startsWith("video/") ? "clip" : "photo");
  const state = element.querySelector(".state"), stop = new AbortController();
  let isWanted = true, abort = () => {};
  state.textContent = "waits to be sent";
  if (thumbnail) showThumbnail(element.querySelector(".thumb"), thumbnail);
  byId("jobs").prepend(element);
  const cancel = show(element, ".cancel", true, `Cancel ${file.name}`);
  cancel.addEventListener("click", () => {
    isWanted = false;
    abort();
    element.remove();
    count();
  }, { signal: stop.signal });
  count();
  return {
    isWanted: () => isWanted,
    onAbort: (action) => { abort = action; },
    sent: (done) => {
      element.querySelector("progress").hidden = false;
      setProgress(element, done);
      if (done === 1) arriving = { element, file };
      state.textContent = done < 1 ? `sending, ${Math.floor(100 * done)} %` : "sent";
    },
    become: (job) => {
      stop.abort();
      arriving = null;
      if (thumbnail) thumbnails.set(job.id, thumbnail);
      answered(job, -1, element); // whatever was heard of it is newer
    },
    end: () => {
      arriving = null;
      if (element.isConnected && !element.dataset.state) element.remove();
      count();
    },
  };
}

async function load(before, limit = 50) {
  const since = events, page = await json(`/api/jobs?limit=${limit}${before === null ? "" : `&before=${before}`}`);
  for (const job of page.jobs) answered(job, since);
  older = page.before;
  byId("older").hidden = older === null;
  return page;
}

// The newest jobs, as they are now; what is gone goes from the list.
export async function refresh() {
  const known = [...rows.values()].map((row) => row.job);
  const page = await load(null, Math.min(Math.max(known.length, 50), 500));
  const there = new Set(page.jobs.map((job) => job.id)), last = page.before ?? 0;
  for (const job of known) if (job.number >= last && !there.has(job.id)) forget(job.id);
  count();
}

export function hear(kind, data) {
  events++;
  if (kind === "job") {
    put(data);
    rows.get(data.id).heard = events;
    return undefined;
  }
  if (kind === "removed") return forget(data.id);
  const row = rows.get(data.id);
  if (!row || row.job.state !== "running") return undefined;
  const { id, ...progress } = data;
  row.job = { ...row.job, progress };
  return describe(row);
}

export function begin() {
  byId("older").addEventListener("click", () => attempt(() => load(older)));
  byId("tidy").addEventListener("click", () => attempt(async () => {
    const jobs = await ended();
    if (jobs.length && await sure(question(jobs))) for (const job of jobs) await remove(job.id);
  }));
}
