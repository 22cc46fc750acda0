//! Namespaces as etcd's keys, dtabs as its values (control plane 12.5).

use bytes::Bytes;
use l5d_etcd::v3::KeyValue;
use l5d_naming::Dtab;

use crate::store::{DtabToken, StoreError, Stored, VersionedDtab};

/// Longest name of a namespace, in bytes.
const LONGEST_NAME: usize = 1_024;

/// The keys below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// Ends with `/`.
    prefix: String,
}

impl Keys {
    /// Keys `<prefix>/<namespace>`; slashes at the end of `prefix` do not count.
    pub(super) fn below(prefix: &str) -> Self {
        Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')),
        }
    }

    /// The first key and the one behind the last.
    pub(super) fn range(&self) -> (Bytes, Bytes) {
        let mut end = self.prefix.clone().into_bytes();
        *end.last_mut().expect("it ends with a slash") += 1;
        (Bytes::from(self.prefix.clone()), Bytes::from(end))
    }

    /// The key of a namespace.
    pub(super) fn key(&self, namespace: &str) -> Result<Bytes, StoreError> {
        if namespace.is_empty() || namespace.len() > LONGEST_NAME {
            return Err(StoreError::BadName {
                name: namespace.to_owned(),
                reason: format!("it must have 1 to {LONGEST_NAME} bytes"),
            });
        }
        Ok(Bytes::from(format!("{}{namespace}", self.prefix)))
    }

    /// The namespace of a key; `None`: it is none of ours.
    pub(super) fn namespace<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        let name = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        Some(name).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
    }
}

/// The token of what was written as this revision: its decimal text.
pub(super) fn token(revision: i64) -> DtabToken {
    DtabToken(revision.to_string().into_bytes().into())
}

/// The revision that a token names; `None`: it is none of ours.
pub(super) fn revision(token: &DtabToken) -> Option<i64> {
    let text = std::str::from_utf8(&token.0).ok()?;
    text.parse().ok().filter(|revision| *revision > 0)
}

/// What is stored.
pub(super) fn read(kv: &KeyValue) -> Stored {
    let text = std::str::from_utf8(&kv.value).map_err(|_| "it is not UTF-8".to_owned())?;
    let dtab = Dtab::parse(text).map_err(|e| e.to_string())?;
    Ok(VersionedDtab {
        dtab,
        token: token(kv.mod_revision),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_keys_below_the_prefix() {
        let keys = Keys::below("/namerd/dtabs/");
        assert_eq!(keys, Keys::below("/namerd/dtabs"));
        assert_eq!(
            keys.range(),
            ("/namerd/dtabs/".into(), "/namerd/dtabs0".into())
        );
        let key = keys.key("a/b").expect("a key");
        assert_eq!(key, "/namerd/dtabs/a/b");
        assert_eq!(keys.namespace(&key), Some("a/b"));
        for other in [
            &b"/namerd/dtabs"[..],
            b"/namerd/dtabs/",
            b"/x/y",
            b"/namerd/dtabs/\xff",
        ] {
            assert_eq!(keys.namespace(other), None);
        }
        assert!(keys.key("").is_err());
        assert_eq!(Keys::below("/").range(), ("/".into(), "0".into()));
    }

    #[test]
    fn tokens_are_revisions_as_text() {
        assert_eq!(revision(&token(17)), Some(17));
        for other in ["", "x", "-1", "0"] {
            assert_eq!(revision(&DtabToken(other.as_bytes().into())), None);
        }
    }
}
