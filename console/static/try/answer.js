// An answer, by what is in it: labels with probabilities, a mask, or boxes.

import { bars, element, facts, percent } from "./elements.js";
import { colourOf, showBoxes, showMask } from "./overlay.js";

const WORDS = { "dark-on-light": "dark on light", "light-on-dark": "light on dark" };

// Fills `said`; `picture` has overlay, boxes and the size of what was sent.
export async function showAnswer(said, { document: answer, milliseconds }, model, picture) {
  said.replaceChildren();
  const found = answer.predictions;
  const [first] = found;
  const about = [["Model", model.name], ["Revision", answer.model_version], ["Time", `${milliseconds} ms there and back`]];
  if (first?.mask !== undefined) await mask(said, first, model, picture);
  else labels(said, found, picture);
  if (first?.polarity) about.push(["Polarity", WORDS[first.polarity] ?? first.polarity]);
  const list = facts(about);
  if (first?.shown) said.append(element("div", { class: "shown" }, whatTheNetworkSaw(first.shown), list));
  else said.append(list);
}

function labels(said, found, picture) {
  const placed = found.flatMap((each) => each.detections ?? (each.box ? [each] : []));
  if (placed.length) showBoxes(picture.boxes, placed, picture.width, picture.height);
  for (const each of found) {
    if (!each.unsure) continue;
    const why = each.why ? `: ${each.why}` : "";
    said.append(element("p", { class: "unsure" }, element("strong", {}, "Unsure"), `${why}. The answer below is the nearest it knows.`));
    break;
  }
  const several = found.length > 1 || (placed.length && !found[0].top);
  if (!found.length || (several && !placed.length)) {
    said.append(headline("Nothing found", ""));
  } else if (several) {
    said.append(headline(placed.map((each) => each.label).join(" "), `${placed.length} found`));
    said.append(bars(placed.map(({ label, probability }) => ({ label, share: probability }))));
  } else {
    const [{ label, probability, top }] = found;
    said.append(headline(label, percent(probability)));
    said.append(bars((top ?? []).map((each) => ({ label: each.label, share: each.probability }))));
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
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const image = element("img", { id: "seen", alt: "The picture as the network saw it", src: URL.createObjectURL(new Blob([bytes], { type: "image/png" })) });
  const caption = element("figcaption", {}, "What the network saw");
  image.addEventListener("load", () => { caption.textContent = `What the network saw, ${image.naturalWidth} × ${image.naturalHeight}`; });
  return element("figure", {}, image, caption);
}
