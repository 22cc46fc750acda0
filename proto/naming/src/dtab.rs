//! Dtabs: ordered lists of rules, the later tried first.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::show::{Exact, join};
use crate::{NameTree, ParseError, Path, Prefix, parse};

/// One rule `prefix => tree`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dentry {
    /// Which paths it applies to.
    pub prefix: Prefix,
    /// Where they lead.
    pub dst: NameTree<Path>,
}

/// A delegation table. Immutable and cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dtab(Arc<[Dentry]>);

impl Dtab {
    /// The table without entries.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads a dtab (naming 3.1).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::dtab(text)
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
    pub fn lookup(&self, path: &Path) -> NameTree<Path> {
        let mut trees: Vec<_> = self.matches(path).map(|(_, _, tree)| tree).collect();
        match trees.len() {
            0 => NameTree::Neg,
            1 => trees.swap_remove(0),
            _ => NameTree::Alt(trees),
        }
    }

    /// The matching entries with their index, last first, each with its tree and the residual appended to its leaves.
    pub fn matches<'a>(
        &'a self,
        path: &'a Path,
    ) -> impl Iterator<Item = (usize, &'a Dentry, NameTree<Path>)> + 'a {
        let entries = self.0.iter().enumerate().rev();
        entries
            .filter(|(_, dentry)| dentry.prefix.matches(path))
            .map(|(index, dentry)| {
                let residual = &path.elems()[dentry.prefix.len()..];
                let tree = dentry.dst.map(&mut |leaf| leaf.join(residual));
                (index, dentry, tree)
            })
    }

    /// Every tree simplified, entries that are Neg then dropped (naming 3.5).
    #[must_use]
    pub fn simplify(&self) -> Dtab {
        let entries = self.0.iter().map(|dentry| Dentry {
            prefix: dentry.prefix.clone(),
            dst: dentry.dst.simplify(),
        });
        Self::from_entries(entries.filter(|dentry| dentry.dst != NameTree::Neg))
    }

    /// Without `head`, if this dtab begins with exactly it (naming 3.5).
    #[must_use]
    pub fn strip_prefix(&self, head: &Dtab) -> Dtab {
        match self.0.strip_prefix(&*head.0) {
            Some(rest) if !head.is_empty() => Dtab(rest.into()),
            _ => self.clone(),
        }
    }

    /// Same length, equal prefixes, equivalent trees (naming 3.5).
    pub fn is_equivalent(&self, other: &Dtab) -> bool {
        let same = |(a, b): (&Dentry, &Dentry)| a.prefix == b.prefix && a.dst.is_equivalent(&b.dst);
        self.0.len() == other.0.len() && self.0.iter().zip(other.entries()).all(same)
    }

    /// Canonical text, but weights with as many digits as read back the same double (resolver API 1).
    pub fn show_exact(&self) -> String {
        Exact(self).to_string()
    }
}

/// Canonical text (naming 3.2); weights are rounded to two decimals.
impl fmt::Display for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=>{}", self.prefix, self.dst)
    }
}

/// Canonical text (naming 3.2); weights are rounded to two decimals.
impl fmt::Display for Dtab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, ";", &self.0, |f, dentry| dentry.fmt(f))
    }
}

impl fmt::Display for Exact<'_, Dtab> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, ";", &self.0.0, |f, dentry| {
            write!(f, "{}=>{}", dentry.prefix, Exact(&dentry.dst))
        })
    }
}

impl FromStr for Dtab {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
