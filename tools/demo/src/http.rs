//! One HTTP request, as `curl` or an application with `http_proxy` sends it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use l5d_tests::app::Answer;
use tokio::net::TcpStream;

/// How long one request may take before the demo calls it failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends one request on a connection of its own.
pub(crate) async fn send(
    to: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let exchange = async {
        let stream = TcpStream::connect(to).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(body)))?)
            .await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        anyhow::Ok((status, body))
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("{to} did not answer within {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("request to {to}"))
}

/// `GET http://NAME/` through a proxy; the answer of the app behind it.
pub(crate) async fn ask(
    proxy: SocketAddr,
    name: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let mut all = vec![("host", name)];
    all.extend_from_slice(headers);
    let (status, body) = send(proxy, Method::GET, &format!("http://{name}/"), &all, "").await?;
    if status != StatusCode::OK {
        bail!(
            "{name} by way of {proxy}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    serde_json::from_slice(&body)
        .with_context(|| format!("{name} by way of {proxy}: not an app's answer"))
}
