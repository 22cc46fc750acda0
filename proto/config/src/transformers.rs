//! `transformers` lists, which namers of namerd and interpreters of the node both have (naming 6.2, Kubernetes 4).

use std::net::IpAddr;

use l5d_naming::TransformerSpec;

use crate::field::Field;
use crate::section::{Kinds, Section};

const KINDS: Kinds = Kinds {
    what: "transformer",
    known: &[
        "io.l5d.k8s.daemonset",
        "io.l5d.k8s.localnode",
        "io.l5d.port",
        "io.l5d.localhost",
        "io.l5d.specificHost",
        "io.l5d.const",
        "io.l5d.replace",
    ],
    others: &[],
};

/// Reads a list of transformers, in order. Absent: none.
pub fn transformers(field: Field<'_>) -> Vec<TransformerSpec> {
    let sections = field.sections().unwrap_or_default();
    sections.into_iter().filter_map(transformer).collect()
}

fn transformer(mut section: Section<'_>) -> Option<TransformerSpec> {
    let kind = section.kind(&KINDS)?;
    let mut spec = TransformerSpec {
        kind: kind.to_owned(),
        prefix: prefix(&section),
        ..TransformerSpec::default()
    };
    match kind {
        "io.l5d.k8s.daemonset" => {
            spec.namespace = section.need("namespace").string().unwrap_or_default();
            spec.service = section.need("service").string().unwrap_or_default();
            spec.port = section.need("port").word().unwrap_or_default();
            by_node(&section, &mut spec);
            section.legacy("k8sHost", "namerd has its own access to the Kubernetes API");
            section.legacy("k8sPort", "namerd has its own access to the Kubernetes API");
            spec.missing_gateway = missing_gateway(&section);
        }
        "io.l5d.k8s.localnode" => by_node(&section, &mut spec),
        "io.l5d.port" => {
            let port = section.need("port").integer(1..=65_535);
            spec.port = port.map(|p| p.to_string()).unwrap_or_default();
        }
        "io.l5d.specificHost" => {
            let host = section.need("host").ip();
            spec.host = host.map(|ip| ip.to_string()).unwrap_or_default();
        }
        "io.l5d.const" | "io.l5d.replace" => {
            let path = section.need("path").path();
            spec.path = path.map(|p| p.to_string()).unwrap_or_default();
        }
        _ => {}
    }
    Some(spec)
}

/// Replaces the kind's own prefix.
fn prefix(section: &Section<'_>) -> String {
    let field = section.key("prefix");
    let spot = field.spot();
    match field.path() {
        Some(path) if path.is_empty() => {
            let message = "transformers must not have an empty prefix";
            section.reader().mistake(spot, message, None);
            String::new()
        }
        Some(path) => path.to_string(),
        None => String::new(),
    }
}

fn by_node(section: &Section<'_>, spec: &mut TransformerSpec) {
    spec.host_network = section.key("hostNetwork").boolean().unwrap_or(false);
    let field = section.key("netmask");
    let spot = field.spot();
    match field.ip() {
        Some(IpAddr::V4(mask)) if mask.to_bits().leading_ones() == mask.to_bits().count_ones() => {
            spec.netmask = mask.to_string();
        }
        Some(other) => {
            let message =
                format!("netmask {other} is not ones followed by zeros, such as 255.255.255.0");
            section.reader().mistake(spot, message, None);
        }
        None => {}
    }
}

/// What becomes of endpoints whose node has no gateway (Kubernetes 4.1); the default is written as nothing.
fn missing_gateway(section: &Section<'_>) -> String {
    let field = section.key("missingGateway");
    let spot = field.spot();
    match field.string() {
        Some(direct) if direct == "direct" => direct,
        None => String::new(),
        Some(other) => {
            if other != "drop" {
                let message = "missingGateway must be drop or direct";
                section.reader().mistake(spot, message, None);
            }
            String::new()
        }
    }
}
