//! From JSON of the API to the model's objects. Pure; reads only what is kept, ignores what it does not know (K8S-107).
//!
//! One object that cannot be read never spoils others (K8S-125): it comes out without content, with its name and version.

#[cfg(test)]
mod tests;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use self::wire::{
    TargetPort, WireBalancer, WireEndpoint, WireHint, WireHints, WireNode, WireService,
    WireServiceSpec, WireSlice, WireSlicePort,
};
use crate::store::services::{
    Balancer, Cidr, Family, Hints, Kind, Labels, Meta, Node, Object, ObjectName, Port, Service,
    Slice, SliceEndpoint, SlicePort,
};

/// The label that ties a slice to its Service (K8S-84).
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What of objects is kept beside what every lookup needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Keep {
    /// Labels with these keys.
    pub(super) labels: Vec<String>,
    /// Hints of endpoints (K8S-98).
    pub(super) hints: bool,
}

/// What one object came out as.
#[derive(Debug)]
pub(super) struct Decoded<T> {
    pub(super) name: ObjectName,
    pub(super) object: T,
    /// As text, to go on from.
    pub(super) rv: String,
    /// Why there is no content.
    pub(super) error: Option<String>,
    /// How long after its cause the object came (K8S-128).
    pub(super) lag: Option<Duration>,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// What the server says instead of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) reason: String,
    details: Option<StatusDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusDetails {
    retry_after_seconds: Option<u64>,
}

/// `GET /version`.
#[derive(Deserialize)]
pub(super) struct ServerVersion {
    major: String,
    minor: String,
}

/// A bookmark's object.
#[derive(Default, Deserialize)]
pub(super) struct Bookmark {
    metadata: WireMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireMeta {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: String,
    pub(super) generation: Option<i64>,
    pub(super) creation_timestamp: Option<String>,
    labels: Option<serde_json::Map<String, serde_json::Value>>,
    pub(super) annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    trigger_time: Option<String>,
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
    #[serde(rename = "l5d.io/history")]
    pub(super) dtab_history: Option<String>,
    #[serde(rename = "kubernetes.io/ingress.class")]
    pub(super) ingress_class: Option<String>,
    #[serde(rename = "ingressclass.kubernetes.io/is-default-class")]
    pub(super) is_default_class: Option<String>,
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: WireMeta,
}

/// Reads one object. `Err`: not even its name can be read.
pub(super) fn object(kind: Kind, raw: &str, keep: &Keep) -> Result<Decoded<Object>, String> {
    let read = match kind {
        Kind::Slices => parse::<WireSlice>(raw).map(|w| {
            let content = slice(&w, keep).into();
            (w.metadata, content)
        }),
        Kind::Services => parse::<WireService>(raw).map(|w| {
            let content = service(&w, &keep.labels).into();
            (w.metadata, content)
        }),
        Kind::Nodes => parse::<WireNode>(raw).map(|w| {
            let content = node(&w).into();
            (w.metadata, content)
        }),
    };
    let (meta, content, error) = match read {
        Ok((meta, content)) => (meta, Some(content), None),
        Err(error) => (parse::<OnlyMeta>(raw)?.metadata, None, Some(error)),
    };
    if meta.name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    let (lag, rv) = (lag(&meta), meta.resource_version.clone());
    let meta = to_meta(kind, meta);
    Ok(Decoded {
        name: meta.name.clone(),
        object: Object { meta, content },
        rv,
        error,
        lag,
    })
}

pub(super) fn parse<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
    serde_json::from_str(raw).map_err(|e| e.to_string())
}

/// A resource version as an integer, if it is one (K8S 7.1); else 0.
pub(super) fn order(rv: &str) -> u64 {
    if rv.starts_with('0') {
        return 0;
    }
    rv.parse().unwrap_or(0)
}

fn to_meta(kind: Kind, meta: WireMeta) -> Meta {
    Meta {
        kind,
        name: ObjectName::new(meta.namespace.unwrap_or_default(), meta.name),
        uid: meta.uid.unwrap_or_default().into(),
        rv: order(&meta.resource_version),
    }
}

fn label<'a>(meta: &'a WireMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key)?.as_str()
}

fn wanted_labels(meta: &WireMeta, keys: &[String]) -> Labels {
    let found = keys.iter().filter_map(|key| {
        let value = label(meta, key)?;
        Some((Arc::from(key.as_str()), Arc::from(value)))
    });
    found.collect()
}

fn lag(meta: &WireMeta) -> Option<Duration> {
    let trigger = meta.annotations.as_ref()?.trigger_time.as_deref()?;
    let trigger: jiff::Timestamp = trigger.parse().ok()?;
    let since = SystemTime::now().duration_since(trigger.into());
    // Clocks differ between machines (F30).
    Some(since.unwrap_or_default())
}

fn slice(wire: &WireSlice, keep: &Keep) -> Slice {
    let family = match wire.address_type.as_deref() {
        Some("IPv4") => Some(Family::V4),
        Some("IPv6") => Some(Family::V6),
        _ => None,
    };
    let service = label(&wire.metadata, SERVICE_NAME).filter(|s| !s.is_empty());
    let ports = wire.ports.iter().flatten().filter_map(slice_port);
    let endpoints = wire.endpoints.iter().flatten();
    Slice {
        service: service.map(Into::into),
        family,
        ports: ports.collect(),
        endpoints: endpoints
            .filter_map(|e| endpoint(e, family?, keep))
            .collect(),
        labels: wanted_labels(&wire.metadata, &keep.labels),
    }
}

fn slice_port(wire: &WireSlicePort) -> Option<SlicePort> {
    let number = match wire.port {
        Some(number) => Some(port_number(number)?),
        None => None,
    };
    is_tcp(wire.protocol.as_deref()).then(|| SlicePort {
        name: wire.name.as_deref().unwrap_or_default().into(),
        number,
    })
}

/// K8S-91, K8S-126, and the defaults of 6.3.
fn endpoint(wire: &WireEndpoint, family: Family, keep: &Keep) -> Option<SliceEndpoint> {
    let ip: IpAddr = wire.addresses.as_ref()?.first()?.parse().ok()?;
    if ip.is_ipv4() != (family == Family::V4) {
        return None;
    }
    let conditions = wire.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let text = |text: &Option<String>| {
        let text = text.as_deref().filter(|t| !t.is_empty());
        text.map(Arc::from)
    };
    Some(SliceEndpoint {
        ip,
        node: text(&wire.node_name),
        zone: text(&wire.zone),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        hints: wire.hints.as_ref().filter(|_| keep.hints).map(hints),
    })
}

fn service(wire: &WireService, labels: &[String]) -> Service {
    let default = WireServiceSpec::default();
    let spec = wire.spec.as_ref().unwrap_or(&default);
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let family = match families.first().map(String::as_str) {
        Some("IPv4") => Some(Family::V4),
        Some("IPv6") => Some(Family::V6),
        _ => None,
    };
    let ports = spec.ports.iter().flatten().filter_map(|wire| {
        let number = port_number(wire.port)?;
        let target = match &wire.target_port {
            // 0 is how an API before defaulting says "not given".
            None | Some(TargetPort::Number(0)) => Some(number),
            Some(TargetPort::Number(target)) => Some(port_number(*target)?),
            Some(TargetPort::Name(_)) => None,
        };
        is_tcp(wire.protocol.as_deref()).then(|| Port {
            name: wire.name.as_deref().unwrap_or_default().into(),
            number,
            target,
        })
    });
    Service {
        external_name: spec.kind.as_deref() == Some("ExternalName"),
        ports: ports.collect(),
        family,
        local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        labels: wanted_labels(&wire.metadata, labels),
        balancers: balancers(wire),
    }
}

/// Addresses and host names of the load balancer; what is neither is left out (K8S-126).
fn balancers(wire: &WireService) -> Box<[Balancer]> {
    let status = wire.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_deref());
    let read = |wire: &WireBalancer| {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match given(&wire.ip) {
            Some(ip) => ip.parse().ok().map(Balancer::Ip),
            None => given(&wire.hostname).map(|host| Balancer::Host(host.into())),
        }
    };
    entries
        .unwrap_or_default()
        .iter()
        .filter_map(read)
        .collect()
}

fn hints(wire: &WireHints) -> Arc<Hints> {
    let names = |hints: &Option<Vec<WireHint>>| {
        let names = hints.iter().flatten().map(|h| h.name.as_str().into());
        names.collect()
    };
    Arc::new(Hints {
        zones: names(&wire.for_zones),
        nodes: names(&wire.for_nodes),
    })
}

fn node(wire: &WireNode) -> Node {
    let zone = label(&wire.metadata, ZONE).filter(|z| !z.is_empty());
    let spec = wire.spec.as_ref();
    let cidrs = spec.and_then(|s| s.pod_cidrs.as_ref()).into_iter();
    let read = |cidr: &String| cidr.parse::<Cidr>().ok();
    Node {
        zone: zone.map(Into::into),
        pod_cidrs: cidrs.flatten().filter_map(read).collect(),
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("" | "TCP"))
}

fn port_number(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|n| *n > 0)
}

// === impl Status ===

impl Status {
    /// Reads the `Status` of an ERROR event or of a failed call. One without a code is none (K8S-127).
    pub(super) fn read(raw: &str) -> Option<Self> {
        parse::<Status>(raw).ok().filter(|s| s.code != 0)
    }

    /// History is gone; only a new list helps.
    pub(super) fn is_gone(&self) -> bool {
        self.code == 410 || self.reason == "Expired" || self.reason == "Gone"
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.details.as_ref()?.retry_after_seconds?;
        Some(Duration::from_secs(seconds))
    }
}

// === impl ServerVersion ===

impl ServerVersion {
    /// Whether lists may be streamed (K8S-120). Minors may look like `34+`.
    pub(super) fn streams_lists(&self) -> bool {
        let digits: String = self
            .minor
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        self.major == "1" && digits.parse::<u32>().is_ok_and(|minor| minor >= 34)
    }
}

// === impl Bookmark ===

impl Bookmark {
    pub(super) fn rv(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The end of a streamed list.
    pub(super) fn ends_list(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        let end = annotations.and_then(|a| a.initial_events_end.as_deref());
        end == Some("true")
    }
}
