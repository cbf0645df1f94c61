// What was found where: a mask's colours or boxes, over the picture.

import { element, percent } from "./elements.js";

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

// Boxes [left, top, right, bottom] in pixels of a picture of that size, each with its label.
export function showBoxes(layer, found, { width, height }) {
  prepare(layer, found.map(({ label, share, unsure }) => `${label} ${percent(share)}${unsure ? ", unsure" : ""}`));
  for (const { box: [left, top, right, bottom], label, unsure } of found) {
    const tag = element("span", { class: top / height < 0.1 ? "tag under" : "tag" }, unsure ? `${label}?` : label);
    if (left / width > 0.7) tag.classList.add("left");
    const box = element("i", { class: unsure ? "box doubtful" : "box" }, tag);
    place(box, { left: left / width, top: top / height, width: (right - left) / width, height: (bottom - top) / height });
    layer.append(box);
  }
}

export function showPoints(layer, found, { width, height }) {
  prepare(layer, found.map(({ name }) => name));
  for (const { x, y } of found) {
    const point = element("i", { class: "point" });
    place(point, { left: x / width, top: y / height });
    layer.append(point);
  }
}

function prepare(layer, words) {
  layer.replaceChildren();
  layer.setAttribute("aria-label", words.join(", "));
  layer.hidden = false;
}

function place(made, shares) {
  for (const [side, share] of Object.entries(shares)) made.style[side] = `${100 * share}%`;
}
