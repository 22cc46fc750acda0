//! `diff`: what a file would change, entry by entry.

use std::ffi::OsStr;
use std::process::ExitCode;

use similar::{ChangeTag, TextDiff};

use super::Context;
use super::input::Input;
use super::model::{Entry, Versioned, aligned, normal};
use crate::output::paint::{self, DIM, GONE, GOOD, TITLE};
use crate::output::print;

/// As many unchanged entries around a change as diff shows.
const AROUND: usize = 3;

impl Context {
    /// Exit code 0 if the file says what is there, else 1, as diff and kubectl have it.
    pub(super) async fn diff(&self, name: &str, file: &OsStr) -> anyhow::Result<ExitCode> {
        let input = Input::read(file)?;
        let (wanted, _) = input.checked()?;
        let found = self.find(name).await?;
        let change = change(name, found.as_ref(), &input.name, &wanted);
        print(change.as_deref().unwrap_or_default())?;
        Ok(ExitCode::from(u8::from(change.is_some())))
    }
}

/// The change as text in colour; `None` if there is none. A namespace that is not there has no entries, and an empty dtab
/// is a change of it all the same.
pub(super) fn change(
    name: &str,
    found: Option<&Versioned>,
    file: &str,
    wanted: &[Entry],
) -> Option<String> {
    let before = found.map(|f| normal(&f.dtab));
    let wanted = normal(wanted);
    if before.as_ref() == Some(&wanted) {
        return None;
    }
    let title = match found {
        None => format!("{name} (not there)"),
        Some(found) if found.version.is_empty() => name.to_owned(),
        Some(found) => format!("{name} (version {})", found.version),
    };
    let mut out = format!(
        "{}\n{}\n",
        paint::with(TITLE, format_args!("--- {title}")),
        paint::with(TITLE, format_args!("+++ {file}"))
    );
    let (old, new) = aligned_alike(&before.unwrap_or_default(), &wanted);
    let diff = TextDiff::from_lines(&old, &new);
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        out.push_str(&format!("{}\n", paint::with(paint::ORIGIN, hunk.header())));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', GONE),
                ChangeTag::Insert => ('+', GOOD),
                ChangeTag::Equal => (' ', DIM),
            };
            out.push_str(&format!(
                "{}\n",
                paint::with(style, format_args!("{sign}{line}"))
            ));
        }
    }
    Some(out)
}

/// Both with their arrows in the same column, so that a longer prefix elsewhere is no change.
fn aligned_alike(old: &[Entry], new: &[Entry]) -> (String, String) {
    let all: Vec<Entry> = old.iter().chain(new).cloned().collect();
    let text = aligned(&all);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (old, new) = lines.split_at(old.len());
    (old.concat(), new.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        super::super::model::entries(&l5d_naming::Dtab::parse(text).expect(text))
    }

    fn shown(found: Option<&str>, wanted: &str) -> Option<String> {
        let found = found.map(|text| Versioned {
            version: "AAE=".to_owned(),
            dtab: entries(text),
        });
        let text = change("default", found.as_ref(), "my.dtab", &entries(wanted))?;
        Some(anstream::adapter::strip_str(&text).to_string())
    }

    #[test]
    fn changes_are_shown_by_entries_whatever_the_layout() {
        assert_eq!(shown(Some("/a=>/b"), "/a  =>  /b ;"), None);
        let expected = "--- default (version AAE=)\n+++ my.dtab\n@@ -1,2 +1,2 @@\n /svc          => /host ;\n\
                        -/host/world   => /v1 ;\n+/host/worlds  => /v2 ;\n";
        let text = shown(
            Some("/svc=>/host;/host/world=>/v1"),
            "/svc=>/host;/host/worlds=>/v2",
        );
        assert_eq!(text.as_deref(), Some(expected));
    }

    #[test]
    fn a_namespace_that_is_not_there_is_a_difference() {
        let text = shown(None, "/a=>/b").expect("differs");
        assert_eq!(
            text,
            "--- default (not there)\n+++ my.dtab\n@@ -0,0 +1 @@\n+/a  => /b ;\n"
        );
        assert!(shown(None, "").is_some());
    }
}
