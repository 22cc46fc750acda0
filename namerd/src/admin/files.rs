//! The page of the admin server: one HTML document, its scripts and its style, all inside this binary.
//!
//! The page loads nothing from elsewhere and all its links are relative, so it works offline and under a URL prefix. It gets
//! what it shows from [`super::views`], as JSON.

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, Response};

use crate::store::VersionedDtab;
use crate::web::{self, Body, json_text};

/// Name below `files/`, type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("app.css", CSS, include_str!("ui/app.css")),
    ("app.js", JS, include_str!("ui/app.js")),
    ("diff.js", JS, include_str!("ui/diff.js")),
    ("dom.js", JS, include_str!("ui/dom.js")),
    ("dtab.js", JS, include_str!("ui/dtab.js")),
    ("editor.js", JS, include_str!("ui/editor.js")),
    ("ingress.js", JS, include_str!("ui/ingress.js")),
    ("names.js", JS, include_str!("ui/names.js")),
    ("net.js", JS, include_str!("ui/net.js")),
    ("nodes.js", JS, include_str!("ui/nodes.js")),
    ("overview.js", JS, include_str!("ui/overview.js")),
    ("tree.js", JS, include_str!("ui/tree.js")),
];
const ICON: &str = include_str!("ui/icon.svg");
const INDEX: &str = include_str!("ui/index.html");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

/// The page. `namespace` is the one of `/dtab/NAMESPACE`, with what is stored.
pub(super) fn page(namespace: Option<(&str, Option<&VersionedDtab>)>) -> Response<Body> {
    let (base, data) = match namespace {
        None => ("./".to_owned(), "null".to_owned()),
        Some((name, dtab)) => {
            let up = name.bytes().filter(|b| *b == b'/').count() + 1;
            ("../".repeat(up), embedded(name, dtab))
        }
    };
    let html = INDEX.replace("{base}", &base).replace("{data}", &data);
    guarded(web::document(HTML, html))
}

/// `{"namespace":..., "dtab":[...]}`, as 1.x embeds it. Nothing in it can end the element that it stands in.
fn embedded(name: &str, dtab: Option<&VersionedDtab>) -> String {
    let entries = dtab.map(|dtab| dtab.dtab.entries()).unwrap_or_default();
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| {
            format!(
                r#"{{"prefix":{},"dst":{}}}"#,
                json_text(&entry.prefix.to_string()),
                json_text(&entry.dst.show_exact()),
            )
        })
        .collect();
    let json = format!(
        r#"{{"namespace":{},"dtab":[{}]}}"#,
        json_text(name),
        entries.join(",")
    );
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

/// A file of the page.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    if path == "/favicon.ico" {
        return Some(guarded(web::document("image/svg+xml", ICON)));
    }
    let name = path
        .strip_prefix("/admin")
        .unwrap_or(path)
        .strip_prefix("/files/")?;
    let (_, kind, text) = FILES.iter().find(|(known, ..)| *known == name)?;
    Some(guarded(web::document(kind, *text)))
}

fn guarded(mut response: Response<Body>) -> Response<Body> {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    // A new namerd has a new page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_element_it_is_embedded_in() {
        let json = embedded("</script><script>alert(1)</script>", None);
        assert!(!json.contains(['<', '>', '&']), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).expect("json");
        assert_eq!(read["namespace"], "</script><script>alert(1)</script>");
    }

    /// Small, complete, and nothing of it comes from elsewhere.
    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let all: Vec<&str> = FILES
            .iter()
            .map(|(_, _, text)| *text)
            .chain([INDEX, ICON])
            .collect();
        let bytes: usize = all.iter().map(|text| text.len()).sum();
        assert!(bytes < 150_000, "{bytes}");
        for text in &all {
            let text = text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"));
            assert!(!text.contains("innerHTML") && !text.contains("eval("));
        }
        for (name, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == JS) {
            for import in text.split("from \"./").skip(1) {
                let file = import.split('"').next().unwrap_or_default();
                assert!(
                    FILES.iter().any(|(n, ..)| *n == file),
                    "{name} imports {file}"
                );
            }
        }
        assert_eq!(INDEX.matches("{base}").count(), 1);
        assert_eq!(INDEX.matches("{data}").count(), 1);
    }
}
