//! The page of the admin server: one HTML document, its scripts and its style, all inside this binary.
//!
//! It loads nothing from elsewhere and all its links are relative, so it works offline and under a URL prefix. It gets what it
//! shows from [`super::views`], as JSON.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Name, type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("app.css", CSS, include_str!("ui/app.css")),
    ("app.js", JS, include_str!("ui/app.js")),
    ("dom.js", JS, include_str!("ui/dom.js")),
    ("views.js", JS, include_str!("ui/views.js")),
];
const ICON: &str = include_str!("ui/icon.svg");
const INDEX: &str = include_str!("ui/index.html");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn index() -> Response {
    guarded(HTML, INDEX)
}

pub(super) fn icon() -> Response {
    guarded(SVG, ICON)
}

pub(super) fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => guarded(kind, text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn guarded(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
        // A new binary has a new page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small, complete, and nothing of it comes from elsewhere.
    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let files = FILES.iter().map(|(_, _, text)| *text);
        let all: Vec<&str> = files.chain([INDEX, ICON]).collect();
        let bytes: usize = all.iter().map(|text| text.len()).sum();
        assert!(bytes < 60_000, "{bytes}");
        for text in &all {
            let text = text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"));
            assert!(!text.contains("innerHTML") && !text.contains("eval("));
        }
        for (name, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == JS) {
            for import in text.split("from \"./").skip(1) {
                let file = import.split('"').next().unwrap_or_default();
                let is_there = FILES.iter().any(|(n, ..)| *n == file);
                assert!(is_there, "{name} imports {file}");
            }
        }
    }
}
