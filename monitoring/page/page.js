// The panels of panels.json, drawn from Prometheus' own API, which serves this page too.
"use strict";
const WIDTH = 520, HEIGHT = 180, LEFT = 68, BOTTOM = 20, TOP = 8, RIGHT = 8, POINTS = 120;
const COLOURS = ["#2f6fde", "#d9730d", "#1b8a5a", "#a33bc2", "#c2374b", "#0f8b8d", "#8a6d1b", "#6a5acd"];
// index.html?seconds=420&window=5: the last 420 seconds, with rates over 5 seconds or more.
const asked = new URLSearchParams(location.search);
const REFRESH_MS = 15000, LEAST_WINDOW = +asked.get("window") || 60;

const get = async (path, query) => {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(query)}`);
  const body = await answer.json();
  if (body.status !== "success") throw new Error(body.error || answer.statusText);
  return body.data;
};
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const shape = (name, attributes, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};
const scaled = (value, base, units) => {
  let index = 0;
  while (Math.abs(value) >= base && index < units.length - 1) { value /= base; index += 1; }
  return `${+value.toPrecision(3)} ${units[index]}`.trim();
};
const shown = (value, unit) => !Number.isFinite(value) ? "–" : unit.startsWith("currency") ?
  `${+value.toPrecision(3)} ${unit.slice("currency".length)}` : ({
  percentunit: () => `${+(100 * value).toPrecision(3)} %`,
  s: () => (value < 1 ? `${+(1000 * value).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`),
  bytes: () => scaled(value, 1024, ["B", "KiB", "MiB", "GiB"]),
  Bps: () => scaled(value, 1024, ["B/s", "KiB/s", "MiB/s", "GiB/s"]),
  reqps: () => `${+value.toPrecision(3)}/s`,
}[unit] || (() => `${+value.toPrecision(3)}`))();

const draw = (panel, series, from, to) => {
  const values = series.flatMap(one => one.values.map(([, v]) => +v)).filter(Number.isFinite);
  if (!values.length) return element("p", { className: "empty", textContent: "nothing yet" });
  const least = Math.min(0, ...values), most = Math.max(...values) > least ? Math.max(...values) : least + 1;
  const x = time => LEFT + (WIDTH - LEFT - RIGHT) * (time - from) / (to - from);
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - least) / (most - least));
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": panel.title });
  for (const part of [0, 0.5, 1]) {
    const value = least + part * (most - least);
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    picture.append(shape("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value, panel.unit)));
  }
  for (const part of [0, 0.5, 1]) {
    const time = from + part * (to - from);
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const text = new Date(1000 * time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    picture.append(shape("text", { x: x(time), y: HEIGHT - 4, "text-anchor": anchor }, text));
  }
  const step = (to - from) / POINTS;
  series.forEach((one, index) => {
    let path = "", last = -Infinity;
    for (const [time, text] of one.values) {
      if (!Number.isFinite(+text)) continue;
      path += `${time - last > 1.5 * step ? "M" : "L"}${x(time).toFixed(1)},${y(+text).toFixed(1)}`;
      last = time;
    }
    picture.append(shape("path", { class: "series", d: path, stroke: COLOURS[index % COLOURS.length] }));
  });
  return picture;
};

const legend = (panel, series) => element("ul", { className: "legend" }, ...series.map((one, index) => {
  const name = panel.legend.replace(/\{\{(\w+)\}\}/g, (_, label) => one.metric[label] ?? "").trim() || panel.title;
  const mark = element("i");
  mark.style.background = COLOURS[index % COLOURS.length];
  return element("li", {}, mark, `${name}: ${shown(+one.values.at(-1)[1], panel.unit)}`);
}));

const drawPanel = async (panel, from, to) => {
  const step = (to - from) / POINTS, window = `${Math.max(LEAST_WINDOW, Math.ceil(4 * step))}s`;
  const card = element("article", { className: "panel" }, element("h3", { textContent: panel.title }));
  try {
    const query = panel.query.replaceAll("$window", window);
    const { result } = await get("query_range", { query, start: from, end: to, step });
    card.append(draw(panel, result, from, to), legend(panel, result));
  } catch (error) {
    card.append(element("p", { className: "empty", textContent: `Prometheus does not answer: ${error.message}` }));
  }
  return card;
};

const drawAlerts = async () => {
  const { alerts } = await get("alerts", {});
  const firing = alerts.filter(alert => alert.state === "firing");
  const lines = firing.map(alert => element("p", { className: "firing" },
    element("strong", { textContent: alert.labels.alertname }), ` ${alert.annotations.summary}`));
  const quiet = element("p", { className: "quiet", textContent: "No alert is firing." });
  document.getElementById("alerts").replaceChildren(...(lines.length ? lines : [quiet]));
};

const drawAll = async () => {
  const to = Date.now() / 1000, from = to - document.getElementById("span").value;
  const dashboards = await (await fetch("panels.json")).json();
  const drawn = await Promise.all(dashboards.map(async dashboard => element("section", {},
    element("h2", { textContent: dashboard.title }),
    element("div", { className: "panels" },
      ...await Promise.all(dashboard.panels.map(panel => drawPanel(panel, from, to)))))));
  document.getElementById("dashboards").replaceChildren(...drawn);
  await drawAlerts().catch(() => {});
};

if (+asked.get("seconds")) {
  const seconds = `${+asked.get("seconds")}`;
  document.getElementById("span").prepend(
    element("option", { value: seconds, textContent: `${seconds} seconds`, selected: true }));
}
document.getElementById("span").addEventListener("change", drawAll);
drawAll();
setInterval(drawAll, REFRESH_MS);
