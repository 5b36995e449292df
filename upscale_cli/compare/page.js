"use strict";
// Draws the visible part of two versions of a picture on one canvas. Lengths are device pixels unless they say CSS.
(() => {
  const STEPS = [1 / 32, 1 / 16, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32];
  const MOST = 32; // zoom: device pixels per pixel of the frame
  const KEPT_PIXELS = 150e6; // of decoded pictures, 4 bytes each
  const SCRATCH_PIXELS = 16e6; // what every browser lets a canvas have
  const QUICK_PIXELS = 3e6; // drawn at once even without a GPU
  const ENLARGED_PIXELS = 4e6; // enlarged by bicubic at once
  const GAP = 2; // between two panels
  const PAN_STEP = 40; // CSS pixels
  const TAP_MS = 400;
  const TAP_SLOP = 6; // CSS pixels
  const TAIL = 12; // characters of a name that always show

  const byId = (id) => document.getElementById(id);
  const subjects = JSON.parse(byId("data").textContent);
  const [stage, canvas, handle, message] = ["stage", "canvas", "handle", "message"].map(byId);
  const wide = matchMedia("(color-gamut: p3)").matches;
  const context = canvas.getContext("2d", { alpha: false, colorSpace: wide ? "display-p3" : "srgb" });
  const scratch = document.createElement("canvas").getContext("2d", { colorSpace: wide ? "display-p3" : "srgb" });

  // What is seen. The centre (x, y) counts in parts of the frame, so that it means the same in every picture.
  const view = {
    subject: 0, a: 0, b: 1, mode: "slider", divider: 0.5, smooth: false, gain: 3,
    held: false, flipped: false, zoom: 1, fitted: true, x: 0.5, y: 0.5,
  };

  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
  const subject = () => subjects[view.subject];
  const version = (side) => subject().versions[view[side]];
  const sameSize = () => version("a").width === version("b").width && version("a").height === version("b").height;

  // Whether a side has fewer pixels than the other.
  function isSmaller(side) {
    const [one, other] = [version(side), version(side === "a" ? "b" : "a")];
    return one.width * one.height < other.width * other.height;
  }

  // The frame: the largest version; smaller ones are enlarged to it.
  function frame() {
    return subject().versions.reduce((most, one) => (one.width * one.height > most.width * most.height ? one : most));
  }

  // Which version stands on a side, while Space is held or the picture was tapped.
  function shown(side) {
    const other = side === "a" ? "b" : "a";
    if (view.mode === "toggle") return view.held !== view.flipped ? "b" : "a";
    return view.held ? other : side;
  }

  // ---------------------------------------------------------------------------------------------- decoding

  // identifier -> the picture as bitmaps, each half as large as the one before; the least recently used first
  const decoded = new Map();
  let request = 0;

  async function decode(one) {
    const image = new Image();
    image.src = one.url ?? `data:${one.mime};base64,${byId(one.data).textContent}`;
    await image.decode();
    const levels = [await createImageBitmap(image)];
    for (let last = levels[0]; last.width * last.height > QUICK_PIXELS; levels.push(last)) {
      const [resizeWidth, resizeHeight] = [Math.ceil(last.width / 2), Math.ceil(last.height / 2)];
      last = await createImageBitmap(last, { resizeWidth, resizeHeight, resizeQuality: "medium" });
    }
    return levels;
  }

  async function need(one) {
    const levels = decoded.get(one.data) ?? (await decode(one));
    decoded.delete(one.data);
    decoded.set(one.data, levels);
  }

  // The smallest bitmap of a version that has a pixel for each of the screen's.
  function bitmapAt(one, scale) {
    const levels = decoded.get(one.data);
    return levels[clamp(Math.floor(Math.log2(1 / scale) + 1e-9), 0, levels.length - 1)];
  }

  function forgetOld() {
    const needed = new Set([version("a").data, version("b").data]);
    const pixels = (levels) => levels.reduce((sum, one) => sum + one.width * one.height, 0);
    let total = [...decoded.values()].reduce((sum, levels) => sum + pixels(levels), 0);
    for (const [key, levels] of decoded) {
      if (total <= KEPT_PIXELS) return;
      if (needed.has(key)) continue;
      total -= pixels(levels);
      for (const bitmap of levels) bitmap.close();
      decoded.delete(key);
    }
  }

  // Decodes what is needed, then draws; a later request overtakes an earlier one.
  async function show() {
    const mine = ++request;
    const pair = [version("a"), version("b")];
    describe();
    if (pair.some((one) => !decoded.has(one.data))) {
      document.body.dataset.state = "loading";
      message.textContent = "Decoding the pictures …";
    }
    for (const one of pair) {
      try {
        await need(one);
      } catch {
        if (mine !== request) return;
        message.textContent = `This browser cannot decode ${one.file} (${one.width} × ${one.height}).`;
        document.body.dataset.state = "failed";
        return;
      }
      if (mine !== request) return;
    }
    forgetOld();
    document.body.dataset.state = "ready";
    if (view.fitted) fit();
    draw();
  }

  // ---------------------------------------------------------------------------------------------- geometry

  // Where the pictures stand: one panel, or two of one size beside or above each other.
  function panels() {
    const { width, height } = canvas;
    if (view.mode !== "pair") return [{ x: 0, y: 0, width, height }];
    if (width >= height) {
      const half = Math.floor((width - GAP) / 2);
      return [{ x: 0, y: 0, width: half, height }, { x: width - half, y: 0, width: half, height }];
    }
    const half = Math.floor((height - GAP) / 2);
    return [{ x: 0, y: 0, width, height: half }, { x: 0, y: height - half, width, height: half }];
  }

  // The zoom at which the whole frame is seen; small pictures are enlarged by a whole number.
  function fittingZoom() {
    const panel = panels()[0];
    const zoom = Math.min(panel.width / frame().width, panel.height / frame().height);
    return zoom > 1 ? clamp(Math.floor(zoom), 1, MOST) : Math.max(zoom, 1e-4);
  }

  function fit() {
    Object.assign(view, { zoom: fittingZoom(), fitted: true, x: 0.5, y: 0.5 });
  }

  // No empty space on a side where there is picture left to show.
  function settle() {
    const panel = panels()[0];
    for (const [axis, length, whole] of [["x", panel.width, frame().width], ["y", panel.height, frame().height]]) {
      const half = length / 2 / (whole * view.zoom);
      view[axis] = half >= 0.5 ? 0.5 : clamp(view[axis], half, 1 - half);
    }
  }

  // Where the frame's first pixel stands; whole, so that 100 % is pixel for pixel.
  function origin(panel) {
    return {
      x: Math.round(panel.x + panel.width / 2 - view.x * frame().width * view.zoom),
      y: Math.round(panel.y + panel.height / 2 - view.y * frame().height * view.zoom),
    };
  }

  function panelAt(point) {
    const all = panels();
    return all.find((one) => point.x < one.x + one.width && point.y < one.y + one.height) ?? all[all.length - 1];
  }

  function zoomTo(zoom, point) {
    const panel = panelAt(point), from = origin(panel), before = view.zoom;
    view.zoom = clamp(zoom, Math.min(fittingZoom(), 1) / 2, MOST);
    view.fitted = false;
    const factor = view.zoom / before;
    view.x = (panel.x + panel.width / 2 - point.x + (point.x - from.x) * factor) / (frame().width * view.zoom);
    view.y = (panel.y + panel.height / 2 - point.y + (point.y - from.y) * factor) / (frame().height * view.zoom);
    draw();
  }

  function middle() {
    const panel = panels()[0];
    return { x: panel.x + panel.width / 2, y: panel.y + panel.height / 2 };
  }

  function step(direction) {
    const larger = STEPS.find((one) => one > view.zoom * 1.01);
    const smaller = STEPS.findLast((one) => one < view.zoom / 1.01);
    zoomTo((direction > 0 ? larger : smaller) ?? view.zoom, middle());
  }

  function pan(dx, dy) {
    view.x -= dx / (frame().width * view.zoom);
    view.y -= dy / (frame().height * view.zoom);
    view.fitted = false;
    draw();
  }

  // Where the divider stands: never outside of the picture.
  function dividerAt() {
    const panel = panels()[0], left = origin(panel).x;
    const right = left + Math.round(frame().width * view.zoom);
    return clamp(Math.round(view.divider * canvas.width), clamp(left, 0, canvas.width), clamp(right, 0, canvas.width));
  }

  // ---------------------------------------------------------------------------------------------- drawing

  let planned = false;

  function draw() {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      if (document.body.dataset.state === "ready") drawNow();
    });
  }

  function drawNow() {
    settle();
    canvas.style.visibility = "visible"; // before the first drawing it would be a black hole
    context.globalCompositeOperation = "source-over";
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--stage");
    context.fillRect(0, 0, canvas.width, canvas.height);
    const [first, second] = panels();
    const cut = view.mode === "slider" ? dividerAt() : 0;
    if (view.mode === "slider") {
      paint(shown("a"), first, { ...first, width: cut });
      paint(shown("b"), first, { ...first, x: cut, width: canvas.width - cut });
    } else if (view.mode === "pair") {
      paint(shown("a"), first, first);
      paint(shown("b"), second, second);
    } else if (view.mode === "difference") {
      paintDifference(first);
    } else {
      paint(shown("a"), first, first);
    }
    place(cut);
  }

  // The part of a version that a rectangle shows: whole pixels, with a border for the smoothing.
  function visible(one, from, clip) {
    const across = (frame().width * view.zoom) / one.width, down = (frame().height * view.zoom) / one.height;
    const left = clamp(Math.floor((clip.x - from.x) / across) - 2, 0, one.width);
    const top = clamp(Math.floor((clip.y - from.y) / down) - 2, 0, one.height);
    const right = clamp(Math.ceil((clip.x + clip.width - from.x) / across) + 2, left, one.width);
    const bottom = clamp(Math.ceil((clip.y + clip.height - from.y) / down) + 2, top, one.height);
    return { left, top, width: right - left, height: bottom - top, across, down };
  }

  // Draws a part of a version, from the bitmap that fits the scale.
  function drawPart(target, one, part, scale, x, y, width, height) {
    const bitmap = bitmapAt(one, scale), across = bitmap.width / one.width, down = bitmap.height / one.height;
    target.drawImage(
      bitmap, part.left * across, part.top * down, part.width * across, part.height * down, x, y, width, height,
    );
  }

  function smoothing(target, scale) {
    target.imageSmoothingEnabled = scale < 1 || (view.smooth && scale > 1);
    target.imageSmoothingQuality = "high";
  }

  // Runs a piece of drawing that cannot leave a rectangle.
  function within(clip, piece) {
    context.save();
    context.beginPath();
    context.rect(clip.x, clip.y, clip.width, clip.height);
    context.clip();
    piece();
    context.restore();
  }

  function paint(side, panel, clip) {
    const one = version(side), from = origin(panel), part = visible(one, from, clip);
    if (part.width < 1 || part.height < 1 || clip.width < 1) return;
    const x = from.x + part.left * part.across, y = from.y + part.top * part.down;
    const width = part.width * part.across, height = part.height * part.down;
    within(clip, () => {
      if (one.alpha) {
        context.fillStyle = checks();
        context.fillRect(x, y, width, height);
      }
      smoothing(context, part.across);
      drawPart(context, one, part, Math.max(part.across, part.down), x, y, width, height);
    });
  }

  // |A - B| of the stored pixels, doubled `gain` times, then scaled as any picture is. Of versions of two sizes the
  // smaller one is enlarged to the other by bicubic interpolation.
  function paintDifference(panel) {
    const [one, other] = isSmaller("a") ? [version("b"), version("a")] : [version("a"), version("b")];
    const from = origin(panel), part = visible(one, from, panel);
    if (part.width < 1 || part.height < 1) return;
    const most = sameSize() ? SCRATCH_PIXELS : ENLARGED_PIXELS;
    const shrink = Math.min(1, Math.sqrt(most / (part.width * part.height)));
    const width = Math.max(1, Math.round(part.width * shrink)), height = Math.max(1, Math.round(part.height * shrink));
    scratch.canvas.width = width; // which clears it too
    scratch.canvas.height = height;
    scratch.fillStyle = "#000";
    scratch.fillRect(0, 0, width, height);
    smoothing(scratch, shrink);
    drawPart(scratch, one, part, 1, 0, 0, width, height);
    scratch.globalCompositeOperation = "difference";
    if (sameSize()) drawPart(scratch, other, part, 1, 0, 0, width, height);
    else scratch.drawImage(enlarged(other, one, part, width, height), 0, 0);
    scratch.globalCompositeOperation = "lighter";
    for (let doubled = 0; doubled < view.gain; doubled++) scratch.drawImage(scratch.canvas, 0, 0);
    smoothing(context, part.across / shrink);
    const x = from.x + part.left * part.across, y = from.y + part.top * part.down;
    context.drawImage(scratch.canvas, 0, 0, width, height, x, y, part.width * part.across, part.height * part.down);
  }

  const reader = document.createElement("canvas").getContext("2d", {
    colorSpace: wide ? "display-p3" : "srgb", willReadFrequently: true,
  });
  const enlargement = document.createElement("canvas").getContext("2d", { colorSpace: wide ? "display-p3" : "srgb" });
  let enlargedLast = ""; // what `enlargement` holds

  // A canvas of width x height pixels: the part of a version that shows what `part` of a larger version does, by
  // bicubic interpolation as by `-m bicubic` (Keys, a = -0.5; beyond the border there is nothing), on black.
  function enlarged(one, larger, part, width, height) {
    const wanted = JSON.stringify([one.data, larger.data, part, width, height]);
    if (wanted === enlargedLast) return enlargement.canvas;
    const across = taps(width, part.left, part.width, larger.width, one.width);
    const down = taps(height, part.top, part.height, larger.height, one.height);
    reader.canvas.width = across.count;
    reader.canvas.height = down.count;
    reader.fillStyle = "#000";
    reader.fillRect(0, 0, across.count, down.count);
    reader.drawImage(bitmapAt(one, 1), -across.first, -down.first);
    const source = reader.getImageData(0, 0, across.count, down.count).data;
    const rows = new Float32Array(down.count * width * 3);
    for (let y = 0, to = 0; y < down.count; y++) {
      for (let x = 0; x < width; x++) {
        for (let colour = 0; colour < 3; colour++, to++) {
          let sum = 0;
          for (let tap = 4 * x; tap < 4 * x + 4; tap++) {
            sum += across.weights[tap] * source[4 * (y * across.count + across.places[tap]) + colour];
          }
          rows[to] = sum;
        }
      }
    }
    const result = new ImageData(width, height, { colorSpace: wide ? "display-p3" : "srgb" });
    for (let y = 0, to = 0; y < height; y++) {
      const [w0, w1, w2, w3] = down.weights.subarray(4 * y, 4 * y + 4);
      const [p0, p1, p2, p3] = down.places.subarray(4 * y, 4 * y + 4).map((place) => 3 * width * place);
      for (let x = 0; x < 3 * width; x += 3, to += 4) {
        for (let at = x, colour = 0; colour < 3; at++, colour++) {
          result.data[to + colour] = w0 * rows[p0 + at] + w1 * rows[p1 + at] + w2 * rows[p2 + at] + w3 * rows[p3 + at];
        }
        result.data[to + 3] = 255;
      }
    }
    enlargement.canvas.width = width;
    enlargement.canvas.height = height;
    enlargement.putImageData(result, 0, 0);
    enlargedLast = wanted;
    return enlargement.canvas;
  }

  // Along one axis: of which pixels of the smaller version, counted from `first`, each new pixel is made, and how much.
  function taps(length, begin, partLength, largerLength, ownLength) {
    const keys = (x) => {
      const t = Math.abs(x);
      if (t <= 1) return (1.5 * t - 2.5) * t * t + 1;
      return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
    };
    const places = new Int32Array(4 * length), weights = new Float32Array(4 * length);
    for (let at = 0; at < length; at++) {
      const place = ((begin + ((at + 0.5) * partLength) / length) * ownLength) / largerLength - 0.5;
      const base = Math.floor(place);
      let sum = 0;
      for (let tap = 0; tap < 4; tap++) {
        const pixel = base - 1 + tap, weight = pixel >= 0 && pixel < ownLength ? keys(place - pixel) : 0;
        places[4 * at + tap] = clamp(pixel, 0, ownLength - 1);
        weights[4 * at + tap] = weight;
        sum += weight;
      }
      for (let tap = 4 * at; tap < 4 * at + 4; tap++) weights[tap] /= sum;
    }
    const first = places[0], last = places[4 * length - 1];
    return { first, count: last - first + 1, places: places.map((place) => place - first), weights };
  }

  // What is seen through transparent pixels.
  function checks() {
    const style = getComputedStyle(document.documentElement), tile = document.createElement("canvas");
    tile.width = tile.height = 16;
    const pen = tile.getContext("2d");
    pen.fillStyle = style.getPropertyValue("--check-1");
    pen.fillRect(0, 0, 16, 16);
    pen.fillStyle = style.getPropertyValue("--check-2");
    pen.fillRect(0, 0, 8, 8);
    pen.fillRect(8, 8, 8, 8);
    return context.createPattern(tile, "repeat");
  }

  // The controls that depend on where the picture is.
  function place(cut) {
    const ratio = canvas.clientWidth / canvas.width;
    handle.hidden = view.mode !== "slider";
    handle.style.left = `${cut * ratio}px`;
    const percent = Math.round((100 * cut) / canvas.width);
    handle.setAttribute("aria-valuenow", percent);
    handle.setAttribute("aria-valuetext", `${percent} % of the width shows A, the rest B`);
    const zoom = 100 * view.zoom;
    byId("zoom").textContent = `${zoom < 10 ? zoom.toFixed(1) : Math.round(zoom)} %`;
  }

  // ---------------------------------------------------------------------------------------------- words

  const decibels = (value) => (value === "inf" ? "∞" : `${value.toFixed(2)} dB`);

  function likeness(a, b) {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    return subject().alike.find((one) => one.a === low && one.b === high);
  }

  function inWords(alike) {
    if (alike.largest === 0) return "identical pixels";
    const parts = [`PSNR ${decibels(alike.psnr_luma)}`];
    if (alike.ssim_luma !== null) parts.push(`SSIM ${alike.ssim_luma.toFixed(4)}`);
    if (alike.psnr_rgb !== null) parts.push(`RGB ${decibels(alike.psnr_rgb)}`);
    return parts.join(", ");
  }

  // One line, or with a reference one for each side.
  function metrics() {
    if (view.a === view.b) return ["A and B are the same version"];
    const held = subject().versions.findIndex((one) => one.reference);
    if (held >= 0 && view.a !== held && view.b !== held) {
      const found = [["A", view.a], ["B", view.b]].map(([name, at]) => [name, likeness(at, held)]);
      const words = found.filter(([, alike]) => alike).map(([name, alike]) => `${name} to HR: ${inWords(alike)}`);
      if (words.length) return words;
    }
    const alike = likeness(view.a, view.b);
    return [alike ? `A to B: ${inWords(alike)}` : "sizes differ, so there is no PSNR"];
  }

  // A label that is cut in its middle where there is no room: names of versions differ at their end.
  function badge(element, letter, text) {
    const part = (tag, content) => Object.assign(document.createElement(tag), { textContent: content });
    const characters = [...text], cut = Math.max(0, characters.length - TAIL);
    const halves = [characters.slice(0, cut), characters.slice(cut)].map((half) => part("span", half.join("")));
    element.replaceChildren(...(text ? [part("b", `${letter} `), ...halves] : []));
  }

  // Which side is enlarged for the difference, in words.
  function enlargedSide() {
    if (sameSize()) return "";
    return `, ${isSmaller("a") ? "A" : "B"} enlarged by bicubic`;
  }

  function describeBadges() {
    const name = (side) => version(side).label;
    const single = view.mode === "toggle" || view.mode === "difference";
    stage.classList.toggle("single", single);
    stage.classList.toggle("stacked", view.mode === "pair" && canvas.width < canvas.height);
    const [left, right] = [shown("a"), shown("b")];
    badge(byId("badge-a"), view.mode === "difference" ? "|A − B|" : left.toUpperCase(),
      view.mode === "difference" ? `× ${2 ** view.gain}${enlargedSide()}` : name(left));
    badge(byId("badge-b"), right.toUpperCase(), single ? "" : name(right));
  }

  // Everything that tells what is shown, in words.
  function describe() {
    stage.dataset.mode = view.mode;
    for (const button of byId("modes").children) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === view.mode));
      if (button.dataset.mode === "difference") button.title = `Difference${enlargedSide()} (D)`;
    }
    for (const side of ["a", "b"]) {
      const one = version(side);
      byId(`version-${side}`).value = String(view[side]);
      byId(`version-${side}`).title = one.file;
      byId(`size-${side}`).textContent = `${one.width} × ${one.height}`;
    }
    byId("subject").value = String(view.subject);
    byId("previous").disabled = view.subject === 0;
    byId("next").disabled = view.subject === subjects.length - 1;
    byId("gain-box").hidden = view.mode !== "difference";
    byId("gain").value = String(view.gain);
    byId("gain").setAttribute("aria-valuetext", `times ${2 ** view.gain}`);
    byId("gain-value").textContent = `× ${2 ** view.gain}`;
    byId("smooth").setAttribute("aria-pressed", String(view.smooth));
    byId("metrics").replaceChildren(...metrics().map((line) => {
      const element = document.createElement("span");
      element.textContent = line;
      return element;
    }));
    describeBadges();
    const mode = byId("modes").querySelector("[aria-pressed=true]").textContent;
    byId("status").textContent =
      `${subject().name}. ${mode}. A: ${version("a").label}. B: ${version("b").label}. ${metrics().join(". ")}`;
  }

  // Pixel under the pointer, and its values in both versions.
  function readOut(point) {
    const from = origin(panelAt(point));
    const x = Math.floor((point.x - from.x) / view.zoom), y = Math.floor((point.y - from.y) / view.zoom);
    const inside = x >= 0 && y >= 0 && x < frame().width && y < frame().height;
    byId("readout").textContent = inside ? `${x}, ${y}   A ${levels("a", x, y)}   B ${levels("b", x, y)}` : "";
  }

  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  function levels(side, x, y) {
    const one = version(side);
    const column = Math.floor((x * one.width) / frame().width), row = Math.floor((y * one.height) / frame().height);
    probe.clearRect(0, 0, 1, 1);
    probe.drawImage(bitmapAt(one, 1), column, row, 1, 1, 0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(" ");
  }

  // ---------------------------------------------------------------------------------------------- actions

  function choose(changes) {
    Object.assign(view, changes);
    void show();
  }

  function setMode(mode) {
    choose({ mode, flipped: false });
  }

  function chooseSubject(at) {
    if (at < 0 || at >= subjects.length || at === view.subject) return;
    view.subject = at;
    const most = subject().versions.length - 1;
    view.a = Math.min(view.a, most);
    view.b = Math.min(view.b, most);
    listVersions();
    void show();
  }

  // The next version on a side; the one that the other side shows is passed over, where there is another.
  function nextVersion(side, direction) {
    const count = subject().versions.length, other = view[side === "a" ? "b" : "a"];
    let next = (view[side] + direction + count) % count;
    if (next === other && count > 2) next = (next + direction + count) % count;
    choose({ [side]: next });
  }

  function hold(held) {
    if (view.held === held) return;
    view.held = held;
    describeBadges();
    draw();
  }

  function changeGain(gain) {
    choose({ gain: clamp(gain, 0, 6) });
  }

  function moveDivider(part) {
    view.divider = clamp(part, 0, 1);
    draw();
  }

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    draw();
  }

  function switchTheme() {
    const preferred = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
    const theme = (document.documentElement.dataset.theme ?? preferred) === "light" ? "dark" : "light";
    setTheme(theme);
    try {
      localStorage.setItem("upscale-compare-theme", theme);
    } catch { /* a browser that keeps nothing for files */ }
  }

  function storedTheme() {
    try {
      return localStorage.getItem("upscale-compare-theme");
    } catch {
      return null;
    }
  }

  function fitWindow() {
    fit();
    draw();
  }

  const KEYS = {
    s: () => setMode("slider"), p: () => setMode("pair"), t: () => setMode("toggle"), d: () => setMode("difference"),
    a: () => nextVersion("a", 1), A: () => nextVersion("a", -1),
    b: () => nextVersion("b", 1), B: () => nextVersion("b", -1),
    x: () => choose({ a: view.b, b: view.a }), i: () => choose({ smooth: !view.smooth }), l: switchTheme,
    0: fitWindow, 1: () => zoomTo(1, middle()), "+": () => step(1), "=": () => step(1), "-": () => step(-1),
    "[": () => changeGain(view.gain - 1), "]": () => changeGain(view.gain + 1), "?": () => byId("help").showModal(),
    PageUp: () => chooseSubject(view.subject - 1), PageDown: () => chooseSubject(view.subject + 1),
    ArrowLeft: (far) => arrow(far, 1, 0), ArrowRight: (far) => arrow(far, -1, 0),
    ArrowUp: (far) => arrow(far, 0, 1), ArrowDown: (far) => arrow(far, 0, -1),
  };

  function arrow(far, dx, dy) {
    const length = PAN_STEP * (far ? 5 : 1) * (canvas.width / canvas.clientWidth);
    pan(dx * length, dy * length);
  }

  function onKey(event) {
    const field = event.target.closest("select, input, dialog");
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && !event.target.closest("button")) {
      hold(true);
    } else if (KEYS[event.key] ?? KEYS[event.key.toLowerCase()]) {
      (KEYS[event.key] ?? KEYS[event.key.toLowerCase()])(event.shiftKey);
    } else {
      return;
    }
    event.preventDefault();
  }

  // The divider as a slider of its own: arrows and paging move it.
  function onHandleKey(event) {
    const by = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01 }[event.key];
    const to = { Home: 0, End: 1 }[event.key];
    if ((by ?? to) === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    moveDivider(to ?? dividerAt() / canvas.width + by * (event.shiftKey ? 10 : 1));
    event.preventDefault();
    event.stopPropagation();
  }

  // ---------------------------------------------------------------------------------------------- pointers

  const pointers = new Map(); // identifier -> last point
  let press = null; // {x, y, time, several}
  let lastTap = null;

  function pointOf(event) {
    const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
  }

  function onDown(event) {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, pointOf(event));
    if (pointers.size === 1) press = { ...pointOf(event), time: event.timeStamp, several: false };
    else press.several = true;
    stage.classList.add("moving");
  }

  function onMove(event) {
    const point = pointOf(event), before = pointers.get(event.pointerId);
    if (document.body.dataset.state !== "ready") return;
    if (!before) {
      if (event.pointerType === "mouse") readOut(point);
      return;
    }
    pointers.set(event.pointerId, point);
    if (pointers.size === 1) {
      pan(point.x - before.x, point.y - before.y);
    } else if (pointers.size === 2) {
      const still = [...pointers].find(([id]) => id !== event.pointerId)[1];
      pan((point.x - before.x) / 2, (point.y - before.y) / 2);
      const distance = (one) => Math.max(1, Math.hypot(one.x - still.x, one.y - still.y));
      const centre = { x: (point.x + still.x) / 2, y: (point.y + still.y) / 2 };
      zoomTo((view.zoom * distance(point)) / distance(before), centre);
    }
  }

  function onUp(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size) return;
    stage.classList.remove("moving");
    const point = pointOf(event), slop = (TAP_SLOP * canvas.width) / canvas.clientWidth;
    const moved = Math.hypot(point.x - press.x, point.y - press.y) > slop;
    if (event.type === "pointerup" && !moved && !press.several && event.timeStamp - press.time < TAP_MS) {
      onTap(point, event.timeStamp, slop);
    }
  }

  // A tap shows the other version in toggle mode; two of them go to 100 % and back.
  function onTap(point, time, slop) {
    const isNear = () => Math.hypot(point.x - lastTap.x, point.y - lastTap.y) < 4 * slop;
    const again = lastTap && time - lastTap.time < TAP_MS && isNear();
    lastTap = again ? null : { ...point, time };
    if (view.mode === "toggle") {
      view.flipped = !view.flipped;
      describeBadges();
      draw();
    }
    if (!again) return;
    if (view.fitted) zoomTo(fittingZoom() < 1 ? 1 : 4 * fittingZoom(), point);
    else fitWindow();
  }

  function onWheel(event) {
    event.preventDefault();
    if (document.body.dataset.state !== "ready") return;
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.002; // a trackpad's pinch comes as small steps with Ctrl
    zoomTo(view.zoom * Math.exp(-clamp(event.deltaY * lines, -400, 400) * speed), pointOf(event));
  }

  function followDivider() {
    let offset = null; // from the pointer to the divider, so that it does not jump when it is touched
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
      offset = dividerAt() - pointOf(event).x;
    });
    handle.addEventListener("pointermove", (event) => {
      if (offset !== null) moveDivider((pointOf(event).x + offset) / canvas.width);
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => { offset = null; });
  }

  // ---------------------------------------------------------------------------------------------- beginning

  function options(select, names) {
    select.replaceChildren(...names.map((name, at) => new Option(name, String(at))));
  }

  function listVersions() {
    const names = subject().versions.map((one) => (one.reference ? `HR: ${one.label}` : one.label));
    for (const side of ["a", "b"]) options(byId(`version-${side}`), names);
  }

  function listen() {
    const clicks = {
      previous: KEYS.PageUp, next: KEYS.PageDown, in: KEYS["+"], out: KEYS["-"], fit: fitWindow, full: KEYS[1],
      smooth: KEYS.i, theme: switchTheme, swap: KEYS.x, "help-button": KEYS["?"],
    };
    for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", () => action());
    for (const button of byId("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
    for (const side of ["a", "b"]) {
      byId(`version-${side}`).addEventListener("change", (event) => choose({ [side]: Number(event.target.value) }));
    }
    byId("subject").addEventListener("change", (event) => chooseSubject(Number(event.target.value)));
    byId("gain").addEventListener("input", (event) => changeGain(Number(event.target.value)));
    document.addEventListener("keydown", onKey);
    document.addEventListener("keyup", (event) => event.key === " " && hold(false));
    addEventListener("blur", () => hold(false));
    handle.addEventListener("keydown", onHandleKey);
    stage.addEventListener("pointerdown", onDown);
    stage.addEventListener("pointermove", onMove);
    stage.addEventListener("pointerleave", () => { byId("readout").textContent = ""; });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, onUp);
    stage.addEventListener("wheel", onWheel, { passive: false });
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", draw);
    followDivider();
  }

  // The canvas has as many pixels as the screen gives it, whatever the system's scale is. What the browser tells is
  // believed where it is within rounding: a window that only plays a finer screen was seen to tell its real pixels.
  function followSize() {
    const observer = new ResizeObserver(([entry]) => {
      const exact = entry.devicePixelContentBoxSize?.[0];
      const pixels = (told, css) => {
        const expected = css * devicePixelRatio;
        return Math.max(1, Math.abs(told - expected) <= 1 ? told : Math.round(expected));
      };
      canvas.width = pixels(exact?.inlineSize, entry.contentRect.width);
      canvas.height = pixels(exact?.blockSize, entry.contentRect.height);
      if (view.fitted) fit();
      describeBadges();
      if (document.body.dataset.state === "ready") drawNow();
    });
    try {
      observer.observe(canvas, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(canvas);
    }
  }

  function begin() {
    const theme = storedTheme();
    if (theme === "light" || theme === "dark") setTheme(theme);
    byId("subjects").hidden = subjects.length < 2;
    options(byId("subject"), subjects.map((one, at) => `${at + 1} / ${subjects.length}  ${one.name}`));
    listVersions();
    listen();
    followSize();
    void show();
  }

  begin();
})();
