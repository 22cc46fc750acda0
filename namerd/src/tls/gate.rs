//! What each accepted connection of one server goes through before HTTP.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use l5d_tls::server::{self, Served};
use l5d_tls::{Files, Print, Seen, Settling, TlsError};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::LazyConfigAcceptor;

use super::Alpn;
use super::clients::{Clients, Crowded, Place};
use super::socket::Socket;
use super::timed::Timed;
use crate::config::{ClientLimits, Server, ServerTls, SocketOptions};

/// A handshake that takes longer is given up (node-proxy 14.1).
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes past the client's first message at one time; more of them wait, within their own limit of time. Each is some
/// 100 microseconds of computing and some ten KiB.
const HANDSHAKES: usize = 512;
/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// The way into one server.
pub struct Gate {
    options: SocketOptions,
    clients: Arc<Clients>,
    tls: Option<Terminator>,
    counts: GateCounts,
}

struct Terminator {
    files: ServerTls,
    alpn: Alpn,
    config: ArcSwap<ServerConfig>,
    /// Of the contents that `config` was made of.
    print: ArcSwap<Print>,
    /// When the certificate ends, in seconds of Unix time.
    not_after: AtomicI64,
    room: Semaphore,
}

/// What has happened at a gate; all but `handshakes` stay at nought without TLS.
#[derive(Debug, Default)]
pub struct GateCounts {
    handshakes: AtomicU64,
    timeouts: AtomicU64,
    failures: AtomicU64,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It took too long.
    #[error("no TLS handshake within {HANDSHAKE:?}")]
    Late,
    /// What came was no TLS, or not as configured.
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
}

// === impl Gate ===

impl Gate {
    /// The gate of a server. Reads the files of its `tls` block.
    pub fn new(server: &Server, alpn: Alpn) -> Result<Arc<Self>, TlsError> {
        let tls = server.tls.as_ref();
        let tls = tls.map(|tls| Terminator::new(tls, alpn)).transpose()?;
        Ok(Arc::new(Self {
            options: server.socket.clone(),
            clients: Clients::new(&server.limits),
            tls,
            counts: GateCounts::default(),
        }))
    }

    /// A gate without TLS.
    pub fn plain(options: SocketOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            clients: Clients::new(&ClientLimits::default()),
            tls: None,
            counts: GateCounts::default(),
        })
    }

    /// The options of the server's sockets.
    pub fn options(&self) -> &SocketOptions {
        &self.options
    }

    /// What has happened.
    pub fn counts(&self) -> &GateCounts {
        &self.counts
    }

    /// When the certificate in use ends, in seconds of Unix time; `None` without TLS.
    pub fn not_after(&self) -> Option<i64> {
        let tls = self.tls.as_ref()?;
        Some(tls.not_after.load(Ordering::Relaxed))
    }

    /// A place for a connection that was just accepted, to be kept as long as it; else it is to be closed at once.
    pub fn admit(&self, ip: IpAddr) -> Result<Place, Crowded> {
        self.clients.connect(ip)
    }

    /// Whether a client may make one more request now; if not, when.
    pub fn may_ask(&self, ip: IpAddr) -> Result<(), Duration> {
        self.clients.ask(ip)
    }

    /// How often something was refused because of the shares of clients, by what it was.
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        self.clients.refused()
    }

    /// Lets a connection in. Takes as long as the client does, at most ten seconds: for a task of the connection's own.
    /// Dropping the future drops the connection.
    pub async fn enter(&self, stream: TcpStream) -> Result<Socket, Refused> {
        let stream = Timed::new(stream, &self.options);
        let Some(tls) = &self.tls else {
            return Ok(Socket::plain(stream));
        };
        let counts = &self.counts;
        match timeout(HANDSHAKE, tls.handshake(stream)).await {
            Ok(Ok(socket)) => {
                counts.handshakes.fetch_add(1, Ordering::Relaxed);
                Ok(socket)
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

    /// Keeps what is served at what the files say. Never ends; one of these for each gate.
    pub async fn keep_fresh(&self) {
        let Some(mut looks) = Looks::new(self) else {
            return std::future::pending().await;
        };
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            looks.look().await;
        }
    }
}

/// Looks at the files of a gate, and what they have shown.
pub(super) struct Looks<'a> {
    tls: &'a Terminator,
    counts: &'a GateCounts,
    settling: Settling,
}

impl<'a> Looks<'a> {
    /// `None` without TLS.
    pub(super) fn new(gate: &'a Gate) -> Option<Self> {
        Some(Self {
            tls: gate.tls.as_ref()?,
            counts: &gate.counts,
            settling: Settling::default(),
        })
    }

    /// Looks once. The files are read where it may take its time.
    pub(super) async fn look(&mut self) {
        let files = self.tls.files.clone();
        if let Ok(read) = tokio::task::spawn_blocking(move || Files::read(files.files())).await {
            self.see(read);
        }
    }

    /// Takes what two looks in a row have seen.
    fn see(&mut self, read: Result<Files, TlsError>) {
        let (tls, counts) = (self.tls, self.counts);
        let Seen::New(read) = self.settling.see(read, &tls.print.load()) else {
            return;
        };
        match read.and_then(|files| tls.take(&files)) {
            Ok(()) => {
                counts.reloads.fetch_add(1, Ordering::Relaxed);
                let cert = tls.files.cert.display();
                tracing::info!(%cert, "TLS files have changed: new connections use the new ones");
            }
            Err(error) => {
                counts.reload_failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "changed TLS files are not usable; the ones before stay in use");
            }
        }
    }
}

// === impl Terminator ===

impl Terminator {
    fn new(tls: &ServerTls, alpn: Alpn) -> Result<Self, TlsError> {
        let files = Files::read(tls.files())?;
        let Served { config, not_after } = server::config(tls, &files, alpn.protocols())?;
        Ok(Self {
            files: tls.clone(),
            alpn,
            config: ArcSwap::new(config),
            print: ArcSwap::from_pointee(files.print()),
            not_after: AtomicI64::new(not_after),
            room: Semaphore::new(HANDSHAKES),
        })
    }

    fn take(&self, files: &Files) -> Result<(), TlsError> {
        let alpn = self.alpn.protocols();
        let Served { config, not_after } = server::config(&self.files, files, alpn)?;
        self.config.store(config);
        self.print.store(Arc::new(files.print()));
        self.not_after.store(not_after, Ordering::Relaxed);
        Ok(())
    }

    /// The client's first message costs nothing to read, so that those who send none take no room.
    async fn handshake(&self, stream: Timed<TcpStream>) -> io::Result<Socket> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let _room = self.room.acquire().await.map_err(io::Error::other)?;
        let stream = hello.into_stream(self.config.load_full()).await?;
        Ok(Socket::tls(stream))
    }
}

// === impl GateCounts ===

impl GateCounts {
    /// Handshakes by how they ended, for a labelled metric.
    pub fn handshakes(&self) -> [(&'static str, u64); 3] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("ok", get(&self.handshakes)),
            ("failed", get(&self.failures)),
            ("timeout", get(&self.timeouts)),
        ]
    }

    /// Changes of the files: those that were taken, and those that were not usable.
    pub fn reloads(&self) -> [(&'static str, u64); 2] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("ok", get(&self.reloads)),
            ("failed", get(&self.reload_failures)),
        ]
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("tls", &self.tls.as_ref().map(|tls| &tls.files))
            .finish_non_exhaustive()
    }
}
