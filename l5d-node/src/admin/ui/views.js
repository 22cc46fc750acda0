// What each view shows of its JSON. Nothing is computed here but words.

import { h, row, table } from "./dom.js";

const count = (n) => n.toLocaleString("en");
const rate = (n) => `${n.toFixed(n < 10 ? 1 : 0)}/s`;
const ms = (n) => n === null || n === undefined ? "" : `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;
const code = (text) => h("code", {}, text);
const quiet = (text) => h("span", { class: "quiet" }, text);

function success(part) {
  if (part === null) return quiet("no requests");
  const text = `${(part * 100).toFixed(part > 0.999 || part === 0 ? 0 : 2)} %`;
  return h("span", { class: part >= 0.99 ? "good" : part >= 0.9 ? "warn" : "bad" }, text);
}

/** Seconds in words. */
export function age(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const NUMBERS = ["Rate#", "Success#", "p50#", "p99#", "Pending#"];
const numbers = (of) => [rate(of.rate), success(of.success), ms(of.p50_ms), ms(of.p99_ms), count(of.pending)];

function card(number, what, cls) {
  return h("div", { class: "card" }, h("span", { class: `number ${cls ?? ""}` }, number), what);
}

export function overview(data) {
  const all = data.routers.flatMap((router) => router.servers);
  const sum = (of) => all.reduce((n, server) => n + of(server), 0);
  const following = data.namerds.filter((namerd) => namerd.connected).length;
  const stale = data.namerds.reduce((n, namerd) => n + namerd.stale_clusters, 0);
  return [
    h("h1", {}, `Node ${data.node ?? ""}`, " ",
      h("span", { class: `badge ${data.ready ? "good" : "bad"}` }, data.ready ? "ready" : "not ready")),
    data.missing.map((missing) => h("p", { class: "bad" }, `Waiting for ${missing}`)),
    h("div", { class: "cards" },
      card(rate(sum((s) => s.rate)), "requests, of the last minute"),
      card(count(sum((s) => s.pending)), "requests pending"),
      card(count(sum((s) => s.connections)), "connections from clients"),
      card(`${following} of ${data.namerds.length}`, "namerds followed", following === data.namerds.length ? "good" : "bad"),
      card(count(stale), "stale bound names", stale === 0 ? "good" : "warn"),
      card(age(data.up_s), `up, version ${data.version}`)),
    h("h2", {}, "Routers"),
    table("Routers", ["Router", "Listens on", ...NUMBERS, "Connections#"], data.routers.flatMap((router) =>
      router.servers.map((server) => [router.label, code(server.address), ...numbers(server), count(server.connections)]))),
    h("h2", {}, "What is followed"),
    table("Namerds", ["namerd", "State", "Since", "Replica", "Follows", "Stale", "Last error"], data.namerds.map((namerd) => [
      code(namerd.dst.join(", ")),
      h("span", { class: `badge ${namerd.connected ? "good" : "bad"}` }, namerd.state),
      namerd.since_s === null ? "" : age(namerd.since_s),
      namerd.replica ?? "",
      `${count(namerd.interests)} names, ${count(namerd.clusters)} bound names`,
      namerd.stale_clusters === 0 ? "none" : h("span", { class: "warn" }, `${count(namerd.stale_clusters)}, the oldest ${age(namerd.staleness_s)}`),
      namerd.error ?? quiet("none"),
    ])),
    data.namerds.some((namerd) => namerd.sources.length > 0) && [
      h("h2", {}, "How fresh namerd is"),
      table("Sources", ["Source", "Last heard of"], data.namerds.flatMap((namerd) =>
        namerd.sources.map((source) => [source.name, age(source.age_s)]))),
    ],
  ];
}

const matches = (filter, ...texts) => texts.some((text) => text.toLowerCase().includes(filter.toLowerCase()));
const more = (data, shown) => data.left_out > 0 && h("p", { class: "quiet" }, `${count(data.left_out)} more with less traffic are not shown; /state.json has all.`);

export function services(data, filter) {
  const shown = data.services.filter((service) => matches(filter, service.name, service.router));
  return [
    table("Services", ["Service", "Router", ...NUMBERS], shown.map((service) => [code(service.name), service.router, ...numbers(service)])),
    shown.length === 0 && h("p", { class: "quiet" }, "No service has had requests."),
    more(data),
  ];
}

const BOUND = [1, 2, 3, 4, 5, 6];

function health(endpoint) {
  if (endpoint.load === null) return quiet("not used yet");
  const { workers, workers_avoiding: out } = endpoint.load;
  if (out === 0) return h("span", { class: "badge good" }, "in use");
  return h("span", { class: "badge bad" }, out === workers ? "set aside" : `set aside by ${out} of ${workers}`);
}

function endpoints(client) {
  const each = client.endpoints.map((endpoint) => row("in", BOUND, [
    [code(endpoint.address), " ", health(endpoint)],
    "", "",
    endpoint.load === null ? "" : `cost ${ms(endpoint.load.cost_ms)}`,
    `weight ${endpoint.weight}`,
    endpoint.load === null ? "" : count(endpoint.load.pending),
    endpoint.load === null ? "" : `${count(endpoint.load.idle_connections)} idle`,
  ]));
  if (client.size > client.endpoints.length) each.push(row("in", [], [quiet(`${count(client.size - client.endpoints.length)} more`)]));
  return each;
}

export function clients(data, filter, state) {
  const shown = data.clients.filter((client) => matches(filter, client.id, client.router));
  return [
    table("Clients", ["Bound name", ...NUMBERS, "Endpoints#"], shown.flatMap((client) => {
      const key = `${client.router} ${client.id}`;
      const isOpen = state.open.has(key);
      const toggle = () => {
        if (!state.open.delete(key)) state.open.add(key);
        state.draw();
      };
      const head = row(null, BOUND, [
        [h("button", { type: "button", class: "plain", "data-key": key, "aria-expanded": String(isOpen), onclick: toggle }, isOpen ? "▾ " : "▸ ", code(client.id)),
          " ", quiet(client.router), " ",
          client.state !== "bound" && h("span", { class: "badge bad" }, client.state), " ",
          client.stale_s !== null && h("span", { class: "badge warn" }, `stale, confirmed ${age(client.stale_s)} ago`)],
        ...numbers(client), count(client.size),
      ]);
      return isOpen ? [head, ...endpoints(client)] : [head];
    })),
    shown.length === 0 && h("p", { class: "quiet" }, "No bound name is in use."),
    more(data),
  ];
}

export function requests(data, filter) {
  if (!data.kept) {
    return h("p", {}, "None are kept. ", code("telemetry: [{kind: io.l5d.recentRequests, sampleRate: 0.01}]"), " keeps some.");
  }
  const shown = data.requests.filter((r) => matches(filter, r.service, r.target, r.host));
  return [
    table("Requests", ["Time", "From", "Router", "Request", "Service", "To", "Attempts#", "Took#", "Status#"], shown.map((r) => [
      r.timestamp.replace("T", " ").replace("Z", ""), r.source ?? "", r.router, code(`${r.method} ${r.target}`), code(r.service),
      r.destination === null ? "" : h("code", { class: "addr" }, r.destination), count(r.attempts.length), ms(r.duration_ms),
      h("span", { class: r.failure || r.status >= 500 || r.status === 0 ? "bad" : null }, r.failure ? `${r.status} ${r.failure}` : r.status || "aborted"),
    ])),
    shown.length === 0 && h("p", { class: "quiet" }, "None yet."),
  ];
}
