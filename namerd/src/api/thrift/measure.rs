//! Calls over thrift counted and put into spans, as those over gRPC are. Since they are answered when something has changed,
//! how long one takes is no measure of this program; it stands in the span.

use std::sync::Arc;

use http::HeaderMap;
use tracing::Span;

use super::value::{EXCEPTION, Message};
use crate::meter::{Meter, OpenOne};
use crate::web::spans;

/// A call that waits for its answer; counted when it is dropped.
pub(super) struct Measured {
    meter: Arc<Meter>,
    method: &'static str,
    outcome: &'static str,
    pub(super) span: Span,
    _waiting: OpenOne,
}

const METHODS: [&str; 4] = ["bind", "addr", "delegate", "dtab"];
const OTHER: &str = "other";

impl Measured {
    pub(super) fn new(meter: &Arc<Meter>, call: &Message) -> Self {
        let known = METHODS
            .iter()
            .find(|name| name.as_bytes() == &call.name[..]);
        let method = known.copied().unwrap_or(OTHER);
        Self {
            meter: Arc::clone(meter),
            method,
            outcome: "discarded",
            span: spans::call(&HeaderMap::new(), method),
            _waiting: meter.thrift_waiting.one(method),
        }
    }

    /// Notes what the answer is.
    pub(super) fn answered(&mut self, reply: &Message) {
        self.outcome = match reply.kind == EXCEPTION {
            true => "exception",
            false if reply.body.field(1).is_some() => "failure",
            false => "ok",
        };
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.meter.thrift.count([self.method, self.outcome]);
        let is_error = matches!(self.outcome, "exception" | "failure");
        spans::ended(&self.span, self.outcome, is_error);
    }
}

/// A call that was not begun.
pub(super) fn refused(meter: &Meter) {
    meter.thrift.count([OTHER, "refused"]);
}
