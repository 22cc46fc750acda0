//! What a walk tells of its request, if anybody wants to be told ([`crate::tell`]): one call for each thing that happens.

use std::cell::RefCell;
use std::sync::Arc;

use l5d_naming::Path;
use std::net::SocketAddr;
use tokio::time::Instant;

use super::context::{Trace, propagate};
use super::exchange::Outcome;
use super::half::ClientHalf;
use super::policy::End;
use super::request::Request;
use super::respond::Failure;
use super::retry::Judge;
use super::stats::Reason;
use super::wire::field::{Kind, values};
use super::wire::head::Version;
use super::worker::Server;
use crate::route::Route;
use crate::tell::{Record, Teller, Verdict};

/// Tells of one request when it is dropped: once, however the request ends. Holds nothing if nobody wants to know.
#[derive(Debug, Default)]
pub(super) struct Telling(Option<Box<Told>>);

#[derive(Debug)]
struct Told {
    teller: Arc<Teller>,
    record: RefCell<Record>,
}

impl Telling {
    /// Of a request whose head is the client's message.
    pub(super) fn begin<C: ClientHalf>(
        server: &Server,
        client: &C,
        request: &Request,
        trace: &Trace,
        start: Instant,
    ) -> Self {
        let teller = &server.router.teller;
        if teller.is_silent() || !teller.wants(&trace.ids()) {
            return Self(None);
        }
        let head = &client.message()[..request.head_len];
        let field = |name| request.field(head, name).unwrap_or_default();
        let fields = [
            &head[request.method.clone()],
            &head[request.target.clone()],
            request.host(head).unwrap_or_default(),
            field("referer"),
            field("user-agent"),
        ];
        let mut record = Record::new(start, fields);
        record.ids = Some(trace.ids());
        record.router = teller.label().clone();
        record.server = server.config.label.as_str().into();
        record.remote = client.remote();
        record.version = match request.version {
            Version::Http10 => 0,
            _ if client.is_h2() => 2,
            _ => 1,
        };
        Self::of(teller, record)
    }

    /// Of something that could not be read as a request.
    pub(super) fn unreadable(server: &Server, remote: Option<SocketAddr>) -> Self {
        let teller = &server.router.teller;
        if !teller.wants_unreadable() {
            return Self(None);
        }
        let mut record = Record::new(Instant::now(), [b""; 5]);
        record.router = teller.label().clone();
        record.server = server.config.label.as_str().into();
        record.remote = remote;
        Self::of(teller, record)
    }

    fn of(teller: &Arc<Teller>, record: Record) -> Self {
        Self(Some(Box::new(Told {
            teller: teller.clone(),
            record: RefCell::new(record),
        })))
    }

    fn note(&self, note: impl FnOnce(&mut Record)) {
        if let Some(told) = &self.0 {
            note(&mut told.record.borrow_mut());
        }
    }

    /// It has a name.
    pub(super) fn named(&self, route: &Route) {
        self.note(|record| {
            record.service.clone_from(&route.shown);
            record.local_dtab.clone_from(&route.local.shown);
        });
    }

    /// An endpoint was chosen.
    pub(super) fn attempt(&self, client: &str, residual: &Path, addr: SocketAddr) {
        self.note(|record| {
            let residual = match residual.is_empty() {
                true => String::new(),
                false => residual.to_string(),
            };
            record.attempt(client, residual, addr);
        });
    }

    /// The attempt has this span.
    pub(super) fn sent(&self, trace: &Trace) {
        self.note(|record| {
            if let Some(last) = record.attempts.last_mut() {
                last.span = trace.ids().span;
            }
        });
    }

    /// The attempt never began: there was no connection.
    pub(super) fn not_connected(&self, failure: &Failure) {
        self.note(|record| record.attempt_ended(0, Some(failure.reason.name())));
    }

    /// The attempt has ended.
    pub(super) fn attempt_ended(&self, outcome: &Outcome, judge: &Judge<'_>) {
        self.note(|record| {
            record.attempt_judged(match outcome {
                Outcome::Done(_) | Outcome::TakenBack => verdict(judge, judge.status()),
                Outcome::Aborted { .. } => Verdict::default(),
                _ => FAILED,
            });
            let (status, error) = match outcome {
                Outcome::Done(done) => (done.status, None),
                Outcome::NotSent => (0, Some(Reason::NotSent)),
                Outcome::TakenBack => (503, None),
                Outcome::Refused | Outcome::Reset(_) => (0, Some(Reason::Reset)),
                Outcome::Stale | Outcome::Lost => (0, Some(Reason::ConnectionLost)),
                Outcome::BadResponse(_) => (0, Some(Reason::BadResponse)),
                Outcome::TimedOut => (0, Some(Reason::Timeout)),
                Outcome::BadRequestBody(_) => (0, Some(Reason::Malformed)),
                Outcome::Aborted { .. } => return record.attempt_ended(0, Some("aborted")),
            };
            record.attempt_ended(status, error.map(Reason::name));
        });
    }

    /// The request ends with a response that is made here.
    pub(super) fn failed(&self, failure: &Failure) {
        self.note(|record| {
            (record.status, record.failure) = (failure.status, Some(failure.reason.name()));
            record.verdict = FAILED;
        });
    }

    /// The walk has ended.
    pub(super) fn ended(&self, end: &Result<End, Failure>, judge: &Judge<'_>) {
        match end {
            Ok(End::Done(done, _)) => self.note(|record| {
                (record.status, record.length) = (done.status, done.length);
                record.verdict = verdict(judge, done.status);
            }),
            Ok(End::Aborted { .. }) => {}
            Err(failure) => self.failed(failure),
        }
    }
}

/// Of what had no answer that could be passed on.
const FAILED: Verdict = Verdict {
    grpc_status: None,
    is_success: Some(false),
};

fn verdict(judge: &Judge<'_>, status: u16) -> Verdict {
    Verdict {
        grpc_status: judge.grpc_status(),
        is_success: Some(judge.class(status).is_success()),
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            let mut record = told.record.into_inner();
            record.end();
            told.teller.tell(Box::new(record));
        }
    }
}

/// This hop's span, decided here for the hops to come where spans are sent from here.
pub(super) fn receive_trace(server: &Server, head: &[u8], request: &Request) -> Trace {
    let value = |kind| {
        let mut values = values(head, &request.fields, kind);
        values.next().filter(|_| !server.config.clear_context)
    };
    let (own, sample) = (value(Kind::CtxTrace), value(Kind::Sample));
    let field = |name: &str| {
        let value = request.field(head, name);
        value.filter(|_| !server.config.clear_context)
    };
    let received = propagate::received(server.router.config.trace_propagator, own, field);
    let mut trace = Trace::receive(received, sample, &mut server.worker.rng.borrow_mut());
    if let Some(rate) = server.router.teller.decides() {
        trace.decide_if_open(rate);
    }
    trace
}
