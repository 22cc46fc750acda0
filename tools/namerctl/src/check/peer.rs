//! Connections to namerd's ports, whether they speak TLS or not.
//!
//! Certificates are looked at, not trusted, and what is read over these connections is only told to the user, with the
//! certificate's own check beside it. The one secret, a token, is sent in clear text where the port speaks that, as all
//! commands do, and over TLS only to a server whose certificate is trusted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use l5d_tls::{ClientTls, client};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::api::PATIENCE;
use crate::settings::Settings;

/// Whoever does not answer a TLS hello in this time speaks something else.
const HELLO: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES: usize = 8 << 20;

/// One port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What namerd is shown of the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    tls: ClientTls,
    token: Option<String>,
}

/// A port that could be reached.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) peer: Peer,
    shown: Shown,
    /// Why the token is kept back, if it is.
    pub(crate) kept: Option<String>,
    /// Its certificates, the server's own first; `None`: plain text.
    pub(crate) chain: Option<Vec<CertificateDer<'static>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) date: Option<String>,
    pub(crate) body: String,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

// === impl Shown ===

impl Shown {
    /// What the flags of all commands say.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            tls: settings.tls.settings()?,
            token: settings.token.clone(),
        })
    }
}

// === impl Peer ===

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Peer {
    /// Connects once, to see whether the port is open and speaks TLS.
    pub(crate) async fn reach(&self, shown: &Shown) -> io::Result<Reached> {
        let tcp = self.tcp().await?;
        let unchecked = unchecked(&shown.tls, &self.host);
        let hello = tokio::time::timeout(HELLO, tls(&unchecked, &self.host, tcp, b"")).await;
        let chain = match hello {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates();
                Some(chain.map_or(Vec::new(), |c| {
                    c.iter().map(|c| c.clone().into_owned()).collect()
                }))
            }
            _ => None,
        };
        let kept = match &chain {
            Some(_) if shown.token.is_some() => self.distrusted(shown).await?,
            _ => None,
        };
        Ok(Reached {
            peer: self.clone(),
            shown: shown.clone(),
            kept,
            chain,
        })
    }

    /// Why a server that speaks TLS is not trusted with a token.
    async fn distrusted(&self, shown: &Shown) -> io::Result<Option<String>> {
        let tcp = self.tcp().await?;
        let checked = tokio::time::timeout(HELLO, tls(&shown.tls, &self.host, tcp, b"")).await;
        Ok(match checked {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("its certificate could not be checked in time".to_owned()),
        })
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let connect = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port));
        match tokio::time::timeout(PATIENCE, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
        }
    }
}

impl Reached {
    /// A connection as the port wants it.
    pub(crate) async fn open(&self, alpn: &[u8]) -> io::Result<Box<dyn Stream>> {
        let tcp = self.peer.tcp().await?;
        if self.chain.is_none() {
            return Ok(Box::new(tcp));
        }
        let host = &self.peer.host;
        // With a token the certificate that was trusted a moment ago must be so again.
        let settings = match self.token() {
            Some(_) => self.shown.tls.clone(),
            None => unchecked(&self.shown.tls, host),
        };
        Ok(Box::new(tls(&settings, host, tcp, alpn).await?))
    }

    /// The token, if it may be sent here.
    pub(crate) fn token(&self) -> Option<&str> {
        let token = self.shown.token.as_deref();
        token.filter(|_| self.kept.is_none())
    }

    /// One GET over HTTP/1.1.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.ask(path)).await?
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let stream = TokioIo::new(self.open(b"http/1.1").await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let request = Request::get(path)
            .header(header::HOST, self.peer.to_string())
            .header(header::ACCEPT, "application/json");
        let request = match self.token() {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = http_body_util::Limited::new(body, ANSWER_BYTES)
            .collect()
            .await;
        driver.abort();
        let body = body.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes();
        let date = head.headers.get(header::DATE).and_then(|d| d.to_str().ok());
        Ok(Answer {
            status: head.status,
            date: date.map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// The same without a look at who answers.
fn unchecked(shown: &ClientTls, host: &str) -> ClientTls {
    ClientTls {
        is_unchecked: true,
        common_name: Some(host.trim_matches(['[', ']']).to_owned()),
        client_auth: shown.client_auth.clone(),
        ..ClientTls::default()
    }
}

async fn tls(
    settings: &ClientTls,
    host: &str,
    tcp: TcpStream,
    alpn: &[u8],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let alpn: &[&[u8]] = if alpn.is_empty() { &[] } else { &[alpn] };
    let config = client::read(settings, alpn).map_err(io::Error::other)?;
    let name = client::server_name(settings, host).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}
