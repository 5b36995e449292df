// What the page asks of the service. Every error is a `Problem` with one clear line.

export const byId = (id) => document.getElementById(id);

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const KEPT = "upscale-token";

// A browser may be set to keep nothing.
function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function keep(token) {
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch { /* then it is asked for again */ }
}

export async function problemOf(response) {
  let detail = `the service answers ${response.status}.`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch { /* a proxy's own page */ }
  return new Problem(response.status, detail);
}

async function sent(path, options) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Problem(0, "the service cannot be reached. Look whether it runs, and whether this device has a network.");
  }
}

// The token becomes a cookie, which event streams, pictures and downloads send, too.
async function begin(token) {
  const response = await sent("/api/session", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
  });
  if (!response.ok) throw await problemOf(response);
  keep(token);
}

let asking = null;

// Asks for the token once, however many requests want it; the one that is kept is tried first.
export function login() {
  asking ??= (async () => {
    const token = kept();
    if (token) {
      try {
        return await begin(token);
      } catch (problem) {
        if (problem.status !== 401) throw problem;
        keep(null);
      }
    }
    await asked();
  })().finally(() => { asking = null; });
  return asking;
}

function asked() {
  const [dialog, form, field, line] = ["login", "login-form", "token", "login-problem"].map(byId);
  line.textContent = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = async (event) => {
      event.preventDefault();
      try {
        await begin(field.value.trim());
      } catch (problem) {
        line.textContent = problem.message;
        field.select();
        return;
      }
      field.value = "";
      dialog.close();
      done();
    };
  });
}

// A token in the address (`#token=...`) is taken over, and out of the address.
export async function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname);
  try {
    await begin(decodeURIComponent(found[1]));
  } catch { /* it is none (any more): the first request asks for one */ }
}

export async function ask(path, options = {}) {
  let response = await sent(path, options);
  if (response.status === 401) {
    await login();
    response = await sent(path, options);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function json(path, options) {
  const response = await ask(path, options);
  return response.status === 204 ? null : response.json();
}

// Names a request, so that one that is sent twice is one job. (crypto.randomUUID needs HTTPS.)
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function tell(problem) {
  if (!problem.message) return;
  byId("problem").querySelector("p").textContent = problem.message;
  byId("problem").hidden = false;
}

export function announce(text) {
  byId("news").textContent = text;
}

// Runs what may fail, and shows why it did.
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tell(error);
    return undefined;
  }
}
