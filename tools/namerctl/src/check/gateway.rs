//! Checks of what node proxies need in the cluster: the Service of the DaemonSet with its port and slices, a gateway on every
//! node that has pods, node names on endpoints (Kubernetes 4.1, K8S-55).

use std::collections::BTreeSet;

use serde_json::Value;

use super::api::Api;
use super::facts::Gateway;
use super::outcome::Outcomes;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Names that are shown of a longer list.
const SHOWN: usize = 5;

/// Checks every gateway, and the endpoints of the whole cluster.
pub(crate) async fn check(api: &Api, gateways: &[Gateway], outcomes: &mut Outcomes) {
    let slices = match api
        .list("/apis/discovery.k8s.io/v1/endpointslices", "")
        .await
    {
        Ok(slices) => slices,
        Err(refused) => {
            let hint = "listing endpointslices of all namespaces must be allowed for these checks";
            outcomes.skip("node-names", "endpoints", refused.to_string(), hint);
            outcomes.skip("gateway", "all", refused.to_string(), hint);
            return;
        }
    };
    node_names(&slices, outcomes);
    if gateways.is_empty() {
        let hint = "name it with --gateway NAMESPACE/SERVICE/PORT, or the files that name it with --config";
        outcomes.skip("gateway", "all", "no daemonset transformer is known", hint);
    }
    for gateway in gateways {
        if let Some(port) = service_port(api, gateway, outcomes).await {
            coverage(gateway, &port, &slices, outcomes);
        }
    }
}

/// Endpoints that can be used: ready, or not said to be unready.
fn endpoints(slice: &Value) -> impl Iterator<Item = &Value> {
    let all = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter(|e| e["conditions"]["ready"] != Value::Bool(false))
}

fn service_of(slice: &Value) -> Option<(&str, &str)> {
    let namespace = slice["metadata"]["namespace"].as_str()?;
    Some((
        namespace,
        slice["metadata"]["labels"][SERVICE_NAME].as_str()?,
    ))
}

fn node_names(slices: &[Value], outcomes: &mut Outcomes) {
    let mut total = 0;
    let mut without = BTreeSet::new();
    let mut missing = 0;
    for slice in slices.iter().filter(|s| s["addressType"] != "FQDN") {
        let Some((namespace, service)) = service_of(slice) else {
            continue;
        };
        for endpoint in endpoints(slice) {
            total += 1;
            // The API server's own endpoints have none, and nobody routes to them by node.
            if endpoint["nodeName"].is_null() && (namespace, service) != ("default", "kubernetes") {
                missing += 1;
                without.insert(format!("{namespace}/{service}"));
            }
        }
    }
    if missing == 0 {
        outcomes.ok(
            "node-names",
            "endpoints",
            format!("all of {total} say their node"),
        );
        return;
    }
    let seen = format!(
        "{missing} of {total} do not say their node: {}",
        some(&without)
    );
    let hint = "daemonset and localnode find such endpoints by subnet only: let the controller write the slices, or set \
                podCIDRFallback in namerd's io.l5d.k8s namer";
    outcomes.warn("node-names", "endpoints", seen, hint);
}

fn some(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

/// The name of the Service's port, which slices have too.
async fn service_port(api: &Api, gateway: &Gateway, outcomes: &mut Outcomes) -> Option<String> {
    let Gateway {
        namespace,
        service,
        port,
    } = gateway;
    let subject = gateway.to_string();
    let path = format!("/api/v1/namespaces/{namespace}/services/{service}");
    let object = match api.get(&path).await {
        Ok(object) => object,
        Err(refused) if refused.status == 404 => {
            let seen = format!("there is no Service {service} in {namespace}");
            let hint = "the transformer resolves to nothing, so no request leaves a node: create the Service of the node \
                        proxies' DaemonSet, or correct the transformer";
            outcomes.fail("gateway-service", &subject, seen, hint);
            return None;
        }
        Err(refused) => {
            let hint = "reading that Service must be allowed for this check";
            outcomes.skip("gateway-service", &subject, refused.to_string(), hint);
            return None;
        }
    };
    let ports = object["spec"]["ports"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let is_it = |p: &&Value| {
        let number = port.parse::<u64>().ok();
        p["name"].as_str() == Some(port) || (number.is_some() && p["port"].as_u64() == number)
    };
    let Some(found) = ports.iter().find(is_it) else {
        let names: Vec<&str> = ports.iter().filter_map(|p| p["name"].as_str()).collect();
        let seen = format!(
            "Service {service} has no port {port}, but {}",
            names.join(", ")
        );
        let hint = "name the port of the incoming router in the Service as the transformer does";
        outcomes.fail("gateway-service", &subject, seen, hint);
        return None;
    };
    outcomes.ok(
        "gateway-service",
        &subject,
        format!("the Service has port {}", found["port"]),
    );
    Some(found["name"].as_str().unwrap_or_default().to_owned())
}

/// Slices of the gateway have its port, and every node with pods has a gateway.
fn coverage(gateway: &Gateway, port: &str, slices: &[Value], outcomes: &mut Outcomes) {
    let subject = gateway.to_string();
    let own = (gateway.namespace.as_str(), gateway.service.as_str());
    let of: Vec<&Value> = slices
        .iter()
        .filter(|s| service_of(s) == Some(own))
        .collect();
    let has_port = |slice: &&&Value| {
        let ports = slice["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let is_it =
            |p: &Value| p["name"].as_str().unwrap_or_default() == port && !p["port"].is_null();
        ports.iter().any(is_it)
    };
    let usable: usize = of.iter().map(|s| endpoints(s).count()).sum();
    if usable == 0 {
        let seen = "it has no ready endpoint";
        let hint = "look at the DaemonSet: kubectl get daemonset,pods, and whether the Service's selector matches its pods' labels";
        outcomes.fail("gateway-endpoints", &subject, seen, hint);
        return;
    }
    let with: Vec<&Value> = of.iter().filter(has_port).copied().collect();
    if with.is_empty() {
        let seen = format!("no slice of it has port {}", gateway.port);
        let hint = "the Service's targetPort must be a port of the DaemonSet's container, by the same name";
        outcomes.fail("gateway-endpoints", &subject, seen, hint);
        return;
    }
    let nodes = |slices: &mut dyn Iterator<Item = &&Value>| -> BTreeSet<String> {
        let all = slices.flat_map(|s| endpoints(s));
        all.filter_map(|e| e["nodeName"].as_str().map(str::to_owned))
            .collect()
    };
    let gateways = nodes(&mut with.iter());
    let all: Vec<&Value> = slices.iter().collect();
    let pods = nodes(&mut all.iter());
    outcomes.ok(
        "gateway-endpoints",
        &subject,
        format!("{} nodes have a gateway", gateways.len()),
    );
    let bare: BTreeSet<String> = pods.difference(&gateways).cloned().collect();
    if bare.is_empty() {
        outcomes.ok(
            "gateway-nodes",
            &subject,
            format!("all {} nodes with endpoints have one", pods.len()),
        );
    } else {
        let seen = format!("no gateway on {}, which have endpoints", some(&bare));
        let hint = "endpoints there cannot be reached through node proxies: let the DaemonSet tolerate those nodes' taints, or \
                    set missingGateway: direct in the transformer";
        outcomes.warn("gateway-nodes", &subject, seen, hint);
    }
}
