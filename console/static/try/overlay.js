// What was found where: a mask's colours or boxes, over the picture.

import { percent } from "./elements.js";

// The stylesheet has colours for what everybody sees in one (water is blue); else the card's.
export function colourOf(label, index, colours) {
  const slug = label.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const own = getComputedStyle(document.documentElement).getPropertyValue(`--of-${slug}`).trim();
  return own ? own.split(" ").map(Number) : colours[index] ?? [128, 128, 128];
}

// Draws a paletted PNG in base64 onto the canvas; what is in `away` stays clear.
export async function showMask(canvas, base64, labels, colours, away) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const paint = new Map(colours.map(([r, g, b], index) => [(r << 16) | (g << 8) | b, away.has(index) ? null : colourOf(labels[index], index, colours)]));
  const data = image.data;
  for (let at = 0; at < data.length; at += 4) {
    const colour = paint.get((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
    if (colour) [data[at], data[at + 1], data[at + 2]] = colour;
    else data[at + 3] = 0;
  }
  context.putImageData(image, 0, 0);
}

// Boxes [x, y, x, y] in pixels of a picture of that size.
export function showBoxes(svg, found, width, height) {
  prepare(svg, width, height, found.map(({ label, share }) => `${label} ${percent(share)}`).join(", "));
  for (const { box: [left, top, right, bottom] } of found) {
    // Twice, so that it is seen on light and on dark.
    for (let layer = 0; layer < 2; layer += 1) draw(svg, "rect", { x: left, y: top, width: right - left, height: bottom - top });
  }
}

export function showPoints(svg, found, width, height) {
  prepare(svg, width, height, found.map(({ name }) => name).join(", "));
  for (const { x, y } of found) draw(svg, "circle", { cx: x, cy: y, r: Math.max(width, height) / 80 });
}

function prepare(svg, width, height, label) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-label", label);
  svg.removeAttribute("hidden");
}

function draw(svg, name, place) {
  const made = document.createElementNS(svg.namespaceURI, name);
  for (const [key, value] of Object.entries(place)) made.setAttribute(key, value);
  svg.append(made);
}
