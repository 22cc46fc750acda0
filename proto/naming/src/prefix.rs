//! Prefixes: path patterns whose elements may be `*`.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use crate::{Elem, ParseError, Path, parse};

/// One element of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrefixElem {
    /// Matches exactly one element, any one.
    Any,
    /// Matches an equal element.
    Is(Elem),
}

/// The left side of a dentry. `/` matches every path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(Arc<[PrefixElem]>);

impl Prefix {
    /// Reads a prefix (naming 3.1).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::prefix(text)
    }

    /// A prefix of these elements.
    pub fn from_elems(elems: impl IntoIterator<Item = PrefixElem>) -> Self {
        Self(elems.into_iter().collect())
    }

    /// The elements in order.
    pub fn elems(&self) -> &[PrefixElem] {
        &self.0
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is `/`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the path has at least as many elements and each fits (naming 3.4).
    pub fn matches(&self, path: &Path) -> bool {
        self.0.len() <= path.len()
            && self.0.iter().zip(path.elems()).all(|(p, e)| match p {
                PrefixElem::Any => true,
                PrefixElem::Is(x) => x == e,
            })
    }
}

impl fmt::Display for PrefixElem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixElem::Any => f.write_char('*'),
            PrefixElem::Is(elem) => elem.fmt(f),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_char('/');
        }
        self.0.iter().try_for_each(|e| write!(f, "/{e}"))
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
