// The page's one script: drawing, asking a model, showing its answer. Nothing leaves for anybody
// but this very host.
"use strict";

const KEY = "vision-key";
const ACCEPT = "image/png, application/json;q=0.9";
const byId = (id) => document.getElementById(id);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

for (const button of document.querySelectorAll("[data-try-key]")) {
  button.addEventListener("click", () => {
    sessionStorage.setItem(KEY, byId(button.dataset.tryKey).textContent);
    location.href = "/";
  });
}

if (byId("try")) tryPage();

function tryPage() {
  const canvas = byId("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const preview = byId("preview");
  const overlay = byId("overlay");
  const pen = { x: 140, y: 140, down: false };
  let file = null;

  byId("key").value = sessionStorage.getItem(KEY) || "";
  clear();

  function clear() {
    file = null;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const image of [preview, overlay]) {
      if (image.src) URL.revokeObjectURL(image.src);
      image.removeAttribute("src");
      image.hidden = true;
    }
    canvas.hidden = false;
    byId("slider-row").hidden = true;
    byId("file").value = "";
  }

  function line(fromX, fromY, toX, toY) {
    context.strokeStyle = "#111";
    context.lineWidth = 22;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
    context.stroke();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * canvas.width,
      ((event.clientY - box.top) / box.height) * canvas.height,
    ];
  }

  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    line(...last, ...last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const next = place(event);
    line(...last, ...next);
    last = next;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => { last = null; });
  }

  const STEPS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) line(pen.x, pen.y, pen.x, pen.y);
    } else if (event.key === "Escape") {
      clear();
    } else if (event.key in STEPS) {
      const [x, y] = STEPS[event.key];
      const toX = Math.min(270, Math.max(10, pen.x + x));
      const toY = Math.min(270, Math.max(10, pen.y + y));
      if (pen.down) line(pen.x, pen.y, toX, toY);
      pen.x = toX;
      pen.y = toY;
    } else {
      return;
    }
    event.preventDefault();
    byId("pen").textContent = `Pen ${pen.down ? "down" : "up"} at ${pen.x}, ${pen.y}.`;
  });

  byId("clear").addEventListener("click", clear);
  byId("file").addEventListener("change", (event) => choose(event.target.files[0]));
  const stage = byId("stage");
  stage.addEventListener("dragover", (event) => { event.preventDefault(); stage.classList.add("over"); });
  stage.addEventListener("dragleave", () => stage.classList.remove("over"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });

  function choose(chosen) {
    if (!chosen) return;
    clear();
    file = chosen;
    preview.src = URL.createObjectURL(chosen);
    preview.hidden = false;
    canvas.hidden = true;
  }

  byId("slider").addEventListener("input", (event) => { overlay.style.opacity = event.target.value / 100; });

  byId("ask").addEventListener("submit", async (event) => {
    event.preventDefault();
    const send = byId("send");
    const answer = byId("answer");
    send.disabled = true;
    answer.setAttribute("aria-busy", "true");
    for (const id of ["problem", "said", "bars", "again"]) byId(id).hidden = true;
    try {
      sessionStorage.setItem(KEY, byId("key").value.trim());
      await ask();
    } catch (error) {
      showProblem(error.message);
    } finally {
      send.disabled = false;
      answer.setAttribute("aria-busy", "false");
    }
  });

  async function ask() {
    const model = byId("model").value;
    const key = byId("key").value.trim();
    const url = `${location.origin}/v1/models/${model}:predict`;
    const request = file === null ? drawn() : sent(file);
    // A picture where the model can answer with one, else JSON: the answer says which it is.
    const headers = { authorization: `Bearer ${key}`, "content-type": request.type, accept: ACCEPT };
    const started = performance.now();
    const answer = await fetch(url, { method: "POST", headers, body: request.body, credentials: "omit" });
    const milliseconds = Math.round(performance.now() - started);
    const picture = (answer.headers.get("content-type") || "").startsWith("image/");
    showCurl(url, headers, request.shown, picture);
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
      throw new Error(said.error);
    }
    if (picture) await showOverlay(answer, milliseconds);
    else showBars(await answer.json(), milliseconds);
  }

  // What was drawn, at a size that keeps the command short.
  function drawn() {
    const small = document.createElement("canvas");
    small.width = small.height = 112;
    small.getContext("2d").drawImage(canvas, 0, 0, 112, 112);
    const base64 = small.toDataURL("image/png").split(",")[1];
    const body = JSON.stringify({ instances: [{ base64 }] });
    return { type: "application/json", body, shown: `-d ${quoted(body)}` };
  }

  function sent(chosen) {
    return { type: chosen.type, body: chosen, shown: `--data-binary ${quoted("@" + chosen.name)}` };
  }

  function quoted(text) {
    return `'${text.replaceAll("'", "'\\''")}'`;
  }

  function showCurl(url, headers, data, picture) {
    const lines = [`curl -s ${quoted(url)}`];
    for (const [name, value] of Object.entries(headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
    if (picture) lines.push("--output overlay.png");
    lines.push(data);
    byId("curl").textContent = lines.join(" \\\n  ");
    byId("again").hidden = false;
  }

  function showBars(answer, milliseconds) {
    const prediction = answer.predictions[0];
    const body = byId("bars").tBodies[0];
    body.replaceChildren();
    for (const { label, probability } of prediction.top) {
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = label;
      row.append(head);
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = probability;
      bar.setAttribute("aria-label", label);
      row.insertCell().append(bar);
      row.insertCell().textContent = `${(100 * probability).toFixed(1)} %`;
    }
    byId("bars").hidden = false;
    said(prediction.label, answer.model_name, answer.model_version, milliseconds);
  }

  async function showOverlay(answer, milliseconds) {
    overlay.src = URL.createObjectURL(await answer.blob());
    overlay.style.opacity = byId("slider").value / 100;
    overlay.hidden = false;
    byId("slider-row").hidden = false;
    said("Map", byId("model").value, "", milliseconds);
  }

  function said(label, model, revision, milliseconds) {
    byId("label").textContent = label;
    const by = revision ? `${model}, revision ${revision}` : model;
    byId("from").textContent = `${by}, ${milliseconds} ms`;
    byId("said").hidden = false;
  }

  function showProblem(message) {
    byId("problem").textContent = message;
    byId("problem").hidden = false;
  }
}
