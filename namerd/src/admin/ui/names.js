// Bound names: what is asked for, where it leads, and the addresses behind it.

import { address, badge, code, h, later, link, say, show, table } from "./dom.js";
import { follow, look } from "./net.js";

export function names(place, params) {
  const found = h("div", {});
  const known = h("div", {});
  const field = h("input", { id: "q", type: "search", value: params.get("q") ?? "", "data-search": "", autocomplete: "off", spellcheck: "false" });
  let end = () => {};
  const search = () => {
    end();
    const q = field.value.trim();
    address(q ? `#/names?${new URLSearchParams({ q })}` : "#/names");
    end = follow("bindings", { q }, (now) => show(found, ...rows(now)), (why) => say(why, "bad"));
    look("names", { q }).then((now) => show(known, ...listing(now)), (e) => say(e.message, "bad"));
  };
  field.oninput = later(250, search);
  place.replaceChildren(
    h("h1", {}, "Bound names"),
    h("p", {}, h("label", { for: "q" }, "Search paths, namespaces and targets "), field),
    h("h2", {}, "Asked for"), found,
    h("h2", {}, "Known to namers"), known);
  search();
}

function rows(now) {
  const shown = now.bindings.length;
  const count = shown < now.found ? `The first ${shown} of ${now.found} found, ${now.total} in all.` : `${now.found} of ${now.total}.`;
  return [h("p", { class: "quiet", role: "status" }, count), bindings("Bindings", now.bindings)];
}

/** Bindings as a table. */
export function bindings(caption, all) {
  return table(caption, ["Path", "Namespace", "State", "Leads to", "Addresses", "Transformers", "Override"],
    all.map((b) => [
      link(`#/name/${b.number}`, code(b.path)), b.namespace ?? h("span", { class: "quiet" }, "none"), state(b), code(b.tree ?? ""),
      b.clusters.map((c) => h("div", {}, addresses(c.addresses))), b.transformers.join(", "), b.dtab ? code(b.dtab) : "",
    ]), "Nobody asks for such a name.");
}

const state = (b) => badge({ bound: "good", failed: "bad" }[b.state] ?? "warn", b.state);

/** A set in a word. */
export function addresses(a) {
  if (a.state !== "bound") return badge(a.state === "failed" ? "bad" : "warn", a.cause ? `failed: ${a.cause}` : a.state);
  return a.endpoints === 0 ? badge("warn", "empty") : `${a.endpoints} endpoint${a.endpoints === 1 ? "" : "s"}`;
}

function listing(now) {
  if (now.found === 0) return [h("p", { class: "quiet" }, "No namer lists such a name.")];
  return [
    h("p", { class: "quiet" }, now.names.length < now.found ? `The first ${now.names.length} of ${now.found}.` : `${now.found} of ${now.total}.`),
    h("ul", { class: "names" }, now.names.map((name) => h("li", {}, code(name)))),
  ];
}

export function name(place, number) {
  follow("binding", { number }, (b) => show(place, ...one(b)), (why) =>
    show(place, h("h1", {}, "Bound name"), h("p", {}, badge("warn", why), " ", link("#/names", "all bound names"))));
}

function one(b) {
  const explain = b.namespace && `#/ns/${encodeURIComponent(b.namespace)}?path=${encodeURIComponent(b.path)}`;
  return [
    h("h1", {}, code(b.path), " ", state(b)),
    h("p", {}, "Namespace ", b.namespace ? link(`#/ns/${encodeURIComponent(b.namespace)}`, b.namespace) : "none", explain && [", ", link(explain, "explain it")]),
    b.router_dtab && h("p", {}, "Router's dtab ", code(b.router_dtab)),
    b.dtab && h("p", {}, "Override ", code(b.dtab)),
    b.transformers.length > 0 && h("p", {}, "Transformers ", b.transformers.join(", ")),
    h("p", {}, "Leads to ", code(b.tree ?? "nothing yet")),
    ...b.clusters.flatMap((c) => [
      h("h2", { class: "id" }, code(c.id), " ", addresses(c.addresses)),
      h("p", { class: "quiet" }, c.residual && c.residual !== "/" ? `residual path ${c.residual}` : "", c.weight !== null && c.weight !== undefined ? ` weight in its union ${c.weight}` : ""),
      endpoints(c.addresses),
    ]),
  ];
}

/** The endpoints of a set. */
export function endpoints(a) {
  const list = a.list ?? [];
  const total = list.reduce((sum, e) => sum + e.weight, 0);
  const rows = list.map((e) => [code(e.addr), e.node ?? "", e.zone ?? "", share(e.weight, total), Object.entries(e.meta ?? {}).map(([k, v]) => `${k}=${v}`).join(" ")]);
  return h("div", {},
    table("Addresses", ["Address", "Node", "Zone", "Weight", "Metadata"], rows, "No addresses."),
    a.endpoints > list.length && h("p", { class: "quiet" }, `The first ${list.length} of ${a.endpoints}.`));
}

/** A weight with a bar of its share. */
export function share(weight, total) {
  const part = total > 0 ? weight / total : 0;
  return h("span", { class: "share" }, h("meter", { min: 0, max: 1, value: part, "aria-label": "share" }), ` ${+weight.toFixed(3)} (${Math.round(part * 100)} %)`);
}
