// Requests to the admin server, all relative to the page, and views that are followed.

const open = new Set();

/** An answer that is not as wished: its status and text. */
export class Refused extends Error {
  constructor(status, text) {
    super(text || `the server answered ${status}`);
    this.status = status;
  }
}

async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", ...options });
  } catch {
    throw new Refused(0, "namerd does not answer");
  }
  if (!response.ok) throw new Refused(response.status, response.status === 404 ? (await response.text()) || "not allowed here, or not there" : await response.text());
  return response;
}

const target = (view, params) => `ui/${view}.json?${new URLSearchParams(params)}`;

/** A view once. */
export const look = async (view, params = {}) => (await ask(target(view, params))).json();

/** Every step of a name by this dtab alone. */
export async function delegate(dtab, path, signal) {
  const body = JSON.stringify({ dtab, path });
  const headers = { "Content-Type": "application/json" };
  return (await ask("dtab/delegator.json", { method: "POST", headers, body, signal })).json();
}

export const check = async (text, signal) => (await ask("ui/check.json", { method: "POST", body: text, signal })).json();

/** Writes a dtab over this version, or creates it: the new version. */
export async function save(namespace, text, version) {
  const condition = version === null ? { "If-None-Match": "*" } : { "If-Match": version };
  const headers = { "Content-Type": "application/dtab", ...condition };
  const response = await ask(target("dtab", { namespace }), { method: "PUT", headers, body: text });
  return response.headers.get("ETag");
}

export const remove = (namespace, version) => ask(target("dtab", { namespace }), { method: "DELETE", headers: { "If-Match": version } });

export const levels = async () => (await ask("logging.json")).json();
export const setLevel = (logger, level) => ask(`logging.json?${new URLSearchParams({ logger, level })}`, { method: "POST" });

/** Calls `tell(value)` with each change of a view, `fail(text)` when it cannot be had, until `leaveAll` or the result is called. */
export function follow(view, params, tell, fail = () => {}) {
  let source = null;
  let timer = null;
  let ended = false;
  const start = () => {
    if (ended || document.hidden || source) return;
    source = new EventSource(target(view, { ...params, watch: "true" }));
    source.onmessage = (event) => { live(true); tell(JSON.parse(event.data)); };
    source.addEventListener("refused", (event) => fail(JSON.parse(event.data)));
    source.onerror = () => {
      live(false);
      if (source?.readyState !== EventSource.CLOSED) return;
      // All places are taken, or it is refused: ask now and then.
      stop();
      look(view, params).then(tell, (e) => fail(e.message));
      timer = setTimeout(start, 5000);
    };
  };
  const stop = () => { clearTimeout(timer); source?.close(); source = null; };
  const onVisible = () => (document.hidden ? stop() : start());
  document.addEventListener("visibilitychange", onVisible);
  const end = () => { ended = true; stop(); document.removeEventListener("visibilitychange", onVisible); open.delete(end); };
  open.add(end);
  start();
  return end;
}

/** Ends all that is followed. */
export function leaveAll() {
  for (const end of [...open]) end();
}

function live(is) {
  const place = document.getElementById("live");
  if (!place || place.dataset.live === String(is)) return;
  place.dataset.live = String(is);
  place.textContent = is ? "live" : "not connected, trying again";
}
