// Where a picture is drawn, dropped, pasted, chosen or taken.

const PAPER = "#fff", INK = "#111", PEN = 20, STEP = 10;
const STEPS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const NAMES = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/tiff": "tif" };

export class Stage {
  // changed(kind): a stroke has ended, a file is there, or everything is gone.
  constructor(root, { say, changed, ask }) {
    this.root = root;
    this.canvas = root.querySelector("#canvas");
    this.preview = root.querySelector("#preview");
    this.invite = root.querySelector("#invite");
    this.inviting = this.invite.textContent;
    this.preview.addEventListener("error", () => this.#withoutPreview());
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.say = say;
    this.changed = changed;
    this.pen = { x: 140, y: 140, down: false };
    this.file = null;
    this.marked = false;
    this.#listen(ask);
    this.clear(false);
  }

  get isEmpty() {
    return this.file === null && !this.marked;
  }

  // What is on it: { blob, type, name }.
  async picture() {
    if (this.file !== null) return { blob: this.file, type: this.file.type || "application/octet-stream", name: this.file.name };
    const blob = await new Promise((done) => this.canvas.toBlob(done, "image/png"));
    return { blob, type: "image/png", name: "drawing.png" };
  }

  // Pixels of what is seen; 0 where the browser cannot show the file.
  async size() {
    if (this.file === null) return { width: this.canvas.width, height: this.canvas.height };
    await this.preview.decode().catch(() => {});
    return { width: this.preview.naturalWidth, height: this.preview.naturalHeight };
  }

  clear(tell = true) {
    this.file = null;
    this.marked = false;
    this.pen.down = false;
    this.context.fillStyle = PAPER;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.preview.src) URL.revokeObjectURL(this.preview.src);
    this.preview.removeAttribute("src");
    this.preview.hidden = true;
    this.canvas.hidden = false;
    this.invite.textContent = this.inviting;
    this.invite.hidden = false;
    if (tell) this.changed("cleared");
  }

  choose(file) {
    if (!file) return;
    this.clear(false);
    // Pasted pictures have no name of their own.
    this.file = file.name ? file : new File([file], `picture.${NAMES[file.type] || "png"}`, { type: file.type });
    this.preview.src = URL.createObjectURL(this.file);
    this.preview.hidden = false;
    this.canvas.hidden = true;
    this.invite.hidden = true;
    this.changed("file");
  }

  #withoutPreview() {
    if (this.file === null) return;
    this.preview.hidden = true;
    this.canvas.hidden = false;
    this.invite.textContent = `${this.file.name}: this browser cannot show it. The model is asked all the same.`;
    this.invite.hidden = false;
  }

  #line(fromX, fromY, toX, toY) {
    this.context.strokeStyle = INK;
    this.context.lineWidth = PEN;
    this.context.lineCap = this.context.lineJoin = "round";
    this.context.beginPath();
    this.context.moveTo(fromX, fromY);
    this.context.lineTo(toX, toY);
    this.context.stroke();
    this.marked = true;
    this.invite.hidden = true;
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  #listen(ask) {
    let last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      if (this.file !== null) this.clear(false); // one that the browser cannot show
      last = this.#place(event);
      this.#line(...last, ...last);
      this.changed("drawing");
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const next = this.#place(event);
      this.#line(...last, ...next);
      last = next;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => {
        if (last !== null) this.changed("drawn");
        last = null;
      });
    }
    this.canvas.addEventListener("keydown", (event) => this.#key(event, ask));
    this.root.addEventListener("dragover", (event) => { event.preventDefault(); this.root.classList.add("over"); });
    this.root.addEventListener("dragleave", () => this.root.classList.remove("over"));
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.root.classList.remove("over");
      this.choose(event.dataTransfer.files[0]);
    });
    addEventListener("paste", (event) => this.choose([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
  }

  #key(event, ask) {
    const pen = this.pen;
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) this.#line(pen.x, pen.y, pen.x, pen.y);
    } else if (event.key === "Enter") {
      ask();
    } else if (event.key === "Escape") {
      this.clear();
    } else if (event.key in STEPS) {
      const [x, y] = STEPS[event.key];
      const clamp = (value) => Math.min(this.canvas.width - STEP, Math.max(STEP, value));
      const to = { x: clamp(pen.x + x), y: clamp(pen.y + y) };
      if (pen.down) this.#line(pen.x, pen.y, to.x, to.y);
      Object.assign(pen, to);
    } else {
      return;
    }
    event.preventDefault();
    this.say(`Pen ${pen.down ? "down" : "up"} at ${pen.x}, ${pen.y}.`);
  }
}
