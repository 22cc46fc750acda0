// The Ingress rules that node proxies get, in the order in which they count.

import { address, badge, code, h, later, say, show, table } from "./dom.js";
import { follow } from "./net.js";

export function ingress(place, params) {
  const found = h("div", {});
  const field = h("input", { id: "q", type: "search", value: params.get("q") ?? "", "data-search": "", autocomplete: "off", spellcheck: "false" });
  let end = () => {};
  const search = () => {
    end();
    const q = field.value.trim();
    address(q ? `#/ingress?${new URLSearchParams({ q })}` : "#/ingress");
    end = follow("ingress", { q }, (now) => show(found, ...parts(now)), (why) => say(why, "bad"));
  };
  field.oninput = later(250, search);
  place.replaceChildren(h("h1", {}, "Ingress rules"), h("p", {}, h("label", { for: "q" }, "Search hosts, paths and services "), field), found);
  search();
}

function parts(now) {
  if (!now.configured) {
    return [h("p", {}, "This namerd serves no Ingress rules. ", code("ingress: {}"), " in its configuration makes it serve them.")];
  }
  const shown = now.rules.length;
  const count = shown < now.found ? `The first ${shown} of ${now.found} found, ${now.total} in all.` : `${now.found} of ${now.total} rules.`;
  return [
    h("p", { class: "quiet", role: "status" },
      `Class ${now.class}${now.unclassed ? ", and Ingresses without a class" : ""}, from ${now.api}. `,
      now.listed ? count : badge("bad", "not listed yet")),
    now.left_out.length > 0 && h("p", {}, badge("warn", "left out"), " ", now.left_out.map((l) => `${l.rules} (${l.reason})`).join(", ")),
    table("Ingress rules", ["No.", "Host", "Path", "Matches", "Namespace", "Service", "Port", "Default"], now.rules.map((r) => [
      r.place, code(r.host), r.path ? code(r.path) : "", r.kind, r.namespace, r.service, r.port, r.default ? "yes" : "",
    ]), "No rule."),
  ];
}
