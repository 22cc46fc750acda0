//! What Kubernetes namers say of their API server (Kubernetes 2.1, 4.4, 6, 7).

use std::time::Duration;

use l5d_config::{Field, Reader, Section, Spot};
use l5d_naming::Path;

use super::{AddressFamily, ApiServer, Env, K8sNamer, WatchOptions, effective};

const FAMILIES: [AddressFamily; 3] = [
    AddressFamily::Primary,
    AddressFamily::Ipv4,
    AddressFamily::Ipv6,
];

pub(super) fn read(section: &Section<'_>, env: Env<'_>) -> K8sNamer {
    let api = api_server(section, env);
    endpoints(section.key("endpoints"), section.reader());
    K8sNamer {
        api,
        label_selector: section.key("labelSelector").string(),
        watch: watch(section),
    }
}

/// `host` and `port`; without both, in a pod, the cluster's own.
pub(super) fn api_server(section: &Section<'_>, env: Env<'_>) -> ApiServer {
    let host = section.key("host").string();
    let port = section.key("port").integer(1..=65_535);
    let port = port.and_then(|p| u16::try_from(p).ok());
    let is_in_pod = env("KUBERNETES_SERVICE_HOST").is_some();
    match (host, port) {
        (None, None) if is_in_pod => ApiServer::InCluster,
        (host, port) => ApiServer::Plain(
            host.unwrap_or_else(|| "localhost".to_owned()),
            port.unwrap_or(8001),
        ),
    }
}

fn watch(section: &Section<'_>) -> WatchOptions {
    let default = WatchOptions::default();
    let switch = |key, default| section.key(key).boolean().unwrap_or(default);
    let millis = |key, default| millis(section.key(key)).unwrap_or(default);
    WatchOptions {
        namespaces: namespaces(section.key("namespaces"), section.reader()),
        address_family: family(section.key("addressFamily"), section.reader()),
        terminating_fallback: switch("terminatingFallback", default.terminating_fallback),
        pod_cidr_fallback: switch("podCIDRFallback", default.pod_cidr_fallback),
        zone_hints: switch("zoneHints", default.zone_hints),
        traffic_policy: switch("trafficPolicy", default.traffic_policy),
        startup_jitter: millis("startupJitter", default.startup_jitter),
        sync_timeout: millis("syncTimeout", default.sync_timeout),
    }
}

/// A time in milliseconds, at most ten minutes.
pub(super) fn millis(field: Field<'_>) -> Option<Duration> {
    let ms = field.integer(0..=600_000)?;
    Some(Duration::from_millis(ms.unsigned_abs()))
}

/// Only EndpointSlices are read, whatever is served besides (K8S-102).
fn endpoints(field: Field<'_>, reader: &Reader) {
    let spot = field.spot();
    match field.string().as_deref() {
        None | Some("auto" | "slices") => {}
        Some("legacy") => {
            let message = "`endpoints: legacy` is not supported and will not be: Endpoints end at 1,000 addresses";
            let help = "leave it out: every API server since Kubernetes 1.21 has EndpointSlices";
            reader.mistake(spot, message, Some(help.to_owned()));
        }
        Some(_) => reader.mistake(spot, "endpoints must be auto or slices", None),
    }
}

fn family(field: Field<'_>, reader: &Reader) -> AddressFamily {
    let spot = field.spot();
    let Some(name) = field.string() else {
        return AddressFamily::default();
    };
    let family = FAMILIES.into_iter().find(|f| f.name() == name);
    family.unwrap_or_else(|| {
        reader.mistake(spot, "addressFamily must be primary, ipv4 or ipv6", None);
        AddressFamily::default()
    })
}

/// The Kubernetes namespaces to watch (K8S-81), each once; an empty list would watch nothing.
fn namespaces(field: Field<'_>, reader: &Reader) -> Option<Vec<String>> {
    let (spot, name) = (field.spot(), field.name().to_owned());
    let mut namespaces = field.strings()?;
    if namespaces.is_empty() || namespaces.iter().any(String::is_empty) {
        let message = format!(
            "{name} must not be empty or have empty names; leave it out to watch the whole cluster"
        );
        reader.mistake(spot, message, None);
    }
    namespaces.sort();
    namespaces.dedup();
    Some(namespaces)
}

/// Namers of one API server share its watches, so they must agree on how it is watched.
pub(super) fn one_view_each(reader: &Reader, namers: &[(&Path, &K8sNamer, Spot)]) {
    for (i, (prefix, namer, spot)) in namers.iter().enumerate() {
        let mut earlier = namers[..i].iter();
        let Some((other_prefix, other, _)) = earlier.find(|(_, o, _)| o.api == namer.api) else {
            continue;
        };
        let keys = effective::watch(&other.watch)
            .into_iter()
            .zip(effective::watch(&namer.watch));
        for ((key, theirs), (_, ours)) in keys.filter(|(a, b)| a != b) {
            let message = format!(
                "namers {other_prefix} and {prefix} are of the same API server ({}) and share its watches, but \
                 differ in {key}: {theirs} and {ours}",
                namer.api
            );
            let help = format!("give {key} in both, with one value");
            reader.mistake(*spot, message, Some(help));
        }
    }
}
