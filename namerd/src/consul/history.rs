//! Earlier versions of a dtab: keys below `<prefix>-history/<namespace>/`, written in the transaction that replaces them.
//!
//! Such a key is called by the index that the version had; its value and its flags are those of the dtab's key then. The
//! flags of a dtab's key say when namerd wrote it, in milliseconds since 1970. Whoever writes without namerd leaves them 0.
//! Versions that others replaced are not known. A namespace that namerd deletes takes its past along.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::client::{CallError, Client};
use super::kv::{self, Entry, Keys};
use crate::store::PastDtab;

/// Most versions kept, the present one included.
const VERSIONS: usize = 10;
/// Most keys of the past that one transaction deletes. Consul's transactions have 64 steps or more.
const MOST_DELETED: usize = 32;
/// Longest transaction. Consul takes 512 KiB, as `limits.txn_max_req_len` says.
const MOST_BYTES: usize = 480 << 10;
/// Flags that can be times of namerd: of the years 2004 to 2109. Others are somebody else's.
const TIMES: std::ops::Range<u64> = 1 << 40..1 << 42;

/// What a namespace is now, and which keys its past has.
pub(super) struct Present {
    entry: Entry,
    /// Oldest first.
    past: Vec<String>,
}

impl Present {
    /// `None`: there is no such namespace.
    pub(super) async fn look(
        client: &Client,
        keys: &Keys,
        namespace: &str,
    ) -> Result<Option<Self>, CallError> {
        let Some(entry) = one(client, keys, namespace).await? else {
            return Ok(None);
        };
        let answer = client.get(&keys.past_names(namespace)).await?;
        let past = match answer.status {
            StatusCode::NOT_FOUND => Ok(Vec::new()),
            _ => serde_json::from_slice(&answer.body),
        };
        let mut past: Vec<String> = past.map_err(|e| CallError::Unreadable(e.to_string()))?;
        past.sort();
        Ok(Some(Self { entry, past }))
    }

    pub(super) fn index(&self) -> u64 {
        self.entry.modify_index
    }

    /// The steps of a write over exactly this, after which this is past. `None`: Consul would not take so much at once.
    pub(super) fn replace(&self, folder: &str, write: &kv::Write<'_>) -> Option<Value> {
        let mut steps = vec![write.step(Some(self.index()))];
        let value = self.entry.value.as_deref().unwrap_or_default();
        // The same once more is no other version.
        if value != write.value() {
            let key = format!("{folder}{:020}", self.index());
            let kept =
                json!({"Verb": "set", "Key": key, "Value": value, "Flags": self.entry.flags});
            steps.push(json!({"KV": kept}));
            // Beside those that stay there are the present one and the one that becomes past.
            let too_many = self.past.len().saturating_sub(VERSIONS - 2);
            let oldest = self.past.iter().take(too_many.min(MOST_DELETED));
            steps.extend(oldest.map(|key| json!({"KV": {"Verb": "delete", "Key": key}})));
        }
        let steps = Value::from(steps);
        (steps.to_string().len() <= MOST_BYTES).then_some(steps)
    }
}

/// Deletes what is there with its past; refused if nothing is.
pub(super) fn delete(key: &str, folder: &str) -> Value {
    let mut steps = kv::delete(key);
    if let Some(steps) = steps.as_array_mut() {
        steps.push(json!({"KV": {"Verb": "delete-tree", "Key": folder}}));
    }
    steps
}

/// The versions of a namespace, newest first. `None`: there is no such namespace.
pub(super) async fn list(
    client: &Client,
    keys: &Keys,
    namespace: &str,
) -> Result<Option<Vec<PastDtab>>, CallError> {
    let Some(now) = one(client, keys, namespace).await? else {
        return Ok(None);
    };
    let mut past = kv::entries(&client.get(&keys.past(namespace)).await?)?;
    past.sort_by(|a, b| b.key.cmp(&a.key));
    let past = past.iter().filter_map(|entry| {
        let index = entry.key.rsplit('/').next()?.parse().ok()?;
        version(entry, index)
    });
    // Consul may have replaced it since.
    let past = past.filter(|past| kv::index(&past.version.token) < Some(now.modify_index));
    let present = version(&now, now.modify_index);
    Ok(Some(
        present.into_iter().chain(past).take(VERSIONS).collect(),
    ))
}

async fn one(client: &Client, keys: &Keys, namespace: &str) -> Result<Option<Entry>, CallError> {
    let answer = client.get(&keys.one(namespace)).await?;
    Ok(kv::entries(&answer)?.into_iter().next())
}

/// `None`: it cannot be read, so that it could not be restored either.
fn version(entry: &Entry, index: u64) -> Option<PastDtab> {
    let written = TIMES.contains(&entry.flags);
    Some(PastDtab {
        version: entry.read_as(index).ok()?,
        written: written.then(|| UNIX_EPOCH + Duration::from_millis(entry.flags)),
    })
}

/// Flags for what is written now.
pub(super) fn flags() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.ok().and_then(|now| u64::try_from(now.as_millis()).ok());
    now.filter(|now| TIMES.contains(now)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use l5d_naming::Dtab;

    use super::*;

    fn present(value: &str, past: usize) -> Present {
        let entry = json!({"Key": "d/a", "Value": value, "Flags": 7, "ModifyIndex": 99});
        Present {
            entry: serde_json::from_value(entry).expect("an entry"),
            past: (0..past).map(|n| format!("d-history/a/{n:020}")).collect(),
        }
    }

    fn verbs(steps: &Value) -> Vec<(&str, &str)> {
        let steps = steps.as_array().expect("a list");
        let verb = |step| -> Option<(&str, &str)> {
            let step: &Value = step;
            Some((step["KV"]["Verb"].as_str()?, step["KV"]["Key"].as_str()?))
        };
        steps.iter().filter_map(verb).collect()
    }

    #[test]
    fn what_is_replaced_becomes_past_and_the_oldest_goes() {
        let dtab = Dtab::parse("/a=>/b").expect("a dtab");
        let write = kv::Write::new("d/a", &dtab);
        let steps = present("b2xk", 10).replace("d-history/a/", &write);
        let steps = steps.expect("short enough");
        assert_eq!(
            verbs(&steps),
            [
                ("cas", "d/a"),
                ("set", "d-history/a/00000000000000000099"),
                ("delete", "d-history/a/00000000000000000000"),
                ("delete", "d-history/a/00000000000000000001"),
            ]
        );
        assert_eq!(
            (&steps[0]["KV"]["Index"], &steps[1]["KV"]["Flags"]),
            (&json!(99), &json!(7))
        );
        let many = present("b2xk", 1000).replace("d-history/a/", &write);
        assert_eq!(verbs(&many.expect("short enough")).len(), 2 + MOST_DELETED);
    }

    #[test]
    fn the_same_once_more_is_no_version_and_what_is_too_long_is_not_kept() {
        let dtab = Dtab::parse("/a=>/b").expect("a dtab");
        let write = kv::Write::new("d/a", &dtab);
        let same = present(write.value(), 10).replace("d-history/a/", &write);
        assert_eq!(verbs(&same.expect("short enough")), [("cas", "d/a")]);
        let long = "A".repeat(MOST_BYTES);
        assert!(present(&long, 0).replace("d-history/a/", &write).is_none());
    }
}
