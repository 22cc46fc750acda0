//! From the configured hosts to an open connection to one replica.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use l5d_resolver::v1;
use l5d_resolver::v1::resolver_client::ResolverClient;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;

use super::secure;
use crate::config::ClientTls;

/// In clear text, or not.
type Stream = tokio_util::either::Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A host is looked up at most this often.
const LOOKUP_GAP: Duration = Duration::from_secs(5);
const LOOKUP_TIME: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(5);
const PING_GAP: Duration = Duration::from_secs(20);
const PING_TIME: Duration = Duration::from_secs(10);
/// Resolver API 5.3.
const STREAM_WINDOW: u32 = 64 << 10;
/// Messages are at most 16 KiB, but for trees.
const MOST_MESSAGE: usize = 4 << 20;
/// The addresses of every alternative of a name.
const MOST_EXPLAINED: usize = 32 << 20;

/// Messages of namerd until the stream ends.
pub(crate) type Downs = BoxStream<'static, Result<v1::Down, Status>>;

/// How hosts are looked up and replicas reached: the network, or a script.
pub(crate) trait Dialer: Send + Sync {
    /// The addresses of a host.
    fn lookup(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
    /// A connection to a replica.
    fn connect(
        &self,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Box<dyn Connection>, DialError>>;
}

/// A connection on which a stream can be opened.
pub(crate) trait Connection: Send {
    /// Opens the stream.
    fn follow(
        self: Box<Self>,
        ups: mpsc::Receiver<v1::Up>,
    ) -> BoxFuture<'static, Result<Downs, Status>>;

    /// Asks for a certificate.
    fn certify(
        self: Box<Self>,
        request: v1::CertifyRequest,
    ) -> BoxFuture<'static, Result<v1::Certified, Status>>;

    /// Asks how a name is bound.
    fn explain(
        self: Box<Self>,
        question: v1::ResolveRequest,
    ) -> BoxFuture<'static, Result<v1::Explained, Status>>;
}

/// A connection and where it leads.
pub(crate) type Dialled = Result<(SocketAddr, Box<dyn Connection>), DialError>;

/// No replica could be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The configured hosts have no addresses.
    #[error("no address of {hosts} is known: {message}")]
    Lookup { hosts: String, message: String },
    /// The replica does not accept connections.
    #[error("connecting to {addr}: {message}")]
    Connect { addr: SocketAddr, message: String },
}

/// The network, and what is shown to namerd.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) tls: Option<ClientTls>,
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Channel {
    channel: tonic::transport::Channel,
    /// `Bearer TOKEN`.
    authorization: Option<AsciiMetadataValue>,
}

/// The addresses of the configured hosts, and which one is next.
#[derive(Debug)]
pub(crate) struct Candidates {
    hosts: Vec<(String, u16)>,
    known: BTreeMap<(String, u16), Known>,
    /// Tried since the last stream that worked.
    tried: BTreeSet<SocketAddr>,
    worked: BTreeSet<SocketAddr>,
    rng: Rng,
}

#[derive(Debug)]
struct Known {
    addrs: Vec<SocketAddr>,
    asked_at: Instant,
    /// Why the last lookup failed.
    error: Option<String>,
}

// === impl Network ===

impl Dialer for Network {
    fn lookup(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found.collect())
        }
        .boxed()
    }

    fn connect(
        &self,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Box<dyn Connection>, DialError>> {
        let (tls, token_file) = (self.tls.clone(), self.token_file.clone());
        async move {
            let authorization = match token_file {
                Some(file) => Some(
                    authorization(file)
                        .await
                        .map_err(|message| DialError::Connect { addr, message })?,
                ),
                None => None,
            };
            let failed = |e: tonic::transport::Error| DialError::Connect {
                addr,
                message: innermost(&e),
            };
            let channel = endpoint(addr)
                .map_err(failed)?
                .connect_with_connector(tower::service_fn(move |_| open(addr, tls.clone())))
                .await
                .map_err(failed)?;
            Ok(Box::new(Channel {
                channel,
                authorization,
            }) as Box<dyn Connection>)
        }
        .boxed()
    }
}

/// A replica, and how a connection to it is kept alive (RES-14).
pub(super) fn endpoint(addr: SocketAddr) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{addr}"))?
        .initial_stream_window_size(STREAM_WINDOW)
        .http2_keep_alive_interval(PING_GAP)
        .keep_alive_timeout(PING_TIME)
        .keep_alive_while_idle(true))
}

/// A connection, plain or TLS, with a limit of time for all of it.
async fn open(addr: SocketAddr, tls: Option<ClientTls>) -> io::Result<TokioIo<Stream>> {
    let opening = async {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        Ok(match tls {
            None => Stream::Left(tcp),
            Some(tls) => Stream::Right(Box::new(secure::handshake(&tls, addr, tcp).await?)),
        })
    };
    let opened = timeout(CONNECT_TIME, opening).await;
    opened
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map(TokioIo::new)
}

/// What is said of the token in this file.
async fn authorization(file: PathBuf) -> Result<AsciiMetadataValue, String> {
    let token = tokio::task::spawn_blocking(move || secure::token(&file)).await;
    let token = token.map_err(|e| e.to_string())?;
    let token = token.map_err(|e| e.to_string())?;
    let value = AsciiMetadataValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|e| e.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The cause, without the layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl Channel {
    /// Without a token.
    #[cfg(test)]
    pub(super) fn over(channel: tonic::transport::Channel) -> Self {
        Self {
            channel,
            authorization: None,
        }
    }
}

impl Connection for Channel {
    fn follow(
        self: Box<Self>,
        ups: mpsc::Receiver<v1::Up>,
    ) -> BoxFuture<'static, Result<Downs, Status>> {
        async move {
            let client = ResolverClient::new(self.channel);
            let mut client = client.max_decoding_message_size(MOST_MESSAGE);
            let mut request = tonic::Request::new(ReceiverStream::new(ups));
            if let Some(authorization) = self.authorization {
                let metadata = request.metadata_mut();
                metadata.insert("authorization", authorization);
            }
            let downs = client.follow(request).await?;
            Ok(downs.into_inner().boxed())
        }
        .boxed()
    }

    fn certify(
        self: Box<Self>,
        request: v1::CertifyRequest,
    ) -> BoxFuture<'static, Result<v1::Certified, Status>> {
        async move {
            let mut client = ResolverClient::new(self.channel);
            let mut request = tonic::Request::new(request);
            if let Some(authorization) = self.authorization {
                let metadata = request.metadata_mut();
                metadata.insert("authorization", authorization);
            }
            Ok(client.certify(request).await?.into_inner())
        }
        .boxed()
    }

    fn explain(
        self: Box<Self>,
        question: v1::ResolveRequest,
    ) -> BoxFuture<'static, Result<v1::Explained, Status>> {
        async move {
            let client = ResolverClient::new(self.channel);
            let mut client = client.max_decoding_message_size(MOST_EXPLAINED);
            let mut request = tonic::Request::new(question);
            if let Some(authorization) = self.authorization {
                let metadata = request.metadata_mut();
                metadata.insert("authorization", authorization);
            }
            Ok(client.explain(request).await?.into_inner())
        }
        .boxed()
    }
}

// === impl Candidates ===

impl Candidates {
    pub(crate) fn new(hosts: Vec<(String, u16)>, rng: Rng) -> Self {
        Self {
            hosts,
            known: BTreeMap::new(),
            tried: BTreeSet::new(),
            worked: BTreeSet::new(),
            rng,
        }
    }

    /// These answered before (says the warm file): candidates even if a lookup fails.
    pub(crate) fn add_worked(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) {
        self.worked.extend(addrs);
    }

    /// A stream to this address works: the next loss begins a new round. Only the last few that worked are remembered.
    pub(crate) fn worked(&mut self, addr: SocketAddr) {
        self.tried.clear();
        if self.worked.len() > 16 {
            self.worked.clear();
        }
        self.worked.insert(addr);
    }

    fn to_ask(&self, now: Instant) -> Vec<(String, u16)> {
        let is_old = |host: &&(String, u16)| match self.known.get(*host) {
            Some(known) => known.asked_at + LOOKUP_GAP <= now,
            None => true,
        };
        self.hosts.iter().filter(is_old).cloned().collect()
    }

    fn learn(&mut self, host: (String, u16), found: io::Result<Vec<SocketAddr>>, now: Instant) {
        let worked = &self.worked;
        let known = self.known.entry(host).or_insert(Known {
            addrs: Vec::new(),
            asked_at: now,
            error: None,
        });
        known.asked_at = now;
        known.error = found.as_ref().err().map(ToString::to_string);
        match found {
            Ok(addrs) => known.addrs = addrs,
            Err(_) => known.addrs.retain(|addr| worked.contains(addr)),
        }
    }

    /// Why there is none to try.
    fn error(&self) -> DialError {
        let hosts = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"));
        let error = self.known.values().find_map(|known| known.error.clone());
        DialError::Lookup {
            hosts: Vec::from_iter(hosts).join(", "),
            message: error.unwrap_or_else(|| "it has none".to_owned()),
        }
    }

    /// A random one of those not yet tried in this round, if possible not `leaving`.
    fn pick(&mut self, leaving: Option<SocketAddr>) -> Option<SocketAddr> {
        let mut all: BTreeSet<SocketAddr> =
            self.known.values().flat_map(|k| k.addrs.clone()).collect();
        if all.is_empty() {
            all.clone_from(&self.worked);
        }
        if all.iter().all(|addr| self.tried.contains(addr)) {
            self.tried.clear();
        }
        let fresh: Vec<_> = all.difference(&self.tried).copied().collect();
        let elsewhere: Vec<_> = fresh
            .iter()
            .filter(|a| Some(**a) != leaving)
            .copied()
            .collect();
        let from = if elsewhere.is_empty() {
            fresh
        } else {
            elsewhere
        };
        let picked = self.rng.choice(from)?;
        self.tried.insert(picked);
        Some(picked)
    }
}

/// Looks up what is due, picks the next replica and connects to it.
pub(crate) async fn dial(
    dialer: Arc<dyn Dialer>,
    candidates: Arc<Mutex<Candidates>>,
    leaving: Option<SocketAddr>,
) -> Dialled {
    let to_ask = candidates.lock().to_ask(Instant::now());
    for (host, port) in to_ask {
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => timeout(LOOKUP_TIME, dialer.lookup(host.clone(), port))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        candidates.lock().learn((host, port), found, Instant::now());
    }
    let picked = {
        let mut candidates = candidates.lock();
        candidates.pick(leaving).ok_or_else(|| candidates.error())
    };
    let addr = picked?;
    Ok((addr, dialer.connect(addr).await?))
}
