//! Earlier versions of a table, kept in an annotation of its object and written in the same request as the table.
//!
//! An annotation is the one place that every CustomResourceDefinition of Linkerd 1.x keeps. It holds the versions that
//! namerd has written or replaced: at most [`VERSIONS`] and [`BYTES`], newest first. Of tables that others wrote one upon the
//! other only the last is in it.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use l5d_naming::Dtab;
use serde::{Deserialize, Serialize};

use crate::store::{DtabToken, PastDtab, VersionedDtab};

/// Most versions kept, the present one included.
const VERSIONS: usize = 10;
/// Longest annotation. All annotations of an object together may have 256 KiB.
const BYTES: usize = 64 << 10;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct History {
    /// What namerd wrote last, which was the table of the object then. Its version was not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Past>,
    past: Vec<Past>,
}

#[derive(Serialize, Deserialize)]
struct Past {
    /// Empty if nobody knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Timestamp>,
    dtab: String,
}

/// What is known of the table that is about to be replaced.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) dtab: &'a Dtab,
    pub(super) version: &'a str,
    pub(super) annotation: Option<&'a str>,
}

/// The annotation of an object that is written now.
pub(super) fn next(before: Option<Before<'_>>, dtab: &Dtab, now: Timestamp) -> String {
    let mut history = History::default();
    if let Some(before) = before {
        history = read(before.annotation);
        let replaced = before.dtab != dtab;
        for past in history.as_of(before.dtab, before.version).into_iter().rev() {
            if replaced || past.dtab != before.dtab.show_exact() {
                history.past.insert(0, past);
            }
        }
    }
    history.current = Some(Past {
        version: String::new(),
        written: Some(now),
        dtab: dtab.show_exact(),
    });
    history.past.truncate(VERSIONS - 1);
    loop {
        let text = serde_json::to_string(&history).expect("texts and times become JSON");
        if text.len() <= BYTES || (history.past.pop().or(history.current.take())).is_none() {
            return text;
        }
    }
}

/// The versions that an object tells of, newest first, its own first.
pub(super) fn list(now: &VersionedDtab, annotation: Option<&str>) -> Vec<PastDtab> {
    let mut history = read(annotation);
    let newest = history.as_of(&now.dtab, "").into_iter();
    let mut all = newest.chain(history.past);
    let first = PastDtab {
        version: now.clone(),
        written: all.next().and_then(|past| past.written).map(time),
    };
    let past = all.filter_map(|past| {
        let version = VersionedDtab {
            dtab: Dtab::parse(&past.dtab).ok()?,
            token: token(&past.version),
        };
        let written = past.written.map(time);
        Some(PastDtab { version, written })
    });
    std::iter::once(first).chain(past).collect()
}

impl History {
    /// The table that the object has now, and before it what namerd wrote last if that is another.
    fn as_of(&mut self, now: &Dtab, version: &str) -> Vec<Past> {
        let dtab = now.show_exact();
        let (written, behind) = match self.current.take() {
            Some(current) if current.dtab == dtab => (current.written, None),
            other => (None, other),
        };
        let version = version.to_owned();
        let first = Past {
            version,
            written,
            dtab,
        };
        std::iter::once(first).chain(behind).collect()
    }
}

/// A version as a token.
pub(super) fn token(version: &str) -> DtabToken {
    DtabToken(Arc::from(version.as_bytes()))
}

/// Whatever others made of it is no reason to fail.
fn read(annotation: Option<&str>) -> History {
    let read = annotation.and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_default()
}

fn time(timestamp: Timestamp) -> SystemTime {
    timestamp.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dtab(text: &str) -> Dtab {
        Dtab::parse(text).expect("a dtab")
    }

    fn write(annotation: &str, old: &Dtab, version: &str, new: &Dtab) -> String {
        let before = Before {
            dtab: old,
            version,
            annotation: Some(annotation),
        };
        next(Some(before), new, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_last_versions_are_kept_newest_first_and_bounded() {
        let table = |i: u32| dtab(&format!("/svc => /v{i}"));
        let mut annotation = next(None, &table(0), Timestamp::UNIX_EPOCH);
        for i in 0..20 {
            annotation = write(&annotation, &table(i), &i.to_string(), &table(i + 1));
        }
        let now = VersionedDtab {
            dtab: table(20),
            token: token("20"),
        };
        let listed = list(&now, Some(&annotation));
        let dtabs: Vec<_> = listed
            .iter()
            .map(|past| past.version.dtab.clone())
            .collect();
        assert_eq!(dtabs, (11..=20).rev().map(table).collect::<Vec<_>>());
        assert_eq!(listed[1].version.token, token("19"));
        assert!(listed.iter().all(|past| past.written.is_some()));
        let same = write(&annotation, &table(20), "20", &table(20));
        assert_eq!(
            list(&now, Some(&same)).len(),
            VERSIONS,
            "a rewrite is no version"
        );
    }

    #[test]
    fn long_tables_push_out_old_versions_first() {
        let long = |n: char| {
            let path: String = std::iter::repeat_n(n, 25 << 10).collect();
            dtab(&format!("/svc => /{path}"))
        };
        let annotation = next(None, &long('a'), Timestamp::UNIX_EPOCH);
        let annotation = write(&annotation, &long('a'), "1", &long('b'));
        let annotation = write(&annotation, &long('b'), "2", &long('c'));
        let annotation = write(&annotation, &long('c'), "3", &long('d'));
        assert!(annotation.len() <= BYTES);
        let now = VersionedDtab {
            dtab: long('d'),
            token: token("4"),
        };
        let tokens: Vec<_> = list(&now, Some(&annotation))
            .into_iter()
            .map(|past| past.version.token)
            .collect();
        assert_eq!(tokens, [token("4"), token("3")]);
    }

    #[test]
    fn edits_of_others_have_no_time_and_nonsense_is_no_reason_to_fail() {
        let first = next(None, &dtab("/a=>/b"), Timestamp::UNIX_EPOCH);
        let edited = write(&first, &dtab("/a=>/edited"), "5", &dtab("/a=>/c"));
        let now = VersionedDtab {
            dtab: dtab("/a=>/c"),
            token: token("6"),
        };
        let listed = list(&now, Some(&edited));
        let dtabs: Vec<_> = listed
            .iter()
            .map(|past| past.version.dtab.clone())
            .collect();
        assert_eq!(dtabs, ["/a=>/c", "/a=>/edited", "/a=>/b"].map(dtab));
        let written: Vec<_> = listed.iter().map(|past| past.written.is_some()).collect();
        assert_eq!(written, [true, false, true]);
        assert_eq!(list(&now, Some("nonsense")).len(), 1);
    }
}
