// Whether an answer was right, said with the key that asked.

import { element } from "./elements.js";

// Adds the question to `said`, where the answer names one label of the model's.
export function askWhether(said, { document: answer, requestId }, model, key) {
  const [first] = answer.predictions;
  const subject = first?.subjects?.length === 1 ? first.subjects[0] : first;
  if (!key || !requestId || answer.predictions.length !== 1 || subject?.label === undefined || subject.labels || !model.labels?.includes(subject.label)) return;
  const told = element("p", { class: "hint", id: "thanks", role: "status" });
  const yes = element("button", { type: "button", class: "small", id: "right" }, "Yes");
  const other = element("select", { id: "other", "aria-label": "No, it is" }, element("option", { value: "" }, "No, it is …"));
  for (const label of model.labels) if (label !== subject.label) other.append(element("option", { value: label }, label));
  const say = async (label) => {
    try {
      const reply = await fetch("/v1/feedback", {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ request_id: requestId, label }),
        credentials: "omit",
      });
      const said = await reply.json();
      told.textContent = reply.ok ? "Thank you, that is on record." : `Not on record: ${said.error}.`;
    } catch {
      told.textContent = "Not on record: the service cannot be reached.";
    }
  };
  yes.addEventListener("click", () => say(subject.label));
  other.addEventListener("change", () => { if (other.value) say(other.value); });
  said.append(element("div", { class: "row whether" }, element("span", { class: "label" }, "Was this right?"), yes, other), told);
}
