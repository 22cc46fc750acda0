//! Paths: lists of non-empty byte strings.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::ParseError;
use crate::parse::{self, is_plain};

/// One element of a path: a non-empty byte string. Prints as naming 1.2 says. Cheap to clone: short ones (nearly all) are
/// stored in place, long ones are shared.
#[derive(Clone)]
pub struct Elem(Bytes);

/// Longest element stored in place: an `Elem` then takes three words, as a `Vec` does.
const IN_PLACE: usize = 22;

#[derive(Clone)]
enum Bytes {
    InPlace { len: u8, bytes: [u8; IN_PLACE] },
    Shared(Arc<[u8]>),
}

/// A list of elements; the empty list is the root path `/`. Immutable and cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Arc<[Elem]>);

// === impl Elem ===

impl Elem {
    /// An element of these bytes; `None` if there are none.
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return None;
        }
        Some(Self(if bytes.len() <= IN_PLACE {
            let mut place = [0; IN_PLACE];
            place[..bytes.len()].copy_from_slice(bytes);
            Bytes::InPlace {
                len: bytes.len() as u8,
                bytes: place,
            }
        } else {
            Bytes::Shared(bytes.into())
        }))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::InPlace { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Shared(bytes) => bytes,
        }
    }

    /// The bytes read as UTF-8, invalid sequences becoming U+FFFD (naming 1.4).
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

impl PartialEq for Elem {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Elem {}

impl PartialOrd for Elem {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Elem {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Elem {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elem({self})")
    }
}

/// As it is if every byte is a plain character, else every byte as an escape (naming 1.2).
impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.iter().all(|b| is_plain(*b)) => f.write_str(text),
            _ => bytes.iter().try_for_each(|b| write!(f, "\\x{b:02x}")),
        }
    }
}

// === impl Path ===

impl Path {
    /// The root path `/`.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path (naming 1.1).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::path(text)
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
        self.starts_with(prefix).then(|| self.skip(prefix.len()))
    }

    /// The first `n` elements (all, if there are fewer).
    pub fn take(&self, n: usize) -> Path {
        if n >= self.len() {
            return self.clone();
        }
        Path(self.0[..n].into())
    }

    /// The path without its first `n` elements.
    pub fn skip(&self, n: usize) -> Path {
        if n == 0 {
            return self.clone();
        }
        Path(self.0[n.min(self.len())..].into())
    }

    /// `self ++ other`.
    pub fn concat(&self, other: &Path) -> Path {
        if self.is_empty() {
            return other.clone();
        }
        self.join(&other.0)
    }

    /// The path with one more element at its end.
    pub fn child(&self, elem: Elem) -> Path {
        Path(self.0.iter().cloned().chain([elem]).collect())
    }

    /// The path with these elements behind its own.
    pub(crate) fn join(&self, elems: &[Elem]) -> Path {
        if elems.is_empty() {
            return self.clone();
        }
        Path(self.0.iter().chain(elems).cloned().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_char('/');
        }
        self.0.iter().try_for_each(|e| write!(f, "/{e}"))
    }
}

impl FromStr for Path {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
