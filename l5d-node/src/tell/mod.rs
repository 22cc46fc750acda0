//! What is told of single requests: the access log, recent requests, and traces (node-proxy 15.5 to 15.7).
//!
//! In: a [`Record`] of each request that somebody wants to be told of, filled by `serve` on the request's way. Out: lines of
//! the access log, from the worker itself; for sampled requests the record goes into a queue of bounded length, and one task
//! ([`Traces::run`]) makes lines, rows and spans of it. Nothing here ever waits on the request path: what finds no room is
//! dropped and counted. Without an access log and without a telemeter a request costs a branch.

mod access;
mod record;
mod span;
#[cfg(test)]
mod tests;
mod traces;

use std::sync::Arc;

pub use l5d_accesslog::{Counts as LineCounts, Writer};

pub use access::AccessError;
pub use record::{Attempt, Ids, Record, Verdict};
pub use traces::{Recent, TraceCounts, Traces};

use crate::config::{Config, Router};
use access::Access;

/// One router's teller; all workers share it.
#[derive(Debug, Default)]
pub struct Teller {
    label: Arc<str>,
    access: Option<Access>,
    traces: Option<Arc<Traces>>,
}

/// The tellers of all routers, in the order of the configuration, and what has to be kept until the end.
#[derive(Debug, Default)]
pub struct Tellers {
    /// By router.
    pub routers: Vec<Arc<Teller>>,
    /// Sampled requests, if a telemeter wants them.
    pub traces: Option<Arc<Traces>>,
    /// The threads that write; to be dropped after the last request.
    pub writers: Vec<Writer>,
}

impl Tellers {
    /// Opens the logs.
    ///
    /// # Errors
    /// A log cannot be opened.
    pub fn start(config: &Config) -> Result<Self, AccessError> {
        let traces = Traces::of(&config.telemetry).map(Arc::new);
        let mut tellers = Self {
            traces: traces.clone(),
            ..Self::default()
        };
        for router in &config.routers {
            let access = match Access::start(router)? {
                Some((access, writer)) => {
                    tellers.writers.push(writer);
                    Some(access)
                }
                None => None,
            };
            tellers.routers.push(Arc::new(Teller {
                label: router.label.as_str().into(),
                access,
                traces: traces.clone(),
            }));
        }
        Ok(tellers)
    }
}

impl Teller {
    /// Whether nobody is ever told of anything.
    pub fn is_silent(&self) -> bool {
        self.access.is_none() && self.traces.is_none()
    }

    /// The share of new traces that is decided about here, for the hops to come; `None`: they decide.
    pub fn decides(&self) -> Option<f64> {
        self.traces.as_ref()?.rate()
    }

    /// Whether anybody wants to be told of the request of this span; if nobody does, nothing of it is to be kept.
    pub fn wants(&self, ids: &Ids) -> bool {
        self.access.is_some() || self.traces.as_ref().is_some_and(|t| t.samples(ids).any())
    }

    /// Whether a request that could not even be read is told of.
    pub fn wants_unreadable(&self) -> bool {
        self.access.is_some()
    }

    /// The router's label.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Tells of a request that has ended.
    pub fn tell(&self, record: Box<Record>) {
        if let Some(access) = &self.access {
            access.log(&record);
        }
        if let (Some(traces), Some(ids)) = (&self.traces, &record.ids) {
            let samples = traces.samples(ids);
            if samples.any() {
                traces.tell(samples, record);
            }
        }
    }

    /// What became of lines of the access log; `None` without one.
    pub fn lines(&self) -> Option<LineCounts> {
        self.access.as_ref().map(Access::counts)
    }
}

/// Whether a router's connections are those of HTTP/2.
fn is_h2(router: &Router) -> bool {
    router.protocol == crate::config::Protocol::H2
}
