// The frame: head, routes, shortcuts. A route is the fragment of the URL, so the page works under any prefix.

import { h, show } from "./dom.js";
import { leaveAll } from "./net.js";
import { ingress } from "./ingress.js";
import { log, overview } from "./overview.js";
import { namespace, namespaces } from "./dtab.js";
import { name, names } from "./names.js";
import { node, nodes } from "./nodes.js";

const VIEWS = [
  { key: "1", path: "", title: "Overview", show: overview },
  { key: "2", path: "namespaces", title: "Namespaces", show: namespaces },
  { key: "3", path: "names", title: "Bound names", show: names },
  { key: "4", path: "nodes", title: "Nodes", show: nodes },
  { key: "5", path: "ingress", title: "Ingress", show: ingress },
  { key: "6", path: "log", title: "Log levels", show: log },
];
const DETAILS = { ns: [namespace, "namespaces"], name: [name, "names"], node: [node, "nodes"] };
const SHORTCUTS = [
  ["1 to 6", "go to a view"],
  ["/", "search, or the name to explain"],
  ["Ctrl+S", "save the dtab, after a look at the difference"],
  ["Ctrl+Enter", "explain the name"],
  ["arrows, Home, End", "walk through the delegation tree"],
  ["?", "this help"],
  ["Esc", "close"],
];

const main = document.getElementById("main");
let guard = null;
let shown = null;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const params = new URLSearchParams(query || "");
  const slash = path.indexOf("/");
  const head = slash < 0 ? path : path.slice(0, slash);
  if (shown !== null && guard?.() && !confirm("The dtab has changes that are not saved. Leave it?")) {
    history.replaceState(null, "", shown);
    return;
  }
  leaveAll();
  guard = null;
  shown = location.hash || "#/";
  const place = h("div", {});
  main.replaceChildren(place);
  let active = head;
  if (slash > 0 && DETAILS[head]) {
    const [view, parent] = DETAILS[head];
    active = parent;
    guard = view(place, plain(path.slice(slash + 1)), params) ?? null;
  } else {
    (VIEWS.find((view) => view.path === head) ?? VIEWS[0]).show(place, params);
  }
  drawHead(VIEWS.some((view) => view.path === active) ? active : "");
}

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function drawHead(active) {
  const title = VIEWS.find((view) => view.path === active).title;
  document.title = `${title} · namerd`;
  show(document.getElementById("head"),
    h("a", { href: "#/", class: "brand", "aria-label": "namerd, overview" }, "namerd"),
    h("nav", { "aria-label": "Views" }, VIEWS.map((view) =>
      h("a", { href: `#/${view.path}`, "aria-current": view.path === active ? "page" : null }, view.title, h("kbd", { "aria-hidden": "true" }, view.key)))),
    h("span", { id: "live", role: "status" }, ""),
    h("button", { type: "button", class: "plain", onclick: help, "aria-label": "Keyboard shortcuts" }, "?"));
}

function help() {
  const dialog = h("dialog", { "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keyboard"),
    h("dl", { class: "keys" }, SHORTCUTS.flatMap(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, "Close")));
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const view = VIEWS.find((view) => view.key === event.key);
  if (view) location.hash = `#/${view.path}`;
  else if (event.key === "?") help();
  else if (event.key === "/") document.querySelector("[data-search]")?.focus();
  else return;
  event.preventDefault();
});

addEventListener("beforeunload", (event) => { if (guard?.()) event.preventDefault(); });
addEventListener("hashchange", () => { if (location.hash !== shown) route(); });
document.getElementById("skip").onclick = (event) => { event.preventDefault(); main.focus(); };

// The page of a namespace, as 1.x had it: `dtab/NAME#PATH`.
const data = JSON.parse(document.getElementById("data").textContent);
if (data) {
  const path = location.hash.slice(1);
  const query = path.startsWith("/") ? `?path=${encodeURIComponent(plain(path))}` : "";
  location.replace(new URL(`./#/ns/${encodeURIComponent(data.namespace)}${query}`, document.baseURI));
} else {
  route();
}
