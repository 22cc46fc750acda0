//! The state page for people: the same as `/state.json`, without scripts, readable in any browser.

use std::fmt::{self, Display, Write as _};

use serde_json::Value;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2em;max-width:90em}\
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;\
vertical-align:top}th{background:#f4f4f4}code{font-size:13px}.bad{background:#fdd}.warn{background:#ffd}";

/// Text with what HTML would take for markup made harmless.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page of a state as [`super::state::state`] gives it.
pub(super) fn render(state: &Value) -> String {
    let mut page = String::new();
    write_page(&mut page, state).expect("a string takes everything");
    page
}

fn write_page(out: &mut String, state: &Value) -> fmt::Result {
    let node = text(&state["node"]);
    write!(
        out,
        "<!doctype html><meta charset=utf-8><title>l5d-node {0}</title><style>{STYLE}</style>\
         <h1>l5d-node {0}</h1><p>version {1}, up {2} s, pod ip {3}, {4}. \
         <a href=/state.json>state</a> <a href=/config.json>configuration</a> <a href=/metrics>metrics</a> \
         <a href=/admin>all pages</a></p>",
        Escaped(&node),
        Escaped(&text(&state["version"])),
        state["uptime_s"],
        Escaped(&text(&state["pod_ip"])),
        if state["ready"] == true {
            "ready"
        } else {
            "<b>not ready</b>"
        },
    )?;
    for missing in items(&state["missing"]) {
        write!(
            out,
            "<p class=bad>waiting for {}</p>",
            Escaped(&text(missing))
        )?;
    }
    write!(out, "<h2>namerd</h2>")?;
    for namerd in items(&state["namerds"]) {
        write_namerd(out, namerd)?;
    }
    for router in items(&state["routers"]) {
        write_router(out, router)?;
    }
    write!(out, "<h2>clusters</h2>")?;
    write_clusters(out, &state["clusters"])
}

fn write_namerd(out: &mut String, namerd: &Value) -> fmt::Result {
    let class = if namerd["state"] == "following" {
        ""
    } else {
        "warn"
    };
    let sources = items(&namerd["sources"])
        .map(|s| format!("{} {} ms old", text(&s["name"]), s["age_ms"]))
        .collect::<Vec<_>>();
    let rows = [
        ("candidates", list(&namerd["dst"])),
        (
            "stream",
            format!(
                "{} since {}",
                text(&namerd["state"]),
                text(&namerd["since"])
            ),
        ),
        ("address", text(&namerd["address"])),
        (
            "replica",
            format!("{} {}", text(&namerd["replica"]), text(&namerd["version"])),
        ),
        (
            "follows",
            format!(
                "{} names, {} clusters",
                namerd["interests"], namerd["clusters"]
            ),
        ),
        ("its sources", sources.join(", ")),
        ("counts", namerd["counts"].to_string()),
    ];
    write!(out, "<table class=\"{class}\">")?;
    for (name, value) in rows {
        write!(out, "<tr><th>{name}<td>{}", Escaped(&value))?;
    }
    for error in items(&namerd["errors"]).take(5) {
        let (at, error) = (text(&error["at"]), text(&error["error"]));
        write!(out, "<tr><th>error<td>{} {}", Escaped(&at), Escaped(&error))?;
    }
    write!(out, "</table>")
}

fn write_router(out: &mut String, router: &Value) -> fmt::Result {
    let servers: Vec<_> = items(&router["servers"])
        .map(|s| text(&s["address"]))
        .collect();
    let cache = &router["cache"];
    write!(
        out,
        "<h2>router {}</h2><p>listens on {}; {} of {} names cached, {} missed, {} evicted, {} expired, {} for one request \
         only</p><table><tr><th>name<th>state<th>leads to",
        Escaped(&text(&router["label"])),
        Escaped(&servers.join(", ")),
        cache["names"],
        cache["limit"],
        cache["misses"],
        cache["evicts"],
        cache["expires"],
        cache["oneshots"],
    )?;
    for name in items(&router["names"]) {
        let class = match (name["state"] == "bound", name["stale"] == true) {
            (false, _) => "bad",
            (true, true) => "warn",
            (true, false) => "",
        };
        let stale = if name["stale"] == true { ", stale" } else { "" };
        write!(
            out,
            "<tr class=\"{class}\"><td><code>{}</code> {}<td>{}{stale}<td><code>{}</code>{}",
            Escaped(&text(&name["path"])),
            Escaped(&text(&name["dtab"])),
            Escaped(&text(&name["state"])),
            Escaped(&text(&name["tree"])),
            Escaped(&text(&name["error"])),
        )?;
    }
    write!(out, "</table>")
}

fn write_clusters(out: &mut String, clusters: &Value) -> fmt::Result {
    write!(
        out,
        "<table><tr><th>cluster<th>state<th>version<th>endpoint<th>weight<th>pending<th>idle<th>cost<th>failures"
    )?;
    for cluster in items(clusters) {
        let is_stale = cluster["stale"] == true;
        let state = match is_stale {
            true => format!(
                "{}, stale since {}",
                text(&cluster["state"]),
                text(&cluster["confirmed"])
            ),
            false => text(&cluster["state"]),
        };
        let class = if is_stale { "warn" } else { "" };
        let rows = items(&cluster["endpoints"]).count().max(1);
        write!(
            out,
            "<tr class=\"{class}\"><td rowspan={rows}><code>{}</code><td rowspan={rows}>{}<td rowspan={rows}>{}",
            Escaped(&text(&cluster["id"])),
            Escaped(&state),
            cluster["version"],
        )?;
        for (i, endpoint) in items(&cluster["endpoints"]).enumerate() {
            let load = &endpoint["load"];
            let row = if i == 0 { "" } else { "<tr>" };
            write!(
                out,
                "{row}<td><code>{}</code><td>{}<td>{}<td>{}<td>{} ms<td>{}",
                Escaped(&text(&endpoint["address"])),
                endpoint["weight"],
                Escaped(&text(&load["pending"])),
                Escaped(&text(&load["idle_connections"])),
                Escaped(&text(&load["cost_ms"])),
                Escaped(&text(&load["failures"])),
            )?;
        }
    }
    write!(out, "</table>")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn list(value: &Value) -> String {
    items(value).map(text).collect::<Vec<_>>().join(", ")
}

/// A value as people write it; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
