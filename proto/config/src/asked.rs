//! What a program asked a file for, whether it was there or not: all that it can be told, for a reference that cannot drift.
//!
//! Places are patterns: `routers[].servers[].port`; where a section has a kind, the kind stands behind it:
//! `namers[]{io.l5d.fs}.rootDir`; keys of the user's are `*`.

use std::collections::{BTreeMap, BTreeSet};

/// One key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What its value may be, in the words of messages. Several, if the program looks at it first.
    pub takes: BTreeSet<String>,
    /// A mistake if it is absent.
    pub is_needed: bool,
    /// It was there at least once, so what is inside of it was asked for as well.
    pub is_present: bool,
    /// It is known and does nothing, or cannot be used.
    pub standing: Standing,
}

/// Whether a key does something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    #[default]
    Used,
    /// It is taken with a warning.
    WithoutEffect,
    /// It is a mistake.
    Refused,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Keys, by the pattern of their place.
    pub keys: BTreeMap<String, Asked>,
    /// For each place with a `kind`: the kinds that it may have, and which of them the file had.
    pub kinds: BTreeMap<String, (Vec<&'static str>, BTreeSet<&'static str>)>,
}

impl Questions {
    /// What another file was asked for, besides.
    pub fn join(&mut self, other: Questions) {
        for (place, asked) in other.keys {
            let here = self.keys.entry(place).or_default();
            here.takes.extend(asked.takes);
            here.is_needed |= asked.is_needed;
            here.is_present |= asked.is_present;
            if asked.standing != Standing::Used {
                here.standing = asked.standing;
            }
        }
        for (place, (known, had)) in other.kinds {
            self.kinds
                .entry(place)
                .or_insert_with(|| (known, BTreeSet::new()))
                .1
                .extend(had);
        }
    }
}
