//! Slices, Services and Nodes as the API server writes them: what is read of them and nothing else (K8S-107).

use serde::Deserialize;

use super::WireMeta;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSlice {
    pub(super) metadata: WireMeta,
    #[serde(default)]
    pub(super) address_type: Option<String>,
    #[serde(default)]
    pub(super) ports: Option<Vec<WireSlicePort>>,
    #[serde(default)]
    pub(super) endpoints: Option<Vec<WireEndpoint>>,
}

#[derive(Deserialize)]
pub(super) struct WireSlicePort {
    pub(super) name: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireEndpoint {
    pub(super) addresses: Option<Vec<String>>,
    pub(super) conditions: Option<WireConditions>,
    #[serde(default)]
    pub(super) hints: Option<WireHints>,
    pub(super) node_name: Option<String>,
    pub(super) zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireHints {
    pub(super) for_zones: Option<Vec<WireHint>>,
    pub(super) for_nodes: Option<Vec<WireHint>>,
}

#[derive(Deserialize)]
pub(super) struct WireHint {
    pub(super) name: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct WireConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct WireService {
    pub(super) metadata: WireMeta,
    #[serde(default)]
    pub(super) spec: Option<WireServiceSpec>,
    #[serde(default)]
    pub(super) status: Option<WireServiceStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireServiceStatus {
    pub(super) load_balancer: Option<WireLoadBalancer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireLoadBalancer {
    pub(super) ingress: Option<Vec<WireBalancer>>,
}

#[derive(Deserialize)]
pub(super) struct WireBalancer {
    pub(super) ip: Option<String>,
    pub(super) hostname: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireServiceSpec {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) ports: Option<Vec<WireServicePort>>,
    pub(super) ip_families: Option<Vec<String>>,
    pub(super) internal_traffic_policy: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireNode {
    pub(super) metadata: WireMeta,
    #[serde(default)]
    pub(super) spec: Option<WireNodeSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireNodeSpec {
    #[serde(rename = "podCIDRs")]
    pub(super) pod_cidrs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireServicePort {
    pub(super) name: Option<String>,
    pub(super) port: i64,
    pub(super) protocol: Option<String>,
    pub(super) target_port: Option<TargetPort>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TargetPort {
    Number(i64),
    Name(serde::de::IgnoredAny),
}
