//! The HTTP controller, ours and an old one: one request, one answer.

mod url;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use self::url::BaseUrl;
use crate::fail::Failure;
use crate::settings::Settings;
use crate::tls::TlsFiles;

pub(crate) use self::url::{escaped, query};

/// As many hops as browsers and the original follow.
const REDIRECTS: usize = 10;

/// A controller that can be asked.
#[derive(Debug)]
pub(crate) struct Controller {
    base: BaseUrl,
    token: Option<String>,
    tls: TlsFiles,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below `/api/1/`, escaped.
    pub(crate) path: String,
    /// Without the question mark, escaped.
    pub(crate) query: String,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) body: Option<Body>,
}

/// A body and its type.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Code and reason as the server sent them.
    line: String,
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

impl<'a> Ask<'a> {
    /// Without conditions, query and body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: String::new(),
            if_match: None,
            body: None,
        }
    }

    /// Only if the version is this one.
    pub(crate) fn if_match(mut self, version: Option<&'a str>) -> Self {
        self.if_match = version.filter(|v| !v.is_empty());
        self
    }
}

impl Controller {
    /// The one that the settings name.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            base: BaseUrl::parse(&settings.base_url)?,
            token: settings.token.clone(),
            tls: settings.tls.clone(),
        })
    }

    /// Sends it, follows redirects as the original does, and reads the answer to its end.
    pub(crate) async fn send(&self, mut ask: Ask<'_>) -> anyhow::Result<Reply> {
        let mut base = self.base.clone();
        let mut uri = base.join(&ask.path, &ask.query)?;
        for _ in 0..=REDIRECTS {
            let (headers, reply) = self.once(&base, &uri, &ask).await?;
            let Some(next) = base.redirected(&uri, reply.status, &headers) else {
                return Ok(reply);
            };
            let keeps_method = matches!(reply.status.as_u16(), 307 | 308);
            if !keeps_method && ask.method != Method::GET {
                ask.method = Method::GET;
                ask.body = None;
            }
            (base, uri) = next?;
        }
        Err(Failure::new(format!("stopped after {REDIRECTS} redirects")).into())
    }

    async fn once(
        &self,
        base: &BaseUrl,
        uri: &hyper::Uri,
        ask: &Ask<'_>,
    ) -> anyhow::Result<(HeaderMap, Reply)> {
        let stream = base.target.connect(&self.tls, "http/1.1").await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = self.request(base, uri, ask)?;
        let answered = async {
            let response = sender.send_request(request).await;
            let response = response.with_context(|| format!("no answer from {uri}"))?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.context("the answer was cut")?;
            anyhow::Ok((head, bytes.to_bytes()))
        };
        let answered = answered.await;
        driver.abort();
        let (head, bytes) = answered?;
        let reason = head.extensions.get::<ReasonPhrase>().map_or_else(
            || head.status.canonical_reason().unwrap_or("").to_owned(),
            |r| String::from_utf8_lossy(r.as_bytes()).into_owned(),
        );
        let reply = Reply {
            status: head.status,
            line: format!("{} {reason}", head.status.as_u16()),
            etag: text(&head.headers, header::ETAG),
            body: String::from_utf8_lossy(&bytes).into_owned(),
        };
        Ok((head.headers, reply))
    }

    fn request(
        &self,
        base: &BaseUrl,
        uri: &hyper::Uri,
        ask: &Ask<'_>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let target = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(target)
            .header(header::HOST, base.authority())
            .header(
                header::USER_AGENT,
                concat!("namerctl/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "application/json");
        // What is secret does not follow a redirect to somebody else.
        if base.target == self.base.target {
            let bearer = self.token.as_ref().map(|t| format!("Bearer {t}"));
            if let Some(credentials) = bearer.or_else(|| base.credentials()) {
                let mut value = HeaderValue::from_str(&credentials)
                    .context("the token has characters that cannot be sent")?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
        }
        if let Some(version) = ask.if_match {
            request = request.header(header::IF_MATCH, version);
        }
        if let Some(body) = &ask.body {
            request = request.header(header::CONTENT_TYPE, body.kind);
        }
        let text = ask.body.as_ref().map(|b| b.text.clone());
        Ok(request.body(Full::new(Bytes::from(text.unwrap_or_default())))?)
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

impl Reply {
    /// Whether a write has been done.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.status.as_u16(), 200 | 201 | 204)
    }

    /// The failure that this answer is, in the words of the original; `finds`: whether 404 means that the resource is
    /// not there.
    pub(crate) fn failure(&self, finds: bool) -> Failure {
        if finds && self.status == StatusCode::NOT_FOUND {
            let failure = Failure::new("resource was not found by ID or name").note(&self.body);
            return failure.hint("`namerctl dtab list` shows the namespaces that are there");
        }
        let failure = Failure::new(format!("unexpected response: {}", self.line)).note(&self.body);
        match self.status.as_u16() {
            401 | 403 => failure.hint(
                "who may write is in namerd's configuration; a token goes with --token, a certificate with --tls-cert",
            ),
            409 => failure.hint("it is there already: `namerctl dtab update` or `apply` changes it"),
            412 => failure.hint("it has changed meanwhile: `namerctl dtab get` shows the present version"),
            _ => failure,
        }
    }
}
