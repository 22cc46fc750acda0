// The frame: head, views, shortcuts, and the stream that keeps the view up to date. Works under any prefix.

import { h, show } from "./dom.js";
import { clients, overview, requests, services } from "./views.js";

const VIEWS = [
  { key: "1", path: "", title: "Overview", data: "overview", show: overview },
  { key: "2", path: "services", title: "Services", data: "services", show: services, filtered: true },
  { key: "3", path: "clients", title: "Clients and endpoints", data: "clients", show: clients, filtered: true },
  { key: "4", path: "requests", title: "Recent requests", data: "requests", show: requests, filtered: true },
];
const SHORTCUTS = [
  ["1 to 4", "go to a view"],
  ["/", "filter"],
  ["Enter on a bound name", "its endpoints"],
  ["?", "this help"],
  ["Esc", "close, or leave the filter"],
];

const main = document.getElementById("main");
const state = { open: new Set(), draw: () => {} };
let source = null;

function route() {
  const path = location.hash.replace(/^#\/?/, "");
  const view = VIEWS.find((view) => view.path === path) ?? VIEWS[0];
  document.title = `${view.title} · l5d-node`;
  drawHead(view);
  const filter = view.filtered ? h("input", { id: "filter", type: "search", "aria-label": "Filter", placeholder: "Filter", "data-search": true }) : null;
  const place = h("div", {}, h("p", { class: "quiet" }, "…"));
  show(main, view.filtered && h("h1", {}, view.title), filter && h("div", { class: "row" }, filter), place);
  let data = null;
  state.draw = () => { if (data !== null) show(place, view.show(data, filter?.value ?? "", state)); };
  if (filter) filter.oninput = state.draw;
  follow(`ui/${view.data}.json?watch=true`, (next) => { data = next; state.draw(); });
}

function follow(url, take) {
  source?.close();
  source = new EventSource(url);
  source.onopen = () => live(true);
  source.onmessage = (event) => { live(true); take(JSON.parse(event.data)); };
  source.onerror = () => live(false);
}

function live(is) {
  const node = document.getElementById("live");
  node.dataset.live = String(is);
  node.textContent = is ? "live" : "no connection";
}

function drawHead(active) {
  show(document.getElementById("head"),
    h("a", { href: "#/", class: "brand" }, "l5d-node"),
    h("nav", { "aria-label": "Views" }, VIEWS.map((view) =>
      h("a", { href: `#/${view.path}`, "aria-current": view === active ? "page" : null }, view.title, h("kbd", { "aria-hidden": "true" }, view.key)))),
    h("a", { href: "metrics" }, "metrics"), h("a", { href: "admin" }, "all pages"),
    h("span", { id: "live", role: "status" }, ""),
    h("button", { type: "button", class: "plain", onclick: help, "aria-label": "Keyboard shortcuts" }, "?"));
}

function help() {
  const dialog = h("dialog", { "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keyboard"),
    h("dl", {}, SHORTCUTS.flatMap(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, "Close")));
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input")) {
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
addEventListener("hashchange", route);
document.getElementById("skip").onclick = (event) => { event.preventDefault(); main.focus(); };
route();
