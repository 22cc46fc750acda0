//! TLS of listeners and towards endpoints (node-proxy 14), and between nodes by their identities.
//!
//! In come accepted and opened sockets, out go [`Stream`]s past their handshake. [`Tls`] is made once, with every file read
//! and checked; [`Tls::keep_fresh`] looks at the files every two seconds, and what does not parse changes nothing. An
//! [`Acceptor`] belongs to a listener, a [`Connector`] to a cluster of one worker. Whose certificate is believed is decided in
//! `l5d_tls` and nowhere else. Must never: read a file on a worker, fall back to clear text unless it is told to, or let a
//! request choose how its endpoint is checked.

mod acceptor;
mod connector;
mod identity;
mod node;
mod peers;
#[cfg(test)]
pub(crate) mod pki;
#[cfg(test)]
mod tests;
mod watched;
mod xfcc;

pub use acceptor::{Acceptor, AcceptorCounts, Refused};
pub use connector::Connector;
pub use identity::{Own, OwnCounts};
pub use peers::Peers;
pub use xfcc::forwarded_cert;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use l5d_naming::Path;
use l5d_tls::TlsError;
use l5d_tls::client::Material;
use rustls_pki_types::CertificateDer;
use tokio::time::{MissedTickBehavior, interval};

use self::watched::{Look, Watched};
use crate::config::{ClientSettings, ClientTls, Config, Issuer, Plaintext, Protocol, Router};
use crate::connect::Stream;
use crate::meter::{Measured, Reading, table as t};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
/// The transformer that makes the incoming routers of other nodes of the endpoints of a service.
const TO_NODES: &str = "io.l5d.k8s.daemonset";
/// The transformer of the routers that those reach.
const AT_NODE: &str = "io.l5d.k8s.localnode";

/// All TLS of a process. Shared by all workers, and not changed after the start but for the contents of files.
#[derive(Default)]
pub struct Tls {
    /// By router, then by server.
    acceptors: Vec<Vec<Option<Arc<Acceptor>>>>,
    admin: Option<Arc<Acceptor>>,
    /// By settings without the name, which may be different for each cluster.
    materials: HashMap<ClientTls, Arc<Watched<Material>>>,
    identity: Option<(Arc<Own>, Plaintext)>,
    peers: Arc<Peers>,
    looks: Vec<Arc<dyn Look>>,
}

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {source}")]
pub struct StartError {
    /// Where in the configuration.
    pub place: String,
    /// What is wrong.
    pub source: TlsError,
}

// === impl Tls ===

impl Tls {
    /// Reads every file that the configuration names. Blocks.
    ///
    /// # Errors
    /// The first file that cannot be used, with its place in the configuration.
    pub fn new(config: &Config) -> Result<Arc<Self>, StartError> {
        let mut tls = Self::default();
        if let Some(wanted) = &config.identity {
            let own = match &wanted.issuer {
                Issuer::Files { certificate, trust } => {
                    let (own, look) = node::of_files(certificate, trust)
                        .map_err(|e| at("identity".to_owned(), e))?;
                    tls.looks.push(look);
                    own
                }
                Issuer::Namerd { .. } => Own::new(),
            };
            tls.identity = Some((own, wanted.plaintext));
        }
        for router in &config.routers {
            let acceptors = tls.acceptors_of(router)?;
            tls.acceptors.push(acceptors);
            tls.add_materials(router)?;
        }
        if let Some(server) = &config.admin.tls {
            let place = "admin.tls".to_owned();
            tls.admin = Some(tls.of_files(server, HTTP1).map_err(|e| at(place, e))?);
        }
        Ok(Arc::new(tls))
    }

    fn acceptors_of(&mut self, router: &Router) -> Result<Vec<Option<Arc<Acceptor>>>, StartError> {
        let alpn = alpn(router.protocol);
        let is_reached = has(router, AT_NODE);
        let mut acceptors = Vec::new();
        for server in &router.servers {
            acceptors.push(match (&server.tls, &self.identity) {
                (Some(tls), _) => {
                    let place = format!("router {}, server {}: tls", router.label, server.label);
                    Some(self.of_files(tls, alpn).map_err(|e| at(place, e))?)
                }
                (None, Some((own, plaintext))) if is_reached => {
                    let allows = *plaintext == Plaintext::Allowed;
                    Some(Arc::new(Acceptor::node(own.clone(), allows, alpn)))
                }
                (None, _) => None,
            });
        }
        Ok(acceptors)
    }

    fn of_files(
        &mut self,
        tls: &l5d_tls::ServerTls,
        alpn: Alpn,
    ) -> Result<Arc<Acceptor>, TlsError> {
        let (acceptor, look) = Acceptor::files(tls.clone(), alpn)?;
        self.looks.push(look);
        Ok(Arc::new(acceptor))
    }

    fn add_materials(&mut self, router: &Router) -> Result<(), StartError> {
        let base = router.client.base().tls.iter();
        let entries = router.client.entries().iter();
        let entries = entries.filter_map(|entry| entry.keys.tls.as_ref()?.as_ref());
        for tls in base.chain(entries) {
            let key = nameless(tls);
            if self.materials.contains_key(&key) {
                continue;
            }
            let of = key.clone();
            let watched = Watched::new(
                key.files().map(ToOwned::to_owned).collect(),
                Box::new(move |files| {
                    let material = Material::new(&of, files)?;
                    let not_after = material.not_after().unwrap_or(i64::MAX);
                    Ok((material, not_after))
                }),
            );
            let place = format!("router {}: client.tls", router.label);
            let watched = Arc::new(watched.map_err(|e| at(place, e))?);
            self.looks.push(watched.clone());
            self.materials.insert(key, watched);
        }
        Ok(())
    }

    /// The way into a listener, by router and server; `None`: in clear text.
    pub fn acceptor(&self, router: usize, server: usize) -> Option<&Arc<Acceptor>> {
        self.acceptors.get(router)?.get(server)?.as_ref()
    }

    /// The way into the admin server; `None`: in clear text.
    pub fn admin(&self) -> Option<&Arc<Acceptor>> {
        self.admin.as_ref()
    }

    /// Who this node is; `None`: nobody in particular.
    pub fn own(&self) -> Option<&Arc<Own>> {
        self.identity.as_ref().map(|(own, _)| own)
    }

    /// What is known of other nodes.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// How endpoints of a cluster are spoken with; `None`: in clear text. The cluster's own settings go before the
    /// identity, which speaks with other nodes.
    pub fn connector(
        &self,
        cluster: &Path,
        client: &ClientSettings,
        protocol: Protocol,
    ) -> Option<Connector> {
        let alpn = alpn(protocol);
        if let Some(tls) = &client.tls {
            let material = self.materials.get(&nameless(tls));
            return Some(Connector::configured(tls.clone(), material.cloned(), alpn));
        }
        let (own, plaintext) = self.identity.as_ref()?;
        leads_to_nodes(cluster).then(|| {
            let allows = *plaintext == Plaintext::Allowed;
            Connector::node(own.clone(), self.peers.clone(), allows, alpn)
        })
    }

    /// Keeps what is used at what the files say. Never ends; for one task that has nothing to do with requests.
    pub async fn keep_fresh(&self) {
        if self.looks.is_empty() {
            return std::future::pending().await;
        }
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Looks at all files once.
    pub(crate) async fn look(&self) {
        for look in &self.looks {
            let look = look.clone();
            // Only a panic says otherwise, and it has been logged.
            let _ = tokio::task::spawn_blocking(move || look.look()).await;
        }
    }

    /// All acceptors.
    fn doors(&self) -> impl Iterator<Item = &AcceptorCounts> {
        let listeners = self.acceptors.iter().flatten().flatten();
        listeners.chain(&self.admin).map(|door| door.counts())
    }

    /// Changes of files that were taken, and those that were not usable.
    pub fn reloads(&self) -> [u64; 2] {
        self.looks.iter().fold([0, 0], |[good, bad], look| {
            let [more_good, more_bad] = look.counts();
            [good + more_good, bad + more_bad]
        })
    }

    /// When the first of the certificates of files ends, in seconds of Unix time.
    pub fn first_end(&self) -> Option<i64> {
        let ends = self.looks.iter().map(|look| look.not_after());
        ends.filter(|end| *end != i64::MAX).min()
    }
}

impl Measured for Tls {
    fn read(&self, to: &mut Reading) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum = |of: fn(&AcceptorCounts) -> &AtomicU64| self.doors().map(|c| get(of(c))).sum();
        if self.doors().next().is_some() {
            let failures: u64 = sum(|c| &c.failures);
            to.put(&t::TLS_HANDSHAKES, sum(|c| &c.handshakes));
            to.put(&t::TLS_FAILURES, failures + sum(|c| &c.timeouts));
            to.put(&t::TLS_PLAINTEXT, sum(|c| &c.plain));
        }
        if let Some(end) = self.first_end() {
            let [good, bad] = self.reloads();
            to.put(&t::TLS_RELOADS, good);
            to.put(&t::TLS_RELOAD_FAILURES, bad);
            to.put(&t::TLS_END, end.max(0).unsigned_abs());
        }
        if let Some(own) = self.own() {
            let counts = own.counts();
            let end = own.get().map_or(0, |own| own.not_after().max(0));
            to.put(&t::IDENTITY_TAKEN, get(&counts.taken));
            to.put(&t::IDENTITY_FAILURES, get(&counts.failed));
            to.put(&t::IDENTITY_END, end.unsigned_abs());
            let [unnamed, strangers] = self.peers.counts();
            to.put(&t::IDENTITY_UNNAMED, unnamed);
            to.put(&t::IDENTITY_STRANGERS, strangers);
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("acceptors", &self.acceptors)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What is spoken inside TLS, as on the wire, the preferred one first.
pub type Alpn = &'static [&'static [u8]];

const HTTP1: Alpn = &[b"http/1.1"];
const H2: Alpn = &[b"h2"];

fn alpn(protocol: Protocol) -> Alpn {
    match protocol {
        Protocol::Http => HTTP1,
        Protocol::H2 => H2,
    }
}

fn at(place: String, source: TlsError) -> StartError {
    StartError { place, source }
}

fn nameless(tls: &ClientTls) -> ClientTls {
    ClientTls {
        common_name: None,
        ..tls.clone()
    }
}

fn has(router: &Router, transformer: &str) -> bool {
    let mut all = router.interpreter.transformers.iter();
    all.any(|t| t.kind == transformer)
}

/// Whether the endpoints of a cluster are the incoming routers of nodes: the last transformer stands first.
fn leads_to_nodes(cluster: &Path) -> bool {
    let mut elems = cluster.elems().iter().map(|elem| elem.as_bytes());
    elems.next() == Some(b"%") && elems.next() == Some(TO_NODES.as_bytes())
}

/// How a connection of this process to one of its own listeners does without a socket: `Some` with the certificate that both
/// ends would be shown, if they would. `None`: an end has something to prove by a handshake, or no identity yet.
pub fn within(
    connector: Option<&Connector>,
    acceptor: Option<&Acceptor>,
) -> Option<Option<CertificateDer<'static>>> {
    match (connector, acceptor) {
        (None, None) => Some(None),
        (Some(connector), Some(acceptor)) if acceptor.is_for_nodes() => {
            Some(Some(connector.own()?.certificate().clone()))
        }
        _ => None,
    }
}

/// The name of a protocol that was agreed upon in the handshake.
pub fn agreed(stream: &Stream) -> Option<Vec<u8>> {
    let agreed = stream.with_session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
    agreed.flatten()
}
