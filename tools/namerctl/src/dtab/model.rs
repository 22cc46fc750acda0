//! Dtabs as the controller shows them.

use l5d_naming::{Dtab, Path};
use serde::{Deserialize, Serialize};

/// One rule, as text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) prefix: String,
    pub(crate) dst: String,
}

/// What `get --json` prints.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Versioned {
    /// Empty if the server has none.
    #[serde(default)]
    pub(super) version: String,
    pub(super) dtab: Vec<Entry>,
}

/// The entries of a dtab, weights with all their digits.
pub(super) fn entries(dtab: &Dtab) -> Vec<Entry> {
    let entry = |e: &l5d_naming::Dentry| Entry {
        prefix: e.prefix.to_string(),
        dst: e.dst.show_exact(),
    };
    dtab.entries().iter().map(entry).collect()
}

/// The same entries in the form in which two texts can be compared; one that does not read stays.
pub(super) fn normal(entries: &[Entry]) -> Vec<Entry> {
    let normal = |entry: &Entry| Entry {
        prefix: entry.prefix.trim().to_owned(),
        dst: l5d_naming::NameTree::<Path>::parse(&entry.dst)
            .map_or_else(|_| entry.dst.trim().to_owned(), |tree| tree.show_exact()),
    };
    entries.iter().map(normal).collect()
}

/// Arrows under each other, one entry a line.
pub(super) fn aligned(entries: &[Entry]) -> String {
    let width = entries.iter().map(|e| e.prefix.len()).max().unwrap_or(0);
    let line = |e: &Entry| format!("{:width$}  => {} ;\n", e.prefix, e.dst);
    entries.iter().map(line).collect()
}

/// Go escapes these three inside of texts; JSON has them nowhere else.
pub(super) fn go_json(json: &str) -> String {
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, dst: &str) -> Entry {
        Entry {
            prefix: prefix.to_owned(),
            dst: dst.to_owned(),
        }
    }

    #[test]
    fn entries_are_shown_with_their_arrows_aligned() {
        let dtab = [
            entry("/svc", "/host"),
            entry("/host/world", "/host/world-v1"),
        ];
        let shown = "/svc         => /host ;\n/host/world  => /host/world-v1 ;\n";
        assert_eq!(aligned(&dtab), shown);
    }

    #[test]
    fn json_output_escapes_like_the_original() {
        assert_eq!(go_json(r#""/a & /b""#), r#""/a \u0026 /b""#);
    }

    #[test]
    fn entries_compare_by_what_they_mean() {
        let canonical = [entry("/a", "0.5*/b & 0.001*/c")];
        assert_eq!(
            normal(&[entry("/a", "0.50 * /b&0.001*/c")]),
            normal(&canonical)
        );
        assert_ne!(
            normal(&[entry("/a", "0.5*/b & 0.002*/c")]),
            normal(&canonical)
        );
    }
}
