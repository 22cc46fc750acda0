// How namerd is: what to look at, sources and their freshness, the store, totals. And the levels of its log.

import { age, badge, code, h, link, say, show, span, table } from "./dom.js";
import { follow, levels, setLevel } from "./net.js";

const PLACES = { sources: "#/", namespaces: "#/namespaces", names: "#/names", nodes: "#/nodes" };
const LEVELS = ["OFF", "ERROR", "WARNING", "INFO", "DEBUG", "TRACE"];

export function overview(place) {
  show(place, h("h1", {}, "Overview"), h("p", { class: "quiet" }, "Loading…"));
  follow("overview", {}, (now) => show(place, ...parts(now)), (why) => say(why, "bad"));
}

function parts(now) {
  const { server, totals, store } = now;
  return [
    h("h1", {}, "Overview ", now.ready ? badge("good", "ready") : badge("bad", "not ready")),
    h("p", { class: "quiet" }, `version ${server.version}, replica ${server.replica}, up ${age(server.uptime)}`),
    h("div", { class: "cards" },
      card("Namespaces", totals.namespaces ?? "?", "#/namespaces"),
      card("Bound names", totals.bindings, "#/names"),
      card("Nodes connected", totals.sessions, "#/nodes"),
      totals.rules !== null && card("Ingress rules", totals.rules, "#/ingress")),
    h("section", { "aria-labelledby": "look" },
      h("h2", { id: "look" }, "To look at"),
      now.problems.length === 0
        ? h("p", {}, badge("good", "nothing"), " Every source answers, every stored dtab can be read, every bound name has endpoints.")
        : h("ul", { class: "problems" }, now.problems.map((p) =>
          h("li", {}, badge(p.level, p.level === "bad" ? "bad" : "warning"), " ", p.text, " ", PLACES[p.place] !== "#/" && link(PLACES[p.place], "show"))))),
    h("section", { "aria-labelledby": "store" },
      h("h2", { id: "store" }, "Dtab store"),
      table("Dtab store", ["Kind", "State", "Last answer", "Failures", "Last failure"], [[
        code(store.kind),
        store.connected ? badge("good", "answers") : badge("bad", "does not answer"),
        `${age(store.age)}${store.age >= 1 ? " ago" : ""}`,
        store.failures,
        store.failure ?? "",
      ]])),
    h("section", { "aria-labelledby": "watches" },
      h("h2", { id: "watches" }, "Kubernetes watches"),
      table("Watches", ["Source", "API server", "State", "Objects", "Last item", "Lag", "Lists again", "Unreadable", "Last error"],
        now.watches.map(watch), "No Kubernetes API is watched.")),
    h("section", { "aria-labelledby": "namers" },
      h("h2", { id: "namers" }, "Namers"),
      table("Namers", ["Prefix", "Kind", "API server", "State"], now.namers.map((n) =>
        [code(n.prefix), n.kind, n.api ?? "", link(`namer_state${n.prefix.slice(2)}.json`, "as JSON")]), "None is configured; only names under /$ can be bound.")),
    h("p", { class: "quiet" }, "As text: ", ["state.json", "metrics", "config.json", "admin"].flatMap((page) => [link(page, page), " "])),
  ];
}

const card = (title, number, href) => h("a", { class: "card", href }, h("span", { class: "number" }, number), title);

function watch(w) {
  const level = !w.synced ? "bad" : w.last_error || w.stale_objects > 0 ? "warn" : "good";
  return [
    code(w.source), w.api, badge(level, w.synced ? w.state : `${w.state}, first list missing`), w.objects,
    w.last_item_age === null ? "never" : `${age(w.last_item_age)}${w.last_item_age >= 1 ? " ago" : ""}`,
    w.lag === null ? "" : span(w.lag), w.relists, w.decode_errors,
    w.last_error ? `${w.last_error.message} (${age(w.last_error.age)} ago)` : "",
  ];
}

export async function log(place) {
  show(place, h("h1", {}, "Log levels"));
  let all;
  try {
    all = await levels();
  } catch (e) {
    return show(place, h("h1", {}, "Log levels"), h("p", {}, badge("warn", e.message)));
  }
  const choose = (logger) => async (event) => {
    try {
      await setLevel(logger, event.target.value);
      say(`${logger} now logs ${event.target.value}`);
    } catch (e) {
      say(e.message, "bad");
    }
    log(place);
  };
  const row = ({ logger, level }) => [
    h("label", { for: `level-${logger}` }, code(logger)),
    h("select", { id: `level-${logger}`, onchange: choose(logger) }, LEVELS.map((l) => h("option", { selected: l === level }, l))),
  ];
  show(place, h("h1", {}, "Log levels"),
    h("p", { class: "quiet" }, "A change holds until namerd ends. What has not been set follows root."),
    table("Log levels", ["Logger", "Level"], all.map(row), "The log belongs to the process around this namerd."));
}
