//! Clients that send without pause for breath and judge every answer: the right service, the request's own number, all of the
//! body. What fails is sorted by why.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::apps::{message, status, value};

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(3);
/// Longer than any request may take; one that does has failed.
const LONGEST: Duration = Duration::from_secs(20);
/// Of the bodies of some requests.
const BODY: usize = 20_000;

/// Clients that send until they are stopped.
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<()>,
    report: Arc<Mutex<Report>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) right: u64,
    /// Failures by why.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Answers of somebody else, or to another request.
    pub(crate) wrong: Vec<String>,
}

struct Client {
    proxy: SocketAddr,
    service: &'static str,
    connection: Option<(TcpStream, Vec<u8>)>,
    number: u64,
}

impl Load {
    /// `clients` for each service at each proxy.
    pub(crate) fn start(proxies: &[SocketAddr], services: &[&'static str], clients: u64) -> Self {
        let (stop, report) = (CancellationToken::new(), Arc::<Mutex<Report>>::default());
        let mut set = JoinSet::new();
        for (n, proxy) in (1..).zip(proxies) {
            for service in services {
                for client in 0..clients {
                    let client = Client {
                        proxy: *proxy,
                        service,
                        connection: None,
                        // No two clients use the same numbers.
                        number: (n * 100 + client) << 32,
                    };
                    set.spawn(client.run(stop.clone(), report.clone()));
                }
            }
        }
        Self {
            stop,
            clients: set,
            report,
        }
    }

    /// What has happened so far.
    pub(crate) fn report(&self) -> Report {
        self.report.lock().clone()
    }

    /// Waits until `n` more requests were answered rightly.
    pub(crate) async fn more(&self, n: u64) -> Result<()> {
        let (begun, wanted) = (Instant::now(), self.report().right + n);
        while self.report.lock().right < wanted {
            anyhow::ensure!(
                begun.elapsed() < crate::ground::PATIENCE,
                "{:?}",
                self.report()
            );
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Ends it; every request that began is waited for.
    pub(crate) async fn stop(mut self) -> Result<Report> {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok(self.report())
    }
}

impl Client {
    async fn run(mut self, stop: CancellationToken, report: Arc<Mutex<Report>>) {
        while !stop.is_cancelled() {
            self.number += 1;
            let asked = timeout(LONGEST, self.ask()).await;
            let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            {
                let mut report = report.lock();
                report.sent += 1;
                match self.judge(asked) {
                    Ok(None) => report.right += 1,
                    Ok(Some(wrong)) => report.wrong.push(wrong),
                    Err(why) => *report.failed.entry(why).or_default() += 1,
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn length(&self) -> usize {
        if self.number.is_multiple_of(10) {
            BODY
        } else {
            0
        }
    }

    /// Nothing for a right answer; what is wrong with a wrong one; why there is none.
    fn judge(&mut self, asked: io::Result<(String, Vec<u8>)>) -> Result<Option<String>, String> {
        let (head, body) = asked.map_err(|error| {
            self.connection = None;
            format!("no answer: {}", error.kind())
        })?;
        let body = String::from_utf8_lossy(&body);
        match status(&head) {
            200 => {
                let parts: Vec<_> = body.split(' ').collect();
                let (number, length) = (self.number.to_string(), self.length().to_string());
                let is_right = matches!(parts[..], [service, pod, n, len]
                    if service == self.service && pod.starts_with(service) && n == number && len == length);
                Ok((!is_right).then(|| format!("{} asked for {number}: {body}", self.service)))
            }
            status => {
                let why = value(&head, "l5d-err").unwrap_or("by the application");
                let why: String = why
                    .chars()
                    .take_while(|c| !c.is_ascii_digit())
                    .take(60)
                    .collect();
                Err(format!("{status}: {why}"))
            }
        }
    }

    /// One request. A connection that the proxy has closed while it was idle is replaced, as every client does (RFC 9110,
    /// 9.2.2): what it carried can be sent again.
    async fn ask(&mut self) -> io::Result<(String, Vec<u8>)> {
        if let Some(connection) = self.connection.take() {
            match self.on(connection).await {
                Ok(Some(answer)) => return Ok(answer),
                // Ended before a byte of an answer.
                Ok(None) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    ) => {}
                Err(e) => return Err(e),
            }
        }
        let stream = TcpStream::connect(self.proxy).await?;
        let answer = self.on((stream, Vec::new())).await?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn on(
        &mut self,
        (mut stream, mut buf): (TcpStream, Vec<u8>),
    ) -> io::Result<Option<(String, Vec<u8>)>> {
        let len = self.length();
        let mut request = format!(
            "PUT /{} HTTP/1.1\r\nHost: {}\r\nX-Number: {}\r\nContent-Length: {len}\r\n\r\n",
            self.number, self.service, self.number
        );
        request.extend(std::iter::repeat_n('x', len));
        stream.write_all(request.as_bytes()).await?;
        let answer = message(&mut stream, &mut buf).await?;
        if let Some((head, _)) = &answer
            && value(head, "connection") != Some("close")
        {
            self.connection = Some((stream, buf));
        }
        Ok(answer)
    }
}

impl Report {
    /// Failures in all.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(crate) fn print(&self, took: Duration) {
        println!(
            "{} requests in {:.0} s: {} right, {} failed, {} wrong",
            self.sent,
            took.as_secs_f64(),
            self.right,
            self.failures(),
            self.wrong.len()
        );
        for (why, count) in &self.failed {
            println!("  {count:7}  {why}");
        }
    }
}
