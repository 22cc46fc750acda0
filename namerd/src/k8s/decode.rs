//! From JSON of the API to the model's objects. Pure; reads only what is kept, ignores what it does not know (K8S-107).
//!
//! One object that cannot be read never spoils others (K8S-125): it comes out without content, with its name and version.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSlice {
    metadata: WireMeta,
    #[serde(default)]
    address_type: Option<String>,
    #[serde(default)]
    ports: Option<Vec<WireSlicePort>>,
    #[serde(default)]
    endpoints: Option<Vec<WireEndpoint>>,
}

#[derive(Deserialize)]
struct WireSlicePort {
    name: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<WireConditions>,
    #[serde(default)]
    hints: Option<WireHints>,
    node_name: Option<String>,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireHints {
    for_zones: Option<Vec<WireHint>>,
    for_nodes: Option<Vec<WireHint>>,
}

#[derive(Deserialize)]
struct WireHint {
    name: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct WireConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct WireService {
    metadata: WireMeta,
    #[serde(default)]
    spec: Option<WireServiceSpec>,
    #[serde(default)]
    status: Option<WireServiceStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireServiceStatus {
    load_balancer: Option<WireLoadBalancer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireLoadBalancer {
    ingress: Option<Vec<WireBalancer>>,
}

#[derive(Deserialize)]
struct WireBalancer {
    ip: Option<String>,
    hostname: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireServiceSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    ports: Option<Vec<WireServicePort>>,
    ip_families: Option<Vec<String>>,
    internal_traffic_policy: Option<String>,
}

#[derive(Deserialize)]
struct WireNode {
    metadata: WireMeta,
    #[serde(default)]
    spec: Option<WireNodeSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireNodeSpec {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireServicePort {
    name: Option<String>,
    port: i64,
    protocol: Option<String>,
    target_port: Option<TargetPort>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetPort {
    Number(i64),
    Name(serde::de::IgnoredAny),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::services::Content;

    fn read_slice(raw: &str) -> Slice {
        let app = Keep {
            labels: vec!["app".to_owned()],
            hints: true,
        };
        let decoded = object(Kind::Slices, raw, &app).expect("has a name");
        match decoded.object.content {
            Some(Content::Slice(slice)) => Arc::unwrap_or_clone(slice),
            other => panic!("{other:?}: {:?}", decoded.error),
        }
    }

    #[test]
    fn k8s_6_2_and_6_3_slices_with_the_defaults_of_null() {
        let slice = read_slice(
            r#"{"metadata":{"name":"w-1","namespace":"default","uid":"u","resourceVersion":"7",
                "labels":{"kubernetes.io/service-name":"world","app":"w","x":"y"},"managedFields":[{}]},
             "addressType":"IPv4","unknown":{"a":1},
             "ports":[{"name":"http","port":8080,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"},
                      {"name":null,"port":null},{"name":"bad","port":70000}],
             "endpoints":[
               {"addresses":["10.0.0.2","10.0.0.3"],"nodeName":"n1","zone":"a","conditions":{"ready":null}},
               {"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},
               {"addresses":["10.0.0.4"],"conditions":{"ready":false}},
               {"addresses":["nonsense"]},{"addresses":null},{"addresses":["fd00::1"]}]}"#,
        );
        assert_eq!(slice.service.as_deref(), Some("world"));
        assert_eq!(slice.labels.len(), 1);
        let ports: Vec<_> = slice.ports.iter().map(|p| (&*p.name, p.number)).collect();
        assert_eq!(
            ports,
            [("http", Some(8080)), ("", None)],
            "K8S-26, K8S-27, K8S-126"
        );
        let seen = slice.endpoints.iter().map(|e| {
            let node = e.node.as_deref().unwrap_or("-");
            format!(
                "{} {node} {} {} {}",
                e.ip, e.ready, e.serving, e.terminating
            )
        });
        let expected = [
            "10.0.0.1 - false true true",
            "10.0.0.2 n1 true true false",
            "10.0.0.4 - false false false",
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn k8s_90_and_k8s_92_other_address_types_and_nulls() {
        let bare = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"IPv6","endpoints":null,"ports":null}"#;
        let slice = read_slice(bare);
        assert_eq!(
            (slice.family, slice.endpoints.len(), slice.ports.len()),
            (Some(Family::V6), 0, 0)
        );
        let fqdn = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"FQDN","endpoints":[{"addresses":["x.y"]}]}"#;
        assert_eq!(read_slice(fqdn).family, None);
    }

    #[test]
    fn k8s_2_4_services() {
        let raw = r#"{"metadata":{"name":"w","namespace":"d","resourceVersion":"9"},"spec":{"type":"ClusterIP",
            "ipFamilies":["IPv6","IPv4"],"ports":[{"port":80,"targetPort":"http"},
            {"name":"n","port":81,"targetPort":8081,"protocol":"TCP"},{"port":53,"protocol":"UDP","targetPort":53},{"port":82}]}}"#;
        let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
        let Some(Content::Service(service)) = decoded.object.content else {
            panic!("{:?}", decoded.error);
        };
        assert_eq!(service.family, Some(Family::V6));
        let ports: Vec<_> = service
            .ports
            .iter()
            .map(|p| (&*p.name, p.number, p.target))
            .collect();
        assert_eq!(
            ports,
            [("", 80, None), ("n", 81, Some(8081)), ("", 82, Some(82))]
        );
    }

    #[test]
    fn k8s_17_load_balancers_of_a_service() {
        let raw = r#"{"metadata":{"name":"w","namespace":"d"},"spec":{"ports":[]},"status":{"loadBalancer":{"ingress":[
            {"ip":"192.0.2.1","ports":[]},{"hostname":"lb.example"},{"ip":"nonsense"},{"ip":"","hostname":"b"},{}]}}}"#;
        let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
        let Some(Content::Service(service)) = decoded.object.content else {
            panic!("{:?}", decoded.error);
        };
        let ip = Balancer::Ip("192.0.2.1".parse().expect("an address"));
        let host = |name: &str| Balancer::Host(name.into());
        assert_eq!(*service.balancers, [ip, host("lb.example"), host("b")]);
        for status in [
            "{}",
            r#"{"loadBalancer":{}}"#,
            r#"{"loadBalancer":{"ingress":null}}"#,
        ] {
            let raw = format!(r#"{{"metadata":{{"name":"w"}},"status":{status}}}"#);
            let decoded = object(Kind::Services, &raw, &Keep::default()).expect("has a name");
            assert!(decoded.error.is_none(), "{status}: {:?}", decoded.error);
        }
    }

    #[test]
    fn k8s_125_a_bad_object_keeps_its_name_and_version() {
        let raw = r#"{"metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"12"},"endpoints":5}"#;
        let decoded = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
        assert!(decoded.error.is_some() && decoded.object.content.is_none());
        assert_eq!((decoded.object.meta.rv, decoded.rv.as_str()), (12, "12"));
        assert!(object(Kind::Slices, r#"{"metadata":[]}"#, &Keep::default()).is_err());
        assert!(object(Kind::Slices, "5", &Keep::default()).is_err());
    }

    #[test]
    fn k8s_7_1_only_plain_integers_have_an_order() {
        assert_eq!(
            [order("12"), order("012"), order("a1"), order("")],
            [12, 0, 0, 0]
        );
    }

    #[test]
    fn k8s_120_from_which_server_lists_are_streamed() {
        let streams = |raw: &str| parse::<ServerVersion>(raw).expect("reads").streams_lists();
        assert!(streams(r#"{"major":"1","minor":"34+"}"#));
        assert!(!streams(r#"{"major":"1","minor":"33"}"#));
    }

    #[test]
    fn k8s_98_a_nodes_zone() {
        let raw = r#"{"metadata":{"name":"n1","labels":{"topology.kubernetes.io/zone":"a"}},"status":{"images":[1]}}"#;
        let decoded = object(Kind::Nodes, raw, &Keep::default()).expect("has a name");
        let node = Node {
            zone: Some("a".into()),
            ..Node::default()
        };
        assert_eq!(decoded.object.content, Some(node.into()));
    }

    #[test]
    fn k8s_82_pod_networks_of_a_whole_node() {
        let raw = r#"{"metadata":{"name":"n1"},"spec":{"podCIDRs":["10.1.0.0/24","nonsense","fd00::/64"]}}"#;
        let decoded = object(Kind::Nodes, raw, &Keep::default()).expect("has a name");
        let networks = ["10.1.0.0/24", "fd00::/64"].map(|c| c.parse().expect("a network"));
        let node = Node {
            zone: None,
            pod_cidrs: networks.into(),
        };
        assert_eq!(decoded.object.content, Some(node.into()));
    }

    #[test]
    fn k8s_98_hints_and_k8s_100_policies() {
        let raw = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"IPv4","endpoints":[
            {"addresses":["10.0.0.1"],"hints":{"forZones":[{"name":"a"},{"name":"b"}],"forNodes":[{"name":"n1"}]}},
            {"addresses":["10.0.0.2"],"hints":{"forZones":null}},{"addresses":["10.0.0.3"],"hints":null}]}"#;
        let hints = |e: &SliceEndpoint| {
            let hints = e.hints.as_ref()?;
            Some((hints.zones.join(" "), hints.nodes.join(" ")))
        };
        let seen: Vec<_> = read_slice(raw).endpoints.iter().map(hints).collect();
        let one = (String::from("a b"), String::from("n1"));
        assert_eq!(seen, [Some(one), Some(Default::default()), None]);
        let without = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
        let Some(Content::Slice(slice)) = without.object.content else {
            panic!("{:?}", without.error);
        };
        assert!(slice.endpoints.iter().all(|e| e.hints.is_none()));
        let raw =
            r#"{"metadata":{"name":"w","namespace":"d"},"spec":{"internalTrafficPolicy":"Local"}}"#;
        let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
        assert!(matches!(decoded.object.content, Some(Content::Service(s)) if s.local));
    }

    #[test]
    fn k8s_128_lag_is_never_negative() {
        let raw = r#"{"metadata":{"name":"a","namespace":"b",
            "annotations":{"endpoints.kubernetes.io/last-change-trigger-time":"2999-01-01T00:00:00Z"}}}"#;
        let decoded = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
        assert_eq!(decoded.lag, Some(Duration::ZERO));
    }
}
