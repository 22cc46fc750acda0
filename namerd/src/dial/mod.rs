//! Connections to the systems that namerd asks, other than Kubernetes: TCP, with TLS where it is configured.
//!
//! Hosts and a `tls` block come in, open streams go out. Every step has a time limit. Certificates and keys are read again
//! for each connection, so that new files are used; files that cannot be read then leave the last good ones in force.
//! Nothing is sent here.

mod backoff;
mod tls;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::tls::Tls;
use crate::config::ClientTls;

pub use backoff::Backoff;
pub use l5d_tls::TlsError as DialError;

/// For the TCP connection, and again for the handshake.
const STEP_TIME: Duration = Duration::from_secs(5);

/// An open connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections to one of several hosts of one system.
pub struct Dialer {
    /// Never empty.
    hosts: Vec<(String, u16)>,
    /// Which host is tried next.
    next: AtomicUsize,
    tls: Option<Tls>,
}

impl Dialer {
    /// To these hosts, of which there is at least one. An error is that certificates or keys cannot be used now.
    pub fn new(hosts: Vec<(String, u16)>, tls: Option<&ClientTls>) -> Result<Self, DialError> {
        assert!(!hosts.is_empty(), "at least one host is configured");
        Ok(Self {
            next: AtomicUsize::new(fastrand::usize(0..hosts.len())),
            tls: tls.map(Tls::new).transpose()?,
            hosts,
        })
    }

    /// Whether connections have TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The host that was last connected to is of no use: the next connection goes to another one, if there is one.
    pub fn skip(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection to the next host, in turn; after a failure the one after it is next. With TLS, `alpn` is what will be
    /// spoken. Cancel safe.
    pub async fn connect(&self, alpn: &[u8]) -> io::Result<Box<dyn Stream>> {
        let turn = self.next.load(Ordering::Relaxed);
        let (host, port) = &self.hosts[turn % self.hosts.len()];
        let opened = self.open(host, *port, alpn).await;
        if opened.is_err() {
            self.next.store(turn.wrapping_add(1), Ordering::Relaxed);
        }
        opened.map_err(|e| io::Error::new(e.kind(), format!("{host}:{port}: {e}")))
    }

    async fn open(&self, host: &str, port: u16, alpn: &[u8]) -> io::Result<Box<dyn Stream>> {
        let connected = timeout(STEP_TIME, TcpStream::connect((host, port))).await;
        let tcp = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some(tls) => {
                let shaken = timeout(STEP_TIME, tls.handshake(host, tcp, alpn)).await;
                Ok(Box::new(
                    shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
                ))
            }
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("hosts", &self.hosts)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
