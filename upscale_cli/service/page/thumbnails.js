// Small pictures of files that the browser can decode.

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

export function showThumbnail(element, url) {
  const image = document.createElement("img");
  image.alt = "";
  image.src = url;
  element.replaceChildren(image);
}
