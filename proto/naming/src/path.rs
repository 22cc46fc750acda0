//! Paths: lists of non-empty byte strings.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::ParseError;

/// One element of a path: a non-empty byte string. Prints as naming 1.2 says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Elem(Arc<[u8]>);

/// A list of elements; the empty list is the root path `/`. Immutable and cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Arc<[Elem]>);

// === impl Elem ===

impl Elem {
    /// An element of these bytes; `None` if there are none.
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = bytes.as_ref();
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes read as UTF-8, invalid sequences becoming U+FFFD (naming 1.4).
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

// === impl Path ===

impl Path {
    /// The root path `/`.
    pub fn root() -> Self {
        Self(Arc::from([]))
    }

    /// Reads a path (naming 1.1).
    pub fn parse(_text: &str) -> Result<Self, ParseError> {
        unimplemented!()
    }

    /// A path of these elements.
    pub fn from_elems(elems: impl IntoIterator<Item = Elem>) -> Self {
        Self(elems.into_iter().collect())
    }

    /// The elements in order.
    pub fn elems(&self) -> &[Elem] {
        &self.0
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the root path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `prefix`'s elements are this path's first ones.
    pub fn starts_with(&self, prefix: &Path) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The elements behind `prefix`, if the path starts with it.
    pub fn strip_prefix(&self, prefix: &Path) -> Option<Path> {
        self.0
            .strip_prefix(&*prefix.0)
            .map(|rest| Path(rest.into()))
    }

    /// The first `n` elements (all, if there are fewer).
    pub fn take(&self, n: usize) -> Path {
        Path(self.0[..n.min(self.len())].into())
    }

    /// The path without its first `n` elements.
    pub fn skip(&self, n: usize) -> Path {
        Path(self.0[n.min(self.len())..].into())
    }

    /// `self ++ other`.
    pub fn concat(&self, other: &Path) -> Path {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        Path(self.0.iter().chain(other.0.iter()).cloned().collect())
    }

    /// The path with one more element at its end.
    pub fn child(&self, elem: Elem) -> Path {
        Path(self.0.iter().cloned().chain([elem]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

impl FromStr for Path {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
