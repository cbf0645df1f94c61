// One request to a model, as anybody would send it.

export class Refused extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

// Returns { document, milliseconds, left, requestId }; throws Refused with a sentence.
export async function ask(path, picture, key, signal) {
  const headers = { "content-type": picture.type };
  if (key) headers.authorization = `Bearer ${key}`;
  const started = performance.now();
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: picture.blob, credentials: "omit", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(navigator.onLine ? "The service cannot be reached. Try again in a moment." : "You are offline. Ask again when you are back.", "unreachable", 0);
  }
  const document = await answer.json().catch(() => null);
  const milliseconds = Math.round(performance.now() - started);
  if (!answer.ok || document === null) {
    throw new Refused(sentence(document?.error ?? `the service answered with status ${answer.status}`), document?.code, answer.status);
  }
  return { document, milliseconds, left: answer.headers.get("x-tries-left"), requestId: answer.headers.get("x-request-id") };
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
