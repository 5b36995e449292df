// The page: pictures and clips in, larger ones out.

import { attempt, byId, json, takeToken } from "./api.js";
import * as chosen from "./chosen.js";
import * as jobs from "./jobs.js";
import * as preview from "./preview.js";
import * as settings from "./settings.js";
import { bytes } from "./words.js";

const AGAIN_MS = 3000;
const THEME = "upscale-compare-theme"; // of the slider, too

let stream = null;

function say(text) {
  byId("service").textContent = text;
}

// All events, as they come. Where the stream breaks off the browser opens it again; where it is refused, this does.
function follow() {
  stream?.close();
  stream = new EventSource("/api/events");
  stream.onopen = () => {
    void attempt(jobs.refresh);
    void health();
  };
  for (const kind of ["job", "progress", "removed"]) {
    stream.addEventListener(kind, (event) => jobs.hear(kind, JSON.parse(event.data)));
  }
  stream.onerror = () => {
    if (document.hidden) return;
    say("no connection, trying again …");
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(async () => {
      try {
        await json("/api/limits"); // asks for the token, where that is why
      } catch { /* then the next try tells */ }
      follow();
    }, AGAIN_MS);
  };
}

async function health() {
  let found;
  try {
    found = await json("/health");
  } catch {
    say("no connection, trying again …");
    return;
  }
  say(found.status === "ready" ? "ready" : "starting …");
  if (found.status !== "ready") setTimeout(health, 1000);
}

async function limits() {
  const found = await json("/api/limits");
  byId("limit").textContent =
    `Up to ${bytes(found.max_upload)} a file. Results are kept for ${found.keep_days} days, then removed.`;
}

function theme() {
  const root = document.documentElement;
  try {
    const stored = localStorage.getItem(THEME);
    if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  } catch { /* a browser that keeps nothing */ }
  byId("theme").addEventListener("click", () => {
    const preferred = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
    root.dataset.theme = (root.dataset.theme ?? preferred) === "light" ? "dark" : "light";
    try {
      localStorage.setItem(THEME, root.dataset.theme);
    } catch { /* then it is so until the page is left */ }
  });
}

async function begin() {
  theme();
  byId("problem").querySelector("button").addEventListener("click", () => { byId("problem").hidden = true; });
  for (const part of [chosen, jobs, preview]) part.begin();
  await takeToken();
  await attempt(limits);
  follow();
  await settings.begin();
  document.body.dataset.state = "ready";
  // A browser has few connections to one address: a page that nobody sees needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stream.close();
    else follow();
  });
}

void begin();
