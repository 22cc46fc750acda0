//! Dtabs: ordered lists of rules, the later tried first.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{NameTree, ParseError, Path, Prefix};

/// One rule `prefix => tree`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dentry {
    /// Which paths it applies to.
    pub prefix: Prefix,
    /// Where they lead.
    pub dst: NameTree<Path>,
}

/// A delegation table. Immutable and cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Dtab(Arc<[Dentry]>);

impl Dtab {
    /// The table without entries.
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Reads a dtab (naming 3.1).
    pub fn parse(_text: &str) -> Result<Self, ParseError> {
        unimplemented!()
    }

    /// A table of these entries.
    pub fn from_entries(entries: impl IntoIterator<Item = Dentry>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The entries in order.
    pub fn entries(&self) -> &[Dentry] {
        &self.0
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `self ++ local`; the entries of `local` win.
    #[must_use]
    pub fn concat(&self, local: &Dtab) -> Dtab {
        if local.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return local.clone();
        }
        Dtab(self.0.iter().chain(local.0.iter()).cloned().collect())
    }

    /// One step of lookup (naming 3.4).
    pub fn lookup(&self, _path: &Path) -> NameTree<Path> {
        unimplemented!()
    }

    /// The matching entries with their index, last first, each with its tree and the residual appended to its leaves.
    pub fn matches<'a>(
        &'a self,
        _path: &'a Path,
    ) -> impl Iterator<Item = (usize, &'a Dentry, NameTree<Path>)> + 'a {
        std::iter::empty()
    }

    /// Every tree simplified, entries that are Neg then dropped (naming 3.5).
    #[must_use]
    pub fn simplify(&self) -> Dtab {
        unimplemented!()
    }

    /// Without `head`, if this dtab begins with exactly it (naming 3.5).
    #[must_use]
    pub fn strip_prefix(&self, _head: &Dtab) -> Dtab {
        unimplemented!()
    }

    /// Same length, equal prefixes, equivalent trees (naming 3.5).
    pub fn is_equivalent(&self, _other: &Dtab) -> bool {
        unimplemented!()
    }

    /// Canonical text, but weights with as many digits as read back the same double (resolver API 1).
    pub fn show_exact(&self) -> String {
        unimplemented!()
    }
}

/// Canonical text (naming 3.2); weights are rounded to two decimals.
impl fmt::Display for Dtab {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

impl FromStr for Dtab {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
