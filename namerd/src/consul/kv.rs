//! Namespaces as keys of Consul, dtabs as their values; transactions on them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use l5d_naming::Dtab;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, CallError, Client, escape};
use super::history;
use crate::store::{DtabToken, StoreError, Stored, VersionedDtab};

/// A key with its value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) key: String,
    /// Base64; null if it is empty.
    #[serde(default)]
    pub(super) value: Option<String>,
    /// Whatever who wrote it wanted.
    #[serde(default)]
    pub(super) flags: u64,
    pub(super) modify_index: u64,
}

/// The keys below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Ends with `/`, or is empty.
    prefix: String,
}

/// What became of a transaction.
pub(super) enum Outcome {
    /// Done; of one that reads or writes, the key's index.
    Done(Option<u64>),
    /// Its condition does not hold.
    Refused,
}

impl Keys {
    /// Keys `<prefix>/<namespace>`, without a slash in front.
    pub(super) fn below(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self {
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
        }
    }

    /// The question for all of them.
    pub(super) fn all(&self) -> String {
        format!("/v1/kv/{}?recurse=true", escaped(&self.prefix))
    }

    /// The question for one of them.
    pub(super) fn one(&self, namespace: &str) -> String {
        format!("/v1/kv/{}", escaped(&format!("{}{namespace}", self.prefix)))
    }

    /// What the keys of a namespace's past begin with; none of them is below the prefix of namespaces.
    pub(super) fn past_folder(&self, namespace: &str) -> String {
        let prefix = self.prefix.trim_end_matches('/');
        format!("{prefix}-history/{namespace}/")
    }

    /// The question for a namespace's past.
    pub(super) fn past(&self, namespace: &str) -> String {
        let folder = escaped(&self.past_folder(namespace));
        format!("/v1/kv/{folder}?recurse=true")
    }

    /// The question for the names of the keys of a namespace's past.
    pub(super) fn past_names(&self, namespace: &str) -> String {
        let folder = escaped(&self.past_folder(namespace));
        format!("/v1/kv/{folder}?keys=true")
    }

    /// The key of a namespace.
    pub(super) fn key(&self, namespace: &str) -> Result<String, StoreError> {
        if !is_name(namespace) {
            return Err(StoreError::BadName {
                name: namespace.to_owned(),
                reason: "in Consul a name has letters, digits, _ and - only, 1 to 256 of them"
                    .to_owned(),
            });
        }
        Ok(format!("{}{namespace}", self.prefix))
    }

    /// The namespace of an entry; `None`: it is none of ours.
    pub(super) fn namespace<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        let name = entry.key.strip_prefix(&self.prefix)?;
        is_name(name).then_some(name)
    }
}

/// A key in a question.
fn escaped(key: &str) -> String {
    let parts: Vec<_> = key.split('/').map(escape).collect();
    parts.join("/")
}

/// Letters, digits, `_` and `-` (control plane 7.3).
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=256).contains(&name.len()) && name.bytes().all(fits)
}

impl Entry {
    /// What is stored.
    pub(super) fn read(&self) -> Stored {
        self.read_as(self.modify_index)
    }

    /// The same, of a version that had this index.
    pub(super) fn read_as(&self, index: u64) -> Stored {
        let value = self.value.as_deref().unwrap_or_default();
        let bytes = STANDARD.decode(value).map_err(|e| e.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let dtab = Dtab::parse(&text).map_err(|e| e.to_string())?;
        Ok(VersionedDtab {
            dtab,
            token: token(index),
        })
    }
}

/// The entries of an answer; 404 means that there are none.
pub(super) fn entries(answer: &Answer) -> Result<Vec<Entry>, CallError> {
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let entries = serde_json::from_slice(&answer.body);
    entries.map_err(|e| CallError::Unreadable(e.to_string()))
}

/// The token of what has this index: its decimal text.
pub(super) fn token(index: u64) -> DtabToken {
    DtabToken(index.to_string().into_bytes().into())
}

/// The index that a token names; `None`: it is none of ours.
pub(super) fn index(token: &DtabToken) -> Option<u64> {
    let text = std::str::from_utf8(&token.0).ok()?;
    text.parse().ok().filter(|index| *index > 0)
}

/// A dtab on its way to its key.
pub(super) struct Write<'a> {
    key: &'a str,
    value: String,
}

impl<'a> Write<'a> {
    pub(super) fn new(key: &'a str, dtab: &Dtab) -> Self {
        Self {
            key,
            value: STANDARD.encode(dtab.show_exact()),
        }
    }

    /// In base64.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// On condition that the key's index is `expected` (0: that it is absent), or without.
    pub(super) fn step(&self, expected: Option<u64>) -> Value {
        let (key, value, flags) = (self.key, &self.value, history::flags());
        let step = json!({"Verb": "set", "Key": key, "Value": value, "Flags": flags});
        let mut step = json!({ "KV": step });
        if let Some(index) = expected {
            step["KV"]["Verb"] = "cas".into();
            step["KV"]["Index"] = index.into();
        }
        step
    }

    /// A transaction of this step alone.
    pub(super) fn alone(&self, expected: Option<u64>) -> Value {
        Value::from(vec![self.step(expected)])
    }
}

/// Deletes what is there; refused if nothing is.
pub(super) fn delete(key: &str) -> Value {
    json!([{"KV": {"Verb": "get", "Key": key}}, {"KV": {"Verb": "delete", "Key": key}}])
}

/// Does all of it or nothing.
pub(super) async fn transact(client: &Client, steps: &Value) -> Result<Outcome, CallError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Said {
        results: Option<Vec<Result_>>,
        errors: Option<Vec<Error_>>,
    }
    #[derive(Deserialize)]
    struct Result_ {
        #[serde(rename = "KV")]
        kv: Option<Entry>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Error_ {
        what: String,
    }
    let answer = client
        .put("/v1/txn", Bytes::from(steps.to_string()))
        .await?;
    let said: Said =
        serde_json::from_slice(&answer.body).map_err(|e| CallError::Unreadable(e.to_string()))?;
    if answer.status == StatusCode::OK {
        let results = said.results.unwrap_or_default();
        let first = results.into_iter().find_map(|result| result.kv);
        return Ok(Outcome::Done(first.map(|entry| entry.modify_index)));
    }
    let errors = said.errors.unwrap_or_default();
    match errors
        .into_iter()
        .find(|e| e.what.contains("ermission denied"))
    {
        Some(denied) => Err(CallError::Forbidden(denied.what)),
        None => Ok(Outcome::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys_below_the_prefix_without_a_slash_in_front() {
        let keys = Keys::below("/namerd/dtabs");
        assert_eq!(keys.all(), "/v1/kv/namerd/dtabs/?recurse=true");
        assert_eq!(keys.key("a-b_1"), Ok("namerd/dtabs/a-b_1".to_owned()));
        for name in ["", "a/b", "a.b", "\u{e4}", &"a".repeat(257)] {
            assert!(keys.key(name).is_err(), "{name}");
        }
        let entry = |key: &str| Entry {
            key: key.to_owned(),
            value: None,
            flags: 0,
            modify_index: 1,
        };
        assert_eq!(
            keys.past("a"),
            "/v1/kv/namerd/dtabs-history/a/?recurse=true"
        );
        assert_eq!(keys.namespace(&entry("namerd/dtabs/a")), Some("a"));
        for key in [
            "namerd/dtabs/",
            "namerd/dtabs/a/",
            "namerd/dtabs/a/b",
            "namerd/dtabsa",
            "namerd/dtabs-history/a/00000000000000000001",
        ] {
            assert_eq!(keys.namespace(&entry(key)), None, "{key}");
        }
        assert_eq!(Keys::below("/").all(), "/v1/kv/?recurse=true");
        let empty = entry("namerd/dtabs/a").read().expect("an empty dtab");
        assert_eq!((empty.dtab, empty.token), (Dtab::empty(), token(1)));
    }
}
