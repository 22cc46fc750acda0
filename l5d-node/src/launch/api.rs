//! One question to an API server: who is this pod? HTTP/1.0, so that an answer is a head and the rest of the connection.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use l5d_tls::client;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::ClientTls;

/// Where the kubelet puts what a service account is shown by.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where `kubectl proxy` listens in the pod's other container.
const LOCAL: &str = "http://localhost:8001";
/// For one question with its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Larger than any object that an API server keeps.
const MOST: u64 = 4 << 20;

/// Whom to ask.
pub(super) struct Api {
    host: String,
    port: u16,
    account: Option<PathBuf>,
    /// Of the service account.
    pub(super) namespace: Option<String>,
}

/// Why there is no object.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// There will be none, however often one asks.
    Refused(String),
    /// Nobody could be asked yet.
    Late(String),
}

// === impl Api ===

impl Api {
    /// A server in clear text, or the API server by the service account, if the kubelet has mounted one.
    pub(super) fn new(
        var: &impl Fn(&str) -> Option<String>,
        given: Option<&str>,
    ) -> anyhow::Result<Self> {
        let account = Path::new(ACCOUNT);
        let namespace = std::fs::read_to_string(account.join("namespace")).ok();
        let namespace = namespace.map(|text| text.trim().to_owned());
        let inside = var("KUBERNETES_SERVICE_HOST").zip(var("KUBERNETES_SERVICE_PORT"));
        if let (None, Some((host, port))) = (given, inside)
            && account.join("token").exists()
        {
            let port = port
                .parse()
                .with_context(|| format!("KUBERNETES_SERVICE_PORT is {port}"))?;
            let account = Some(account.to_owned());
            return Ok(Self {
                host,
                port,
                account,
                namespace,
            });
        }
        let url = given.unwrap_or(LOCAL);
        let (host, port) =
            authority(url).with_context(|| format!("{url} is not http://HOST:PORT"))?;
        Ok(Self {
            host,
            port,
            account: None,
            namespace,
        })
    }

    /// A pod's object.
    pub(super) async fn pod(&self, namespace: &str, pod: &str) -> Result<Value, Unanswered> {
        let asked = async {
            let mut question = format!(
                "GET /api/v1/namespaces/{namespace}/pods/{pod} HTTP/1.0\r\nAccept: application/json\r\n"
            );
            let at = (self.host.as_str(), self.port);
            let stream = TcpStream::connect(at).await.context("connecting")?;
            let Some(account) = &self.account else {
                question.push_str("\r\n");
                return ask(stream, &question).await;
            };
            let token = std::fs::read_to_string(account.join("token")).context("the token")?;
            question.push_str(&format!("Authorization: Bearer {}\r\n\r\n", token.trim()));
            let tls = ClientTls {
                trust: vec![account.join("ca.crt")],
                ..ClientTls::default()
            };
            let config = client::read(&tls, &[b"http/1.1"])?;
            let name = client::server_name(&tls, &self.host)?;
            let stream = TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await?;
            ask(stream, &question).await
        };
        let late = |why: String| Unanswered::Late(format!("{}:{}: {why}", self.host, self.port));
        let answer = timeout(DEADLINE, asked).await;
        let answer =
            answer.map_err(|_| late(format!("no answer within {} s", DEADLINE.as_secs())))?;
        let answer = answer.map_err(|error| late(format!("{error:#}")))?;
        understand(&answer).map_err(|(is_final, why)| match is_final {
            true => Unanswered::Refused(why),
            false => late(why),
        })
    }
}

/// `http://HOST:PORT`, with or without the scheme and a slash at the end.
fn authority(url: &str) -> Option<(String, u16)> {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    if let Ok(addr) = rest.parse::<SocketAddr>() {
        return Some((addr.ip().to_string(), addr.port()));
    }
    let (host, port) = rest.rsplit_once(':')?;
    let is_host = !host.is_empty() && !host.contains(['/', ':', '@']);
    is_host.then_some((host.to_owned(), port.parse().ok()?))
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &str,
) -> anyhow::Result<Vec<u8>> {
    stream.write_all(question.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The object in a whole answer; else why not, and whether that is the end of it.
fn understand(answer: &[u8]) -> Result<Value, (bool, String)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let body = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) => &answer[length..],
        Ok(httparse::Status::Partial) => return Err((false, "the answer was cut".to_owned())),
        Err(e) => return Err((false, format!("this is not HTTP: {e}"))),
    };
    let status = head.code.unwrap_or_default();
    let object: Result<Value, _> = serde_json::from_slice(body);
    if status == 200 {
        return object.map_err(|e| (false, format!("this is not an object: {e}")));
    }
    let said = object
        .ok()
        .and_then(|o| o["message"].as_str().map(str::to_owned));
    let why = format!("{status}: {}", said.unwrap_or_default());
    // Rights and pods do not come by waiting; a server that is starting does.
    Err((matches!(status, 400 | 401 | 403 | 404), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_clear_text_are_given_by_url() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(authority("http://localhost:8001"), at("localhost", 8001));
        assert_eq!(authority("127.0.0.1:8001/"), at("127.0.0.1", 8001));
        assert_eq!(authority("http://[::1]:8001"), at("::1", 8001));
        for wrong in [
            "https://x:1",
            "localhost",
            "http://:1",
            "http://x:1/api",
            "x:y",
        ] {
            assert_eq!(authority(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn answers_are_objects_refusals_or_come_later() {
        let good = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}";
        assert_eq!(
            understand(good).map(|object| object["a"].clone()),
            Ok(1.into())
        );
        let refused = b"HTTP/1.1 403 Forbidden\r\n\r\n{\"message\":\"pods is forbidden\"}";
        assert_eq!(
            understand(refused),
            Err((true, "403: pods is forbidden".to_owned()))
        );
        for later in [
            &b"HTTP/1.1 503 Wait\r\n\r\n"[..],
            b"HTTP/1.0 200",
            b"HTTP/1.0 200 OK\r\n\r\n{",
            b"SSH-2.0",
        ] {
            let said = understand(later).map_err(|(is_final, _)| is_final);
            assert_eq!(said, Err(false), "{later:?}");
        }
    }
}
