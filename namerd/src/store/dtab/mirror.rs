//! A copy of a store whose versions are numbers in one order for all namespaces: etcd's revisions, Consul's indexes.
//!
//! Two writers meet here: the follower, which tells what the store holds in order but late, and our own writes, whose
//! answers are early. The newer version of each namespace wins, so that a write is seen at once by who made it and no late
//! message takes it back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DtabTable, Stored};

/// A [`DtabTable`] in which the newest version wins.
pub struct Mirror {
    table: Arc<DtabTable>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    entries: BTreeMap<String, Entry>,
    /// The newest version that was told, of any namespace.
    newest: u64,
}

/// The newest version of one namespace.
struct Entry {
    at: u64,
    /// `None`: deleted by us; kept until the follower has come as far, so that what it says of earlier times is known to be
    /// old.
    stored: Option<Stored>,
}

impl Mirror {
    /// Of a store that has not answered yet.
    pub fn new() -> Self {
        Self {
            table: DtabTable::new(),
            known: Mutex::default(),
        }
    }

    /// What readers see.
    pub fn table(&self) -> &Arc<DtabTable> {
        &self.table
    }

    /// The newest version that was told so far; what a read that begins now must not fall behind.
    pub fn newest(&self) -> u64 {
        self.known.lock().newest
    }

    /// The store was set back to an earlier state: version numbers known so far mean nothing any more.
    pub fn forget_order(&self) {
        let mut known = self.known.lock();
        known.entries.retain(|_, entry| entry.stored.is_some());
        known.entries.values_mut().for_each(|entry| entry.at = 0);
        known.newest = 0;
    }

    /// As of version `at` the store holds these and nothing else; what was written later than that stays.
    pub fn replace(&self, at: u64, all: impl IntoIterator<Item = (String, u64, Stored)>) {
        let mut known = self.known.lock();
        let mut entries: BTreeMap<String, Entry> = all
            .into_iter()
            .map(|(name, at, stored)| {
                let stored = Some(stored);
                (name, Entry { at, stored })
            })
            .collect();
        let old = std::mem::take(&mut known.entries);
        entries.extend(old.into_iter().filter(|(_, entry)| entry.at > at));
        known.entries = entries;
        known.newest = known.newest.max(at);
        let present = known.entries.iter();
        let present = present.filter_map(|(name, e)| Some((name.clone(), e.stored.clone()?)));
        self.table.replace(present);
    }

    /// A namespace was written at version `at`.
    pub fn set(&self, name: &str, at: u64, stored: Stored) {
        let mut known = self.known.lock();
        if known.is_new(name, at) {
            let entry = Entry {
                at,
                stored: Some(stored.clone()),
            };
            known.entries.insert(name.to_owned(), entry);
            self.table.set(name, stored);
        }
    }

    /// A namespace was deleted at version `at`.
    pub fn remove(&self, name: &str, at: u64) {
        let mut known = self.known.lock();
        if known.is_new(name, at) {
            let entry = Entry { at, stored: None };
            known.entries.insert(name.to_owned(), entry);
            self.table.remove(name);
        }
    }

    /// The follower has told everything up to version `at`, and the store answers.
    pub fn reached(&self, at: u64) {
        let mut known = self.known.lock();
        known
            .entries
            .retain(|_, entry| entry.stored.is_some() || entry.at > at);
        known.newest = known.newest.max(at);
        self.table.confirm(Some(at));
    }
}

impl Known {
    fn is_new(&mut self, name: &str, at: u64) -> bool {
        self.newest = self.newest.max(at);
        self.entries.get(name).is_none_or(|entry| entry.at < at)
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("newest", &self.newest())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use l5d_naming::Dtab;

    use super::*;
    use crate::store::{DtabToken, NamespaceState, VersionedDtab};

    fn stored(at: u64) -> Stored {
        Ok(VersionedDtab {
            dtab: Dtab::parse(&format!("/at=>/{at}")).expect("a dtab"),
            token: DtabToken(at.to_string().into_bytes().into()),
        })
    }

    fn is(mirror: &Mirror, name: &str) -> Option<u64> {
        match mirror.table().observe(name).value() {
            NamespaceState::Present(dtab) => {
                let text = std::str::from_utf8(&dtab.token.0).expect("text");
                text.parse().ok()
            }
            _ => None,
        }
    }

    #[test]
    fn late_news_takes_nothing_back() {
        let mirror = Mirror::new();
        mirror.replace(5, [("a".to_owned(), 3, stored(3))]);
        // Our own writes, ahead of the follower.
        mirror.set("a", 8, stored(8));
        mirror.set("b", 9, stored(9));
        mirror.remove("b", 10);
        for (name, at) in [("a", 6), ("a", 8), ("b", 9)] {
            mirror.set(name, at, stored(at));
        }
        assert_eq!((is(&mirror, "a"), is(&mirror, "b")), (Some(8), None));
        mirror.remove("a", 7);
        assert_eq!(is(&mirror, "a"), Some(8));
        mirror.reached(10);
        mirror.set("b", 11, stored(11));
        assert_eq!(is(&mirror, "b"), Some(11));
        assert_eq!(mirror.newest(), 11);
    }

    #[test]
    fn a_list_replaces_what_is_older_than_itself() {
        let mirror = Mirror::new();
        mirror.replace(5, ["a", "b", "c"].map(|n| (n.to_owned(), 3, stored(3))));
        mirror.set("a", 8, stored(8));
        mirror.remove("b", 9);
        mirror.replace(
            7,
            [
                ("a".to_owned(), 6, stored(6)),
                ("b".to_owned(), 3, stored(3)),
            ],
        );
        let all = ["a", "b", "c"].map(|name| is(&mirror, name));
        assert_eq!(all, [Some(8), None, None]);
        let names = mirror.table().list().value().expect("is known");
        assert_eq!(*names, ["a".to_owned()]);
    }

    #[test]
    fn a_store_that_was_set_back_is_believed() {
        let mirror = Mirror::new();
        mirror.replace(50, [("a".to_owned(), 40, stored(40))]);
        mirror.forget_order();
        assert_eq!(is(&mirror, "a"), Some(40), "until the list is there");
        mirror.replace(5, [("b".to_owned(), 4, stored(4))]);
        assert_eq!((is(&mirror, "a"), is(&mirror, "b")), (None, Some(4)));
    }
}
