//! One watch against a scripted server, under a paused clock: rules of Kubernetes 7, faults of 11.

mod faults;
mod http;
mod lists;
mod resuming;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::transport::{Reply, Write};
use super::*;
use crate::store::Endpoints;
use crate::store::services::{PortRef, WatchState, WatchStatus};
use l5d_naming::Replicas;

/// What the watch asks, to be answered by the test.
pub(super) struct Asked {
    pub(super) query: String,
    pub(super) at: Instant,
    reply: oneshot::Sender<Result<Reply, String>>,
}

/// The body of an answer that goes on.
pub(super) struct Stream(mpsc::Sender<Result<Bytes, String>>);

struct Script {
    asked: mpsc::Sender<Asked>,
    version: Mutex<&'static str>,
    reconnects: Mutex<u32>,
}

/// A watch of slices, and its server.
pub(super) struct Rig {
    pub(super) services: Services,
    script: Arc<Script>,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

#[async_trait]
impl Transport for Script {
    async fn get(&self, path: &str, _accept: &str) -> Result<Reply, String> {
        if path == "/version" {
            return Ok(whole(200, None, self.version.lock().to_owned()));
        }
        assert!(!path.contains("/watch/"), "the old paths are never used");
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            query: path.to_owned(),
            at: Instant::now(),
            reply,
        };
        self.asked
            .send(asked)
            .await
            .map_err(|_| "gone".to_owned())?;
        answer.await.map_err(|_| "refused".to_owned())?
    }

    async fn write(&self, write: Write) -> Result<Reply, String> {
        panic!("a watch writes nothing: {write:?}");
    }

    fn reconnect(&self) {
        *self.reconnects.lock() += 1;
    }
}

fn whole(status: u16, retry_after: Option<u64>, body: String) -> Reply {
    Reply {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        body: Box::pin(stream::iter([Ok(Bytes::from(body))])),
    }
}

/// A slice of service `world` with these addresses.
pub(super) fn slice(name: &str, rv: u64, ips: &[&str]) -> String {
    let endpoints: Vec<String> = ips
        .iter()
        .map(|ip| format!(r#"{{"addresses":["{ip}"]}}"#))
        .collect();
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"default","uid":"u-{name}","resourceVersion":"{rv}",
        "labels":{{"kubernetes.io/service-name":"world"}}}},"addressType":"IPv4",
        "ports":[{{"name":"http","port":80}}],"endpoints":[{}]}}"#,
        endpoints.join(",")
    )
    .replace('\n', "")
}

impl Asked {
    pub(super) fn is_list(&self) -> bool {
        !self.query.contains("watch=true")
    }

    pub(super) fn is_watch_from(&self, rv: u64) -> bool {
        self.query.contains("watch=true") && self.query.contains(&format!("resourceVersion={rv}&"))
    }

    pub(super) fn answer(self, status: u16, retry_after: Option<u64>, body: impl Into<String>) {
        let _given_up = self.reply.send(Ok(whole(status, retry_after, body.into())));
    }

    pub(super) fn list(self, rv: u64, items: &[String]) {
        self.page(rv, "", items);
    }

    pub(super) fn page(self, rv: u64, next: &str, items: &[String]) {
        assert!(self.is_list(), "{}", self.query);
        let items = items.join(",");
        let metadata = format!(r#"{{"resourceVersion":"{rv}","continue":"{next}"}}"#);
        self.answer(
            200,
            None,
            format!(r#"{{"metadata":{metadata},"items":[{items}]}}"#),
        );
    }

    pub(super) fn stream(self) -> Stream {
        assert!(!self.is_list(), "{}", self.query);
        let (sender, receiver) = mpsc::channel(16);
        let body = stream::unfold(receiver, |mut r| async { r.recv().await.map(|c| (c, r)) });
        let reply = Reply {
            status: 200,
            retry_after: None,
            body: Box::pin(body),
        };
        let _given_up = self.reply.send(Ok(reply));
        Stream(sender)
    }

    /// No connection.
    pub(super) fn refuse(self) {
        let _given_up = self.reply.send(Err("connection refused".to_owned()));
    }
}

impl Stream {
    pub(super) async fn send(&self, kind: &str, object: &str) {
        self.raw(&format!(r#"{{"type":"{kind}","object":{object}}}"#))
            .await;
    }

    pub(super) async fn raw(&self, line: &str) {
        let sent = self.0.send(Ok(Bytes::from(format!("{line}\n")))).await;
        sent.expect("the watch still reads");
        settle().await;
    }

    pub(super) async fn bookmark(&self, rv: u64, ends_list: bool) {
        let annotations = match ends_list {
            true => r#","annotations":{"k8s.io/initial-events-end":"true"}"#,
            false => "",
        };
        let object = format!(r#"{{"metadata":{{"resourceVersion":"{rv}"{annotations}}}}}"#);
        self.send("BOOKMARK", &object).await;
    }

    /// A cut connection.
    pub(super) async fn reset(self) {
        let sent = self.0.send(Err("connection reset".to_owned())).await;
        sent.expect("the watch still reads");
    }
}

/// Lets the tasks do what they can without time passing.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::of(Kind::Slices, r#"{"major":"1","minor":"33"}"#)
    }

    pub(super) fn of(kind: Kind, version: &'static str) -> Self {
        let (sender, asked) = mpsc::channel(16);
        let script = Arc::new(Script {
            asked: sender,
            version: Mutex::new(version),
            reconnects: Mutex::default(),
        });
        let source = K8sSource {
            startup_jitter: Duration::ZERO,
            ..K8sSource::new(Address::InCluster)
        };
        let services = Services::new(source.policy.clone());
        let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
        let random = fastrand::Rng::with_seed(7);
        let sink = ServicesSink::new(kind, None, services.clone(), source.keep(), false);
        let watch = ApiWatch::new(sink, transport, source.startup_jitter, random);
        let task = tokio::spawn(watch.run());
        Self {
            services,
            script,
            asked,
            task,
        }
    }

    /// A first list with one slice, and the watch after it.
    pub(super) async fn live() -> (Self, Stream) {
        let mut rig = Self::new();
        rig.next().await.list(10, &[slice("a", 5, &["10.0.0.1"])]);
        let stream = rig.watch(10).await;
        settle().await;
        (rig, stream)
    }

    /// The next request, however long it takes.
    pub(super) async fn next(&mut self) -> Asked {
        self.asked.recv().await.expect("the watch runs")
    }

    /// The next request must be a watch from this version.
    pub(super) async fn watch(&mut self, rv: u64) -> Stream {
        let asked = self.next().await;
        assert!(asked.is_watch_from(rv), "{}", asked.query);
        asked.stream()
    }

    pub(super) async fn next_list(&mut self) -> Asked {
        let asked = self.next().await;
        assert!(asked.is_list(), "{}", asked.query);
        asked
    }

    pub(super) fn status(&self) -> WatchStatus {
        self.services.status(Kind::Slices)
    }

    pub(super) fn reconnects(&self) -> u32 {
        *self.script.reconnects.lock()
    }

    /// The endpoints of the service, after held removals are gone.
    pub(super) async fn answer(&self) -> String {
        settle().await;
        self.services
            .release(Instant::now() + Duration::from_secs(1));
        self.shown()
    }

    /// The endpoints as they are.
    pub(super) fn shown(&self) -> String {
        let port = self
            .services
            .port("default", PortRef::parse("http"), "world", None);
        match port.whole().value() {
            Replicas::Bound(set) => {
                let ips = set.endpoints().iter().map(|e| e.addr.ip().to_string());
                ips.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}
