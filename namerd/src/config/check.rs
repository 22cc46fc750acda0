//! What must hold between sections (control plane 3.7).

use std::net::{IpAddr, SocketAddr};

use l5d_config::{Reader, Spot};
use l5d_naming::Path;

use super::Server;

/// A server's claim to an address.
#[derive(Debug)]
pub(super) struct Claim {
    who: String,
    spot: Spot,
    addr: SocketAddr,
    shares: bool,
}

impl Claim {
    pub(super) fn new(who: String, spot: Spot, server: &Server) -> Self {
        Self {
            who,
            spot,
            addr: server.addr,
            shares: server.socket.reuse_port,
        }
    }

    fn conflicts(&self, other: &Claim) -> bool {
        self.addr.port() != 0
            && self.addr.port() == other.addr.port()
            && overlap(self.addr.ip(), other.addr.ip())
            && !(self.shares && other.shares)
    }
}

/// Whether one socket can take what comes for the other. `::` takes IPv4 too.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let takes = |x: IpAddr, y: IpAddr| x.is_unspecified() && (x.is_ipv6() || y.is_ipv4());
    a == b || takes(a, b) || takes(b, a)
}

/// No two servers on one address.
pub(super) fn server_conflicts(reader: &Reader, interfaces: &[Claim], admin: &Claim) {
    let all: Vec<&Claim> = std::iter::once(admin).chain(interfaces).collect();
    for (i, claim) in all.iter().enumerate() {
        let Some(other) = all[..i].iter().find(|other| claim.conflicts(other)) else {
            continue;
        };
        let message = format!(
            "Server conflict on port {}: {} and {} both want it ({} and {})",
            claim.addr.port(),
            other.who,
            claim.who,
            other.addr,
            claim.addr,
        );
        reader.mistake(claim.spot, message, None);
    }
}

/// No namer's prefix is empty or the beginning of another's.
pub(super) fn prefixes(reader: &Reader, prefixes: &[(Path, Spot)]) {
    for (i, (prefix, spot)) in prefixes.iter().enumerate() {
        if prefix.is_empty() {
            reader.mistake(*spot, "Namers must not have an empty prefix", None);
            continue;
        }
        let other = prefixes[..i].iter().find(|(other, _)| {
            !other.is_empty() && (prefix.starts_with(other) || other.starts_with(prefix))
        });
        if let Some((other, _)) = other {
            let message = format!("Namers must not have overlapping prefixes: {other} & {prefix}");
            let help = "give each namer a `prefix` of its own".to_owned();
            reader.mistake(*spot, message, Some(help));
        }
    }
}
