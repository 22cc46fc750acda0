//! The state as a page for people. Works without scripts and without anything from elsewhere; everything that came from
//! outside is escaped.

use serde_json::Value;

/// Rows of a table that are shown; `state.json` has all.
const ROWS: usize = 500;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>namerd</title><style>\
body{font:15px/1.45 system-ui,sans-serif;color:#1d2733;background:#fff;margin:2rem auto;max-width:80rem;padding:0 1rem}\
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .4rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #e4e9ef;vertical-align:top}\
th{font-weight:600;color:#51606f}td{overflow-wrap:break-word}td code{overflow-wrap:anywhere}code{font:13px/1.4 ui-monospace,monospace}\
.good{color:#17713a}.bad{color:#b3261e}.quiet{color:#6b7886}nav a{margin-right:1rem}a{color:#1a5fb4}\
</style></head><body>";

pub(super) fn html(state: &Value) -> String {
    let mut page = String::from(HEAD);
    head(&mut page, state);
    table(
        &mut page,
        "Watches",
        state,
        "watches",
        &[
            ("Source", "source"),
            ("API server", "api"),
            ("State", "state"),
            ("Objects", "objects"),
            ("Last item", "last_item_age"),
            ("Last event", "last_event_age"),
            ("Last error", "last_error"),
            ("Version", "resource_version"),
            ("Relists", "relists"),
        ],
        "No Kubernetes API is watched.",
    );
    table(
        &mut page,
        "Dtab namespaces",
        state,
        "namespaces",
        &[
            ("Name", "name"),
            ("Version", "version"),
            ("Entries", "entries"),
            ("Dtab", "dtab"),
        ],
        "There are none. Create one: namerctl dtab create default FILE",
    );
    table(
        &mut page,
        "Namers",
        state,
        "namers",
        &[
            ("Prefix", "prefix"),
            ("Kind", "kind"),
            ("API server", "api"),
        ],
        "None is configured; only names under /$ can be bound.",
    );
    table(
        &mut page,
        "Bindings",
        state,
        "bindings",
        &[
            ("Number", "number"),
            ("Namespace", "namespace"),
            ("Path", "path"),
            ("Router dtab", "router_dtab"),
            ("Override", "dtab"),
            ("Transformers", "transformers"),
            ("State", "state"),
            ("Leads to", "tree"),
            ("Addresses", "clusters"),
        ],
        "Nobody asks for a name.",
    );
    table(
        &mut page,
        "Sessions of node proxies",
        state,
        "sessions",
        &[
            ("Node", "node"),
            ("From", "peer"),
            ("Proxy", "version"),
            ("Connected", "connected"),
            ("Names", "interests"),
            ("Clusters", "clusters"),
            ("Lag", "lag"),
            ("Bytes", "bytes"),
        ],
        "No node proxy is connected.",
    );
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, state: &Value) {
    let server = &state["server"];
    let ready = if state["ready"] == true {
        "<b class=\"good\">ready</b>".to_owned()
    } else {
        let missing = list(&state["missing"]);
        format!("<b class=\"bad\">not ready</b>, first answers are missing: {missing}")
    };
    page.push_str(&format!(
        "<h1>namerd</h1><p>{ready} <span class=\"quiet\">version {}, replica {}, up {}</span></p>\
         <nav><a href=\"state.json\">state.json</a><a href=\"metrics\">metrics</a><a href=\"config.json\">config.json</a>\
         <a href=\"bound-names.json\">bound names</a><a href=\"logging.json\">log levels</a><a href=\"admin\">all pages</a></nav>",
        text(&server["version"]),
        text(&server["replica"]),
        age(&server["uptime"]),
    ));
    for warning in state["warnings"].as_array().into_iter().flatten() {
        page.push_str(&format!("<pre class=\"bad\">{}</pre>", text(warning)));
    }
}

fn table(
    page: &mut String,
    title: &str,
    state: &Value,
    key: &str,
    columns: &[(&str, &str)],
    none: &str,
) {
    let empty = Vec::new();
    let rows = state[key].as_array().unwrap_or(&empty);
    page.push_str(&format!(
        "<h2>{title} <span class=\"quiet\">{}</span></h2>",
        rows.len()
    ));
    if rows.is_empty() {
        page.push_str(&format!("<p class=\"quiet\">{}</p>", escape(none)));
        return;
    }
    let head: String = columns
        .iter()
        .map(|(name, _)| format!("<th>{name}</th>"))
        .collect();
    page.push_str(&format!("<table><tr>{head}</tr>"));
    for row in rows.iter().take(ROWS) {
        page.push_str("<tr>");
        for (_, column) in columns {
            page.push_str(&format!("<td>{}</td>", cell(column, &row[*column])));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
    if rows.len() > ROWS {
        let more = rows.len() - ROWS;
        page.push_str(&format!(
            "<p class=\"quiet\">and {more} more in state.json</p>"
        ));
    }
}

fn cell(column: &str, value: &Value) -> String {
    match column {
        "last_item_age" | "last_event_age" | "connected" | "lag" => age(value),
        "last_error" if value.is_object() => {
            format!(
                "<span class=\"bad\">{}</span> {} ago",
                text(&value["message"]),
                age(&value["age"])
            )
        }
        "clusters" if value.is_array() => clusters(value),
        "state" => {
            let is_good = matches!(value.as_str(), Some("live" | "bound" | "present"));
            let class = if is_good { "good" } else { "bad" };
            format!("<span class=\"{class}\">{}</span>", text(value))
        }
        "dtab" | "router_dtab" | "tree" | "path" | "prefix" => {
            format!("<code>{}</code>", text(value))
        }
        _ => match value {
            Value::Array(_) => list(value),
            Value::Null => "<span class=\"quiet\">none</span>".to_owned(),
            value => text(value),
        },
    }
}

fn clusters(value: &Value) -> String {
    let cluster = |c: &Value| {
        let addresses = &c["addresses"];
        let count = match addresses["endpoints"].as_u64() {
            Some(n) => format!("{n} endpoints"),
            None => text(&addresses["state"]),
        };
        format!(
            "{} <span class=\"quiet\">cluster {}</span>",
            count,
            text(&c["number"])
        )
    };
    let all: Vec<_> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(cluster)
        .collect();
    all.join("<br>")
}

fn list(value: &Value) -> String {
    let items: Vec<_> = value.as_array().into_iter().flatten().map(text).collect();
    items.join("<br>")
}

fn age(value: &Value) -> String {
    match value.as_f64() {
        None => "<span class=\"quiet\">never</span>".to_owned(),
        Some(s) if s < 120.0 => format!("{s:.1} s"),
        Some(s) if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3_600.0),
    }
}

/// A value as escaped text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        value => escape(&value.to_string()),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_from_outside_is_escaped_everywhere() {
        let evil = "<script>&\"'";
        let state = json!({
            "server": {"version": evil, "replica": evil, "uptime": 1.0},
            "ready": false, "missing": [evil], "warnings": [evil],
            "watches": [{"source": evil, "state": evil, "last_error": {"message": evil, "age": 1.0}}],
            "namespaces": [{"name": evil, "dtab": evil}],
            "bindings": [{"path": evil, "tree": evil, "transformers": [evil], "clusters": [{"number": evil, "addresses": {"state": evil}}]}],
            "sessions": [{"node": evil}],
        });
        let page = html(&state);
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;&amp;&quot;&#39;"));
    }
}
