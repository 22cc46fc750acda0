//! From an accepted socket to a stream, as a listener wants it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use l5d_tls::nodes::Identity;
use l5d_tls::{ServerTls, TlsError, io_reason, server};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Alpn;
use super::identity::Own;
use super::watched::{Look, Watched};
use crate::connect::{Socket, Stream};

/// A handshake that takes longer is given up (node-proxy 14.1).
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First byte of a TLS record with a handshake; no HTTP begins with it.
const IS_TLS: u8 = 0x16;

/// The way into one listener, for all workers.
#[derive(Debug)]
pub struct Acceptor {
    kind: Kind,
    counts: AcceptorCounts,
}

#[derive(Debug)]
enum Kind {
    Files(Arc<Watched<Arc<ServerConfig>>>),
    Node {
        own: Arc<Own>,
        allows_plain: bool,
        alpn: Alpn,
        /// Made of the identity beside it.
        made: ArcSwapOption<(Arc<Identity>, Arc<ServerConfig>)>,
    },
}

/// What has happened at a listener with TLS.
#[derive(Debug, Default)]
pub struct AcceptorCounts {
    /// Handshakes that ended well.
    pub handshakes: AtomicU64,
    /// Those that did not.
    pub failures: AtomicU64,
    /// Those that took too long.
    pub timeouts: AtomicU64,
    /// Connections in clear text that were let in.
    pub plain: AtomicU64,
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It took too long.
    #[error("no TLS handshake within {HANDSHAKE:?}")]
    Late,
    /// What came was no TLS, or not as configured.
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
}

impl Acceptor {
    /// With certificates of files. Reads them; blocks.
    pub(super) fn files(tls: ServerTls, alpn: Alpn) -> Result<(Self, Arc<dyn Look>), TlsError> {
        let paths = tls.files().map(ToOwned::to_owned).collect();
        let watched = Arc::new(Watched::new(
            paths,
            Box::new(move |files| {
                let served = server::config(&tls, files, alpn)?;
                Ok((served.config, served.not_after))
            }),
        )?);
        let look: Arc<dyn Look> = watched.clone();
        Ok((Self::new(Kind::Files(watched)), look))
    }

    /// For other nodes, with this node's identity. `allows_plain`: others are let in in clear text.
    pub(super) fn node(own: Arc<Own>, allows_plain: bool, alpn: Alpn) -> Self {
        Self::new(Kind::Node {
            own,
            allows_plain,
            alpn,
            made: ArcSwapOption::empty(),
        })
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            counts: AcceptorCounts::default(),
        }
    }

    /// Whether it lets in nodes by what this one believes.
    pub(super) fn is_for_nodes(&self) -> bool {
        matches!(self.kind, Kind::Node { .. })
    }

    /// What has happened.
    pub fn counts(&self) -> &AcceptorCounts {
        &self.counts
    }

    /// Lets a connection in. Takes as long as the client does, at most ten seconds: for a task of the connection's own.
    ///
    /// # Errors
    /// Who does not shake hands in time or as configured; the connection is closed.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Stream, Refused> {
        let counts = &self.counts;
        // Boxed: a connection that is past it keeps no room for it.
        match timeout(HANDSHAKE, Box::pin(self.shake(tcp))).await {
            Ok(Ok(stream)) => {
                let counter = match stream.is_tls() {
                    false => &counts.plain,
                    true => &counts.handshakes,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(stream)
            }
            Ok(Err(error)) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                Err(Refused::Handshake(error))
            }
            Err(_) => {
                counts.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(Refused::Late)
            }
        }
    }

    async fn shake(&self, tcp: TcpStream) -> Result<Stream, String> {
        let config = match &self.kind {
            Kind::Files(watched) => (*watched.get()).clone(),
            Kind::Node {
                own,
                allows_plain,
                alpn,
                made,
            } => {
                if *allows_plain && !speaks_tls(&tcp).await.map_err(|e| e.to_string())? {
                    return Ok(Stream::plain(tcp));
                }
                of_node(own, alpn, made).await.map_err(|e| e.to_string())?
            }
        };
        let accepted = TlsAcceptor::from(config).accept(Socket::new(tcp)).await;
        let session = accepted.map_err(|e| io_reason(&e))?;
        Ok(Stream::tls(session.into()))
    }
}

/// Whether a client begins with a TLS handshake.
async fn speaks_tls(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match tcp.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0] == IS_TLS),
    }
}

async fn of_node(
    own: &Own,
    alpn: Alpn,
    made: &ArcSwapOption<(Arc<Identity>, Arc<ServerConfig>)>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let identity = own.wait().await;
    if let Some(made) = &*made.load()
        && Arc::ptr_eq(&made.0, &identity)
    {
        return Ok(made.1.clone());
    }
    let config = Arc::new(identity.server(alpn)?);
    made.store(Some(Arc::new((identity, config.clone()))));
    Ok(config)
}
