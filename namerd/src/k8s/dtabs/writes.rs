//! Single requests that change an object, and their answers (K8S-160).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use l5d_naming::Dtab;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::history::{self, Before, token};
use super::memory::Memory;
use super::wire::{self, API_VERSION, DTabStatus, HISTORY, Stored};
use crate::k8s::decode;
use crate::k8s::failure::Failure;
use crate::k8s::lines::read_all;
use crate::k8s::target::{JSON, Target};
use crate::k8s::transport::{Transport, Write};
use crate::store::{DtabToken, StoreError};

/// For one request with its answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// A write that others keep getting in the way of is tried so often.
const TRIES: usize = 3;
/// Longest name of an object.
const NAME_BYTES: usize = 253;
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Writes objects of one Kubernetes namespace.
#[derive(Clone)]
pub(super) struct Writer {
    transport: Arc<dyn Transport>,
    pub(super) memory: Arc<Memory>,
    target: Arc<Target>,
}

/// What the server says to a write.
pub(super) enum Said {
    /// The object as it is now.
    Done(Box<Stored>),
    /// Deleted; which one, if it says so.
    Deleted(Option<String>),
    /// Somebody was faster, or it exists.
    Conflict,
    /// There is no such object, or no such resource.
    NotFound,
}

/// DNS-1123 subdomain: the rule of object names.
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    let is_end = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        ends.is_some_and(|(first, last)| is_end(*first) && is_end(*last))
            && bytes.iter().all(|b| is_end(*b) || *b == b'-')
    };
    if name.len() <= NAME_BYTES && name.split('.').all(label) {
        return Ok(());
    }
    Err(StoreError::BadName {
        name: name.to_owned(),
        reason: "it is the name of a Kubernetes object: at most 253 of a-z, 0-9, - and ., each part between dots \
                 beginning and ending with a letter or digit"
            .to_owned(),
    })
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(transport: Arc<dyn Transport>, memory: Arc<Memory>, namespace: &str) -> Self {
        let target = Target::custom("/apis/l5d.io/v1alpha1", namespace, "dtabs");
        Self {
            transport,
            memory,
            target: Arc::new(target),
        }
    }

    pub(super) async fn create(&self, name: &str, dtab: &Dtab) -> Result<DtabToken, StoreError> {
        match self.post(name, dtab).await? {
            Said::Done(object) => Ok(self.done(*object)),
            Said::Conflict => Err(StoreError::Exists(name.to_owned())),
            Said::NotFound | Said::Deleted(_) => Err(no_resource()),
        }
    }

    pub(super) async fn update(
        &self,
        name: &str,
        dtab: &Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        let mismatch = || StoreError::VersionMismatch(name.to_owned());
        for _ in 0..TRIES {
            // Somebody may have changed a label since; that is no other table.
            let known = self.memory.known(name);
            let known = known.filter(|known| known.is_as_of(&expected.0));
            let version = match &known {
                Some(known) => Some(known.object.version.to_string()),
                // Nothing else is a version, and the server would take it for a fault.
                None => String::from_utf8(expected.0.to_vec())
                    .ok()
                    .filter(|text| decode::order(text) > 0),
            };
            let said = match version {
                Some(version) => self.patch(name, dtab, Some(&version)).await?,
                None => Said::Conflict,
            };
            match said {
                Said::Done(object) => return Ok(self.done(*object)),
                Said::NotFound | Said::Deleted(_) => {
                    return Err(StoreError::Missing(name.to_owned()));
                }
                Said::Conflict => {
                    let Some(now) = self.get(name).await? else {
                        return Err(StoreError::Missing(name.to_owned()));
                    };
                    self.memory.apply(now);
                    let known = self.memory.known(name);
                    if !known.is_some_and(|known| known.is_as_of(&expected.0)) {
                        return Err(mismatch());
                    }
                }
            }
        }
        Err(mismatch())
    }

    pub(super) async fn put(&self, name: &str, dtab: &Dtab) -> Result<DtabToken, StoreError> {
        for _ in 0..TRIES {
            if let Said::Done(object) = self.patch(name, dtab, None).await? {
                return Ok(self.done(*object));
            }
            match self.post(name, dtab).await? {
                Said::Done(object) => return Ok(self.done(*object)),
                Said::NotFound | Said::Deleted(_) => return Err(no_resource()),
                // Created by somebody else in between.
                Said::Conflict => {}
            }
        }
        Err(StoreError::Exists(name.to_owned()))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let write = self.write(Method::DELETE, self.path(Some(name), ""), JSON, &json!({}));
        match self.send(write).await? {
            Said::Deleted(uid) => self.memory.deleted(name, uid.as_deref()),
            // Somebody's finalizer holds it; it goes when the watch says so.
            Said::Done(object) => self.memory.apply(*object),
            Said::NotFound => return Err(StoreError::Missing(name.to_owned())),
            Said::Conflict => return Err(StoreError::VersionMismatch(name.to_owned())),
        }
        Ok(())
    }

    /// Writes the status of this very version; what others have changed since is not touched.
    pub(super) async fn status(
        &self,
        of: &Stored,
        status: &DTabStatus,
    ) -> Result<Said, StoreError> {
        let mut fields = json!(status);
        if status.message.is_none() {
            fields["message"] = Value::Null;
        }
        let body = json!({"metadata": {"resourceVersion": &*of.version}, "status": fields});
        let path = self.path(Some(&of.name), "/status");
        self.send(self.write(Method::PATCH, path, MERGE_PATCH, &body))
            .await
    }

    async fn post(&self, name: &str, dtab: &Dtab) -> Result<Said, StoreError> {
        let history = history::next(None, dtab, Timestamp::now());
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": "DTab",
            "metadata": {"name": name, "annotations": {HISTORY: history}},
            "dentries": wire::dentries(dtab),
        });
        self.send(self.write(Method::POST, self.path(None, ""), JSON, &body))
            .await
    }

    async fn patch(
        &self,
        name: &str,
        dtab: &Dtab,
        version: Option<&str>,
    ) -> Result<Said, StoreError> {
        let known = self.memory.known(name);
        let now = known.as_ref().and_then(|known| {
            Some(Before {
                dtab: known.object.dtab.as_ref().ok()?,
                version: known.token(),
                annotation: known.object.history.as_deref(),
            })
        });
        let history = history::next(now, dtab, Timestamp::now());
        let mut metadata = Map::new();
        metadata.insert("annotations".to_owned(), json!({HISTORY: history}));
        if let Some(version) = version {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        let body = json!({"metadata": metadata, "dentries": wire::dentries(dtab)});
        let path = self.path(Some(name), "");
        self.send(self.write(Method::PATCH, path, MERGE_PATCH, &body))
            .await
    }

    /// One object as the server has it now.
    async fn get(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let path = self.target.object(Some(name));
        let asked = async {
            let reply = self.transport.get(&path, JSON).await;
            let reply = reply.map_err(Failure::Unreachable)?;
            let body = read_all(reply.body).await.map_err(Failure::Cut)?;
            match reply.status {
                200 => Ok(Some(object(&body)?)),
                404 => Ok(None),
                status => Err(Failure::of_reply(status, reply.retry_after, &body)),
            }
        };
        let late = |_| Failure::Stalled(format!("no answer within {DEADLINE:?}"));
        let asked = timeout(DEADLINE, asked).await.map_err(late);
        asked.and_then(|asked| asked).map_err(|e| refused(&e))
    }

    /// Takes in what our write has made of an object (K8S-161).
    fn done(&self, object: Stored) -> DtabToken {
        let (name, version) = (object.name.clone(), object.version.clone());
        self.memory.apply(object);
        let known = self.memory.known(&name);
        let known = known.filter(|known| known.is_as_of(version.as_bytes()));
        known.map_or_else(|| token(&version), |known| token(known.token()))
    }

    fn path(&self, name: Option<&str>, sub: &str) -> String {
        format!("{}{sub}?fieldManager=namerd", self.target.object(name))
    }

    fn write(&self, method: Method, path: String, media_type: &'static str, body: &Value) -> Write {
        Write {
            method,
            path,
            media_type,
            body: body.to_string().into_bytes(),
        }
    }

    async fn send(&self, write: Write) -> Result<Said, StoreError> {
        let deletes = write.method == Method::DELETE;
        let asked = async {
            let reply = self.transport.write(write).await;
            let reply = reply.map_err(Failure::Unreachable)?;
            let body = read_all(reply.body).await.map_err(Failure::Cut)?;
            match reply.status {
                200..=202 if deletes && is_status(&body) => Ok(Said::Deleted(uid(&body))),
                200..=202 => Ok(Said::Done(Box::new(object(&body)?))),
                404 => Ok(Said::NotFound),
                409 => Ok(Said::Conflict),
                status => Err(Failure::of_reply(status, reply.retry_after, &body)),
            }
        };
        let late = |_| Failure::Stalled(format!("no answer to a write within {DEADLINE:?}"));
        let said = timeout(DEADLINE, asked).await.map_err(late);
        let said = said.and_then(|said| said);
        if let Err(failure) = &said
            && failure.wants_a_new_connection()
        {
            self.transport.reconnect();
        }
        said.map_err(|e| refused(&e))
    }
}

fn object(body: &[u8]) -> Result<Stored, Failure> {
    let text = String::from_utf8_lossy(body);
    let read = wire::read(&text).map(|decoded| decoded.object);
    read.map_err(|e| Failure::Garbled(format!("cannot read the answer to a write: {e}")))
}

fn is_status(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body["kind"] == "Status")
}

fn uid(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["details"]["uid"].as_str().map(str::to_owned)
}

fn no_resource() -> StoreError {
    StoreError::Unavailable(
        "the API server does not know dtabs.l5d.io, or not the Kubernetes namespace of the store: apply the \
         CustomResourceDefinition (`namerd --crd`), create the namespace"
            .to_owned(),
    )
}

/// A failure as doors know it.
fn refused(failure: &Failure) -> StoreError {
    match failure {
        Failure::Refused {
            status: 403,
            message,
            ..
        } => StoreError::Forbidden(format!(
            "{message} (check namerd's Role: create, update, patch and delete on dtabs.l5d.io)"
        )),
        // What the schema does not take.
        Failure::Refused {
            status: 400 | 422,
            message,
            ..
        } => StoreError::Forbidden(message.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8s_160_names_are_dns_1123_subdomains() {
        let long = "a".repeat(253);
        for good in ["a", "default", "a-b.c-1", "0", &long] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(254);
        for bad in [
            "", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "ä", "a/b", &too_long,
        ] {
            assert!(
                matches!(check_name(bad), Err(StoreError::BadName { .. })),
                "{bad}"
            );
        }
    }
}
