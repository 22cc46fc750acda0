//! Ingresses and IngressClasses of networking.k8s.io/v1, watched only where the configuration says so (Kubernetes 3).
//!
//! Two watches at most by the state machine of all watches; IngressClasses only where it matters which one is the default.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::decode::{self, Decoded, WireMeta};
use super::sink::Sink;
use super::target::Target;
use super::transport::{ApiServer, Transport};
use super::watch::ApiWatch;
use super::{Address, K8sError};
use crate::store::ingress::{Backend, Ingress, IngressKind, IngressPath, Ingresses, PathKind};
use crate::store::services::{ObjectName, WatchStatus};

const GROUP: &str = "/apis/networking.k8s.io/v1";

/// Which Ingresses are watched.
#[derive(Clone, Debug)]
pub struct IngressSource {
    /// The API server.
    pub address: Address,
    /// The Kubernetes namespace; `None`: all.
    pub namespace: Option<String>,
    /// The first lists wait a random time up to this (K8S-116).
    pub startup_jitter: Duration,
}

/// What keeps `ingresses` like the API server until it is dropped. Contacts nobody before it is polled.
pub fn follow_ingresses(
    source: &IngressSource,
    ingresses: &Ingresses,
) -> Result<impl Future<Output = ()> + use<>, K8sError> {
    // A client each: a connection that is given up is not to be shared (K8S-117).
    let connect = || -> Result<Arc<dyn Transport>, K8sError> {
        Ok(Arc::new(ApiServer::new(source.address.clone())?))
    };
    let jitter = source.startup_jitter;
    let sink = IngressSink {
        namespace: source.namespace.clone(),
        ingresses: ingresses.clone(),
    };
    let objects = ApiWatch::new(sink, connect()?, jitter, fastrand::Rng::new());
    let classes = match ingresses.watches().contains(&IngressKind::Classes) {
        true => {
            let sink = ClassSink(ingresses.clone());
            Some(ApiWatch::new(
                sink,
                connect()?,
                jitter,
                fastrand::Rng::new(),
            ))
        }
        false => None,
    };
    Ok(async move {
        let classes = async {
            if let Some(classes) = classes {
                classes.run().await;
            }
        };
        tokio::join!(objects.run(), classes);
    })
}

struct IngressSink {
    namespace: Option<String>,
    ingresses: Ingresses,
}

struct ClassSink(Ingresses);

/// One Ingress.
struct Found {
    name: ObjectName,
    /// 0 if it cannot be compared.
    version: u64,
    /// `None` if it could not be read.
    ingress: Option<Ingress>,
}

impl Sink for IngressSink {
    type Object = Found;

    fn target(&self) -> Target {
        match &self.namespace {
            Some(namespace) => Target::custom(GROUP, namespace, "ingresses"),
            None => Target::of_cluster(GROUP, "ingresses"),
        }
    }

    fn source(&self) -> &str {
        IngressKind::Ingresses.source()
    }

    fn decode(&self, raw: &str) -> Result<Decoded<Self::Object>, String> {
        read(raw)
    }

    fn replace(&self, objects: Vec<Found>, _version: u64, rewound: bool) {
        let newest = objects.iter().map(|found| found.version).max();
        let objects = objects.into_iter().map(|found| (found.name, found.ingress));
        self.ingresses.replace(objects.collect());
        self.ingresses.reached(newest.unwrap_or(0), rewound);
    }

    fn apply(&self, found: Found, _now: Instant) {
        if let Some(ingress) = found.ingress {
            self.ingresses.apply(ingress);
        }
        self.ingresses.reached(found.version, false);
    }

    fn delete(&self, found: Found, _now: Instant) {
        self.ingresses.delete(&found.name);
        self.ingresses.reached(found.version, false);
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        self.ingresses.note(IngressKind::Ingresses, note);
    }
}

impl Sink for ClassSink {
    /// A class, and whether it is marked as the default.
    type Object = (Arc<str>, bool);

    fn target(&self) -> Target {
        Target::of_cluster(GROUP, "ingressclasses")
    }

    fn source(&self) -> &str {
        IngressKind::Classes.source()
    }

    fn decode(&self, raw: &str) -> Result<Decoded<Self::Object>, String> {
        let class: OnlyMeta = decode::parse(raw)?;
        let meta = named(class.metadata)?;
        let mark = meta.annotations.and_then(|a| a.is_default_class);
        let name: Arc<str> = meta.name.into();
        Ok(Decoded {
            name: ObjectName::new("", Arc::clone(&name)),
            object: (name, mark.as_deref() == Some("true")),
            rv: meta.resource_version,
            error: None,
            lag: None,
        })
    }

    fn replace(&self, objects: Vec<Self::Object>, _version: u64, _rewound: bool) {
        let defaults = objects.into_iter().filter(|(_, is_default)| *is_default);
        let names: BTreeSet<_> = defaults.map(|(name, _)| name).collect();
        self.0.replace_defaults(names);
    }

    fn apply(&self, (name, is_default): Self::Object, _now: Instant) {
        self.0.set_default(&name, is_default);
    }

    fn delete(&self, (name, _): Self::Object, _now: Instant) {
        self.0.set_default(&name, false);
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        self.0.note(IngressKind::Classes, note);
    }
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: WireMeta,
}

#[derive(Deserialize)]
struct WireIngress {
    #[serde(default)]
    spec: Option<WireSpec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    ingress_class_name: Option<String>,
    default_backend: Option<WireBackend>,
    rules: Option<Vec<WireRule>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRule {
    host: Option<String>,
    http: Option<WireHttp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHttp {
    paths: Option<Vec<WirePath>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePath {
    path: Option<String>,
    path_type: Option<String>,
    backend: WireBackend,
}

#[derive(Deserialize)]
struct WireBackend {
    service: Option<WireService>,
}

#[derive(Deserialize)]
struct WireService {
    name: String,
    port: Option<WirePort>,
}

#[derive(Deserialize)]
struct WirePort {
    name: Option<String>,
    number: Option<u16>,
}

fn named(meta: WireMeta) -> Result<WireMeta, String> {
    match meta.name.is_empty() {
        true => Err("metadata.name is missing".to_owned()),
        false => Ok(meta),
    }
}

/// Reads one object. `Err`: not even its name can be read.
fn read(raw: &str) -> Result<Decoded<Found>, String> {
    let meta = named(decode::parse::<OnlyMeta>(raw)?.metadata)?;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = ObjectName::new(namespace, meta.name.as_str());
    let rv = meta.resource_version.clone();
    let ingress = decode::parse::<WireIngress>(raw)
        .and_then(|wire| ingress(&name, meta, wire.spec.unwrap_or_default()));
    let (ingress, error) = match ingress {
        Ok(ingress) => (Some(ingress), None),
        Err(error) => (None, Some(error)),
    };
    Ok(Decoded {
        object: Found {
            name: name.clone(),
            version: decode::order(&rv),
            ingress,
        },
        name,
        rv,
        error,
        lag: None,
    })
}

fn ingress(name: &ObjectName, meta: WireMeta, spec: WireSpec) -> Result<Ingress, String> {
    let annotated = meta.annotations.and_then(|a| a.ingress_class);
    let class = spec.ingress_class_name.or(annotated);
    let created: Option<Timestamp> = meta.creation_timestamp.and_then(|at| at.parse().ok());
    let mut paths = Vec::new();
    for rule in spec.rules.unwrap_or_default() {
        let host: Arc<str> = rule.host.unwrap_or_default().into();
        for path in rule.http.unwrap_or_default().paths.unwrap_or_default() {
            paths.push(IngressPath {
                host: Arc::clone(&host),
                kind: kind(path.path_type.as_deref())?,
                path: path.path.unwrap_or_default().into(),
                backend: backend(path.backend),
            });
        }
    }
    Ok(Ingress {
        name: name.clone(),
        created: created.map_or(0, Timestamp::as_second),
        class: class.map(Into::into),
        default: spec.default_backend.map(backend),
        paths,
    })
}

fn kind(path_type: Option<&str>) -> Result<PathKind, String> {
    match path_type {
        Some("Exact") => Ok(PathKind::Exact),
        Some("Prefix") => Ok(PathKind::Prefix),
        Some("ImplementationSpecific") | None => Ok(PathKind::Expression),
        Some(other) => Err(format!("pathType {other} is not known")),
    }
}

fn backend(backend: WireBackend) -> Backend {
    let service = backend.service.and_then(|service| {
        let port = service.port?;
        let number = port.number.map(|number| number.to_string());
        // One of both is given; the empty one of the other kind may be written out.
        let name = port.name.filter(|name| !name.is_empty());
        Some((service.name, name.or(number)?))
    });
    match service {
        Some((service, port)) => Backend::Service(service.into(), port.into()),
        None => Backend::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8s_3_2_objects_of_v1_are_read() {
        let raw = r#"{"metadata":{"name":"shop","namespace":"default","resourceVersion":"7",
            "creationTimestamp":"1970-01-01T00:01:00Z","annotations":{"kubernetes.io/ingress.class":"linkerd"}},
            "spec":{"defaultBackend":{"service":{"name":"all","port":{"name":"http"}}},
            "rules":[{"host":"a.example","http":{"paths":[
              {"path":"/x","pathType":"Prefix","backend":{"service":{"name":"x","port":{"number":80}}}},
              {"pathType":"ImplementationSpecific","backend":{"resource":{"kind":"Bucket","name":"b"}}}]}},
              {"host":"only.example"}]},"status":{"loadBalancer":{}}}"#;
        let decoded = read(raw).expect("reads");
        assert_eq!(decoded.error, None);
        let service = |name: &str, port: &str| Backend::Service(name.into(), port.into());
        let path = |kind, path: &str, backend| IngressPath {
            host: "a.example".into(),
            kind,
            path: path.into(),
            backend,
        };
        let wanted = Ingress {
            name: ObjectName::new("default", "shop"),
            created: 60,
            class: Some("linkerd".into()),
            default: Some(service("all", "http")),
            paths: vec![
                path(PathKind::Prefix, "/x", service("x", "80")),
                path(PathKind::Expression, "", Backend::Other),
            ],
        };
        assert_eq!(decoded.object.version, 7);
        assert_eq!(decoded.object.ingress, Some(wanted));
        let field = raw.replace(r#""spec":{"#, r#""spec":{"ingressClassName":"other","#);
        let found = read(&field).expect("reads").object;
        let class = found.ingress.and_then(|i| i.class);
        assert_eq!(
            class.as_deref(),
            Some("other"),
            "the field counts before the annotation"
        );
    }

    #[test]
    fn k8s_125_what_cannot_be_read_has_a_name_and_a_reason() {
        let raw = |spec: &str| format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#);
        let path = r#"{"rules":[{"http":{"paths":[{"pathType":"New","backend":{}}]}}]}"#;
        for spec in [r#"{"rules":5}"#, path] {
            let decoded = read(&raw(spec)).expect("has a name");
            assert!(
                decoded.object.ingress.is_none() && decoded.error.is_some(),
                "{spec}"
            );
        }
        for spec in ["null", "{}", r#"{"rules":null}"#, r#"{"rules":[{}]}"#] {
            assert!(
                read(&raw(spec))
                    .expect("has a name")
                    .object
                    .ingress
                    .is_some(),
                "{spec}"
            );
        }
        assert!(read(r#"{"metadata":{}}"#).is_err());
    }
}
