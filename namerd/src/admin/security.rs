//! Which paths are served (control plane 3.3).

use http::Method;

use crate::config::Security;

/// What a request is for; each belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Pages for people and what they read.
    Ui,
    /// What changes something.
    Control,
    /// Everything else.
    Diagnostics,
}

impl Category {
    /// For metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Category::Ui => "ui",
            Category::Control => "control",
            Category::Diagnostics => "diagnostics",
        }
    }
}

/// Where a request belongs. What the page reads belongs to it; what it writes is control.
pub(super) fn category(path: &str, method: &Method) -> Category {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/"
        | "/config.json"
        | "/metrics.json"
        | "/admin/metrics.json"
        | "/admin/metrics"
        | "/delegator"
        | "/delegator.json"
        | "/logging"
        | "/help"
        | "/ui/check.json" => Category::Ui,
        "/admin/shutdown" | "/logging.json" => Category::Control,
        _ if path.starts_with("/files/") || path.starts_with("/admin/files/") => Category::Ui,
        _ if path.starts_with("/ui/") && is_read => Category::Ui,
        _ if path.starts_with("/ui/") => Category::Control,
        _ => Category::Diagnostics,
    }
}

/// Whether the request may be answered. A refused path looks as if it did not exist.
pub(super) fn allows(security: &Security, category: Category, path: &str) -> bool {
    let is_on = |regexes: &[regex::Regex]| regexes.iter().any(|r| r.is_match(path));
    if is_on(&security.blacklist) {
        return false;
    }
    let is_enabled = match category {
        Category::Ui => security.ui,
        Category::Control => security.control,
        Category::Diagnostics => security.diagnostics,
    };
    is_enabled || is_on(&security.whitelist)
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn each_path_has_one_category_and_lists_overrule() {
        let security = Security {
            ui: false,
            control: true,
            diagnostics: false,
            whitelist: vec![Regex::new("^(?:/admin/ping|/config.*)$").expect("a regex")],
            blacklist: vec![Regex::new("^(?:/logging.json)$").expect("a regex")],
            read_only: false,
        };
        let asked = |method, path| allows(&security, category(path, &method), path);
        let allowed = |path| asked(Method::GET, path);
        assert!(!asked(Method::GET, "/ui/dtab.json") && asked(Method::PUT, "/ui/dtab.json"));
        assert!(!asked(Method::POST, "/ui/check.json"));
        assert!(allowed("/admin/shutdown") && allowed("/admin/ping") && allowed("/config.json"));
        assert!(!allowed("/logging.json") && !allowed("/") && !allowed("/state.json"));
        assert!(!allowed("/files/x") && !allowed("/admin/pingpong"));
        assert!(allows(
            &Security::default(),
            Category::Diagnostics,
            "/anything"
        ));
    }
}
