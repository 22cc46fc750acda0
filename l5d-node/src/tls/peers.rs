//! Which node is to be at the other end, as the namerds say that are followed.
//!
//! Asked for each connection to another node and never for a request. While one of the namerds is older and does not tell, an
//! address that nobody names may be any node's of the trust domain: that is counted, and said once. Must never: believe
//! another node than the one named, or anybody where all namerds tell and none of them names somebody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::select_all;
use l5d_tls::nodes::{Expected, Stranger};
use rustls::{CertificateError, OtherError};
use tokio::time::{Instant, timeout_at};

use crate::cache::FollowSet;

/// What is known of other nodes, for all workers.
#[derive(Debug, Default)]
pub struct Peers {
    namerds: OnceLock<Vec<Arc<FollowSet>>>,
    unnamed: AtomicU64,
    strangers: AtomicU64,
    is_said: AtomicBool,
}

/// How long a name that is about to be told is waited for: within the second that a connection may take to open.
const WAIT: Duration = Duration::from_millis(500);

/// What is known of an address.
enum Known {
    Node(Arc<str>),
    /// Not all namerds tell.
    Silence,
    Nobody,
}

impl Peers {
    /// Who tells. Once, before the first connection.
    pub fn know(&self, namerds: &[Arc<FollowSet>]) {
        // The first ones stay.
        let _ = self.namerds.set(namerds.to_vec());
    }

    /// The node at an address, if it is named.
    pub(super) fn name(&self, ip: IpAddr) -> Option<Arc<str>> {
        match self.known(ip) {
            Known::Node(name) => Some(name),
            Known::Silence | Known::Nobody => None,
        }
    }

    fn known(&self, ip: IpAddr) -> Known {
        let namerds = self.namerds.get().map_or(&[][..], Vec::as_slice);
        let mut is_silent = namerds.is_empty();
        for namerd in namerds {
            match namerd.gateways() {
                None => is_silent = true,
                Some(told) => {
                    if let Some(name) = told.node(ip) {
                        return Known::Node(name.clone());
                    }
                }
            }
        }
        match is_silent {
            true => Known::Silence,
            false => Known::Nobody,
        }
    }

    /// Whom a connection there must lead to. Waits a moment for a name that nobody has told yet. Cancel safe.
    pub(super) async fn expected(&self, ip: IpAddr) -> Expected {
        let end = Instant::now() + WAIT;
        loop {
            let namerds = self.namerds.get().map_or(&[][..], Vec::as_slice);
            // Listened to before it is looked at.
            let changes = namerds.iter().map(|n| {
                let mut change = Box::pin(n.gateways_change());
                change.as_mut().enable();
                change
            });
            let changes: Vec<_> = changes.collect();
            match self.known(ip) {
                Known::Node(name) => return Expected::Node((*name).to_owned()),
                Known::Silence => {
                    self.unnamed.fetch_add(1, Ordering::Relaxed);
                    self.say();
                    return Expected::AnyNode;
                }
                Known::Nobody => {}
            }
            if timeout_at(end, select_all(changes)).await.is_err() {
                return Expected::NoNode;
            }
        }
    }

    fn say(&self) {
        if !self.is_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "namerd does not say which node stands at an address: any node of the trust domain is believed there; \
                 update namerd"
            );
        }
    }

    /// Somebody else was there.
    pub(super) fn refused(&self, addr: SocketAddr, error: &io::Error) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%addr, %error, "not the node that stands there: nothing was sent");
    }

    /// Connections that were to lead to any node, and those given up because of who was there.
    pub fn counts(&self) -> [u64; 2] {
        [&self.unnamed, &self.strangers].map(|n| n.load(Ordering::Relaxed))
    }
}

/// Whether a handshake has failed because of who showed a certificate.
pub(super) fn is_stranger(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = inner
    else {
        return false;
    };
    why.downcast_ref::<Stranger>().is_some()
}
