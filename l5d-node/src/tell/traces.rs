//! Sampled requests: a queue from the workers to one task, which keeps the recent ones, writes lines and sends spans.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Export};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tonic::metadata::{MetadataKey, MetadataMap};

use super::record::{Ids, Record};
use super::span;
use crate::config::Telemeter;

/// What telemeters want, and where workers put it.
#[derive(Debug)]
pub struct Traces {
    is_on: AtomicBool,
    recent: Option<Rated<usize>>,
    lines: Option<Rated<tracing::Level>>,
    spans: Option<Rated<Collector>>,
    queue: mpsc::Sender<Sampled>,
    /// Until the task takes it.
    told: Mutex<Option<mpsc::Receiver<Sampled>>>,
    kept: Mutex<VecDeque<Arc<Record>>>,
    totals: Totals,
}

/// Who wants to know of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    recent: bool,
    line: bool,
    spans: bool,
}

type Sampled = (Samples, Box<Record>);

/// Something for a share of the traces.
#[derive(Debug)]
struct Rated<T> {
    rate: f64,
    what: T,
}

#[derive(Debug)]
struct Collector {
    endpoint: String,
    headers: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Totals {
    told: AtomicU64,
    dropped: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
}

/// What became of sampled requests and of their spans, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounts {
    /// Requests that were taken out of the queue.
    pub told: u64,
    /// Requests that found no room in it.
    pub dropped: u64,
    /// Spans that the collector took.
    pub exported: u64,
    /// Spans that it did not take.
    pub failed: u64,
}

/// The requests that are kept, newest first.
pub type Recent = Vec<Arc<Record>>;

/// Requests that wait to be told.
const QUEUE: usize = 2_048;
/// Spans that are sent together, and how long they are gathered.
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
/// How long one sending may take, and the last ones at the end.
const TIMEOUT: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(1);

impl Samples {
    /// Whether anybody does.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Traces {
    /// What these telemeters want; `None`: nothing.
    pub(super) fn of(telemetry: &[Telemeter]) -> Option<Self> {
        let (queue, told) = mpsc::channel(QUEUE);
        let mut traces = Self {
            is_on: AtomicBool::new(true),
            recent: None,
            lines: None,
            spans: None,
            queue,
            told: Mutex::new(Some(told)),
            kept: Mutex::default(),
            totals: Totals::default(),
        };
        for telemeter in telemetry {
            traces.want(telemeter);
        }
        let wants = traces.recent.is_some() || traces.lines.is_some() || traces.spans.is_some();
        wants.then_some(traces)
    }

    fn want(&mut self, telemeter: &Telemeter) {
        match telemeter {
            Telemeter::Prometheus { .. } => {}
            Telemeter::RecentRequests {
                sample_rate,
                capacity,
            } => {
                self.recent = Some(Rated {
                    rate: *sample_rate,
                    what: *capacity,
                });
            }
            Telemeter::TraceLog { sample_rate, level } => {
                self.lines = Some(Rated {
                    rate: *sample_rate,
                    what: *level,
                });
            }
            Telemeter::OpenTelemetry {
                endpoint,
                sample_rate,
                headers,
                resource,
            } => {
                self.spans = Some(Rated {
                    rate: *sample_rate,
                    what: Collector {
                        endpoint: endpoint.clone(),
                        headers: headers.clone(),
                        resource: resource.clone(),
                    },
                });
            }
        }
    }

    /// Who wants to know of the request of this span.
    pub fn samples(&self, ids: &Ids) -> Samples {
        if !self.is_on.load(Ordering::Relaxed) {
            return Samples::default();
        }
        Samples {
            recent: self.recent.as_ref().is_some_and(|r| ids.is_in(r.rate)),
            line: self.lines.as_ref().is_some_and(|r| ids.is_in(r.rate)),
            spans: self.spans.as_ref().is_some_and(|r| ids.is_in(r.rate)),
        }
    }

    /// The share of new traces that is decided about here, for the hops to come; `None`: they decide.
    pub fn rate(&self) -> Option<f64> {
        let is_on = self.is_on.load(Ordering::Relaxed);
        self.spans.as_ref().filter(|_| is_on).map(|r| r.rate)
    }

    /// `/admin/tracing?enable=`.
    pub fn turn(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// Whether requests are sampled at all.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether recent requests are kept.
    pub fn keeps_recent(&self) -> bool {
        self.recent.is_some()
    }

    /// The recent requests.
    pub fn recent(&self) -> Recent {
        self.kept.lock().iter().rev().cloned().collect()
    }

    /// What became of them.
    pub fn counts(&self) -> TraceCounts {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        TraceCounts {
            told: read(&self.totals.told),
            dropped: read(&self.totals.dropped),
            exported: read(&self.totals.exported),
            failed: read(&self.totals.failed),
        }
    }

    pub(super) fn tell(&self, samples: Samples, record: Box<Record>) {
        if self.queue.try_send((samples, record)).is_err() {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells until `end`, then what is queued, for a bounded time. Runs once.
    pub async fn run(&self, end: CancellationToken) {
        let exporter = self.spans.as_ref().and_then(|r| exporter(&r.what));
        self.run_with(exporter, end).await;
    }

    pub(super) async fn run_with(&self, exporter: Option<impl Export>, end: CancellationToken) {
        let Some(mut queue) = self.told.lock().take() else {
            return;
        };
        let version = env!("CARGO_PKG_VERSION");
        let scope = InstrumentationScope::builder("l5d-node").with_version(version);
        let scope = scope.build();
        let mut batch = Vec::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                _ = ticks.tick() => self.send(exporter.as_ref(), &mut batch).await,
                Some((samples, record)) = queue.recv() => {
                    self.take(samples, record, &scope, exporter.is_some(), &mut batch);
                    if batch.len() >= BATCH {
                        self.send(exporter.as_ref(), &mut batch).await;
                    }
                }
            }
        }
        let deadline = Instant::now() + LAST;
        while let Ok((samples, record)) = queue.try_recv() {
            self.take(samples, record, &scope, exporter.is_some(), &mut batch);
            if batch.len() >= BATCH && Instant::now() < deadline {
                let last = self.send(exporter.as_ref(), &mut batch);
                // What is cut off is counted by nobody; the process ends.
                let _ = timeout(LAST, last).await;
            }
        }
        let _ = timeout(LAST, self.send(exporter.as_ref(), &mut batch)).await;
    }

    fn take(
        &self,
        samples: Samples,
        record: Box<Record>,
        scope: &InstrumentationScope,
        exports: bool,
        batch: &mut Vec<SpanData>,
    ) {
        self.totals.told.fetch_add(1, Ordering::Relaxed);
        if samples.spans && exports {
            batch.extend(span::spans(&record, scope));
        }
        if let (true, Some(lines)) = (samples.line, &self.lines) {
            line(&record, lines.what);
        }
        if let (true, Some(recent)) = (samples.recent, &self.recent) {
            let mut kept = self.kept.lock();
            while kept.len() >= recent.what.max(1) {
                kept.pop_front();
            }
            kept.push_back(Arc::from(record));
        }
    }

    async fn send(&self, exporter: Option<&impl Export>, batch: &mut Vec<SpanData>) {
        let Some(exporter) = exporter.filter(|_| !batch.is_empty()) else {
            return;
        };
        let spans = batch.len() as u64;
        let sent = timeout(TIMEOUT, exporter.export(std::mem::take(batch))).await;
        let counter = match sent {
            Ok(Ok(())) => &self.totals.exported,
            Ok(Err(error)) => {
                tracing::warn!(%error, spans, "the collector did not take spans");
                &self.totals.failed
            }
            Err(_) => {
                tracing::warn!(spans, "the collector did not take spans in time");
                &self.totals.failed
            }
        };
        counter.fetch_add(spans, Ordering::Relaxed);
    }
}

/// Dials nobody yet. Must be called in the runtime that it is used in.
fn exporter(collector: &Collector) -> Option<SpanExporter> {
    let endpoint = grpc(&collector.endpoint);
    let mut metadata = MetadataMap::new();
    for (name, value) in &collector.headers {
        let name = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes());
        match (name, value.parse()) {
            (Ok(name), Ok(value)) => drop(metadata.insert(name, value)),
            _ => tracing::warn!("io.l5d.opentelemetry: a header cannot be sent, and is left out"),
        }
    }
    let built = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint)
        .with_timeout(TIMEOUT)
        .with_metadata(metadata)
        .build();
    match built {
        Ok(mut exporter) => {
            exporter.set_resource(&resource(&collector.resource));
            tracing::info!(endpoint, "spans are sent over OTLP and gRPC");
            Some(exporter)
        }
        Err(error) => {
            tracing::error!(%error, endpoint, "no spans are sent");
            None
        }
    }
}

/// The gRPC address of a collector that was named by its HTTP address: collectors listen on both, on ports of their own.
pub(super) fn grpc(endpoint: &str) -> String {
    let plain = endpoint
        .trim_end_matches('/')
        .trim_end_matches("/v1/traces");
    match plain.strip_suffix(":4318") {
        Some(host) => {
            tracing::warn!(
                endpoint,
                "spans are sent over gRPC: port 4317 instead of 4318"
            );
            format!("{host}:4317")
        }
        None => plain.to_owned(),
    }
}

fn resource(attributes: &BTreeMap<String, String>) -> Resource {
    let named = attributes
        .get("service.name")
        .map_or("l5d-node", String::as_str);
    let others = attributes.iter().filter(|(key, _)| *key != "service.name");
    Resource::builder()
        .with_service_name(named.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(others.map(|(key, value)| KeyValue::new(key.clone(), value.clone())))
        .build()
}

/// `io.l5d.tracelog`: a request as one line of the log.
fn line(record: &Record, level: tracing::Level) {
    let text = super::access::json(record);
    match level {
        tracing::Level::ERROR => tracing::error!(target: "l5d_node::tell", "{text}"),
        tracing::Level::WARN => tracing::warn!(target: "l5d_node::tell", "{text}"),
        tracing::Level::INFO => tracing::info!(target: "l5d_node::tell", "{text}"),
        tracing::Level::DEBUG => tracing::debug!(target: "l5d_node::tell", "{text}"),
        tracing::Level::TRACE => tracing::trace!(target: "l5d_node::tell", "{text}"),
    }
}
