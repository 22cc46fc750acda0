//! Reads the keys of one transformer. Errors name the key, what is wrong and what would be right.

use std::net::IpAddr;

use l5d_naming::{Elem, Path, TransformerSpec};

use super::subnet::Netmask;

/// The kinds there are, for messages.
const KINDS: [&str; 7] = [
    "io.l5d.const",
    "io.l5d.k8s.daemonset",
    "io.l5d.k8s.localnode",
    "io.l5d.localhost",
    "io.l5d.port",
    "io.l5d.replace",
    "io.l5d.specificHost",
];

pub(super) fn unknown_kind() -> String {
    format!("unknown kind; there are {}", KINDS.join(", "))
}

/// `/%` and these elements. Empty ones are left out.
pub(super) fn id_prefix<'a>(elems: impl IntoIterator<Item = &'a str>) -> Path {
    let elems = std::iter::once("%").chain(elems);
    Path::from_elems(elems.filter_map(Elem::new))
}

/// `/%` and the configured prefix, or the default one.
pub(super) fn prefix(spec: &TransformerSpec, default: &[&str]) -> Result<Path, String> {
    let configured = configured_prefix(spec)?;
    Ok(configured.unwrap_or_else(|| id_prefix(default.iter().copied())))
}

/// `/%` and the configured prefix, if there is one.
pub(super) fn configured_prefix(spec: &TransformerSpec) -> Result<Option<Path>, String> {
    if spec.prefix.is_empty() {
        return Ok(None);
    }
    let path = Path::parse(&spec.prefix).map_err(|e| format!("prefix is not a path: {e}"))?;
    Ok(Some(id_prefix([]).concat(&path)))
}

pub(super) fn required<'a>(key: &str, value: &'a str) -> Result<&'a str, String> {
    match value {
        "" => Err(format!("{key} is missing")),
        value if value.contains('/') => Err(format!("{key} must not contain a slash: {value}")),
        value => Ok(value),
    }
}

pub(super) fn port_number(spec: &TransformerSpec) -> Result<u16, String> {
    let text = required("port", &spec.port)?;
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("port must be a number from 1 to 65535, not {text}")),
    }
}

/// Whether endpoints without a gateway are reached directly instead of dropped.
pub(super) fn missing_gateway(spec: &TransformerSpec) -> Result<bool, String> {
    match spec.missing_gateway.as_str() {
        "" | "drop" => Ok(false),
        "direct" => Ok(true),
        other => Err(format!(
            "missingGateway must be drop or direct, not {other}"
        )),
    }
}

pub(super) fn host(spec: &TransformerSpec) -> Result<IpAddr, String> {
    let text = required("host", &spec.host)?;
    text.parse()
        .map_err(|_| format!("host must be an IP address, not {text}"))
}

pub(super) fn path(spec: &TransformerSpec) -> Result<Path, String> {
    if spec.path.is_empty() {
        return Err("path is missing".to_owned());
    }
    Path::parse(&spec.path).map_err(|e| format!("path is not a path: {e}"))
}

pub(super) fn netmask(spec: &TransformerSpec) -> Result<Netmask, String> {
    if spec.netmask.is_empty() {
        return Ok(Netmask::default());
    }
    let mask = spec.netmask.parse();
    let mask = mask.map_err(|_| {
        format!(
            "netmask must be written as an address such as 255.255.255.0, not {}",
            spec.netmask
        )
    })?;
    Ok(Netmask::new(mask))
}
