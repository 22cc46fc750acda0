//! The recent requests (node-proxy 15.6): a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::page::Escaped;
use crate::tell::{Attempt, Record, Traces};

/// Newest first. Without the telemeter: nothing.
pub(super) fn json(traces: Option<&Traces>) -> Value {
    let recent = traces.map(Traces::recent).unwrap_or_default();
    recent.iter().map(|record| one(record)).collect()
}

fn one(record: &Record) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let last = record.attempts.last();
    json!({
        "timestamp": time(record),
        "source": record.remote,
        "server": &*record.server,
        "router": &*record.router,
        "service": record.service,
        "client": last.map(|a| &*a.client),
        "destination": last.map(|a| a.addr),
        "method": text(record.method()),
        "host": text(record.host()),
        "target": text(record.target()),
        "status": record.status,
        "failure": record.failure,
        "duration_ms": record.took.as_secs_f64() * 1000.0,
        "trace": record.ids.map(|ids| format!("{:016x}", ids.trace)),
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "client": &*attempt.client,
        "residual": attempt.residual,
        "endpoint": attempt.addr,
        "began_ms": attempt.began.as_secs_f64() * 1000.0,
        "took_ms": attempt.ended.saturating_sub(attempt.began).as_secs_f64() * 1000.0,
        "status": attempt.status,
        "error": attempt.error,
    })
}

fn time(record: &Record) -> String {
    let at = jiff::Timestamp::try_from(record.at).unwrap_or_default();
    format!("{at:.3}")
}

/// The columns of 1.x.
pub(super) fn html(traces: Option<&Traces>) -> String {
    let mut page = String::from(
        "<!doctype html><meta charset=utf-8><meta name=color-scheme content=\"light dark\"><title>recent requests</title>\
         <h1>Recent requests</h1>",
    );
    if !traces.is_some_and(Traces::keeps_recent) {
        page.push_str(
            "<p>None are kept: <code>telemetry: [{kind: io.l5d.recentRequests, sampleRate: 0.01}]</code> keeps some.</p>",
        );
        return page;
    }
    page.push_str(
        "<table border=1 cellpadding=4><tr><th>Timestamp<th>Source<th>Server<th>Router<th>Logical Name<th>Concrete Name\
         <th>Destination<th>Status",
    );
    for record in traces.map(Traces::recent).unwrap_or_default() {
        let last = record.attempts.last();
        // A string takes everything.
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            time(&record),
            record.remote.map(|r| r.to_string()).unwrap_or_default(),
            Escaped(&record.server),
            Escaped(&record.router),
            Escaped(&record.service),
            Escaped(last.map_or("", |a| &a.client)),
            last.map(|a| a.addr.to_string()).unwrap_or_default(),
            record.status,
        );
    }
    page.push_str("</table>");
    page
}
