//! Spans of a request, made after it has ended: one for the hop, one under it for each attempt (node-proxy 15.7).

use std::borrow::Cow;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::record::{Attempt, Ids, Record, Verdict};

/// The hop's span and those of its attempts; none without ids.
pub(super) fn spans(record: &Record, scope: &InstrumentationScope) -> Vec<SpanData> {
    let Some(ids) = record.ids else {
        return Vec::new();
    };
    let mut spans = vec![hop(record, ids, scope)];
    for (index, attempt) in record.attempts.iter().enumerate() {
        spans.push(tried(record, ids, attempt, index, scope));
    }
    spans
}

fn hop(record: &Record, ids: Ids, scope: &InstrumentationScope) -> SpanData {
    let mut attributes = common(record);
    attributes.push(text("l5d.router", &record.router));
    put(&mut attributes, "l5d.dst.service", &record.service);
    put(&mut attributes, "l5d.dtab.local", &record.local_dtab);
    if let Some(remote) = record.remote {
        attributes.push(KeyValue::new("client.address", remote.ip().to_string()));
    }
    status(&mut attributes, record.status);
    verdict(&mut attributes, record.verdict);
    if let Some(failure) = record.failure {
        attributes.push(KeyValue::new("error.type", failure));
    }
    let parent = if ids.parent == ids.span {
        0
    } else {
        ids.parent
    };
    SpanData {
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: format!("{} {}", record.router, record.service).into(),
        end_time: record.at + record.took,
        status: outcome(record.status, record.failure),
        attributes,
        ..empty(record, ids, ids.span, scope)
    }
}

fn tried(
    record: &Record,
    ids: Ids,
    attempt: &Attempt,
    index: usize,
    scope: &InstrumentationScope,
) -> SpanData {
    let mut attributes = common(record);
    attributes.push(text("l5d.router", &record.router));
    put(&mut attributes, "l5d.dst.service", &record.service);
    attributes.push(text("l5d.dst.client", &attempt.client));
    put(&mut attributes, "l5d.dst.residual", &attempt.residual);
    let peer = attempt.addr.to_string();
    attributes.push(KeyValue::new("network.peer.address", peer));
    attributes.push(KeyValue::new("l5d.retry.attempt", index as i64));
    status(&mut attributes, attempt.status);
    verdict(&mut attributes, attempt.verdict);
    if let Some(error) = attempt.error {
        attributes.push(KeyValue::new("error.type", error));
    }
    SpanData {
        parent_span_id: SpanId::from(ids.span),
        span_kind: SpanKind::Client,
        name: format!("{} {}", lossy(record.method()), lossy(path(record))).into(),
        start_time: record.at + attempt.began,
        end_time: record.at + attempt.ended.max(attempt.began),
        status: outcome(attempt.status, attempt.error),
        attributes,
        ..empty(record, ids, attempt.span, scope)
    }
}

fn empty(record: &Record, ids: Ids, span: u64, scope: &InstrumentationScope) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(ids.trace),
            SpanId::from(span),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(""),
        start_time: record.at,
        end_time: record.at,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

fn common(record: &Record) -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", lossy(record.method()).into_owned()),
        // Queries may hold what is nobody's business.
        KeyValue::new("url.path", lossy(path(record)).into_owned()),
        KeyValue::new("server.address", lossy(record.host()).into_owned()),
    ]
}

/// The target without its query.
pub(super) fn path(record: &Record) -> &[u8] {
    let target = record.target();
    let end = target.iter().position(|b| *b == b'?');
    &target[..end.unwrap_or(target.len())]
}

pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn text(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, Value::from(value.to_owned()))
}

fn put(attributes: &mut Vec<KeyValue>, key: &'static str, value: &str) {
    if !value.is_empty() {
        attributes.push(text(key, value));
    }
}

fn status(attributes: &mut Vec<KeyValue>, status: u16) {
    if status != 0 {
        let status = i64::from(status);
        attributes.push(KeyValue::new("http.response.status_code", status));
    }
}

/// The class as `l5d-success-class` has it.
fn verdict(attributes: &mut Vec<KeyValue>, verdict: Verdict) {
    if let Some(status) = verdict.grpc_status {
        let status = i64::from(status);
        attributes.push(KeyValue::new("rpc.grpc.status_code", status));
    }
    if let Some(is_success) = verdict.is_success {
        let class = f64::from(u8::from(is_success));
        attributes.push(KeyValue::new("l5d.success_class", class));
    }
}

fn outcome(status: u16, error: Option<&'static str>) -> Status {
    match error {
        Some(error) => Status::error(error),
        None if status == 0 || status >= 500 => Status::error(""),
        None => Status::Unset,
    }
}
