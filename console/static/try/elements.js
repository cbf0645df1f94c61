// Elements with text in them; never HTML of a string.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// What is nearly certain is not shown as certain.
export const percent = (share) => {
  const text = (100 * share).toFixed(share > 0.999 || share < 0.001 ? 2 : 1);
  return `${share < 1 && text === "100.00" ? "99.99" : text.replace(/\.0+$/, "")} %`;
};

export const pngOf = (base64) => URL.createObjectURL(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" }));

// A bar a label: [{ label, share, colour }].
export function bars(entries) {
  const list = element("ul", { class: "bars" });
  for (const { label, share, colour } of entries) {
    const name = element("span", {}, label);
    if (colour) {
      const swatch = element("i", { class: "swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = `rgb(${colour.join(" ")})`;
      name.prepend(swatch);
    }
    list.append(element("li", {}, name, element("progress", { max: 1, value: share, "aria-label": label }), element("span", { class: "number" }, percent(share))));
  }
  return list;
}

export function facts(entries) {
  const list = element("dl", { class: "facts" });
  for (const [title, value] of entries) {
    if (value) list.append(element("dt", {}, title), element("dd", {}, String(value)));
  }
  return list;
}
