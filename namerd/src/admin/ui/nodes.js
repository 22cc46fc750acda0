// Who is connected, how far behind, and what they follow.

import { address, age, badge, bytes, code, h, later, link, say, show, span, table } from "./dom.js";
import { bindings } from "./names.js";
import { follow } from "./net.js";

/** Longer stale is slow. */
const STALE = 5;

export function nodes(place, params) {
  const found = h("div", {});
  const field = h("input", { id: "q", type: "search", value: params.get("q") ?? "", "data-search": "", autocomplete: "off", spellcheck: "false" });
  let end = () => {};
  const search = () => {
    end();
    const q = field.value.trim();
    address(q ? `#/nodes?${new URLSearchParams({ q })}` : "#/nodes");
    end = follow("sessions", { q }, (now) => show(found, ...rows(now)), (why) => say(why, "bad"));
  };
  field.oninput = later(250, search);
  place.replaceChildren(h("h1", {}, "Nodes"), h("p", {}, h("label", { for: "q" }, "Search names and addresses "), field), found);
  search();
}

function rows(now) {
  const shown = now.sessions.length;
  const count = shown < now.found ? `The first ${shown} of ${now.found} found, ${now.total} connected.` : `${now.found} of ${now.total} connected.`;
  return [
    h("p", { class: "quiet", role: "status" }, count),
    table("Nodes", ["Node", "From", "Proxy", "Connected", "Stale", "Lag", "Names", "Clusters", "Sent", "Writes"], now.sessions.map((s) => [
      link(`#/node/${s.id}`, s.node || "(no name)"), code(s.peer), s.version, [age(s.connected), s.resumed && " (resumed)"], stale(s.stale), span(s.lag),
      s.interests, s.clusters, bytes(s.bytes), s.writes,
    ]), "No node proxy is connected."),
  ];
}

/** How long it has been working by less than it was told; nodes acknowledge once a second. */
const stale = (seconds) => (seconds > STALE ? badge("warn", span(seconds)) : span(seconds));

export function node(place, id) {
  const one = (s) => show(place,
    h("h1", {}, s.node || "(no name)"),
    h("p", { class: "quiet" }, `from ${s.peer}, proxy ${s.version}, connected ${age(s.connected)}${s.resumed ? ", resumed" : ""}`),
    h("p", {}, "Stale ", stale(s.stale), ", lag ", span(s.lag), `, ${s.interests} names, ${s.clusters} clusters, ${bytes(s.bytes)} in ${s.writes} writes`),
    h("h2", {}, "Follows"),
    s.found > s.bindings.length && h("p", { class: "quiet" }, `The first ${s.bindings.length} of ${s.found}.`),
    bindings("Followed names", s.bindings));
  follow("session", { id }, one, (why) => show(place, h("h1", {}, "Node"), h("p", {}, badge("warn", why), " ", link("#/nodes", "all nodes"))));
}
