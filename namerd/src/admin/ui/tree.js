// The delegation tree: every step of a name, with the way that is taken marked.

import { badge, code, h, table } from "./dom.js";
import { share } from "./names.js";

const CAPTIONS = {
  delegate: "leads on",
  alt: "several rules, the first that finds something is taken",
  union: "shared among all that find something",
  leaf: "bound by a namer",
  transformation: "transformed",
  neg: "nothing here, the search goes on",
  fail: "explicit failure, the search ends",
  empty: "exists without addresses",
  exception: "error",
};

// What a branch comes to, as far as the search is concerned.
function outcome(node) {
  switch (node.type) {
    case "neg": return "neg";
    case "fail": return "fail";
    case "exception": return "error";
    case "delegate": return outcome(node.delegate);
    case "transformation": return outcome(node.tree);
    case "alt": return node.alt.map(outcome).find((o) => o !== "neg") ?? "neg";
    case "union": {
      const all = node.union.map((b) => outcome(b.tree));
      return all.includes("found") ? "found" : all.includes("error") ? "error" : "neg";
    }
    default: return leafState(node) === "neg" ? "neg" : "found";
  }
}

const leafState = (node) => node.bound?.addr.type ?? "empty";

// Children with whether the way leads through them, and why not.
function branches(node, taken) {
  const no = "not reached";
  switch (node.type) {
    case "delegate": return [{ node: node.delegate, taken }];
    case "transformation": return [{ node: node.tree, taken }];
    case "union": {
      const total = node.union.reduce((sum, b) => sum + (outcome(b.tree) === "found" ? b.weight : 0), 0);
      return node.union.map((b) => {
        const is = taken && outcome(b.tree) === "found";
        return { node: b.tree, taken: is, why: taken ? "left out of the union" : no, weight: b.weight, total };
      });
    }
    case "alt": {
      const chosen = node.alt.findIndex((b) => outcome(b) !== "neg");
      return node.alt.map((b, i) => ({ node: b, taken: taken && i === chosen, why: !taken ? no : chosen >= 0 && i > chosen ? "one before it was taken" : "finds nothing" }));
    }
    default: return [];
  }
}

/** The tree as an element. `rule(dentry)` is told when somebody wants to see a rule. */
export function tree(root, rule) {
  const list = h("ul", { class: "tree", role: "tree", "aria-label": "Delegation", onkeydown: walk }, item(root, { taken: outcome(root) !== "neg" }, 1, rule));
  list.querySelector("[role=treeitem]").setAttribute("tabindex", "0");
  return h("div", {}, h("p", { role: "status" }, verdict(root)), list);
}

function verdict(root) {
  switch (outcome(root)) {
    case "found": return badge("good", `bound to ${ids(root).join(", ") || "an empty set"}`);
    case "neg": return badge("bad", "negative: no rule leads to anything");
    case "fail": return badge("bad", "an explicit failure ends the search");
    default: return badge("bad", "an error ends the search");
  }
}

// Where the taken way ends.
function ids(node) {
  if (node.type === "leaf") return [node.bound.id];
  return branches(node, true).filter((b) => b.taken).flatMap((b) => ids(b.node));
}

function item(node, way, level, rule) {
  const below = branches(node, way.taken);
  const state = way.taken ? "taken" : "passed";
  const label = `${node.path}, ${CAPTIONS[node.type] ?? node.type}, ${way.taken ? "taken" : way.why ?? "not taken"}`;
  return h("li", { role: "treeitem", tabindex: "-1", class: `${state} ${outcome(node)}`, "aria-level": level, "aria-expanded": below.length > 0 ? "true" : null, "aria-label": label },
    h("div", { class: "step" },
      h("div", { class: "line" },
        h("span", { class: "sign", "aria-hidden": "true" }, way.taken ? (outcome(node) === "found" ? "●" : "✗") : "○"),
        code(node.path),
        way.weight !== undefined && (way.taken ? share(way.weight, way.total) : h("span", { class: "quiet" }, `weight ${way.weight}`)),
        h("span", { class: "quiet" }, node.type === "transformation" ? `transformed by ${node.name}` : CAPTIONS[node.type] ?? node.type),
        !way.taken && way.why && h("span", { class: "why" }, way.why)),
      node.dentry && h("div", { class: "rule" }, "by ",
        h("button", { type: "button", class: "plain", tabindex: "-1", onclick: () => rule(node.dentry), title: "Show the rule in the dtab" }, code(`${node.dentry.prefix} => ${node.dentry.dst}`))),
      node.message && h("div", { class: "bad" }, node.message),
      node.bound && bound(node.bound)),
    below.length > 0 && h("ul", { role: "group" }, below.map((b) => item(b.node, b, level + 1, rule))));
}

function bound({ id, path, addr }) {
  const addrs = addr.addrs ?? [];
  const weight = (a) => Number(a.meta.endpoint_addr_weight ?? 1);
  const total = addrs.reduce((sum, a) => sum + weight(a), 0);
  const host = (a) => (a.ip.includes(":") ? `[${a.ip}]:${a.port}` : `${a.ip}:${a.port}`);
  const rows = addrs.slice(0, 200).map((a) => [code(host(a)), a.meta.nodeName ?? "", a.meta.zone ?? "", share(weight(a), total)]);
  return h("details", { open: addrs.length > 0 && addrs.length <= 12 },
    h("summary", { tabindex: "-1" }, code(id), path !== "/" && [" residual ", code(path)], " ",
      addr.type !== "bound" ? badge(addr.type === "failed" ? "bad" : "warn", addr.cause ?? addr.type)
        : addrs.length === 0 ? badge("warn", "no addresses") : `${addrs.length} address${addrs.length === 1 ? "" : "es"}`),
    rows.length > 0 && table("Addresses", ["Address", "Node", "Zone", "Weight"], rows),
    addrs.length > rows.length && h("p", { class: "quiet" }, `The first ${rows.length} of ${addrs.length}.`));
}

// Keys of a tree (WAI-ARIA): arrows walk, left and right close and open, Enter shows the rule.
function walk(event) {
  const here = event.target.closest("[role=treeitem]");
  if (!here || event.target !== here) return;
  const visible = [...event.currentTarget.querySelectorAll("[role=treeitem]")].filter((i) => !i.parentElement.closest("[aria-expanded=false]"));
  const at = visible.indexOf(here);
  const isOpen = here.getAttribute("aria-expanded");
  let to = null;
  if (event.key === "ArrowDown") to = visible[at + 1];
  else if (event.key === "ArrowUp") to = visible[at - 1];
  else if (event.key === "Home") to = visible[0];
  else if (event.key === "End") to = visible.at(-1);
  else if (event.key === "ArrowRight" && isOpen === "false") here.setAttribute("aria-expanded", "true");
  else if (event.key === "ArrowRight" && isOpen) to = visible[at + 1];
  else if (event.key === "ArrowLeft" && isOpen === "true") here.setAttribute("aria-expanded", "false");
  else if (event.key === "ArrowLeft") to = here.parentElement.closest("[role=treeitem]");
  else if (event.key === "Enter") here.querySelector(":scope > .step > .rule button")?.click();
  else return;
  event.preventDefault();
  if (to) {
    here.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  }
}
