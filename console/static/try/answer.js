// An answer, by what is in it: labels with probabilities, a mask, or boxes.

import { bars, element, facts, percent, pngOf } from "./elements.js";
import { colourOf, showBoxes, showMask, showPoints } from "./overlay.js";
import { NOTHING, reading, subjectsOf, subjectList } from "./subjects.js";

const WORDS = { "dark-on-light": "dark on light", "light-on-dark": "light on dark" };

// Fills `said`; `picture` has overlay, boxes and the size of what was sent (0 where the browser cannot show it).
export async function showAnswer(said, { document: answer, milliseconds }, model, picture) {
  said.replaceChildren();
  const found = subjectsOf(answer.predictions);
  const [first] = found;
  const about = [["Model", model.name], ["Revision", answer.model_version], ["Time", `${milliseconds} ms there and back`]];
  if (first?.mask !== undefined) await mask(said, first, model, picture);
  else labels(said, found, picture);
  if (first?.polarity) about.push(["Polarity", WORDS[first.polarity] ?? first.polarity]);
  const list = facts(about);
  if (first?.shown && found.length === 1) said.append(element("div", { class: "shown" }, whatTheNetworkSaw(first.shown), list));
  else said.append(list);
}

function labels(said, found, picture) {
  const placed = found.flatMap((each) => each.detections ?? (each.box ? [each] : [])).map((each) => ({ ...each, share: each.probability ?? each.score }));
  if (placed.length && picture.width) showBoxes(picture.boxes, placed, picture);
  const [first] = found;
  if (!first || first.why === NOTHING || first.detections?.length === 0) {
    said.append(headline("Nothing found", ""), element("p", {}, "The model finds nothing in this picture that it could name."));
    return;
  }
  if (found.length > 1) {
    said.append(headline(reading(found), `${found.length} found`));
    said.append(subjectList(found));
    return;
  }
  if (first.unsure) {
    const why = first.why ? `: ${first.why}` : "";
    said.append(element("p", { class: "unsure" }, element("strong", {}, "Unsure"), `${why}. The answer below is the nearest it knows.`));
  }
  if (first.detections) {
    said.append(headline(placed.map((each) => each.label).join(", "), `${placed.length} found`));
    said.append(bars(placed));
  } else if (first?.label !== undefined) {
    said.append(headline(first.label, percent(first.probability)));
    said.append(bars((first.top ?? []).map((each) => ({ label: each.label, share: each.probability }))));
  } else {
    numbers(said, first, picture);
  }
}

// Points on the picture, values with units, or whatever else a model answers.
function numbers(said, found, picture) {
  if (found.keypoints) {
    if (picture.width) showPoints(picture.boxes, found.keypoints, picture);
    said.append(headline(`${found.keypoints.length} points`, ""));
    said.append(facts(found.keypoints.map(({ name, x, y }) => [name, `${Math.round(x)}, ${Math.round(y)}`])));
  } else if (found.values) {
    said.append(headline(found.values.map(({ value, unit }) => `${Number(value.toPrecision(4))} ${unit ?? ""}`.trim()).join(", "), ""));
    said.append(facts(found.values.map(({ label, value, unit }) => [label, `${value} ${unit ?? ""}`])));
  } else {
    const short = JSON.stringify(found, (_, value) => (Array.isArray(value) && value.length > 16 ? [...value.slice(0, 16), `… ${value.length} in all`] : value), 1);
    said.append(headline("Answer", ""), element("pre", { tabindex: 0 }, element("code", {}, short)));
  }
}

async function mask(said, found, model, picture) {
  const { labels: names = [], colours = [] } = model;
  const seen = new Set(found.classes.map((each) => each.class_id));
  const away = new Set(names.map((_, index) => index).filter((index) => !seen.has(index)));
  await showMask(picture.overlay, found.mask.base64, names, colours, away);
  picture.overlay.hidden = false;
  const [most] = found.classes;
  said.append(headline(most ? most.label : "No data", most ? `${percent(most.share)} of ${found.width} × ${found.height} pixels` : ""));
  said.append(bars(found.classes.map((each) => ({ label: each.label, share: each.share, colour: colourOf(each.label, each.class_id, colours) }))));
}

function headline(label, beside) {
  return element("p", { class: "said" }, element("strong", { id: "label" }, label), element("span", { class: "hint" }, beside));
}

function whatTheNetworkSaw(base64) {
  const image = element("img", { id: "seen", alt: "The picture as the network saw it", src: pngOf(base64) });
  const caption = element("figcaption", {}, "What the network saw");
  image.addEventListener("load", () => { caption.textContent = `What the network saw, ${image.naturalWidth} × ${image.naturalHeight}`; });
  return element("figure", {}, image, caption);
}
