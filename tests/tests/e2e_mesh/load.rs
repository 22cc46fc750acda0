//! A steady load through the outgoing proxies, as applications with `http_proxy` send it. Every answer is checked at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use l5d_tests::app::Answer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::truth::Truth;

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than any request may take; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that send until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<Report>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Right answers by the pod that gave them.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Failures while nobody could have answered.
    pub(crate) excused: u64,
    /// Failures and wrong answers, with the time since the load began.
    pub(crate) wrong: Vec<String>,
    /// The longest, when it began, and from where.
    slowest: (Duration, Duration, String),
}

impl Load {
    /// `clients` for each proxy ask for a service.
    pub(crate) fn start(
        truth: &Arc<Truth>,
        proxies: &[(String, SocketAddr)],
        service: &'static str,
        clients: usize,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut set = JoinSet::new();
        for (host, proxy) in proxies {
            for _ in 0..clients {
                let client = Client {
                    truth: Arc::clone(truth),
                    host: host.clone(),
                    proxy: *proxy,
                    service,
                    connection: None,
                };
                set.spawn(client.run(stop.clone()));
            }
        }
        Self { stop, clients: set }
    }

    /// Ends it; every request that began is waited for.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Report> {
        self.stop.cancel();
        let mut all = Report::default();
        while let Some(report) = self.clients.join_next().await {
            all.add(report?);
        }
        Ok(all)
    }
}

impl Report {
    fn add(&mut self, other: Self) {
        for (pod, count) in other.answers {
            *self.answers.entry(pod).or_default() += count;
        }
        self.excused += other.excused;
        self.wrong.extend(other.wrong);
        self.slowest = std::mem::take(&mut self.slowest).max(other.slowest);
    }

    /// How many right answers there were.
    pub(crate) fn right(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Prints the sums and fails if anything was wrong.
    pub(crate) fn check(&self, service: &str) -> anyhow::Result<()> {
        println!(
            "{service}: {} right answers, {} excused, {} wrong, slowest {:?}; {:?}",
            self.right(),
            self.excused,
            self.wrong.len(),
            self.slowest,
            self.answers,
        );
        let first: Vec<_> = self.wrong.iter().take(20).collect();
        anyhow::ensure!(first.is_empty(), "{service}: {first:#?}");
        anyhow::ensure!(self.right() > 0, "{service}: nobody was asked");
        Ok(())
    }
}

struct Client {
    truth: Arc<Truth>,
    host: String,
    proxy: SocketAddr,
    service: &'static str,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    async fn run(mut self, stop: CancellationToken) -> Report {
        let mut report = Report::default();
        let start = Instant::now();
        while !stop.is_cancelled() {
            let began = Instant::now();
            let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
            let asked = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in {PATIENCE:?}")));
            let slow = (began.elapsed(), began - start, self.host.clone());
            report.slowest = std::mem::take(&mut report.slowest).max(slow);
            let right = match &asked {
                Ok(answer) => self.truth.check(self.service, answer, began),
                Err(error) => Err(format!("{error:#}")),
            };
            match (right, asked) {
                (Ok(()), Ok(answer)) => *report.answers.entry(answer.pod).or_default() += 1,
                (Err(_), Err(_)) if self.may_fail(began) => report.excused += 1,
                (wrong, _) => {
                    let (at, host) = (began - start, &self.host);
                    report.wrong.push(format!("{at:?} from {host}: {wrong:?}"));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        report
    }

    fn may_fail(&self, began: Instant) -> bool {
        self.truth.excuses(self.service, began) || self.truth.excuses(&self.host, began)
    }

    /// One request. A connection that the proxy has closed while idle is replaced, as every client does (RFC 9110, 9.2.2).
    async fn ask(&mut self) -> anyhow::Result<Answer> {
        if let Some(mut connection) = self.connection.take()
            && connection.is_ready()
            && let Ok(answer) = connection.send_request(self.request()?).await
        {
            return self.read(answer, connection).await;
        }
        let stream = TcpStream::connect(self.proxy).await.context("connect")?;
        let (mut connection, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender or when the proxy closes.
        tokio::spawn(driver);
        let answer = connection
            .send_request(self.request()?)
            .await
            .context("no answer")?;
        self.read(answer, connection).await
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let name = self.service;
        let request = Request::get(format!("http://{name}/")).header(header::HOST, name);
        Ok(request.body(Full::new(Bytes::new()))?)
    }

    async fn read(
        &mut self,
        answer: http::Response<hyper::body::Incoming>,
        connection: SendRequest<Full<Bytes>>,
    ) -> anyhow::Result<Answer> {
        let (head, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .context("the answer was cut")?
            .to_bytes();
        self.connection = Some(connection);
        if head.status != StatusCode::OK {
            let said = head.headers.get("l5d-err").cloned();
            bail!(
                "{}: {said:?} {}",
                head.status,
                String::from_utf8_lossy(&body)
            );
        }
        serde_json::from_slice(&body).context("not an app's answer")
    }
}
