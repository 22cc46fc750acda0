//! What is decided about a request on its walk, whatever it speaks and whatever carries it: one function for each place at
//! which something can be decided, counted or noted. Nothing here reads or writes a connection.
//!
//! | place | what belongs there |
//! |---|---|
//! | [`Walk::begins`] | budgets, admission to a service, a span for the request |
//! | [`Walk::attempt_begins`] | admission to a client, a span for the attempt |
//! | [`Attempt::gives_back`] | classification by the response head: keep it from the client and try again |
//! | [`Walk::attempt_ended`] | load, failure accrual, classification by the end, the access log, the attempt's counters |
//! | [`Walk::may_requeue`] | the budget for what no endpoint has seen |
//! | [`ended`] | the request's counters, its span |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::context::Trace;
use super::exchange::{Attempt, Done, Outcome};
use super::request::Request;
use super::respond::Failure;
use super::stats::{ServerStats, Tally, pair_label};
use super::upstream::Upstream;
use super::wire::field::{Field, Kind, values};
use super::worker::Server;
use crate::balance::{Balancer, ClientStats, Lease};
use crate::meter::RequestCounts;
use crate::route::{Route, ServiceStats};

/// One request on its walk.
pub(super) struct Walk<'a> {
    pub(super) server: &'a Server,
    pub(super) request: &'a Request,
    pub(super) route: &'a Route,
    pub(super) trace: Trace,
    /// When the service layer began.
    pub(super) start: Instant,
    /// The head as far as all attempts have it in common.
    pub(super) common: &'a [u8],
    /// The buffered body.
    pub(super) body: &'a [u8],
    /// The client's host.
    pub(super) host: &'a [u8],
}

/// How a request ends that is not answered with a failure of ours.
pub(super) enum End {
    Done(Done, Instant),
    Aborted { must_reset: bool },
}

/// What has been tried for a request below its binding.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Endpoints that failed.
    pub(super) endpoints: SmallVec<[SocketAddr; 4]>,
    /// Whether a connection that was used before has failed: the next one is a new one.
    pub(super) fresh: bool,
    requeues: usize,
}

/// What follows from an attempt.
pub(super) enum Verdict {
    End(Result<End, Failure>),
    /// No endpoint has done anything for the request: it may be sent again, and this is said if it may not.
    Again(Failure),
}

/// Sending again, whatever the budget says.
const MAX_REQUEUES: usize = 25;

impl Tries {
    /// The endpoint is not the next one.
    pub(super) fn failed(&mut self, addr: SocketAddr) {
        if !self.endpoints.contains(&addr) {
            self.endpoints.push(addr);
        }
    }
}

impl Walk<'_> {
    /// The request has a cluster; no endpoint has been asked for.
    pub(super) fn begins(&self, balancer: &Balancer) {
        balancer.budget.deposit(self.start);
    }

    /// An endpoint was chosen at `now`. The tally counts the attempt until it is dropped.
    pub(super) fn attempt_begins(&self, balancer: &Balancer, now: Instant) -> Tally<ClientStats> {
        Tally::new(balancer.stats.clone(), now).with(self.pair(balancer))
    }

    /// The counters of this service at a client.
    fn pair(&self, balancer: &Balancer) -> Arc<RequestCounts> {
        let (router, service) = (&self.server.router, &self.route.shown);
        self.route.pairs.get(balancer.cluster().key, || {
            let limit = router.config.cache.paths.saturating_mul(2);
            router.pairs.get(&pair_label(balancer.id(), service), limit)
        })
    }

    /// Whether an attempt that starts at `now` is to give a response back that says that nobody has seen the request.
    pub(super) fn wants_back(
        &self,
        balancer: &Balancer,
        tries: &Tries,
        addr: SocketAddr,
        can_repeat: bool,
        now: Instant,
    ) -> bool {
        can_repeat
            && tries.requeues < MAX_REQUEUES
            && balancer.budget.balance(now) > 0
            && balancer.has_other(&[&tries.endpoints[..], &[addr]].concat())
    }

    /// An attempt has ended.
    pub(super) fn attempt_ended(
        &self,
        outcome: Outcome,
        lease: &Lease,
        mut tally: Tally<ClientStats>,
        upstream: Upstream,
        tries: &mut Tries,
    ) -> Verdict {
        let endpoint = lease.endpoint();
        let addr = endpoint.addr;
        let is_reused = upstream.is_reused();
        let failure = match outcome {
            Outcome::Done(done) => {
                let end = Instant::now();
                if done.status < 500 {
                    lease.succeeded(end);
                } else {
                    lease.failed(None, end);
                }
                tally.ended(done.status, end);
                lease.ended(end);
                if done.reusable && !endpoint.is_removed() {
                    upstream.keep(endpoint, end);
                }
                return Verdict::End(Ok(End::Done(done, end)));
            }
            Outcome::Aborted { must_reset } => {
                return Verdict::End(Ok(End::Aborted { must_reset }));
            }
            Outcome::NotSent => Failure::not_sent(addr),
            Outcome::Stale => Failure::connection_lost(addr),
            Outcome::TakenBack => {
                lease.turned_away(Instant::now());
                tries.failed(addr);
                tally.answered(503);
                Failure::not_sent(addr)
            }
            Outcome::Lost => {
                lease.failed(None, Instant::now());
                return Verdict::End(Err(Failure::connection_lost(addr)));
            }
            Outcome::BadResponse(what) => {
                lease.failed(None, Instant::now());
                return Verdict::End(Err(Failure::bad_response(addr, &what)));
            }
            Outcome::BadRequestBody(what) => return Verdict::End(Err(Failure::malformed(&what))),
            Outcome::TimedOut => {
                lease.failed(None, Instant::now());
                return Verdict::End(Err(self.timed_out()));
            }
        };
        // The rest is sent again, the first time that a kept connection was dead on a new one.
        lease.discount();
        if !is_reused {
            tries.failed(addr);
        }
        tries.fresh = true;
        Verdict::Again(failure)
    }

    /// Whether the request may be sent again, and counts it.
    pub(super) fn may_requeue(&self, balancer: &Balancer, tries: &mut Tries) -> bool {
        tries.requeues += 1;
        if tries.requeues > MAX_REQUEUES || !balancer.budget.withdraw(Instant::now()) {
            balancer.stats.budget_exhausted.inc();
            return false;
        }
        balancer.stats.requeues.inc();
        true
    }

    /// What is left of the binding timeout, and of the total one.
    pub(super) fn time_to_bind(&self) -> Duration {
        let config = &self.server.router.config;
        let limit = config
            .total_timeout
            .map_or(config.binding_timeout, |t| t.min(config.binding_timeout));
        limit.saturating_sub(self.start.elapsed())
    }

    /// When an attempt that starts now must have a response head.
    pub(super) fn head_deadline(&self) -> Option<Instant> {
        let config = &self.server.router.config;
        let attempt = config.attempt_timeout.map(|t| Instant::now() + t);
        let total = config.total_timeout.map(|t| self.start + t);
        attempt.into_iter().chain(total).min()
    }

    fn timed_out(&self) -> Failure {
        let config = &self.server.router.config;
        let service = &self.route.shown;
        match (config.total_timeout, config.attempt_timeout) {
            (Some(total), _) if self.start.elapsed() >= total => {
                Failure::timeout("totalTimeoutMs", total, service)
            }
            (_, limit) => Failure::timeout(
                "requestAttemptTimeoutMs",
                limit.unwrap_or_default(),
                service,
            ),
        }
    }

    pub(super) fn no_time_to_connect(&self, balancer: &Balancer) -> Failure {
        let config = &self.server.router.config;
        let (limit, service) = (config.binding_timeout, &self.route.shown);
        match config.total_timeout {
            Some(total) if total < limit => Failure::timeout("totalTimeoutMs", total, service),
            _ => Failure::connecting_timeout(limit, service, balancer.id()),
        }
    }

    pub(super) fn no_binding(&self) -> Failure {
        let base = &self.server.router.config.dtab;
        Failure::no_binding(&self.route.shown, base, self.route.local.dtab.as_ref())
    }

    pub(super) fn no_address(&self, balancer: &Balancer) -> Failure {
        let base = &self.server.router.config.dtab;
        let local = self.route.local.dtab.as_ref();
        Failure::no_address(&self.route.shown, balancer.id(), base, local)
    }

    pub(super) fn still_pending(&self) -> Failure {
        let config = &self.server.router.config;
        let service = &self.route.shown;
        if let Some(total) = config.total_timeout.filter(|t| self.start.elapsed() >= *t) {
            return Failure::timeout("totalTimeoutMs", total, service);
        }
        let why = self.server.router.routes.why_pending();
        Failure::binding_timeout(config.binding_timeout, service, &why)
    }
}

impl Attempt<'_> {
    /// Asked once, when the response head is there and nothing of it has gone out: whether the caller gets it back instead
    /// of the client ([`Outcome::TakenBack`]).
    pub(super) fn gives_back(&self, status: u16, head: &[u8], fields: &[Field]) -> bool {
        self.takes_back
            && matches!(status, 502 | 503)
            && values(head, fields, Kind::Retryable).any(|v| v == b"true")
    }
}

/// A request has ended that had a name.
pub(super) fn ended(
    end: &Result<End, Failure>,
    server: &mut Tally<ServerStats>,
    service: &mut Tally<ServiceStats>,
) {
    match end {
        Ok(End::Done(done, end)) => {
            server.ended(done.status, *end);
            service.ended(done.status, *end);
        }
        // A response that was cut is no success: it counts as none.
        Ok(End::Aborted { .. }) => {}
        Err(failure) => {
            server.answered(failure.status);
            service.answered(failure.status);
        }
    }
}
