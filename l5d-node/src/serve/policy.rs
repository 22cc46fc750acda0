//! What is decided about a request on its walk, whatever it speaks and whatever carries it: one function for each place at
//! which something can be decided, counted or noted. Nothing here reads or writes a connection.
//!
//! | place | what belongs there |
//! |---|---|
//! | [`Walk::begins`] | budgets, admission to a service, a span for the request |
//! | [`Walk::attempt_begins`] | admission to a client, a span for the attempt |
//! | [`Attempt::gives_back`] | classification by the response head: keep it from the client and try again |
//! | [`Walk::retry_after`] | whether another attempt follows where there is no response (by [`super::retry`]) |
//! | [`Walk::attempt_ended`] | load, failure accrual, classification by the end, the access log, the attempt's counters |
//! | [`Walk::may_requeue`] | the budget for what no endpoint has seen |
//! | [`ended`] | the request's counters, its span |

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::admission::Refused;
use super::classify::{Head, Missing};
use super::context::{Deadline, Trace};
use super::exchange::{Attempt, Done, Outcome};
use super::limits::Limit;
use super::request::Request;
use super::respond::Failure;
use super::retry::Judge;
use super::stats::{Reason, ServerStats, Tally, pair_label};
use super::telling::Telling;
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
    pub(super) telling: Telling,
    /// When the service layer began.
    pub(super) start: Instant,
    /// The head as far as all attempts have it in common.
    pub(super) common: &'a [u8],
    /// The buffered body.
    pub(super) body: &'a [u8],
    /// The client's host.
    pub(super) host: &'a [u8],
    /// Of the whole request, to the response head.
    pub(super) limit: Option<Limit>,
    /// The received deadline, tightened by the limit.
    pub(super) deadline: Option<Deadline>,
    pub(super) judge: Judge<'a>,
    /// Whether an attempt has begun.
    pub(super) is_handed_on: Cell<bool>,
    /// A TRACE request that ends here.
    pub(super) is_traced: bool,
}

/// How a request ends that is not answered with a failure of ours.
pub(super) enum End {
    Done(Done, Instant),
    Aborted { must_reset: bool },
}

/// What has been tried for a request below its binding.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    /// Where it is counted.
    stats: &'a ClientStats,
    /// Endpoints that failed.
    pub(super) endpoints: SmallVec<[SocketAddr; 4]>,
    /// Whether a connection that was used before has failed: the next one is a new one.
    pub(super) fresh: bool,
    requeues: usize,
    /// How often this request may be sent again, by the budget at the first time.
    most: Option<usize>,
}

/// What follows from an attempt.
pub(super) enum Verdict {
    End(Result<End, Failure>),
    /// The service wants another attempt, after this.
    Retry(Duration),
    /// No endpoint has done anything for the request: it may be sent again, and this is said if it may not.
    Again(Failure),
}

/// What follows from all attempts with one leaf.
pub(super) enum Pass {
    End(End),
    /// See [`Verdict::Retry`].
    Retry(Duration),
}

/// Sending again, whatever the budget says.
const MAX_REQUEUES: usize = 25;
/// The part of the budget that one request may use up (node-proxy 13.8).
const REQUEST_SHARE: f64 = 0.2;

impl<'a> Tries<'a> {
    /// None yet.
    pub(super) fn new(stats: &'a ClientStats) -> Self {
        Self {
            stats,
            endpoints: SmallVec::new(),
            fresh: false,
            requeues: 0,
            most: None,
        }
    }

    /// How often the request may be sent again: fixed at the first time, by what there is in the budget now.
    fn most(&self, balance: u64) -> usize {
        let share = (balance as f64 * REQUEST_SHARE).ceil() as usize;
        self.most.unwrap_or(share.min(MAX_REQUEUES))
    }

    /// The endpoint is not the next one.
    pub(super) fn failed(&mut self, addr: SocketAddr) {
        if !self.endpoints.contains(&addr) {
            self.endpoints.push(addr);
        }
    }
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        let requeues = self.requeues as u64;
        self.stats.requeues_per_request.observe_number(requeues);
    }
}

impl Walk<'_> {
    /// The request has a cluster; no endpoint has been asked for.
    pub(super) fn begins(&self, balancer: &Balancer) {
        balancer.budget.deposit(self.start);
    }

    /// An endpoint was chosen at `now`. The tally counts the attempt until it is dropped.
    pub(super) fn attempt_begins(&self, balancer: &Balancer, now: Instant) -> Tally<ClientStats> {
        if !self.is_handed_on.replace(true) {
            let took = now.saturating_duration_since(self.start);
            self.server.stats.handle_time.observe(took);
        }
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
        tries: &Tries<'_>,
        addr: SocketAddr,
        can_repeat: bool,
        now: Instant,
    ) -> bool {
        // What is kept from the client must be sent again: so it must be certain that it can be.
        let balance = balancer.budget.balance(now);
        can_repeat
            && balance > 0
            && tries.requeues < tries.most(balance)
            && balancer.has_other(&tries.endpoints, Some(addr))
    }

    /// An attempt never began: there was no connection.
    pub(super) fn not_connected(&self, balancer: &Balancer, failure: &Failure) {
        self.telling.not_connected(failure);
        balancer.stats.failures.count(failure.reason);
    }

    /// An attempt has ended.
    pub(super) fn attempt_ended(
        &self,
        outcome: Outcome,
        balancer: &Balancer,
        lease: &Lease,
        tally: Tally<ClientStats>,
        upstream: Upstream,
        tries: &mut Tries<'_>,
    ) -> Verdict {
        self.telling.attempt_ended(&outcome, &self.judge);
        let verdict = self.verdict(outcome, balancer, lease, tally, upstream, tries);
        if let Verdict::End(Err(failure)) | Verdict::Again(failure) = &verdict {
            balancer.stats.failures.count(failure.reason);
        }
        verdict
    }

    fn verdict(
        &self,
        outcome: Outcome,
        balancer: &Balancer,
        lease: &Lease,
        mut tally: Tally<ClientStats>,
        upstream: Upstream,
        tries: &mut Tries<'_>,
    ) -> Verdict {
        let endpoint = lease.endpoint();
        let addr = endpoint.addr;
        let is_reused = upstream.is_reused();
        let now = Instant::now();
        let failure = match outcome {
            Outcome::Done(done) => {
                self.tell(lease, &mut tally, done.status, now);
                lease.ended(now);
                if done.reusable && !endpoint.is_removed() {
                    upstream.keep(endpoint, now);
                }
                return Verdict::End(Ok(End::Done(done, now)));
            }
            Outcome::TakenBack => {
                self.tell(lease, &mut tally, self.judge.status(), now);
                if self.judge.is_drained() && !endpoint.is_removed() {
                    upstream.keep(endpoint, now);
                }
                if let Some(wait) = self.judge.wait() {
                    return Verdict::Retry(wait);
                }
                tries.failed(addr);
                tries.fresh = true;
                return Verdict::Again(Failure::not_sent(addr));
            }
            Outcome::Aborted { must_reset } => {
                // That the client has gone says nothing; that the endpoint has cut its answer does.
                if self.judge.is_cut() {
                    lease.failed(now);
                }
                return Verdict::End(Ok(End::Aborted { must_reset }));
            }
            Outcome::NotSent => Failure::not_sent(addr),
            Outcome::Stale => Failure::connection_lost(addr),
            Outcome::Refused => {
                tries.failed(addr);
                Failure::refused(addr)
            }
            Outcome::Reset(reason) if reason == h2::Reason::REFUSED_STREAM => {
                return Verdict::End(Err(Failure::refused(addr)));
            }
            Outcome::BadRequestBody(what) => return Verdict::End(Err(Failure::malformed(&what))),
            broken => {
                lease.failed(now);
                return Verdict::End(Err(match broken {
                    Outcome::BadResponse(what) => Failure::bad_response(addr, &what),
                    Outcome::TimedOut => self.timed_out(balancer),
                    Outcome::Reset(reason) => Failure::reset(addr, reason),
                    _ => Failure::connection_lost(addr),
                }));
            }
        };
        // The rest is sent again, the first time that a kept connection was dead on a new one.
        if !is_reused {
            lease.failed(now);
            tries.failed(addr);
        }
        lease.discount();
        tries.fresh = true;
        Verdict::Again(failure)
    }

    /// Tells the endpoint, and whoever counts, what an answer is worth.
    fn tell(&self, lease: &Lease, tally: &mut Tally<ClientStats>, status: u16, now: Instant) {
        let class = self.judge.class(status);
        tally.judged(class.is_success());
        tally.ended(status, now);
        if self.judge.is_turned_away() {
            lease.turned_away(now);
            if !self.judge.can_repeat() {
                lease.cannot_retry();
            }
        } else if class.is_success() {
            lease.succeeded(now);
        } else {
            lease.failed(now);
            lease.penalise(self.judge.retry_after());
        }
        if status == 429 {
            lease.penalise(self.judge.retry_after());
        }
    }

    /// There is no response: how long to wait before the next attempt, or `None` if none follows.
    pub(super) fn retry_after(&self, failure: &Failure, can_repeat: bool) -> Option<Duration> {
        let missing = match failure.reason {
            Reason::Reset if failure.reset == Some(h2::Reason::REFUSED_STREAM) => Missing::Refused,
            Reason::ConnectFailed
            | Reason::NotSent
            | Reason::ConnectionLost
            | Reason::Reset
            | Reason::BadResponse
            | Reason::Timeout => Missing::Broken,
            _ => return None,
        };
        self.judge.absence(missing, can_repeat);
        self.judge.wait()
    }

    /// Whether the request may be sent again, and counts it. `is_connect`: no connection could be opened; then it is tried
    /// up to the limit, else only as often as leaves others a share of the budget (node-proxy 13.8).
    pub(super) fn may_requeue(
        &self,
        balancer: &Balancer,
        tries: &mut Tries<'_>,
        is_connect: bool,
    ) -> bool {
        let now = Instant::now();
        let balance = balancer.budget.balance(now);
        let most = tries.most(balance);
        tries.most = Some(most);
        if tries.requeues >= if is_connect { MAX_REQUEUES } else { most } {
            match balance {
                0 => balancer.stats.budget_exhausted.inc(),
                _ => balancer.stats.request_limit.inc(),
            }
            return false;
        }
        if !balancer.budget.withdraw(now) {
            balancer.stats.budget_exhausted.inc();
            return false;
        }
        tries.requeues += 1;
        balancer.stats.requeues.inc();
        true
    }

    pub(super) fn queue_full(&self, balancer: &Balancer, why: &str) -> Failure {
        Failure::queue_full(&self.route.shown, balancer.id(), why)
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
}

impl Attempt<'_> {
    /// Asked once, when the response head is there and nothing of it has gone out: whether the caller gets it back instead
    /// of the client ([`Outcome::TakenBack`]).
    pub(super) fn gives_back(&self, status: u16, head: &[u8], fields: &[Field]) -> bool {
        if let Some(is_offered) = self.is_offered {
            is_offered.set(fields.iter().any(|f| f.kind == Kind::Node));
        }
        let is_retryable =
            status >= 500 && values(head, fields, Kind::Retryable).any(|v| v == b"true");
        let is_turned_away = is_retryable && matches!(status, 502 | 503);
        self.judge.saw(status, is_turned_away);
        if is_turned_away && self.takes_back && self.judge.can_repeat() {
            return true;
        }
        let value = |name: &str| {
            let is = |f: &&Field| f.name(head).eq_ignore_ascii_case(name.as_bytes());
            let found = fields.iter().find(is).map(|f| f.value(head));
            found.and_then(|v| std::str::from_utf8(v).ok()?.trim().parse().ok())
        };
        let seen = Head {
            status,
            is_retryable,
            grpc_status: self
                .judge
                .wants_grpc_status()
                .then(|| value("grpc-status"))
                .flatten(),
            is_end: false,
        };
        let retry_after = match status {
            429 | 503 => value("retry-after").map(|s| Duration::from_secs(s.into())),
            _ => None,
        };
        self.judge.head(seen, retry_after)
    }
}

/// What is said to a request over a limit.
pub(super) fn overloaded(refused: Refused) -> Failure {
    match refused {
        Refused::Server(limit) => Failure::overloaded("maxConcurrentRequests", limit),
        Refused::Process(limit) => Failure::overloaded("the limit of this process", limit),
    }
}

/// A request has ended that had a name.
pub(super) fn ended(
    end: &Result<End, Failure>,
    judge: &Judge<'_>,
    server: &mut Tally<ServerStats>,
    service: &mut Tally<ServiceStats>,
) {
    match end {
        Ok(End::Done(done, end)) => {
            let is_success = judge.class(done.status).is_success();
            server.judged(is_success);
            service.judged(is_success);
            server.ended(done.status, *end);
            service.ended(done.status, *end);
        }
        // A response that was cut is no success: it counts as none.
        Ok(End::Aborted { .. }) => {}
        Err(failure) => {
            server.answered(failure.status);
            service.answered(failure.status);
            service.stats().failures.count(failure.reason);
        }
    }
}
