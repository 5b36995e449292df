// Numbers, as people read them.

export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let unit = 0;
  for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
  const digits = count < 10 && unit > 0 ? 1 : 0;
  return new Intl.NumberFormat(undefined, {
    style: "unit", unit: units[unit], unitDisplay: "short", maximumFractionDigits: digits,
  }).format(count);
}

export function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function time(seconds) {
  const date = new Date(seconds * 1000), today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString(undefined, { timeStyle: "short" })
    : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

// The name of a row's file; of a long one the whole is shown where the pointer rests.
export function nameFile(row, name) {
  const place = row.querySelector(".file");
  place.textContent = place.title = name;
}

const PARTS = {
  photo: "M3 4h18v16H3zM3 17l5-5 4 4 3-3 6 5M15.500 9.500h.01",
  clip: "M3 4h18v16H3zM10 9l5 3-5 3z",
  book: "M12 6c-3-2-6-2-9-1v13c3-1 6-1 9 1 3-2 6-2 9-1V5c-3-1-6-1-9 1zM12 6v13",
};

// A drawing for a kind of file.
export function icon(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  path.setAttribute("d", PARTS[kind] ?? PARTS.photo);
  return svg;
}
