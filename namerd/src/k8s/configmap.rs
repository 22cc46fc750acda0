//! `io.l5d.k8s.configMap` as a dtab store: the keys of one ConfigMap are dtab namespaces, or one key is the namespace
//! `default` (Kubernetes 10, K8S-162).
//!
//! One permanent watch of this one object. A missing object, or a missing key, is an absent namespace, which binds as an
//! empty dtab; a text that is no dtab keeps the last good one. The token of a dtab is a hash of it, so that edits of other
//! keys change nothing. Nothing is written: whoever owns the ConfigMap (a manifest, a chart) would undo it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use l5d_naming::Dtab;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::decode::{self, Decoded, WireMeta};
use super::failure::Failure;
use super::sink::Sink;
use super::target::{Target, escape};
use super::transport::{ApiServer, Transport};
use super::watch::ApiWatch;
use super::{Address, K8sError};
use crate::store::services::{ObjectName, WatchStatus};
use crate::store::{
    Cell, DtabStore, DtabTable, DtabToken, NamespaceState, StoreError, StoreStatus, Stored,
    VersionedDtab,
};

/// The namespace of a single key.
const ONLY: &str = "default";

/// Which ConfigMap, and what of it.
#[derive(Clone, Debug)]
pub struct ConfigMapSource {
    /// The API server.
    pub address: Address,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The one key that is the namespace `default`. `None`: every key is a namespace.
    pub key: Option<String>,
    /// The first list waits a random time up to this (K8S-116).
    pub startup_jitter: Duration,
}

/// The store.
pub struct ConfigMapDtabs {
    table: Arc<DtabTable>,
    /// For messages.
    object: ObjectName,
}

struct ConfigMapSink {
    source: ConfigMapSource,
    table: Arc<DtabTable>,
    watch: Mutex<WatchStatus>,
    /// The version of the object that is served.
    served: Mutex<u64>,
}

/// The dtabs of one version of the object.
#[derive(Debug)]
struct ConfigMap {
    version: u64,
    dtabs: Vec<(String, Stored)>,
}

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

// === impl ConfigMapDtabs ===

impl ConfigMapDtabs {
    /// The store, and what keeps it like the object until it is dropped. Contacts nobody.
    pub fn new(source: ConfigMapSource) -> Result<(Arc<Self>, impl Future<Output = ()>), K8sError> {
        let transport: Arc<dyn Transport> = Arc::new(ApiServer::new(source.address.clone())?);
        let table = DtabTable::new();
        let store = Arc::new(Self {
            table: Arc::clone(&table),
            object: ObjectName::new(source.namespace.as_str(), source.name.as_str()),
        });
        let jitter = source.startup_jitter;
        let sink = ConfigMapSink {
            source,
            table,
            watch: Mutex::default(),
            served: Mutex::default(),
        };
        let watch = ApiWatch::new(sink, transport, jitter, fastrand::Rng::new());
        Ok((store, watch.run()))
    }

    fn read_only<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Forbidden(format!(
            "dtabs come from the ConfigMap {}, which namerd only reads: edit it where it is kept, or use \
             `storage: {{kind: io.l5d.k8s}}`",
            self.object
        )))
    }
}

#[async_trait]
impl DtabStore for ConfigMapDtabs {
    fn kind(&self) -> &'static str {
        "io.l5d.k8s.configMap"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.table.list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.table.observe(name)
    }

    async fn create(&self, _name: &str, _dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.read_only()
    }

    async fn put(&self, _name: &str, _dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.read_only()
    }

    async fn update(
        &self,
        _name: &str,
        _dtab: Dtab,
        _expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        self.read_only()
    }

    async fn delete(&self, _name: &str) -> Result<(), StoreError> {
        self.read_only()
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.table.status()
    }
}

impl fmt::Debug for ConfigMapDtabs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigMapDtabs({})", self.object)
    }
}

// === impl ConfigMapSink ===

impl ConfigMapSink {
    fn serve(&self, map: ConfigMap) {
        *self.served.lock() = map.version;
        self.table.replace(map.dtabs);
    }

    fn is_ours(&self, name: &str) -> bool {
        name == self.source.name
    }
}

impl Sink for ConfigMapSink {
    type Object = (String, ConfigMap);

    fn target(&self) -> Target {
        let selector = format!(
            "fieldSelector=metadata.name%3D{}",
            escape(&self.source.name)
        );
        Target::custom("/api/v1", &self.source.namespace, "configmaps").selecting(selector)
    }

    fn source(&self) -> &str {
        "store/io.l5d.k8s.configMap"
    }

    fn decode(&self, raw: &str) -> Result<Decoded<Self::Object>, String> {
        let (meta, map, error) = read(raw, self.source.key.as_deref())?;
        Ok(Decoded {
            name: ObjectName::new(meta.namespace.unwrap_or_default(), meta.name.as_str()),
            rv: meta.resource_version,
            object: (meta.name, map),
            error,
            lag: None,
        })
    }

    fn replace(&self, objects: Vec<Self::Object>, version: u64, _rewound: bool) {
        let ours = objects.into_iter().find(|(name, _)| self.is_ours(name));
        let none = ConfigMap {
            version,
            dtabs: Vec::new(),
        };
        self.serve(ours.map_or(none, |(_, map)| map));
    }

    fn apply(&self, (name, map): Self::Object, _now: Instant) {
        if self.is_ours(&name) {
            self.serve(map);
        }
    }

    fn delete(&self, (name, map): Self::Object, _now: Instant) {
        if self.is_ours(&name) {
            self.serve(ConfigMap {
                version: map.version,
                dtabs: Vec::new(),
            });
        }
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        note(&mut self.watch.lock());
    }

    fn reached(&self, version: u64) {
        let served = *self.served.lock();
        let known = |version: u64| (version > 0).then_some(version);
        self.table
            .confirm_seen(known(served), known(served.max(version)));
    }

    fn failed(&self, failure: &Failure) {
        self.table.fail(failure.to_string());
    }
}

/// The dtabs of an object, and which of them cannot be read.
fn read(raw: &str, key: Option<&str>) -> Result<(WireMeta, ConfigMap, Option<String>), String> {
    let wire: Wire = decode::parse(raw)?;
    let data = wire.data.unwrap_or_default();
    let dtabs: Vec<(String, Stored)> = match key {
        Some(key) => {
            let text = data.get(key).into_iter();
            text.map(|text| (ONLY.to_owned(), stored(text))).collect()
        }
        None => data
            .iter()
            .map(|(key, text)| (key.clone(), stored(text)))
            .collect(),
    };
    let bad = dtabs.iter().filter_map(|(name, stored)| {
        let reason = stored.as_ref().err()?;
        Some(format!("dtab namespace {name}: {reason}"))
    });
    let bad: Vec<_> = bad.collect();
    let map = ConfigMap {
        version: decode::order(&wire.metadata.resource_version),
        dtabs,
    };
    Ok((
        wire.metadata,
        map,
        (!bad.is_empty()).then(|| bad.join("; ")),
    ))
}

fn stored(text: &str) -> Stored {
    let dtab = Dtab::parse(text).map_err(|e| Arc::from(e.to_string()))?;
    let digest = Sha256::digest(dtab.show_exact().as_bytes());
    let token = DtabToken(Arc::from(&digest[..8]));
    Ok(VersionedDtab { dtab, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(key: Option<&str>) -> ConfigMapSink {
        ConfigMapSink {
            source: ConfigMapSource {
                address: Address::InCluster,
                namespace: "l5d".to_owned(),
                name: "dtabs".to_owned(),
                key: key.map(str::to_owned),
                startup_jitter: Duration::ZERO,
            },
            table: DtabTable::new(),
            watch: Mutex::default(),
            served: Mutex::default(),
        }
    }

    fn apply(sink: &ConfigMapSink, version: u64, data: &str) -> Option<String> {
        let raw = format!(
            r#"{{"metadata":{{"name":"dtabs","resourceVersion":"{version}"}},"data":{data}}}"#
        );
        let decoded = sink.decode(&raw).expect("has a name");
        sink.apply(decoded.object, Instant::now());
        sink.reached(version);
        decoded.error
    }

    fn shown(sink: &ConfigMapSink, name: &str) -> String {
        match sink.table.observe(name).value() {
            NamespaceState::Present(now) => now.dtab.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn k8s_162_one_key_is_the_namespace_default() {
        let sink = sink(Some("dtab"));
        assert_eq!(shown(&sink, "default"), "Pending");
        sink.replace(Vec::new(), 5, false);
        assert_eq!(shown(&sink, "default"), "Absent", "a missing ConfigMap");
        assert_eq!(apply(&sink, 6, r#"{"other":"/x => /y"}"#), None);
        assert_eq!(shown(&sink, "default"), "Absent", "a missing key");
        apply(
            &sink,
            7,
            r#"{"dtab":"/svc => /#/io.l5d.k8s/default/http;\n"}"#,
        );
        assert_eq!(shown(&sink, "default"), "/svc=>/#/io.l5d.k8s/default/http");
        let cell = sink.table.observe("default");
        let before = cell.get().0;
        let same = r#"{"dtab":"/svc => /#/io.l5d.k8s/default/http","other":"1"}"#;
        assert_eq!(apply(&sink, 8, same), None);
        assert_eq!(cell.get().0, before, "edits of other keys change nothing");
        let error = apply(&sink, 9, r#"{"dtab":"/svc =>"}"#).expect("is told");
        assert!(error.starts_with("dtab namespace default: "), "{error}");
        assert_eq!(cell.get().0, before, "the last good dtab stays");
        apply(&sink, 10, r#"{"dtab":"/svc => /b"}"#);
        assert_eq!(shown(&sink, "default"), "/svc=>/b");
        let raw = r#"{"metadata":{"name":"dtabs","resourceVersion":"11"}}"#;
        let gone = sink.decode(raw).expect("has a name").object;
        sink.delete(gone, Instant::now());
        assert_eq!(shown(&sink, "default"), "Absent");
    }

    #[tokio::test]
    async fn every_key_is_a_namespace_and_a_bad_one_hides_nobody() {
        let sink = sink(None);
        let error = apply(&sink, 5, r#"{"a":"/a => /1","b":"/b |"}"#);
        assert!(error.is_some_and(|error| error.contains("namespace b")));
        assert_eq!(shown(&sink, "a"), "/a=>/1");
        assert!(shown(&sink, "b").starts_with("Unreadable"));
        apply(&sink, 6, r#"{"b":"/b => /2"}"#);
        assert_eq!(
            (&*shown(&sink, "a"), &*shown(&sink, "b")),
            ("Absent", "/b=>/2")
        );
        let status = sink.table.status().value();
        assert_eq!((status.position, status.connected), (Some(6), true));
    }
}
