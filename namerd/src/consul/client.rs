//! Consul's HTTP API: one request a connection, every wait bounded, every answer bounded.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{ConsulAccess, Secret};
use crate::dial::{DialError, Dialer};

/// How long Consul may hold a question back until its answer changes; it adds up to a sixteenth (its documentation of
/// blocking queries).
const HOLD: Duration = Duration::from_secs(60);
/// For an answer that is not held back, and on top of [`HOLD`].
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Longest answer.
const MOST_BYTES: usize = 16 << 20;

/// Asks a Consul agent. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    dialer: Arc<Dialer>,
    host: HeaderValue,
    token: Option<Secret>,
    /// Parameters of every request: data center, consistency.
    common: Arc<str>,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `X-Consul-Index`: what to wait for next; 0: there is nothing to wait for.
    pub(super) index: u64,
    pub(super) body: Bytes,
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The agent cannot be reached, or breaks off, or takes too long.
    #[error("the Consul agent does not answer: {0}")]
    Lost(String),
    /// It says no.
    #[error("Consul forbids it: {0}")]
    Forbidden(String),
    /// Any other status.
    #[error("Consul answers {0}: {1}")]
    Status(StatusCode, String),
    /// It says what cannot be understood.
    #[error("Consul's answer cannot be read: {0}")]
    Unreadable(String),
}

/// Asks one question again and again, as soon as its answer may have changed.
pub(super) struct Poll {
    client: Client,
    path: String,
    /// What to wait for; 0: nothing, the next answer is to come at once.
    index: u64,
    /// The index of the last answer, also of one before a failure.
    last: u64,
}

/// An answer of a poll.
pub(super) struct News {
    pub(super) answer: Answer,
    /// The index has gone back: Consul was restored from an earlier state or has forgotten why it was so high.
    pub(super) went_back: bool,
}

impl Client {
    pub(super) fn new(access: &ConsulAccess) -> Result<Self, DialError> {
        let hosts = vec![(access.host.clone(), access.port)];
        let datacenter = access.datacenter.as_deref();
        let common: Vec<String> = [
            access.consistency.parameter().map(str::to_owned),
            datacenter.map(|datacenter| format!("dc={}", escape(datacenter))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let host = HeaderValue::try_from(format!("{}:{}", access.host, access.port));
        Ok(Self {
            dialer: Arc::new(Dialer::new(hosts, access.tls.as_ref())?),
            host: host.unwrap_or(HeaderValue::from_static("consul")),
            token: access.token.clone(),
            common: common.join("&").into(),
        })
    }

    /// GET of a path (with its query, or none) that is answered at once. 404 is an answer.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.call(Method::GET, path, Bytes::new(), ANSWER_TIME)
            .await
    }

    /// PUT. 409 is an answer.
    pub(super) async fn put(&self, path: &str, body: Bytes) -> Result<Answer, CallError> {
        self.call(Method::PUT, path, body, ANSWER_TIME).await
    }

    /// A question to be asked again and again; the first answer comes at once.
    pub(super) fn poll(&self, path: String) -> Poll {
        Poll {
            client: self.clone(),
            path,
            index: 0,
            last: 0,
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let path = match (&*self.common, path.contains('?')) {
            ("", _) => path.to_owned(),
            (common, true) => format!("{path}&{common}"),
            (common, false) => format!("{path}?{common}"),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token.reveal());
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|e| CallError::Lost(e.to_string()))?;
        match timeout(limit, self.exchange(request)).await {
            Ok(answer) => judge(answer?),
            Err(_) => {
                let limit = limit.as_secs();
                Err(CallError::Lost(format!("nothing within {limit} s")))
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, CallError> {
        let lost = |e: hyper::Error| CallError::Lost(e.to_string());
        let stream = self.dialer.connect(b"http/1.1").await;
        let stream = stream.map_err(|e: io::Error| CallError::Lost(e.to_string()))?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(lost)?;
        // Its errors come to the one who waits for the answer, too.
        let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(lost)?
            .into_parts();
        let index = head.headers.get("x-consul-index");
        let index = index.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(body, MOST_BYTES).collect().await;
        Ok(Answer {
            status: head.status,
            index: index.unwrap_or(0),
            body: body.map_err(|e| CallError::Lost(e.to_string()))?.to_bytes(),
        })
    }
}

/// Which answers can be used.
fn judge(answer: Answer) -> Result<Answer, CallError> {
    match answer.status {
        StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(answer),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            Err(CallError::Forbidden(words(&answer.body)))
        }
        status => Err(CallError::Status(status, words(&answer.body))),
    }
}

/// The first words of an error's text.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().take(200).collect()
}

impl Poll {
    /// The next answer: the first at once, later ones when something may have changed or after a minute. After an error
    /// the next answer comes at once. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<News, CallError> {
        let index = std::mem::take(&mut self.index);
        let join = if self.path.contains('?') { '&' } else { '?' };
        let (path, limit) = match index {
            0 => (self.path.clone(), ANSWER_TIME),
            index => {
                let hold = HOLD.as_secs();
                let path = format!("{}{join}index={index}&wait={hold}s", self.path);
                (path, HOLD + HOLD / 16 + ANSWER_TIME)
            }
        };
        let client = self.client.clone();
        let answer = client.call(Method::GET, &path, Bytes::new(), limit).await?;
        if answer.index == 0 {
            // Asked with it, Consul would answer at once, again and again.
            return Err(CallError::Unreadable("it has no index".to_owned()));
        }
        let went_back = answer.index < self.last;
        self.last = answer.index;
        // An index that has gone back says nothing of what was missed: the next answer is to come at once.
        self.index = if went_back { 0 } else { answer.index };
        Ok(News { answer, went_back })
    }
}

/// Percent-encodes what a path's segment or a parameter cannot have.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("dialer", &self.dialer)
            .finish_non_exhaustive()
    }
}
