//! Traces for an OpenTelemetry collector: spans of the doors and the dtab store, over OTLP and gRPC.
//!
//! Nothing here runs, and nothing is dialled, without a telemeter `io.l5d.opentelemetry`. Spans wait in a queue of bounded
//! size; what does not fit is dropped and counted, so a collector that is away costs nothing but the spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter as Export, SpanProcessor,
};

use crate::config::Traces as Config;

/// Spans that wait for being sent.
const QUEUE: u64 = 2_048;
/// How long one sending may take, and the last one at the stop.
const TIMEOUT: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(3);
/// How long spans are gathered.
const EVERY: Duration = Duration::from_secs(2);

/// Where spans went.
#[derive(Debug, Default)]
pub(super) struct Counts {
    waiting: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Spans being sent. [`Traces::end`] sends the last ones.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    pub(super) tracer: SdkTracer,
    pub(super) counts: Arc<Counts>,
}

impl Traces {
    /// Begins. Must be called in a runtime, which the connection to the collector lives in.
    pub(super) fn start(config: &Config) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(TIMEOUT)
            .build()?;
        Ok(Self::over(exporter, config))
    }

    fn over(exporter: impl Export + 'static, config: &Config) -> Self {
        let counts = Arc::<Counts>::default();
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE as usize)
            .with_scheduled_delay(EVERY)
            .build();
        let exporter = Counting {
            exporter,
            counts: Arc::clone(&counts),
        };
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batch)
            .build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(version)
            .build();
        // Who calls decides for its own traces.
        let own = Sampler::TraceIdRatioBased(config.sample_rate);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(own)))
            .with_span_processor(Bounded {
                inner: processor,
                counts: Arc::clone(&counts),
            })
            .build();
        Self {
            tracer: provider.tracer("namerd"),
            provider,
            counts,
        }
    }

    /// Sends what waits, for a bounded time. Blocks.
    pub(super) fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl Counts {
    /// With the outcome, for a labelled metric.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        vec![
            ("exported", read(&self.exported)),
            ("failed", read(&self.failed)),
            ("dropped", read(&self.dropped)),
        ]
    }
}

/// Keeps the queue behind it from ever being full, so that each span that is lost is counted.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what was sent and what was not.
#[derive(Debug)]
struct Counting<E> {
    exporter: E,
    counts: Arc<Counts>,
}

impl<E: Export> Export for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let n = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        let counts = &self.counts;
        let counter = match &result {
            Ok(()) => &counts.exported,
            Err(error) => {
                tracing::warn!(%error, spans = n, "the collector did not take spans");
                &counts.failed
            }
        };
        counter.fetch_add(n, Ordering::Relaxed);
        counts.waiting.fetch_sub(n, Ordering::Relaxed);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::Tracer as _;

    use super::*;

    /// A collector that takes nothing until it may.
    #[derive(Debug)]
    struct Stuck(parking_lot::Mutex<std::sync::mpsc::Receiver<()>>);

    impl Export for Stuck {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            // Ends when the sender is gone.
            let _ = self.0.lock().recv();
            Ok(())
        }
    }

    #[test]
    fn spans_that_find_no_room_are_dropped_and_counted() {
        let (free, stuck) = std::sync::mpsc::sync_channel(0);
        let config = Config {
            endpoint: String::new(),
            sample_rate: 1.0,
            service_name: "test".to_owned(),
        };
        let traces = Traces::over(Stuck(parking_lot::Mutex::new(stuck)), &config);
        let more = 500;
        for _ in 0..QUEUE + more {
            drop(traces.tracer.start("a span"));
        }
        let all = traces.counts.all();
        assert_eq!(all, [("exported", 0), ("failed", 0), ("dropped", more)]);
        drop(free);
        traces.end();
        let all = traces.counts.all();
        assert_eq!(all, [("exported", QUEUE), ("failed", 0), ("dropped", more)]);
    }
}
