//! Applications that ask through the proxies of their hosts until they are stopped: HTTP/1.1 and gRPC. Every answer counts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use l5d_tests::app::Answer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PAUSE: Duration = Duration::from_millis(5);
/// Longer than any request may take; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that send until they are stopped.
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<Tally>,
}

/// What became of requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) http: u64,
    pub(crate) grpc: u64,
    pub(crate) failed: Vec<String>,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            clients: JoinSet::new(),
        }
    }

    /// Asks for `hello`, and through it for `world`.
    pub(crate) fn http(&mut self, proxy: SocketAddr) {
        let stop = self.stop.clone();
        self.clients.spawn(async move {
            let (mut tally, mut connection, begun) = (Tally::default(), None, Instant::now());
            while !stop.is_cancelled() {
                match timeout(PATIENCE, hello(proxy, &mut connection)).await {
                    Ok(Ok(())) => tally.http += 1,
                    Ok(Err(error)) => tally.fail(begun, proxy, &error),
                    Err(late) => tally.fail(begun, proxy, &late.into()),
                }
                sleep(PAUSE).await;
            }
            tally
        });
    }

    /// Asks `world` how it is.
    pub(crate) fn grpc(&mut self, proxy: SocketAddr) {
        let stop = self.stop.clone();
        self.clients.spawn(async move {
            let (mut tally, begun) = (Tally::default(), Instant::now());
            let mut client = health(proxy);
            while !stop.is_cancelled() {
                match timeout(PATIENCE, client.check(HealthCheckRequest::default())).await {
                    Ok(Ok(_)) => tally.grpc += 1,
                    Ok(Err(status)) => tally.fail(begun, proxy, &anyhow::anyhow!("{status:?}")),
                    Err(late) => tally.fail(begun, proxy, &late.into()),
                }
                sleep(PAUSE).await;
            }
            tally
        });
    }

    pub(crate) async fn stop(mut self) -> Result<Tally> {
        self.stop.cancel();
        let mut all = Tally::default();
        while let Some(tally) = self.clients.join_next().await {
            let tally = tally?;
            all.http += tally.http;
            all.grpc += tally.grpc;
            all.failed.extend(tally.failed);
        }
        Ok(all)
    }
}

impl Tally {
    fn fail(&mut self, begun: Instant, proxy: SocketAddr, error: &anyhow::Error) {
        self.failed
            .push(format!("{:?} at {proxy}: {error:#}", begun.elapsed()));
    }

    /// Nothing failed, and something was asked.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        println!(
            "{what}: {} of HTTP, {} of gRPC, {} failed",
            self.http,
            self.grpc,
            self.failed.len()
        );
        let first: Vec<_> = self.failed.iter().take(20).collect();
        ensure!(first.is_empty(), "{what}: {first:#?}");
        ensure!(self.http > 0 && self.grpc > 0, "{what}: nobody was asked");
        Ok(())
    }
}

/// A client whose connection is made when it is needed, and again.
pub(crate) fn health(proxy: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::try_from(format!("http://{proxy}")).expect("an address is a URI");
    HealthClient::new(endpoint.connect_lazy())
}

/// One request for `hello`. A connection that the proxy has closed while idle is replaced, as every client does (RFC 9110, 9.2.2).
pub(crate) async fn hello(
    proxy: SocketAddr,
    kept: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<()> {
    if let Some(mut connection) = kept.take()
        && connection.is_ready()
        && let Ok(answer) = connection.send_request(request()?).await
    {
        read(answer).await?;
        *kept = Some(connection);
        return Ok(());
    }
    let stream = TcpStream::connect(proxy).await.context("connect")?;
    let (mut connection, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender or when the proxy closes.
    tokio::spawn(driver);
    let answer = connection
        .send_request(request()?)
        .await
        .context("no answer")?;
    read(answer).await?;
    *kept = Some(connection);
    Ok(())
}

fn request() -> Result<Request<Full<Bytes>>> {
    let request = Request::get("http://hello/").header(header::HOST, "hello");
    Ok(request.body(Full::new(Bytes::new()))?)
}

async fn read(answer: http::Response<hyper::body::Incoming>) -> Result<()> {
    let (head, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .context("the answer was cut")?
        .to_bytes();
    let said = String::from_utf8_lossy(&body);
    ensure!(head.status == 200, "{}: {said}", head.status);
    let answer: Answer = serde_json::from_slice(&body).with_context(|| said.into_owned())?;
    ensure!(
        answer.target.is_some(),
        "{} has not asked world",
        answer.pod
    );
    Ok(())
}
