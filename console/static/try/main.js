// The first screen: a picture on the left, its answer on the right at once.

import { KEY, byId } from "../console.js";
import { showAnswer } from "./answer.js";
import { ask, Refused } from "./ask.js";
import { element } from "./elements.js";
import { askWhether } from "./feedback.js";
import { SNIPPETS } from "./snippets.js";
import { Stage } from "./stage.js";

const PAUSE_MS = 700; // after the last stroke
const MODELS = new Map(JSON.parse(byId("models").textContent).map((model) => [model.name, model]));
const root = byId("try");
const key = byId("key");
const overlay = byId("overlay");
const boxes = byId("boxes");
let underWay = null;
let pause = 0;
let shown = null; // what the snippets are about
let tab = "curl";

const stage = new Stage(byId("stage"), {
  say: (text) => { byId("pen").textContent = text; },
  ask: () => send(),
  changed(kind) {
    clearTimeout(pause);
    underWay?.abort();
    hideFindings();
    if (kind === "drawn") pause = setTimeout(send, PAUSE_MS);
    else if (kind === "file") send();
    else if (kind === "cleared") show("nothing");
  },
});

const model = () => MODELS.get(root.querySelector("[name=model]:checked")?.value);

function show(...ids) {
  for (const id of ["nothing", "problem", "wait", "said"]) byId(id).hidden = !ids.includes(id);
  byId("answer").setAttribute("aria-busy", String(ids.includes("wait")));
}

function hideFindings() {
  overlay.hidden = true;
  boxes.hidden = true;
  byId("slider-row").hidden = true;
}

async function send() {
  clearTimeout(pause);
  underWay?.abort();
  if (stage.isEmpty) {
    show("problem");
    byId("problem").textContent = "There is no picture yet: draw one, or choose one.";
    return;
  }
  const chosen = model();
  if (!chosen) return;
  const mine = (underWay = new AbortController());
  hideFindings();
  show("wait");
  try {
    const picture = await stage.picture();
    const path = `/v1/models/${chosen.name}:predict`;
    tell({ url: root.dataset.url + path, type: picture.type, name: picture.name, blob: picture.blob });
    const answer = await ask(`${path}?${chosen.query}`, picture, key.value.trim(), mine.signal);
    if (mine.signal.aborted) return;
    await showAnswer(byId("said"), answer, chosen, { overlay, boxes, ...(await stage.size()) });
    askWhether(byId("said"), answer, chosen, key.value.trim());
    // The first alone is answered unless all are asked for.
    if (answer.document.predictions[0]?.subjects?.length > 1) tell({ ...shown, url: `${shown.url}?several=all` });
    byId("slider-row").hidden = overlay.hidden;
    show("said");
    tellTries(answer.left);
    showCard(chosen.name, answer.document.model_version);
  } catch (error) {
    if (mine.signal.aborted) return;
    show("problem");
    byId("problem").textContent = error.message;
    if (error instanceof Refused && (error.status === 401 || error.code === "tries_used_up")) {
      byId("own-key").open = true;
      byId("problem").append(" ", element("a", { href: "/register" }, "Sign up"));
    }
  }
}

function tellTries(left) {
  const text = key.value ? "Answered with your key." : "";
  byId("tries-left").textContent = left === null ? text : `${left} ${left === "1" ? "answer" : "answers"} without an account left today.`;
}

// The card of the revision that answered.
async function showCard(name, revision) {
  const card = byId("card");
  if (card?.dataset.model === name && card.dataset.revision === revision) return;
  const answer = await fetch(`/models/${name}/${encodeURIComponent(revision)}`).catch(() => null);
  if (!answer?.ok) { card?.remove(); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = document.adoptNode(page.getElementById("card"));
  const title = found.querySelector("h1");
  title.replaceWith(element("h2", { id: title.id }, ...title.childNodes));
  found.querySelector("details[open]")?.removeAttribute("open");
  if (card) card.replaceWith(found);
  else root.append(found);
}

function tell(request) {
  shown = request;
  byId("again").hidden = false;
  byId("code").textContent = SNIPPETS[tab](request);
  const save = byId("save");
  if (save.href) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(request.blob);
  save.download = request.name;
  save.hidden = request.name !== "drawing.png" && !request.blob.fromPage;
}

const tabs = [...root.querySelectorAll("[role=tab]")];
for (const [at, button] of tabs.entries()) {
  button.addEventListener("click", () => {
    for (const each of tabs) {
      each.setAttribute("aria-selected", String(each === button));
      each.tabIndex = each === button ? 0 : -1;
    }
    tab = button.id.slice("tab-".length);
    byId("snippet").setAttribute("aria-labelledby", button.id);
    if (shown) byId("code").textContent = SNIPPETS[tab](shown);
  });
  button.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(at + by + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
}

function showSamples() {
  const list = byId("samples");
  list.replaceChildren();
  const chosen = model();
  for (const name of chosen?.samples ?? []) {
    const words = name.replace(/\.\w+$/, "").replaceAll("+", " and ").replaceAll("-", " ");
    const image = element("img", { src: `/static/samples/${encodeURIComponent(name)}`, alt: `Sample: ${words}` });
    if (!chosen.query) image.className = "cover";
    const button = element("button", { type: "button" }, image);
    button.addEventListener("click", async () => {
      const blob = await fetch(image.src).then((answer) => answer.blob());
      const file = new File([blob], name.replaceAll("+", "-"), { type: blob.type });
      file.fromPage = true;
      stage.choose(file);
    });
    list.append(button);
  }
}

for (const radio of root.querySelectorAll("[name=model]")) {
  radio.addEventListener("change", () => {
    showSamples();
    showCard(model().name, model().revision);
    if (stage.isEmpty) show("nothing");
    else send();
  });
}
for (const [button, input] of [["choose", "file"], ["photograph", "camera"]]) {
  byId(button).addEventListener("click", () => byId(input).click());
  byId(input).addEventListener("change", (event) => {
    stage.choose(event.target.files[0]);
    event.target.value = "";
  });
}
byId("send").addEventListener("click", send);
byId("clear").addEventListener("click", () => stage.clear());
byId("slider").addEventListener("input", (event) => { overlay.style.opacity = event.target.value / 100; });
overlay.style.opacity = byId("slider").value / 100;
key.value = sessionStorage.getItem(KEY) || "";
if (key.value) byId("tries-left").textContent = "Your key answers.";
else if (root.dataset.tries === "0") byId("own-key").open = true;
byId("key-form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
key.addEventListener("input", () => {
  if (key.value.trim()) sessionStorage.setItem(KEY, key.value.trim());
  else sessionStorage.removeItem(KEY);
});
const wanted = new URLSearchParams(location.search).get("model");
if (MODELS.has(wanted)) byId(`model-${wanted}`).checked = true;
showSamples();
if (MODELS.has(wanted)) showCard(wanted, model().revision);
