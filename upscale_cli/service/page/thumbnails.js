// Small pictures: of files that the browser can decode, and of jobs by the service.

import { ask } from "./api.js";

const SIDE = 112;

export const isClip = (file) => file.type.startsWith("video/");

// A picture, or the frame in the middle of a clip, as a bitmap. Fails where the browser cannot decode it.
export async function bitmapOf(file) {
  if (!isClip(file)) return createImageBitmap(file);
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  const url = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      video.onerror = () => reject(new Error("no clip that this browser decodes"));
      video.onloadedmetadata = () => { video.currentTime = Number.isFinite(video.duration) ? video.duration / 2 : 0; };
      video.onseeked = resolve;
      video.src = url;
    });
    return await createImageBitmap(video);
  } finally {
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

// The address of a small picture; null where there is none.
export async function thumbnailOf(file) {
  let bitmap;
  try {
    bitmap = await bitmapOf(file);
  } catch {
    return null;
  }
  const factor = Math.max(SIDE / bitmap.width, SIDE / bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const [width, height] = [bitmap.width * factor, bitmap.height * factor];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return blob && URL.createObjectURL(blob);
}

// Those of jobs that were not sent from here are asked for once they can be seen, one after the other: the service
// makes them when they are first wanted.
const wanted = new WeakMap(); // element -> the job's id; "" once it was asked for
let line = Promise.resolve();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const id = wanted.get(target);
    if (!isIntersecting || !id) continue;
    wanted.set(target, "");
    watcher.unobserve(target);
    line = line.then(() => fetchThumbnail(target, id));
  }
}, { rootMargin: "200px" });

async function fetchThumbnail(element, id) {
  if (!element.isConnected || element.querySelector("img")) return;
  try {
    const response = await ask(`/api/jobs/${id}/thumbnail`, { cache: "default" });
    if (response.status !== 200) return;
    const url = URL.createObjectURL(await response.blob());
    showThumbnail(element, url).addEventListener("load", () => URL.revokeObjectURL(url));
  } catch { /* the drawing stays */ }
}

export function wantThumbnail(element, id) {
  if (wanted.has(element)) return;
  wanted.set(element, id);
  watcher.observe(element);
}

export function showThumbnail(element, url) {
  const image = document.createElement("img");
  image.alt = "";
  image.src = url;
  element.replaceChildren(image);
  return image;
}
