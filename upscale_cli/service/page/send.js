// Files on their way to the service: small ones as a form, large ones in pieces (tus 1.0), so that a connection that
// breaks costs the piece that was under way.

import { json, login, problemOf, Problem } from "./api.js";

const LARGE = 16 * 2 ** 20;
const PIECE = 8 * 2 ** 20;
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000]; // before a piece is tried again
const TUS = { "Tus-Resumable": "1.0.0" };
const KEPT = "upscale-upload:"; // before what names a file: its upload is gone on with after a reload

// XMLHttpRequest tells how far it is, which fetch does not.
function request(method, path, headers, body, onSent, signal) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    const stop = () => sent.abort();
    sent.open(method, path);
    for (const [name, value] of Object.entries(headers)) sent.setRequestHeader(name, value);
    sent.upload.onprogress = (event) => onSent(event.loaded, event.total);
    sent.onload = () => resolve(sent);
    sent.onerror = () => reject(new Problem(0, "the connection broke off."));
    sent.onabort = () => reject(new Problem(0, ""));
    sent.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    sent.send(body);
    if (signal.aborted) stop();
  });
}

function bodyOf(sent) {
  try {
    return JSON.parse(sent.responseText);
  } catch {
    return {}; // a proxy's own page
  }
}

const refusalOf = (sent) => new Problem(sent.status, bodyOf(sent).detail ?? `the service answers ${sent.status}.`);

// A file as a form.
async function whole(file, options, key, onPart, signal) {
  const form = new FormData();
  form.append("options", JSON.stringify(options));
  form.append("file", file, file.name);
  let sent;
  try {
    const onSent = (loaded, total) => total && onPart(loaded / total);
    sent = await request("POST", "/api/jobs", { "Idempotency-Key": key }, form, onSent, signal);
  } catch (problem) {
    if (!problem.message) throw problem;
    throw new Problem(0, `${file.name}: could not be sent. Look whether the service runs.`);
  }
  if (sent.status === 201) return bodyOf(sent);
  throw refusalOf(sent);
}

const nameOf = (file) => `${KEPT}${file.name}:${file.size}:${file.lastModified}`;

function kept(file, id) {
  try {
    if (id) localStorage.setItem(nameOf(file), id);
    else if (id === null) localStorage.removeItem(nameOf(file));
    else return localStorage.getItem(nameOf(file));
  } catch { /* a browser that keeps nothing */ }
  return null;
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

async function tus(method, path, headers, signal) {
  let response;
  try {
    response = await fetch(path, { method, headers: { ...TUS, ...headers }, cache: "no-store", signal });
  } catch {
    throw new Problem(0, signal?.aborted ? "" : "the connection broke off.");
  }
  if (response.status === 401) {
    await login();
    return tus(method, path, headers, signal);
  }
  if (!response.ok) throw method === "HEAD" ? new Problem(response.status, "") : await problemOf(response);
  return response;
}

// An upload that is there, and how much of it; or a new one.
async function begun(file, known, signal) {
  if (known) {
    try {
      const response = await tus("HEAD", `/api/uploads/${known}`, {}, signal);
      return { id: known, offset: Number(response.headers.get("Upload-Offset")) };
    } catch (problem) {
      if (problem.status !== 404 && problem.status !== 422) throw problem;
    }
  }
  const metadata = `filename ${base64(file.name)}`;
  const response = await tus("POST", "/api/uploads", { "Upload-Length": file.size, "Upload-Metadata": metadata }, signal);
  const id = response.headers.get("Location").split("/").pop();
  kept(file, id);
  return { id, offset: 0 };
}

const MENDS = [0, 408, 409, 423, 502, 503, 504]; // what another try may mend

const pause = (milliseconds, signal) => new Promise((done) => {
  const timer = setTimeout(done, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

// Sends the pieces that are missing, from wherever the service says that the upload ends.
async function pieces(file, onPart, signal) {
  let tries = 0, upload = null, id = kept(file), far = 0;
  for (;;) {
    try {
      upload ??= await begun(file, id, signal);
      id = upload.id;
      if (upload.offset > far) [far, tries] = [upload.offset, 0];
      onPart(upload.offset / file.size);
      if (upload.offset >= file.size) return upload.id;
      const headers = { ...TUS, "Upload-Offset": upload.offset, "Content-Type": "application/offset+octet-stream" };
      const piece = file.slice(upload.offset, upload.offset + PIECE), from = upload.offset;
      const onSent = (loaded) => onPart((from + loaded) / file.size);
      const sent = await request("PATCH", `/api/uploads/${upload.id}`, headers, piece, onSent, signal);
      if (sent.status === 401) await login();
      else if (sent.status !== 204) throw refusalOf(sent);
      else upload.offset = Number(sent.getResponseHeader("Upload-Offset"));
    } catch (problem) {
      if (signal.aborted) {
        if (id) void fetch(`/api/uploads/${id}`, { method: "DELETE", headers: TUS }).catch(() => {});
        kept(file, null);
        throw new Problem(0, "");
      }
      if (!(problem instanceof Problem) || !MENDS.includes(problem.status) || tries === PAUSES_MS.length) {
        throw problem.message ? new Problem(problem.status, `${file.name}: ${problem.message}`) : problem;
      }
      await pause(PAUSES_MS[tries++], signal);
      upload = null;
    }
  }
}

async function inPieces(file, options, key, onPart, signal) {
  const upload = await pieces(file, (done) => onPart(Math.min(done, 0.999)), signal);
  onPart(1);
  const job = await json("/api/jobs", {
    method: "POST", headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify({ ...options, input: { upload } }),
  });
  kept(file, null);
  return job;
}

// A file with its options becomes a job. Gives {done, abort}.
export function send(file, options, key, onPart) {
  const stop = new AbortController();
  const way = file.size > LARGE ? inPieces : whole;
  return { done: way(file, options, key, onPart, stop.signal), abort: () => stop.abort() };
}
