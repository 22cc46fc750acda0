//! Spans of traces at the doors. Nothing is recorded unless a telemeter asks for it: without one, a span costs a look at a
//! flag.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// A call that came through a door, as part of the trace that its headers name (W3C `traceparent`, `tracestate`), else the
/// first span of a new one. `name` must come from a bounded set, such as routes and methods.
pub fn call(headers: &HeaderMap, name: &str) -> Span {
    let span = tracing::info_span!(
        target: "trace",
        "call",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        status = Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        if parent.span().span_context().is_valid() {
            // Fails only where nothing records, and then there is nothing to continue.
            let _ = span.set_parent(parent);
        }
    }
    span
}

/// Notes how the call ended.
pub fn ended(span: &Span, status: &str, is_error: bool) {
    span.record("status", status);
    if is_error {
        span.record("otel.status_code", "ERROR");
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
