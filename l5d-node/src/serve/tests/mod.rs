//! Black-box tests: raw sockets on one side, scripted backends on the other, names made by hand.

mod bodies;
mod context;
mod errors;
mod headers;
mod http2;
mod identify;
mod life;
mod messages;
mod numbers;
mod once;
mod ports;
mod requeue;
mod retries;
mod smuggling;
mod table;
mod telling;
mod tls;
mod tunnels;
mod within;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use l5d_naming::{ClusterId, Dtab, Endpoint, EndpointSet, NameTree, Path, Replicas};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Servers, start};
use crate::cache::{Cluster, Leaf, Name, NameState, Names, Rules};
use crate::config::{
    Admin, Config, Interpreter, NodeIdentity, Router, Server as ServerConfig, Telemeter,
};
use crate::tell::Tellers;

/// A proxy with two routers, `outgoing` (0) and `incoming` (1), one worker.
pub(super) struct Proxy {
    pub(super) names: Arc<Fixed>,
    pub(super) tellers: Tellers,
    pub(super) servers: Option<Servers>,
    pub(super) stop: CancellationToken,
    pub(super) tls: Arc<crate::tls::Tls>,
    pub(super) addr: SocketAddr,
    pub(super) incoming: SocketAddr,
    _stop: DropGuard,
}

/// Names that a test has bound by hand; all others stay pending.
#[derive(Default)]
pub(super) struct Fixed {
    names: Mutex<HashMap<(usize, Path, String), Arc<Name>>>,
    next_key: AtomicU64,
    pub(super) rules: Arc<Rules>,
}

impl Names for Fixed {
    fn name(&self, router: usize, path: &Path, local: &Dtab) -> Arc<Name> {
        let key = (router, path.clone(), local.to_string());
        let mut names = self.names.lock();
        let new = || Name::new(router, path.clone(), local.clone());
        names.entry(key).or_insert_with(new).clone()
    }

    fn why_pending(&self, _router: usize) -> String {
        "namerd has not answered".to_owned()
    }

    fn rules(&self, _router: usize) -> Arc<Rules> {
        self.rules.clone()
    }
}

impl Fixed {
    pub(super) fn set(&self, router: usize, path: &str, local: &str, state: NameState) {
        let path = Path::parse(path).unwrap();
        let local = Dtab::parse(local).unwrap();
        self.name(router, &path, &local).set(state);
    }

    /// Binds to a cluster of these endpoints, named `/#/test` and the path.
    pub(super) fn bind(&self, router: usize, path: &str, endpoints: &[SocketAddr]) -> Arc<Cluster> {
        let id = format!("/#/test{path}");
        let cluster = self.cluster(&id, addresses(endpoints));
        self.set(router, path, "", leaf(&cluster, "/"));
        cluster
    }

    pub(super) fn cluster(&self, id: &str, replicas: Replicas) -> Arc<Cluster> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        Cluster::new(ClusterId(Path::parse(id).unwrap()), key, replicas, false)
    }
}

pub(super) fn addresses(endpoints: &[SocketAddr]) -> Replicas {
    let set = EndpointSet::new(endpoints.iter().map(|a| Endpoint::new(*a)));
    Replicas::Bound(Arc::new(set))
}

pub(super) fn leaf(cluster: &Arc<Cluster>, residual: &str) -> NameState {
    NameState::Bound(Arc::new(NameTree::Leaf(Leaf {
        cluster: cluster.clone(),
        residual: Path::parse(residual).unwrap(),
    })))
}

/// A router as configured by default, but for its limits in time.
pub(super) fn router(label: &str) -> Router {
    Router {
        label: label.to_owned(),
        servers: vec![ServerConfig::default()],
        dtab: Dtab::parse("/svc => /host;/host => /#/test").unwrap(),
        interpreter: Interpreter {
            kind: "io.l5d.mesh".to_owned(),
            retry_max: Duration::from_secs(1),
            ..Interpreter::default()
        },
        ..Router::default()
    }
}

impl Proxy {
    pub(super) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With both routers changed by `change`.
    pub(super) fn with(change: impl Fn(&mut Router)) -> Self {
        Self::as_node(None, change)
    }

    /// With this long to drain.
    pub(super) fn graced(shutdown_grace: Duration) -> Self {
        let config = Config {
            admin: Admin {
                shutdown_grace,
                ..Admin::default()
            },
            ..Config::default()
        };
        Self::made(config, |_| {})
    }

    /// The same with an identity.
    pub(super) fn as_node(identity: Option<NodeIdentity>, change: impl Fn(&mut Router)) -> Self {
        let config = Config {
            identity,
            ..Config::default()
        };
        Self::made(config, change)
    }

    /// The same with telemeters.
    pub(super) fn telling(telemetry: Vec<Telemeter>) -> Self {
        let config = Config {
            telemetry,
            ..Config::default()
        };
        Self::made(config, |_| {})
    }

    fn made(base: Config, change: impl Fn(&mut Router)) -> Self {
        let routers = ["outgoing", "incoming"].map(|label| {
            let mut router = router(label);
            change(&mut router);
            Arc::new(router)
        });
        let config = Config {
            routers: routers.to_vec(),
            admin: Admin {
                addr: ([127, 0, 0, 1], 0).into(),
                ..base.admin
            },
            ..base
        };
        let tellers = Tellers::start(&config).unwrap();
        let (names, stop) = (Arc::new(Fixed::default()), CancellationToken::new());
        let shared: Arc<dyn Names> = names.clone();
        let tls = crate::tls::Tls::new(&config).unwrap();
        let servers = start(&config, &shared, &tls, &tellers.routers, 1, Some(1), &stop).unwrap();
        Self {
            addr: servers.addresses[0][0],
            incoming: servers.addresses[1][0],
            servers: Some(servers),
            tls,
            names,
            tellers,
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    pub(super) async fn connect(&self) -> Peer {
        Peer::connect(self.addr).await
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, request: &str) -> Message {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await
    }

    pub(super) fn stats(&self) -> Arc<super::Stats> {
        self.servers.as_ref().unwrap().stats.clone()
    }
}

/// One end of a connection that speaks HTTP by hand.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    buf: Vec<u8>,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: String,
    /// Without chunks.
    pub(super) body: String,
    /// With the empty line, if chunked.
    pub(super) trailers: String,
}

impl Message {
    /// The first line.
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(super) fn status(&self) -> u16 {
        self.line()[9..12].parse().unwrap()
    }

    /// All values of a field, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .collect()
    }

    /// The only value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} twice in {}", self.head);
        all.first().copied()
    }
}

impl Peer {
    pub(super) async fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buf: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn more(&mut self) -> usize {
        // A connection that was reset has ended as well.
        self.stream.read_buf(&mut self.buf).await.unwrap_or(0)
    }

    fn take(&mut self, n: usize) -> String {
        String::from_utf8_lossy(&self.buf.drain(..n).collect::<Vec<_>>()).into_owned()
    }

    /// Up to and with `end`; `None`: the connection ended before.
    pub(super) async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let at = self
                .buf
                .windows(end.len())
                .position(|w| w == end.as_bytes());
            if let Some(at) = at {
                return Some(self.take(at + end.len()));
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    pub(super) async fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.buf.len() < n {
            assert!(self.more().await > 0, "ended too early");
        }
        self.buf.drain(..n).collect()
    }

    async fn exactly(&mut self, n: usize) -> String {
        while self.buf.len() < n {
            assert!(self.more().await > 0, "ended in the middle of a body");
        }
        self.take(n)
    }

    /// What comes until the end.
    pub(super) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        self.take(self.buf.len())
    }

    pub(super) async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    /// A whole request; `None`: no more come.
    pub(super) async fn request(&mut self) -> Option<Message> {
        let head = self.head().await?;
        Some(self.body(head, false).await)
    }

    /// A whole response to a request other than HEAD.
    pub(super) async fn response(&mut self) -> Message {
        let head = self.head().await.expect("a response");
        let status: u16 = head[9..12].parse().unwrap();
        if status < 200 || matches!(status, 204 | 304) {
            return self.body(head, false).await;
        }
        self.body(head, true).await
    }

    async fn body(&mut self, head: String, until_close: bool) -> Message {
        let mut message = Message {
            head,
            body: String::new(),
            trailers: String::new(),
        };
        if message.get("transfer-encoding").is_some() {
            loop {
                let size = self.until("\r\n").await.expect("a chunk");
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                if size == 0 {
                    break;
                }
                message.body += &self.exactly(size).await;
                assert_eq!(self.exactly(2).await, "\r\n");
            }
            loop {
                let line = self.until("\r\n").await.expect("a trailer");
                message.trailers += &line;
                if line == "\r\n" {
                    break;
                }
            }
        } else if let Some(n) = message.get("content-length") {
            let n = n.parse().unwrap();
            message.body = self.exactly(n).await;
        } else if until_close {
            message.body = self.rest().await;
        }
        message
    }
}

/// A server that does what the test says.
pub(super) struct Backend {
    pub(super) addr: SocketAddr,
    /// All requests that were read whole, in order.
    pub(super) seen: Arc<Mutex<Vec<Message>>>,
    pub(super) connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Answers each request of each connection with what `answer` gives; an empty answer closes the connection.
    pub(super) async fn answering(
        answer: impl Fn(&Message) -> String + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (answer, noted) = (Arc::new(answer), seen.clone());
        let mut backend = Self::scripted(move |mut peer| {
            let (answer, noted) = (answer.clone(), noted.clone());
            async move {
                while let Some(request) = peer.request().await {
                    let text = answer(&request);
                    noted.lock().push(request);
                    if text.is_empty() {
                        return;
                    }
                    peer.send(&text).await;
                    if text.contains("Connection: close") || text.starts_with("HTTP/1.0") {
                        return;
                    }
                }
            }
        })
        .await;
        backend.seen = seen;
        backend
    }

    /// Answers 200 and its name.
    pub(super) async fn named(name: &'static str) -> Self {
        Self::answering(move |_| ok(name)).await
    }

    /// Runs `script` for each connection.
    pub(super) async fn scripted<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = ports::listen();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                open.spawn(script(Peer::new(stream)));
            }
        });
        Self {
            addr,
            seen: Arc::default(),
            connections,
            task,
        }
    }

    /// The last request.
    pub(super) fn last(&self) -> Message {
        self.seen.lock().last().expect("a request").clone()
    }

    pub(super) fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Stops listening and closes all connections; when this returns they are closed.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub(super) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A proxy that leads `/svc/web` to `backend`.
pub(super) fn proxy_to(backend: &Backend) -> Proxy {
    let proxy = Proxy::start();
    proxy.names.bind(0, "/svc/web", &[backend.addr]);
    proxy
}
