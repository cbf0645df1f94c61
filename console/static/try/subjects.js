// Several subjects of one picture, in reading order, each with its own doubt.

import { element, percent, pngOf } from "./elements.js";

export const NOTHING = "nothing found";

// A picture's subjects are a list of their own where all of them were asked for.
export const subjectsOf = (predictions) => predictions.flatMap((each) => each.subjects ?? [each]);

// Digits are read as one number, words as a list.
export function reading(found) {
  const labels = found.map((each) => each.label);
  return labels.join(labels.every((label) => [...label].length === 1) ? "" : ", ");
}

export function subjectList(found) {
  const list = element("ol", { class: "subjects" });
  for (const each of found) {
    const share = percent(each.probability);
    const row = element("li", {});
    if (each.shown) row.append(element("img", { src: pngOf(each.shown), alt: `${each.label} as the network saw it` }));
    row.append(element("strong", {}, each.label));
    row.append(element("progress", { max: 1, value: each.probability, "aria-label": `${each.label}, ${share}` }), element("span", { class: "number" }, share));
    if (each.unsure) row.append(element("span", { class: "doubt" }, `Unsure${each.why ? `: ${each.why}` : ""}.`));
    list.append(row);
  }
  return list;
}
