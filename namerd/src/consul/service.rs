//! What Consul's catalog and health endpoints say of a service, as lines of addresses.

use std::collections::BTreeMap;

use l5d_naming::EndpointWeight;
use serde::Deserialize;

use super::client::CallError;
use crate::bind::namers::Line;
use crate::config::{ConsulNaming, HealthStatus};

/// `/v1/catalog/service/<name>`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    #[serde(default)]
    address: String,
    #[serde(default)]
    service_address: String,
    #[serde(default)]
    service_port: i64,
    service_tags: Option<Vec<String>>,
}

/// `/v1/health/service/<name>`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    node: Node,
    service: Service,
    checks: Option<Vec<Check>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: i64,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default, rename = "CheckID")]
    check_id: String,
    #[serde(default)]
    status: String,
}

/// The usable addresses in an answer, which is from the health endpoint if `health` is asked for.
pub(super) fn lines(body: &[u8], naming: &ConsulNaming) -> Result<Vec<Line>, CallError> {
    let unreadable = |e: serde_json::Error| CallError::Unreadable(e.to_string());
    let Some(wanted) = &naming.health else {
        let all: Vec<Registered> = serde_json::from_slice(body).map_err(unreadable)?;
        let line = |r: Registered| {
            let tags = r.service_tags.unwrap_or_default();
            line(
                &r.address,
                &r.service_address,
                r.service_port,
                &tags,
                naming,
            )
        };
        return Ok(all.into_iter().filter_map(line).collect());
    };
    let all: Vec<Checked> = serde_json::from_slice(body).map_err(unreadable)?;
    let usable = all.into_iter().filter(|checked| {
        let status = status(checked.checks.as_deref().unwrap_or_default());
        wanted.contains(&status)
    });
    let line = |c: Checked| {
        let tags = c.service.tags.unwrap_or_default();
        let (node, own) = (&c.node.address, &c.service.address);
        line(node, own, c.service.port, &tags, naming)
    };
    Ok(usable.filter_map(line).collect())
}

/// `None`: it has no address, or no port.
fn line(node: &str, own: &str, port: i64, tags: &[String], naming: &ConsulNaming) -> Option<Line> {
    let is_own = naming.prefer_service_address && !own.is_empty();
    let host = if is_own { own } else { node };
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| Line {
        host: host.into(),
        port,
        weight: weight(tags, &naming.weights),
    })
}

/// The greatest of those that its tags have.
fn weight(tags: &[String], weights: &BTreeMap<String, f64>) -> EndpointWeight {
    let found = tags.iter().filter_map(|tag| weights.get(tag).copied());
    let greatest = found.max_by(f64::total_cmp);
    greatest.map_or(EndpointWeight::ONE, EndpointWeight::from_f64)
}

/// The worst of its checks; none: passing.
fn status(checks: &[Check]) -> HealthStatus {
    let of = |check: &Check| match &*check.status {
        _ if check.check_id == "_node_maintenance" => HealthStatus::Maintenance,
        _ if check.check_id.starts_with("_service_maintenance") => HealthStatus::Maintenance,
        "passing" => HealthStatus::Passing,
        "warning" => HealthStatus::Warning,
        _ => HealthStatus::Critical,
    };
    checks.iter().map(of).max().unwrap_or(HealthStatus::Passing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming() -> ConsulNaming {
        ConsulNaming {
            prefer_service_address: true,
            ..ConsulNaming::default()
        }
    }

    fn shown(body: &str, naming: &ConsulNaming) -> Vec<(String, u16, f64)> {
        let lines = lines(body.as_bytes(), naming).expect("readable");
        let shown = |l: &Line| (l.host.to_string(), l.port, l.weight.to_f64());
        lines.iter().map(shown).collect()
    }

    const CATALOG: &str = r#"[
        {"Node":"n1","Address":"10.0.0.1","ServiceAddress":"","ServicePort":80,"ServiceTags":["a","b"]},
        {"Node":"n2","Address":"10.0.0.2","ServiceAddress":"10.1.0.2","ServicePort":81,"ServiceTags":null},
        {"Node":"n3","Address":"10.0.0.3","ServiceAddress":"","ServicePort":0,"ServiceTags":[]}]"#;

    #[test]
    fn the_services_own_address_is_preferred_and_tags_have_weights() {
        let mut naming = naming();
        let plain = |host: &str, port| (host.to_owned(), port, 1.0);
        let found = shown(CATALOG, &naming);
        assert_eq!(found, [plain("10.0.0.1", 80), plain("10.1.0.2", 81)]);
        naming.prefer_service_address = false;
        naming.weights = [("a", 0.5), ("b", 3.0)]
            .map(|(t, w)| (t.to_owned(), w))
            .into();
        let found = shown(CATALOG, &naming);
        assert_eq!(
            found,
            [("10.0.0.1".to_owned(), 80, 3.0), plain("10.0.0.2", 81)]
        );
        assert!(lines(b"{}", &naming).is_err());
    }

    #[test]
    fn the_worst_check_of_node_and_service_counts() {
        let entry = |port: u16, checks: &str| {
            format!(
                r#"{{"Node":{{"Address":"10.0.0.1"}},"Service":{{"Address":"","Port":{port},"Tags":[]}},"Checks":[{checks}]}}"#
            )
        };
        let check = |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}"}}"#);
        let passing = check("serfHealth", "passing");
        let body = format!(
            "[{},{},{},{},{}]",
            entry(1, ""),
            entry(2, &passing),
            entry(3, &format!("{passing},{}", check("x", "warning"))),
            entry(4, &format!("{passing},{}", check("x", "critical"))),
            entry(5, &check("_service_maintenance:web", "critical")),
        );
        let ports = |wanted: &[HealthStatus]| -> Vec<u16> {
            let naming = ConsulNaming {
                health: Some(wanted.iter().copied().collect()),
                ..naming()
            };
            shown(&body, &naming)
                .iter()
                .map(|(_, port, _)| *port)
                .collect()
        };
        assert_eq!(ports(&[HealthStatus::Passing]), [1, 2]);
        assert_eq!(
            ports(&[HealthStatus::Passing, HealthStatus::Warning]),
            [1, 2, 3]
        );
        assert_eq!(ports(&[HealthStatus::Critical]), [4]);
        assert_eq!(ports(&[HealthStatus::Maintenance]), [5]);
    }
}
