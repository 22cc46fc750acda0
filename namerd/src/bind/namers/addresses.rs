//! Addresses as a file (naming 5.1) or another source lists them, and the endpoints that they mean.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use l5d_naming::{Endpoint, EndpointSet, EndpointWeight, Replicas};

use crate::bind::dns::{HostState, Hosts};
use crate::store::{Cell, Reads, Recompute};

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Listed {
    /// It has not answered yet.
    Pending,
    /// There is no such file or service.
    Gone,
    /// It cannot be read or has a malformed line: a message.
    Bad(Arc<str>),
    /// Its usable lines.
    Good(Lines),
}

/// What a source lists.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines {
    pub(super) lines: Arc<[Line]>,
    /// The host that requests to these addresses are to name (metadata `authority`).
    pub(super) authority: Option<Arc<str>>,
}

/// One usable line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// A host's name or its address.
    pub(crate) host: Box<str>,
    /// Where it listens.
    pub(crate) port: u16,
    /// Its share.
    pub(crate) weight: EndpointWeight,
}

/// Feeds a file's cluster from its lines and their hosts.
pub(super) struct Addresses {
    listed: Arc<Cell<Listed>>,
    hosts: Hosts,
    out: Weak<Cell<Replicas>>,
}

impl Listed {
    /// Reads a file's text. One malformed line spoils all.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = Vec::new();
        for raw in text.lines() {
            let line = raw.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match Line::parse(line) {
                Some(line) => lines.push(line),
                None => {
                    let shown: String = line.chars().take(200).collect();
                    return Listed::Bad(format!("malformed address: {shown}").into());
                }
            }
        }
        Listed::Good(Lines {
            lines: lines.into(),
            authority: None,
        })
    }
}

impl Line {
    /// `HOST PORT` or `HOST PORT * WEIGHT`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (host, port) = (words.next()?, words.next()?);
        let weight = match (words.next(), words.next(), words.next()) {
            (None, ..) => EndpointWeight::ONE,
            (Some("*"), Some(weight), None) => EndpointWeight::from_f64(decimal(weight)?),
            _ => return None,
        };
        let plain = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| plain && *port > 0)?;
        Some(Self {
            host: host.into(),
            port,
            weight,
        })
    }
}

/// Digits with at most one dot.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| plain)
}

impl Addresses {
    pub(super) fn new(listed: Arc<Cell<Listed>>, hosts: Hosts, out: Weak<Cell<Replicas>>) -> Self {
        Self { listed, hosts, out }
    }

    /// Hosts that do not resolve are left out. Pending only while none is known and one may still be.
    fn endpoints(&self, listed: &Lines, reads: &mut Reads) -> Replicas {
        let mut endpoints = Vec::new();
        let mut waits = false;
        for line in &*listed.lines {
            match &reads.read(&self.hosts.get(&line.host, false)).1 {
                HostState::Known(ips) => {
                    endpoints.extend(ips.iter().map(|ip| Endpoint {
                        weight: line.weight,
                        ..Endpoint::new(SocketAddr::new(*ip, line.port))
                    }));
                }
                HostState::Pending => waits = true,
                HostState::Unknown | HostState::Failed(_) => {}
            }
        }
        if endpoints.is_empty() && waits {
            return Replicas::Pending;
        }
        let set = EndpointSet::new(endpoints).with_authority(listed.authority.clone());
        Replicas::Bound(Arc::new(set))
    }
}

impl Recompute for Addresses {
    fn recompute(&self, reads: &mut Reads) {
        let listed = reads.read(&self.listed);
        let replicas = match &listed.1 {
            Listed::Pending => Replicas::Pending,
            Listed::Gone => Replicas::Neg,
            Listed::Bad(message) => Replicas::Failed(Arc::clone(message)),
            Listed::Good(lines) => self.endpoints(lines, reads),
        };
        if let Some(out) = self.out.upgrade() {
            out.set(replicas);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Vec<(String, u16, f64)> {
        match Listed::parse(text) {
            Listed::Good(listed) => listed
                .lines
                .iter()
                .map(|l| (l.host.to_string(), l.port, l.weight.to_f64()))
                .collect(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn lines_of_naming_5_1() {
        assert_eq!(good("10.0.0.1 80"), [("10.0.0.1".to_owned(), 80, 1.0)]);
        assert_eq!(
            good("10.0.0.1 80 # a\r\n# b\r\n10.0.0.2   81 * 0.5\r\n"),
            [
                ("10.0.0.1".to_owned(), 80, 1.0),
                ("10.0.0.2".to_owned(), 81, 0.5)
            ]
        );
        assert_eq!(good(""), []);
        assert_eq!(good("# nobody\n\n  \n"), []);
    }

    #[test]
    fn malformed_lines_of_naming_5_1_fail_and_are_quoted() {
        for line in [
            "10.0.0.1:80",
            "10.0.0.1",
            "10.0.0.1 http",
            "10.0.0.1 0",
            "10.0.0.1 65536",
            "10.0.0.1 +80",
            "10.0.0.1 80 0.5",
            "10.0.0.1 80 *0.5",
            "10.0.0.1 80 * -1",
            "10.0.0.1 80 * nan",
            "10.0.0.1 80 * 1 2",
        ] {
            let text = format!("10.0.0.9 80\n{line}\n");
            match Listed::parse(&text) {
                Listed::Bad(message) => assert!(message.contains(line), "{message}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}
