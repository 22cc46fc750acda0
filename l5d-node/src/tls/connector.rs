//! From a connected socket to a stream, as the settings of a cluster want it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::fast::RandomState;
use l5d_tls::client::{Material, server_name};
use l5d_tls::nodes::{Expected, Identity};
use l5d_tls::{TlsError, io_reason};
use rustls::client::Resumption;
use rustls::{ClientConfig, InvalidMessage};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout};
use tokio_rustls::TlsConnector;

use super::Alpn;
use super::identity::Own;
use super::peers::{Peers, is_stranger};
use super::watched::Watched;
use crate::config::ClientTls;
use crate::connect::{ConnectError, Connection, ConnectionCounts, Socket, Stream, open_socket};

/// How the endpoints of one cluster are spoken with, of one worker. All connections to it use the same settings.
#[derive(Debug)]
pub struct Connector {
    kind: Kind,
    alpn: Alpn,
    /// What was made of the newest files or identity, which stand beside it.
    made: RefCell<Option<(Of, Arc<ClientConfig>)>>,
    /// The same with the sessions of one endpoint, which mean nothing to another.
    by_endpoint: RefCell<HashMap<SocketAddr, Arc<ClientConfig>, RandomState>>,
    /// Until when endpoints that did not speak TLS are not asked again.
    plain: RefCell<HashMap<SocketAddr, Instant, RandomState>>,
    fallbacks: Cell<u64>,
}

#[derive(Debug)]
enum Kind {
    Configured {
        tls: ClientTls,
        material: Option<Arc<Watched<Material>>>,
    },
    Node {
        own: Arc<Own>,
        peers: Arc<Peers>,
        allows_plain: bool,
    },
}

/// What a configuration was made of.
#[derive(Debug)]
enum Of {
    Files(Arc<Material>),
    Identity(Arc<Identity>),
}

/// Endpoints whose sessions are kept.
const SESSIONS: usize = 1_024;
/// Sessions kept for an endpoint: each serves one connection, and connections come one by one.
const EACH: usize = 4;
/// How long an endpoint that did not speak TLS is spoken with in clear text, where that is allowed.
const PLAIN: Duration = Duration::from_secs(60);

impl Connector {
    pub(super) fn configured(
        tls: ClientTls,
        material: Option<Arc<Watched<Material>>>,
        alpn: Alpn,
    ) -> Self {
        Self::new(Kind::Configured { tls, material }, alpn)
    }

    pub(super) fn node(own: Arc<Own>, peers: Arc<Peers>, allows_plain: bool, alpn: Alpn) -> Self {
        let kind = Kind::Node {
            own,
            peers,
            allows_plain,
        };
        Self::new(kind, alpn)
    }

    fn new(kind: Kind, alpn: Alpn) -> Self {
        Self {
            kind,
            alpn,
            made: RefCell::default(),
            by_endpoint: RefCell::default(),
            plain: RefCell::default(),
            fallbacks: Cell::default(),
        }
    }

    /// Connections that went on in clear text, because the peer speaks nothing else and that is allowed.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.get()
    }

    /// Connects and shakes hands, within `limit`; `counts` has the connection from then on. Cancel safe: a dropped
    /// attempt leaves nothing behind.
    ///
    /// # Errors
    /// Of TCP, of the handshake, or of time.
    pub async fn dial(
        &self,
        addr: SocketAddr,
        limit: Duration,
        counts: &Arc<ConnectionCounts>,
    ) -> Result<Connection, ConnectError> {
        // Boxed: who is past it keeps no room for it.
        match timeout(limit, Box::pin(self.connect(addr))).await {
            Ok(connected) => Ok(Connection::new(connected?, counts)),
            Err(_) if self.is_nobody() => {
                let reason = "this node has not been given its own identity yet".to_owned();
                Err(self.failed(addr, reason))
            }
            Err(_) => Err(ConnectError::TimedOut { addr, limit }),
        }
    }

    async fn connect(&self, addr: SocketAddr) -> Result<Stream, ConnectError> {
        let failed = |source| ConnectError::Failed { addr, source };
        let tcp = open_socket(addr).await.map_err(failed)?;
        if self.is_plain(addr) {
            return Ok(Stream::plain(tcp));
        }
        let error = match self.shake(addr, tcp).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if self.may_fall_back() && is_no_tls(&error) {
            self.plain.borrow_mut().insert(addr, Instant::now() + PLAIN);
            self.fallbacks.set(self.fallbacks.get() + 1);
            tracing::warn!(%addr, "the node there does not speak TLS; as `plaintext: allowed` says, it is sent clear text");
            return Ok(Stream::plain(open_socket(addr).await.map_err(failed)?));
        }
        if let Kind::Node { peers, .. } = &self.kind
            && is_stranger(&error)
        {
            peers.refused(addr, &error);
        }
        Err(self.failed(addr, io_reason(&error)))
    }

    fn failed(&self, addr: SocketAddr, reason: String) -> ConnectError {
        ConnectError::Handshake {
            addr,
            expected: self.expected(addr.ip()),
            reason,
        }
    }

    /// Who this node is, where it speaks with other nodes and knows.
    pub(super) fn own(&self) -> Option<Arc<Identity>> {
        match &self.kind {
            Kind::Node { own, .. } => own.get(),
            Kind::Configured { .. } => None,
        }
    }

    /// Whether this node cannot say who it is.
    fn is_nobody(&self) -> bool {
        matches!(&self.kind, Kind::Node { own, .. } if own.get().is_none())
    }

    /// Who has to be at the other end.
    pub(super) fn expected(&self, ip: IpAddr) -> String {
        match &self.kind {
            Kind::Configured { tls, .. } => match &tls.common_name {
                Some(name) if !tls.is_unchecked => name.clone(),
                _ => "anybody".to_owned(),
            },
            Kind::Node { own, peers, .. } => match own.get() {
                Some(identity) => {
                    let name = peers.name(ip).unwrap_or_else(|| "*".into());
                    format!("spiffe://{}/node/{name}", identity.id().domain())
                }
                None => {
                    "a node, which cannot be checked before this one has an identity".to_owned()
                }
            },
        }
    }

    async fn shake(&self, addr: SocketAddr, tcp: TcpStream) -> io::Result<Stream> {
        let config = self.config(addr).await.map_err(io::Error::other)?;
        let host = addr.ip().to_string();
        let name = match &self.kind {
            Kind::Configured { tls, .. } => server_name(tls, &host),
            Kind::Node { .. } => server_name(&ClientTls::default(), &host),
        };
        let name = name.map_err(io::Error::other)?;
        let connector = TlsConnector::from(config);
        let session = connector.connect(name, Socket::new(tcp)).await?;
        Ok(Stream::tls(session.into()))
    }

    async fn config(&self, addr: SocketAddr) -> Result<Arc<ClientConfig>, TlsError> {
        match &self.kind {
            Kind::Configured { tls, material } => {
                let missing = || TlsError::Unusable("its files were not read at the start".into());
                let material = material.as_ref().ok_or_else(missing)?.get();
                self.of_files(addr, tls, material)
            }
            Kind::Node { own, peers, .. } => {
                let identity = own.wait().await;
                let expected = peers.expected(addr.ip()).await;
                if expected != Expected::AnyNode {
                    return identity.client(expected, self.alpn).map(Arc::new);
                }
                if let Some((Of::Identity(of), config)) = &*self.made.borrow()
                    && Arc::ptr_eq(of, &identity)
                {
                    return Ok(config.clone());
                }
                let config = Arc::new(identity.client(Expected::AnyNode, self.alpn)?);
                let made = (Of::Identity(identity), config.clone());
                *self.made.borrow_mut() = Some(made);
                Ok(config)
            }
        }
    }

    fn of_files(
        &self,
        addr: SocketAddr,
        tls: &ClientTls,
        material: Arc<Material>,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let mut made = self.made.borrow_mut();
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let base = match &*made {
            Some((Of::Files(of), config)) if Arc::ptr_eq(of, &material) => config.clone(),
            _ => {
                let config = Arc::new(material.config(tls, self.alpn)?);
                *made = Some((Of::Files(material), config.clone()));
                by_endpoint.clear();
                config
            }
        };
        if by_endpoint.len() >= SESSIONS {
            by_endpoint.clear();
        }
        let of_endpoint = by_endpoint.entry(addr).or_insert_with(|| {
            let mut config = ClientConfig::clone(&base);
            config.resumption = Resumption::in_memory_sessions(EACH);
            Arc::new(config)
        });
        Ok(of_endpoint.clone())
    }

    fn may_fall_back(&self) -> bool {
        matches!(
            self.kind,
            Kind::Node {
                allows_plain: true,
                ..
            }
        )
    }

    /// Whether the endpoint has shown lately that it does not speak TLS.
    fn is_plain(&self, addr: SocketAddr) -> bool {
        let mut plain = self.plain.borrow_mut();
        match plain.get(&addr) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                plain.remove(&addr);
                false
            }
            None => false,
        }
    }
}

/// Whether what a peer answered to a TLS hello shows that it does not know TLS: an answer in clear text, or the end.
fn is_no_tls(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return true;
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
        ))
    )
}
