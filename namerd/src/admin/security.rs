//! Which paths are served (control plane 3.3).

use crate::config::Security;

/// Whether the path may be served. A refused path looks as if it did not exist.
pub(super) fn allows(security: &Security, path: &str) -> bool {
    let is_on = |regexes: &[regex::Regex]| regexes.iter().any(|r| r.is_match(path));
    if is_on(&security.blacklist) {
        return false;
    }
    let is_enabled = match path {
        "/"
        | "/config.json"
        | "/metrics.json"
        | "/admin/metrics.json"
        | "/admin/metrics"
        | "/delegator"
        | "/delegator.json"
        | "/logging"
        | "/help" => security.ui,
        _ if path.starts_with("/files/") || path.starts_with("/admin/files/") => security.ui,
        "/admin/shutdown" | "/logging.json" => security.control,
        _ => security.diagnostics,
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
        };
        let allowed = |path| allows(&security, path);
        assert!(allowed("/admin/shutdown") && allowed("/admin/ping") && allowed("/config.json"));
        assert!(!allowed("/logging.json") && !allowed("/") && !allowed("/state.json"));
        assert!(!allowed("/files/x") && !allowed("/admin/pingpong"));
        assert!(allows(&Security::default(), "/anything"));
    }
}
