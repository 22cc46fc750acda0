//! One HTTP request to the controller.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Where the controller is.
pub(crate) struct BaseUrl {
    uri: Uri,
    text: String,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

/// A body and its type.
pub(crate) struct Body {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

impl BaseUrl {
    /// Needs scheme and host.
    pub(crate) fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        let text = text.filter(|t| !t.is_empty()).context(
            "empty base URL: say where namerd's HTTP controller is with --base-url or NAMERCTL_BASE_URL, \
             such as http://127.0.0.1:4180",
        )?;
        let uri: Uri = text
            .parse()
            .ok()
            .with_context(|| format!("invalid base URL: {text}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => Ok(Self {
                uri,
                text: text.trim_end_matches('/').to_owned(),
            }),
            (Some("https"), Some(_)) => {
                bail!("invalid base URL: {text}: https is not supported yet")
            }
            _ => bail!("invalid base URL: {text}"),
        }
    }

    /// Sends one request; `path` begins with a slash and goes into the URL as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<Body>,
    ) -> anyhow::Result<Reply> {
        let url = format!("{}{path}", self.text);
        let uri: Uri = url.parse().with_context(|| format!("invalid URL: {url}"))?;
        let host = self.uri.host().context("the base URL has no host")?;
        let port = self.uri.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
            .await
            .with_context(|| format!("cannot connect to {host}:{port}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let target = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, uri.authority().map_or(host, |a| a.as_str()))
            .header(header::ACCEPT, "application/json");
        if let Some(version) = if_match {
            request = request.header(header::IF_MATCH, version);
        }
        if let Some(body) = &body {
            request = request.header(header::CONTENT_TYPE, body.kind);
        }
        let text = body.map(|b| b.text).unwrap_or_default();
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(text)))?)
            .await
            .with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        let etag = response
            .headers()
            .get(header::ETAG)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let bytes = response
            .into_body()
            .collect()
            .await
            .context("the answer was cut")?
            .to_bytes();
        driver.abort();
        Ok(Reply {
            status,
            etag,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

impl Reply {
    /// The reply if it is a success, else an error with status and the server's words.
    pub(crate) fn expect(self, expected: &[StatusCode]) -> anyhow::Result<Self> {
        if expected.contains(&self.status) {
            return Ok(self);
        }
        let words = self.body.trim();
        let colon = if words.is_empty() { "" } else { ": " };
        if self.status == StatusCode::NOT_FOUND {
            bail!("resource was not found by ID or name{colon}{words}");
        }
        bail!("unexpected response: {}{colon}{words}", self.status)
    }
}
