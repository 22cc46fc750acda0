//! What a watch is of, and what it writes into: everything of a watch that differs from kind to kind.
//!
//! In come objects of one collection, out of the one state machine of [`super::watch`]. A sink decodes and keeps; it must
//! never block, and never empty itself but for a complete list that says so.

use std::sync::Arc;

use tokio::time::Instant;

use super::decode::{self, Decoded, Keep};
use super::failure::Failure;
use super::target::Target;
use crate::store::services::{Kind, Meta, Object, Services, WatchStatus};

/// Where the objects of one watch go.
pub(super) trait Sink: Send + Sync + 'static {
    /// One object, read.
    type Object: Send;

    /// The collection.
    fn target(&self) -> Target;
    /// Its name in positions, logs and pages (resolver API 2).
    fn source(&self) -> &str;
    /// Reads one object. `Err`: not even its name can be read.
    fn decode(&self, raw: &str) -> Result<Decoded<Self::Object>, String>;
    /// A complete list of this version; what is not in it is gone (K8S-111). `rewound`: it is known to be older than what
    /// was seen before, and it stands (K8S-118).
    fn replace(&self, objects: Vec<Self::Object>, version: u64, rewound: bool);
    /// An object was added or has changed.
    fn apply(&self, object: Self::Object, now: Instant);
    /// An object was deleted.
    fn delete(&self, object: Self::Object, now: Instant);
    /// Writes down how the watch is.
    fn note(&self, note: impl FnOnce(&mut WatchStatus));
    /// Everything up to this version (0: not known) has been applied.
    fn reached(&self, version: u64) {
        let _ = version;
    }
    /// The watch is cut. What is known goes on being served.
    fn failed(&self, failure: &Failure) {
        let _ = failure;
    }
}

/// The model of services: slices, Services and Nodes.
pub(super) struct ServicesSink {
    kind: Kind,
    namespace: Option<Arc<str>>,
    services: Services,
    keep: Keep,
    whole_nodes: bool,
}

// === impl ServicesSink ===

impl ServicesSink {
    /// `whole_nodes`: Nodes with all they say instead of their metadata (K8S-82).
    pub(super) fn new(
        kind: Kind,
        namespace: Option<Arc<str>>,
        services: Services,
        keep: Keep,
        whole_nodes: bool,
    ) -> Self {
        Self {
            kind,
            namespace,
            services,
            keep,
            whole_nodes,
        }
    }
}

impl Sink for ServicesSink {
    type Object = Object;

    fn target(&self) -> Target {
        Target::of(self.kind, self.namespace.as_deref(), self.whole_nodes)
    }

    fn source(&self) -> &str {
        self.kind.source()
    }

    fn decode(&self, raw: &str) -> Result<Decoded<Object>, String> {
        decode::object(self.kind, raw, &self.keep)
    }

    fn replace(&self, objects: Vec<Object>, _version: u64, rewound: bool) {
        let namespace = self.namespace.as_deref();
        self.services
            .replace_in(self.kind, namespace, objects, rewound);
    }

    fn apply(&self, object: Object, now: Instant) {
        self.services.apply(object, now);
    }

    fn delete(&self, object: Object, now: Instant) {
        let meta: &Meta = &object.meta;
        self.services.delete(meta, now);
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        self.services
            .note(self.kind, self.namespace.as_deref(), note);
    }
}
