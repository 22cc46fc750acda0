//! `io.l5d.etcd` (control plane 12.5).

use l5d_config::{Field, Section};

use super::path_prefix;
use crate::config::EtcdStorage;

const PORT: u16 = 2379;

pub(super) fn read(section: &Section<'_>) -> EtcdStorage {
    let host = section.key("host").string();
    let port = section.key("port");
    let has_host = host.is_some() || port.is_present();
    let port = port.integer(1..=65_535).and_then(|p| u16::try_from(p).ok());
    let endpoints = section.key("endpoints");
    let spot = endpoints.spot();
    let mut hosts: Vec<(String, u16)> = match endpoints.list() {
        None => Vec::new(),
        Some(_) if has_host => {
            let message = "host and port, and endpoints, cannot both be given";
            let help = "put all hosts into endpoints, each as HOST:PORT";
            section
                .reader()
                .mistake(spot, message, Some(help.to_owned()));
            Vec::new()
        }
        Some(items) if items.is_empty() => {
            let message = "endpoints must name at least one HOST:PORT";
            section.reader().mistake(spot, message, None);
            Vec::new()
        }
        Some(items) => items
            .into_iter()
            .filter_map(|i| endpoint(section, i))
            .collect(),
    };
    if hosts.is_empty() {
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        hosts.push((host, port.unwrap_or(PORT)));
    }
    EtcdStorage {
        hosts,
        path_prefix: path_prefix(section),
        tls: l5d_tls::read::client(section.key("tls")),
    }
}

/// `HOST:PORT` or `HOST`; IPv6 addresses stand in brackets.
fn endpoint(section: &Section<'_>, item: Field<'_>) -> Option<(String, u16)> {
    let (spot, name) = (item.spot(), item.name().to_owned());
    let text = item.string()?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (text.as_str(), Some(PORT)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = !host.is_empty() && !host.contains(['/', '@']);
    let found = port.filter(|port| is_host && *port != 0);
    if found.is_none() {
        let message = format!("{name} must be HOST:PORT, without http://");
        section.reader().mistake(spot, message, None);
    }
    found.map(|port| (host.to_owned(), port))
}
