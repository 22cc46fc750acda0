//! What the query string and the `Accept` header of a request say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kinds::{Kind, Target};
use super::selector::Selector;
use super::status::Refusal;
use super::store::Key;

/// A read of a collection.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) view: View,
    pub(super) watch: bool,
    pub(super) version: Option<u64>,
    pub(super) matching: Option<Match>,
    pub(super) limit: Option<usize>,
    pub(super) page: Option<Page>,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
    pub(super) timeout: Option<Duration>,
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    NotOlderThan,
    Exact,
}

/// How much of an object is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Whole,
    Metadata,
}

/// What a continue token holds: where a list goes on, as of which version, and which page this is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) rv: u64,
    pub(super) number: u32,
    pub(super) start: (String, String),
}

impl Query {
    pub(super) fn parse(target: &Target, uri: &Uri, accept: &str) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<HashMap<String, String>>::try_from_uri(uri)
            .map_err(|error| Refusal::bad_request(error.to_string()))?
            .0;
        let text = |key: &str| query.get(key).map_or("", String::as_str);
        let flag = |key: &str| matches!(text(key), "true" | "1");
        let fields = match &target.name {
            Some(name) => format!("metadata.name={name}"),
            None => text("fieldSelector").to_owned(),
        };
        let selector =
            Selector::parse(text("labelSelector"), &fields).map_err(Refusal::bad_request)?;
        Ok(Self {
            kind: target.kind,
            namespace: target.namespace.clone(),
            selector,
            view: View::of(accept),
            watch: flag("watch"),
            version: number(text("resourceVersion"))?,
            matching: match text("resourceVersionMatch") {
                "" => None,
                "NotOlderThan" => Some(Match::NotOlderThan),
                "Exact" => Some(Match::Exact),
                other => return Err(Refusal::invalid(format!("resourceVersionMatch: {other}"))),
            },
            limit: number(text("limit"))?
                .filter(|limit| *limit > 0)
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            page: Page::read(text("continue"))?,
            bookmarks: flag("allowWatchBookmarks"),
            initial_events: flag("sendInitialEvents"),
            timeout: number(text("timeoutSeconds"))?.map(Duration::from_secs),
        })
    }

    /// Whether an object belongs to what was asked for.
    pub(super) fn wants(&self, key: &Key, object: &Value) -> bool {
        let here = self.namespace.as_ref().is_none_or(|ns| *ns == key.1);
        here && self.selector.matches(object)
    }
}

impl View {
    pub(super) fn of(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    /// An object as an event or a GET shows it.
    pub(super) fn show(self, object: &Arc<Value>) -> Value {
        match self {
            Self::Whole => Value::clone(object),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            }),
        }
    }

    /// An object as a list shows it: whole ones do not repeat their kind.
    pub(super) fn show_listed(self, object: &Arc<Value>) -> Value {
        let mut shown = self.show(object);
        if let (Self::Whole, Some(fields)) = (self, shown.as_object_mut()) {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        shown
    }

    /// Kind and API version of a list.
    pub(super) fn list_type(self, kind: Kind) -> (String, &'static str) {
        match self {
            Self::Whole => (format!("{}List", kind.name()), kind.api_version()),
            Self::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1"),
        }
    }

    /// The object of a bookmark: an empty one that carries a version.
    pub(super) fn bookmark(self, kind: Kind, version: u64, ends_initial: bool) -> Value {
        let mut object = kind.empty();
        object["kind"] = json!(kind.name());
        object["apiVersion"] = json!(kind.api_version());
        object["metadata"] = json!({"resourceVersion": version.to_string()});
        if ends_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.show(&Arc::new(object))
    }
}

impl Page {
    fn read(text: &str) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| Refusal::bad_request("continue key is not valid"))
    }

    pub(super) fn token(&self) -> String {
        // Numbers and strings always become JSON.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

fn number(text: &str) -> Result<Option<u64>, Refusal> {
    match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Refusal::bad_request(format!("not a number: {text}"))),
    }
}
