//! Records, and what is made of them.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Export};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::traces::{Traces, grpc};
use super::{Ids, Record, Teller, access};
use crate::config::Telemeter;

fn ids(trace: u128) -> Ids {
    Ids {
        trace,
        span: 7,
        parent: 5,
        sampled: None,
    }
}

fn record(trace: u128) -> Box<Record> {
    let fields = [&b"GET"[..], b"/a?b=\"c\"\n", b"web", b"", b"curl \xff\\"];
    let mut record = Record::new(Instant::now(), fields);
    record.ids = Some(ids(trace));
    (record.router, record.server) = ("out".into(), "0.0.0.0/4140".into());
    record.remote = Some(([10, 0, 0, 1], 5).into());
    record.service = "/svc/web".to_owned();
    for (span, status, error) in [(8, 0, Some("connect_failed")), (9, 503, None)] {
        record.attempt("/#/web", String::new(), ([10, 0, 0, 2], 80).into());
        record.attempts.last_mut().expect("begun").span = span;
        record.attempt_ended(status, error);
        record.attempt_judged(super::Verdict {
            grpc_status: error.is_none().then_some(14),
            is_success: Some(false),
        });
    }
    (record.status, record.length) = (503, Some(12));
    record.end();
    Box::new(record)
}

#[test]
fn json_lines_are_objects_whatever_clients_send() {
    let record = record(0xab);
    let read: serde_json::Value = serde_json::from_str(&access::json(&record)).expect("an object");
    assert_eq!(read["target"], "/a?b=\"c\"\n");
    assert_eq!(read["user_agent"], "curl \u{fffd}\\");
    assert_eq!(read["client"], "10.0.0.1:5");
    assert_eq!(read["trace"], "00000000000000ab");
    assert_eq!(
        (&read["status"], &read["attempts"]),
        (&503.into(), &2.into())
    );
    assert_eq!(
        (&read["bound"], &read["endpoint"]),
        (&"/#/web".into(), &"10.0.0.2:80".into())
    );
    assert!(read.get("referer").is_none() && read.get("aborted").is_none());
    assert!(!access::json(&record).contains('\n'));
}

#[test]
fn the_sample_is_that_of_the_trace() {
    let rated = |rate| {
        (0..1000u128)
            .filter(|n| ids(n * 77 + 1).is_in(rate))
            .count()
    };
    assert_eq!((rated(0.0), rated(1.0)), (0, 1000));
    assert!((200..300).contains(&rated(0.25)), "{}", rated(0.25));
    let decided = |sampled| Ids { sampled, ..ids(1) };
    assert!(decided(Some(true)).is_in(0.0) && !decided(Some(false)).is_in(1.0));
}

/// Node-proxy 15.7.
#[test]
fn a_hop_and_its_attempts_are_spans_of_one_trace() {
    let scope = opentelemetry::InstrumentationScope::default();
    let spans = super::span::spans(&record(0xab), &scope);
    let [hop, first, second] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert!(
        spans
            .iter()
            .all(|s| s.span_context.trace_id() == TraceId::from(0xab))
    );
    assert_eq!(hop.parent_span_id, SpanId::from(5));
    assert_eq!(
        (hop.name.as_ref(), &hop.span_kind),
        ("out /svc/web", &SpanKind::Server)
    );
    for (attempt, span) in [(first, 8), (second, 9)] {
        assert_eq!(attempt.span_context.span_id(), SpanId::from(span));
        assert_eq!(attempt.parent_span_id, SpanId::from(7));
        assert_eq!(
            (attempt.name.as_ref(), &attempt.span_kind),
            ("GET /a", &SpanKind::Client)
        );
    }
    assert_eq!(first.status, Status::error("connect_failed"));
    let all = |span: &SpanData| {
        let each = span.attributes.iter();
        let mut all: Vec<_> = each.map(|a| format!("{}={}", a.key, a.value)).collect();
        all.sort();
        all
    };
    assert_eq!(
        all(second),
        [
            "http.request.method=GET",
            "http.response.status_code=503",
            "l5d.dst.client=/#/web",
            "l5d.dst.service=/svc/web",
            "l5d.retry.attempt=1",
            "l5d.router=out",
            "l5d.success_class=0",
            "network.peer.address=10.0.0.2:80",
            "rpc.grpc.status_code=14",
            "server.address=web",
            "url.path=/a",
        ]
    );
    let mut root = record(1);
    root.ids = Some(Ids {
        parent: 7,
        ..ids(1)
    });
    let spans = super::span::spans(&root, &scope);
    assert_eq!(spans[0].parent_span_id, SpanId::INVALID);
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl Export for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

fn teller(telemetry: &[Telemeter]) -> (Teller, Arc<Traces>) {
    let traces = Arc::new(Traces::of(telemetry).expect("wanted"));
    let teller = Teller {
        traces: Some(traces.clone()),
        ..Teller::default()
    };
    (teller, traces)
}

fn both(rate: f64) -> [Telemeter; 2] {
    [
        Telemeter::RecentRequests {
            sample_rate: 1.0,
            capacity: 2,
        },
        Telemeter::OpenTelemetry {
            endpoint: String::new(),
            sample_rate: rate,
            headers: Default::default(),
            resource: Default::default(),
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn sampled_requests_are_kept_and_sent_the_last_ones_at_the_end() {
    let (teller, traces) = teller(&both(1.0));
    let (kept, end) = (Kept::default(), CancellationToken::new());
    for trace in 1..=3 {
        assert!(teller.wants(&ids(trace)));
        teller.tell(record(trace));
    }
    let run = traces.run_with(Some(kept.clone()), end.clone());
    let stop = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(traces.counts().exported, 9);
        teller.tell(record(4));
        end.cancel();
    };
    tokio::join!(run, stop);
    assert_eq!(kept.0.lock().len(), 12);
    let recent = traces.recent();
    let trace = |i: usize| recent[i].ids.map(|ids| ids.trace);
    assert_eq!((recent.len(), trace(0), trace(1)), (2, Some(4), Some(3)));
    assert_eq!((traces.counts().told, traces.counts().dropped), (4, 0));
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let (teller, traces) = teller(&both(0.0));
    for trace in 0..2_100 {
        teller.tell(record(trace));
    }
    assert_eq!(traces.counts().dropped, 2_100 - 2_048);
}

#[test]
fn nobody_is_told_of_what_nobody_wants() {
    assert!(Traces::of(&[]).is_none());
    assert!(!Teller::default().wants(&ids(1)));
    let (teller, traces) = teller(&both(1.0));
    traces.turn(false);
    assert!(!teller.wants(&ids(1)) && traces.rate().is_none());
    traces.turn(true);
    assert!(teller.wants(&ids(1)) && !teller.wants_unreadable());
}

#[test]
fn collectors_are_called_by_their_grpc_port() {
    assert_eq!(grpc("http://c:4318/v1/traces"), "http://c:4317");
    assert_eq!(grpc("http://c:4317/"), "http://c:4317");
}
