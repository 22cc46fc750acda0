//! A bare client of API servers: one connection a request, plain or TLS. No retry, no cache, no watch logic, so that a test
//! sees what the server really said.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// Where an API server is and who asks.
#[derive(Clone)]
pub struct ApiClient {
    addr: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
    token: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose body is still coming, a line at a time.
#[derive(Debug)]
pub struct Lines {
    /// The status.
    pub status: StatusCode,
    body: Incoming,
    buffer: BytesMut,
    _connection: AbortOnDropHandle<()>,
}

// === impl ApiClient ===

impl ApiClient {
    /// Plain HTTP, as to the double.
    pub fn plain(addr: SocketAddr) -> Self {
        Self {
            addr,
            tls: None,
            token: None,
        }
    }

    /// TLS, trusting one certificate, with a bearer token.
    pub fn tls(
        addr: SocketAddr,
        certificate: CertificateDer<'static>,
        token: &str,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).context("the server's certificate")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            addr,
            tls: Some(Arc::new(config)),
            token: Some(token.to_owned()),
        })
    }

    /// TLS as a client's configuration says, with no token.
    pub fn over(addr: SocketAddr, config: Arc<rustls::ClientConfig>) -> Self {
        Self {
            addr,
            tls: Some(config),
            token: None,
        }
    }

    /// The same with another bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// GET of a path with its query.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// Any request with an answer that ends. A JSON body is sent as `application/json`, for PATCH as a merge patch.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let media_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = body.map(|body| (media_type, Bytes::from(body.to_string())));
        self.send_as(method, path, headers, body).await
    }

    /// The same with a body of any media type.
    pub async fn send_as(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<Answer> {
        let what = format!("{method} {path}");
        let (response, _connection) = self.open(method, path, headers, body).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.with_context(|| what)?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// GET of a path whose body does not end, such as a watch.
    pub async fn lines(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Lines> {
        let (response, connection) = self.open(Method::GET, path, headers, None).await?;
        Ok(Lines {
            status: response.status(),
            body: response.into_body(),
            buffer: BytesMut::new(),
            _connection: connection,
        })
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<(http::Response<Incoming>, AbortOnDropHandle<()>)> {
        let what = format!("{method} {path} at {}", self.addr);
        let request = self.request(&method, path, headers, body)?;
        let tcp = TcpStream::connect(self.addr).await;
        let tcp = tcp.with_context(|| what.clone())?;
        let answered = match &self.tls {
            None => exchange(tcp, request).await,
            Some(config) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                let name = ServerName::from(self.addr.ip());
                let tls = connector.connect(name, tcp).await;
                exchange(tls.with_context(|| what.clone())?, request).await
            }
        };
        answered.with_context(|| what)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path);
        // Whoever asks a proxy names somebody else.
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request = request.header(header::HOST, self.addr.to_string());
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some((media_type, body)) => {
                request = request.header(header::CONTENT_TYPE, media_type);
                body
            }
            None => Bytes::new(),
        };
        Ok(request.body(Full::new(bytes))?)
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("addr", &self.addr)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(http::Response<Incoming>, AbortOnDropHandle<()>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // The error comes to the one who reads the answer, too.
        let _ = connection.await;
    }));
    Ok((sender.send_request(request).await?, connection))
}

// === impl Answer ===

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON, if the status is 2xx.
    pub fn ok(&self) -> anyhow::Result<Value> {
        if !self.status.is_success() {
            let body = String::from_utf8_lossy(&self.body);
            bail!("the API server answered {}: {body}", self.status);
        }
        self.json()
    }
}

// === impl Lines ===

impl Lines {
    /// The next line as JSON; `None` at the clean end of the body. Cancel safe.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(anyhow!(error).context("the stream broke off")),
                None if self.buffer.is_empty() => return Ok(None),
                None => bail!(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        }
    }

    /// The next line that is no bookmark: a server may send those whenever it likes.
    pub async fn change(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            match self.next().await? {
                Some(line) if line["type"] == "BOOKMARK" => {}
                line => return Ok(line),
            }
        }
    }

    /// Lines until one fits, that one included; an error if the body ends before.
    pub async fn until(
        &mut self,
        mut fits: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let mut lines = Vec::new();
        loop {
            let line = self.next().await?;
            let line = line.ok_or_else(|| anyhow!("the stream ended after {lines:?}"))?;
            let done = fits(&line);
            lines.push(line);
            if done {
                return Ok(lines);
            }
        }
    }
}
