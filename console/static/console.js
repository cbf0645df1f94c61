// What every page has: copying, showing a secret, a form that is being sent, being offline.

export const KEY = "vision-key";
export const byId = (id) => document.getElementById(id);

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const source = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
      button.textContent = "Copied";
    } catch {
      // Without https, or where it is not allowed: marked, to be copied by hand.
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = label; }, 2500);
  });
}

for (const button of document.querySelectorAll("[data-reveal]")) {
  button.addEventListener("click", () => {
    const field = byId(button.dataset.reveal);
    const hidden = field.type === "password";
    field.type = hidden ? "text" : "password";
    button.textContent = hidden ? "Hide" : "Show";
  });
}

// A key that was just made is there for the page that tries it, in this tab.
for (const field of document.querySelectorAll("[data-keep-key]")) sessionStorage.setItem(KEY, field.value);

for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
    // After the browser has read the form: a button that is disabled sends nothing.
    setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; });
  });
  // Back to a page that was left by its form.
  addEventListener("pageshow", () => {
    form.removeAttribute("aria-busy");
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  });
}

for (const form of document.querySelectorAll("form[data-at-once]")) form.requestSubmit();

// A month is wider than a phone: its latest days are seen first.
for (const plot of document.querySelectorAll(".scroll")) {
  new ResizeObserver(() => { plot.scrollLeft = plot.scrollWidth; }).observe(plot);
}

function tellConnection() {
  byId("offline").hidden = navigator.onLine;
}
addEventListener("online", tellConnection);
addEventListener("offline", tellConnection);
tellConnection();
