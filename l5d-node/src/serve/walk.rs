//! A request's walk: context, name, cluster, endpoint, connection, and again where that is safe (node-proxy 1, 12.3, 13.8).

use std::net::SocketAddr;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::admit::{deadline, identify, local_dtab};
use super::buffer::Scratch;
use super::connection::{Next, answer};
use super::context::Trace;
use super::exchange::{Attempt, Client, Done, Outcome};
use super::forward::{self, Context, Destination};
use super::request::Request;
use super::respond::{Failure, SHOWN_ADDRESSES};
use super::stats::Tally;
use super::wire::field::{Kind, values};
use super::worker::Server;
use crate::balance::{Balancer, Lease, Unavailable};
use crate::cache::{Leaf, NameState};
use crate::connect::{Connection, dial};
use crate::route::{Route, pick};

/// How a request ends that is not answered with a failure of ours.
enum End {
    Done(Done, Instant),
    Aborted { must_reset: bool },
}

/// One request on its walk.
struct Walk<'a> {
    server: &'a Server,
    request: &'a Request,
    route: &'a Route,
    trace: Trace,
    /// When the service layer began.
    start: Instant,
    /// The head as far as all attempts have it in common.
    common: &'a [u8],
    /// The buffered body.
    body: &'a [u8],
    /// The client's host.
    host: &'a [u8],
}

/// Sending again, whatever the budget says.
const MAX_REQUEUES: usize = 25;

/// Walks a request whose head, and body if it is buffered, stand in the client's buffer.
pub(crate) async fn run(
    server: &Server,
    client: &mut Client<'_>,
    request: &Request,
    start: Instant,
) -> Next {
    let head = &client.buf.filled()[..request.head_len];
    let local = match local_dtab(server, head, request) {
        Ok(local) => local,
        Err(failure) => {
            server.stats.refused.inc();
            return refuse(server, client, request, &failure).await;
        }
    };
    let mut tally = Tally::new(server.stats.clone(), start);
    let route = match identify(server, head, request, &local, start) {
        Ok(route) => route,
        Err(failure) => {
            tally.answered(failure.status);
            return refuse(server, client, request, &failure).await;
        }
    };
    let mut service = Tally::new(route.stats.clone(), start);
    let trace = receive_trace(server, head, request);
    let common = common_head(server, head, request, &route, &trace);
    let host_len = request.host(head).map_or(0, <[u8]>::len);
    let kept = keep(server, client, request);
    let walk = Walk {
        server,
        request,
        route: &route,
        trace,
        start,
        common: &common,
        body: &kept[host_len..],
        host: &kept[..host_len],
    };
    match walk.go(client).await {
        Ok(End::Done(done, end)) => {
            tally.ended(done.status, end);
            service.ended(done.status, end);
            if done.keep_alive {
                Next::KeepAlive
            } else {
                Next::Close
            }
        }
        // A response that was cut is no success: it counts as none.
        Ok(End::Aborted { must_reset: true }) => Next::Reset,
        Ok(End::Aborted { must_reset: false }) => Next::Abort,
        Err(failure) => {
            tally.answered(failure.status);
            service.answered(failure.status);
            answer(server, client, Some(request), &failure, request.is_buffered).await
        }
    }
}

/// This hop's span.
fn receive_trace(server: &Server, head: &[u8], request: &Request) -> Trace {
    let value = |kind| {
        let mut values = values(head, &request.fields, kind);
        values.next().filter(|_| !server.config.clear_context)
    };
    let (header, sample) = (value(Kind::CtxTrace), value(Kind::Sample));
    Trace::receive(header, sample, &mut server.worker.rng.borrow_mut())
}

fn common_head(
    server: &Server,
    head: &[u8],
    request: &Request,
    route: &Route,
    trace: &Trace,
) -> Scratch {
    let context = Context {
        service: &route.shown,
        local: &route.local.shown,
        deadline: deadline(server, head, request),
        trace,
        clear_context: server.config.clear_context,
    };
    let mut common = server.worker.buffers.scratch();
    forward::request(head, request, &context, &mut common);
    common
}

/// Takes the request off the client's buffer, but for a body that streams: the host, and behind it the body, are kept aside.
fn keep(server: &Server, client: &mut Client<'_>, request: &Request) -> Scratch {
    let mut kept = server.worker.buffers.scratch();
    let bytes = client.buf.filled();
    kept.extend_from_slice(request.host(bytes).unwrap_or_default());
    kept.extend_from_slice(&bytes[request.head_len..request.buffered_len()]);
    client.buf.consume(request.buffered_len());
    if request.is_buffered {
        // While the response is awaited the memory serves others.
        client.buf.release();
    }
    kept
}

/// Answers a request that is still in the buffer.
async fn refuse(
    server: &Server,
    client: &mut Client<'_>,
    request: &Request,
    failure: &Failure,
) -> Next {
    client.buf.consume(request.buffered_len());
    answer(server, client, Some(request), failure, request.is_buffered).await
}

impl Walk<'_> {
    async fn go(&self, client: &mut Client<'_>) -> Result<End, Failure> {
        let leaf = self.leaf().await?;
        let balancer = self.server.router.balancers.get(&leaf.cluster, self.start);
        balancer.budget.deposit(self.start);
        let mut tried: SmallVec<[SocketAddr; 4]> = SmallVec::new();
        let mut fresh = false;
        let mut requeues = 0;
        loop {
            let (lease, now) = self.lease(&balancer, &tried).await?;
            let addr = lease.endpoint().addr;
            let mut tally = Tally::new(balancer.stats.clone(), now);
            let connected = self.connect(&balancer, &lease, fresh, now).await;
            let (connection, is_reused) = match connected {
                Ok(connected) => connected,
                Err(failure) => {
                    lease.discount();
                    tried.push(addr);
                    if balancer.has_other(&tried) && self.may_requeue(&balancer, &mut requeues) {
                        continue;
                    }
                    return Err(failure);
                }
            };
            let takes_back = self.request.is_buffered
                && requeues < MAX_REQUEUES
                && balancer.budget.balance(now) > 0
                && balancer.has_other(&[&tried[..], &[addr]].concat());
            let (outcome, connection) = self
                .attempt(client, &balancer, &leaf, connection, is_reused, takes_back)
                .await;
            let failure = match outcome {
                Outcome::Done(done) => {
                    let end = Instant::now();
                    if done.status < 500 {
                        lease.endpoint().worked();
                    }
                    tally.ended(done.status, end);
                    lease.ended(end);
                    if done.reusable && !lease.endpoint().is_removed() {
                        lease.endpoint().pool().put(connection, end);
                    }
                    return Ok(End::Done(done, end));
                }
                Outcome::Aborted { must_reset } => {
                    return Ok(End::Aborted { must_reset });
                }
                Outcome::NotSent => Failure::not_sent(addr),
                Outcome::Stale => Failure::connection_lost(addr),
                Outcome::TakenBack => {
                    lease.endpoint().turned_away(Instant::now());
                    tried.push(addr);
                    tally.answered(503);
                    Failure::not_sent(addr)
                }
                Outcome::Lost => return Err(Failure::connection_lost(addr)),
                Outcome::BadResponse(what) => return Err(Failure::bad_response(addr, &what)),
                Outcome::BadRequestBody(what) => return Err(Failure::malformed(&what)),
                Outcome::TimedOut => return Err(self.timed_out()),
            };
            // The rest is sent again, the first time that a kept connection was dead on a new one.
            lease.discount();
            if !is_reused && !tried.contains(&addr) {
                tried.push(addr);
            }
            fresh = true;
            if !self.may_requeue(&balancer, &mut requeues) {
                return Err(failure);
            }
        }
    }

    /// The leaf of this request, as soon as the name has a tree.
    async fn leaf(&self) -> Result<Leaf, Failure> {
        let routes = &self.server.router.routes;
        let mut state = routes.state(self.route, self.start);
        if matches!(*state, NameState::Pending) {
            state = self.route.name().settled(self.time_to_bind()).await;
        }
        match &*state {
            NameState::Bound(tree) => pick(tree, &mut self.server.worker.rng.borrow_mut())
                .cloned()
                .ok_or_else(|| self.no_binding()),
            NameState::Failed(failure) => {
                Err(Failure::binding_failed(&failure.message, failure.is_limit))
            }
            NameState::Pending => Err(self.still_pending()),
        }
    }

    /// An endpoint, as soon as the cluster's are known, and the time at which it was chosen.
    async fn lease(
        &self,
        balancer: &Balancer,
        tried: &[SocketAddr],
    ) -> Result<(Lease, Instant), Failure> {
        let worker = &self.server.worker;
        let lease = || {
            let now = Instant::now();
            let leased = balancer.lease(tried, &mut worker.rng.borrow_mut(), now);
            leased.map(|lease| (lease, now))
        };
        let mut leased = lease();
        if matches!(leased, Err(Unavailable::Pending)) {
            balancer.cluster().settled(self.time_to_bind()).await;
            leased = lease();
        }
        let config = &self.server.router.config;
        leased.map_err(|e| match e {
            Unavailable::Pending => self.still_pending(),
            Unavailable::Failed(why) => Failure::binding_failed(&why, false),
            Unavailable::NoAddress => Failure::no_address(
                &self.route.shown,
                balancer.id(),
                &config.dtab,
                self.route.local.dtab.as_ref(),
            ),
        })
    }

    /// A connection to the endpoint, and whether it was used before.
    async fn connect(
        &self,
        balancer: &Balancer,
        lease: &Lease,
        fresh: bool,
        now: Instant,
    ) -> Result<(Connection, bool), Failure> {
        let endpoint = lease.endpoint();
        let is_own = |from| self.server.router.is_own(endpoint.addr, from);
        if is_own(None) {
            return Err(Failure::own_address(endpoint.addr, &self.route.shown));
        }
        let is_repeatable = self.request.is_idempotent && self.request.is_buffered;
        if !fresh && let Some(kept) = endpoint.pool().take(now, is_repeatable) {
            return Ok((kept, true));
        }
        let config = &self.server.router.config;
        let left = self.time_to_bind();
        if left.is_zero() {
            let (limit, service) = (config.binding_timeout, &self.route.shown);
            return Err(match config.total_timeout {
                Some(total) if total < limit => Failure::timeout("totalTimeoutMs", total, service),
                _ => Failure::connecting_timeout(limit, service, balancer.id()),
            });
        }
        let limit = config.connect_timeout.min(left);
        match dial(endpoint.addr, limit, &balancer.stats.connections).await {
            Ok(connection) => {
                if is_own(connection.stream.local_addr().ok().map(|a| a.ip())) {
                    return Err(Failure::own_address(endpoint.addr, &self.route.shown));
                }
                endpoint.connected();
                balancer.stats.connects.inc();
                Ok((connection, false))
            }
            Err(e) => {
                endpoint.connect_failed(Instant::now());
                balancer.stats.connect_failures.inc();
                Err(Failure::connect_failed(
                    &self.route.shown,
                    balancer.id(),
                    &balancer.addresses(SHOWN_ADDRESSES),
                    endpoint.addr,
                    &e.to_string(),
                ))
            }
        }
    }

    async fn attempt(
        &self,
        client: &mut Client<'_>,
        balancer: &Balancer,
        leaf: &Leaf,
        mut connection: Connection,
        is_reused: bool,
        takes_back: bool,
    ) -> (Outcome, Connection) {
        let worker = &self.server.worker;
        let authority = balancer.authority();
        let destination = Destination {
            client: balancer.id(),
            residual: &leaf.residual,
            authority: authority.as_deref(),
            trace: self.trace.child(&mut worker.rng.borrow_mut()),
        };
        let mut wire = worker.buffers.scratch();
        forward::attempt(self.common, self.request, &destination, &mut wire);
        wire.extend_from_slice(self.body);
        let attempt = Attempt {
            request: self.request,
            wire: &wire,
            buffers: &worker.buffers,
            limits: self.server.limits(),
            is_reused,
            takes_back,
            deadline: self.head_deadline(),
            clear_context: self.server.config.clear_context,
            drain: &worker.drain,
            hosts: authority.as_deref().map(|sent| (sent, self.host)),
        };
        let outcome = attempt.run(client, &mut connection.stream).await;
        (outcome, connection)
    }

    /// Whether the request may be sent again, and counts it.
    fn may_requeue(&self, balancer: &Balancer, requeues: &mut usize) -> bool {
        *requeues += 1;
        if *requeues > MAX_REQUEUES || !balancer.budget.withdraw(Instant::now()) {
            balancer.stats.budget_exhausted.inc();
            return false;
        }
        balancer.stats.requeues.inc();
        true
    }

    /// What is left of the binding timeout, and of the total one.
    fn time_to_bind(&self) -> std::time::Duration {
        let config = &self.server.router.config;
        let limit = config
            .total_timeout
            .map_or(config.binding_timeout, |t| t.min(config.binding_timeout));
        limit.saturating_sub(self.start.elapsed())
    }

    /// When an attempt that starts now must have a response head.
    fn head_deadline(&self) -> Option<Instant> {
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

    fn no_binding(&self) -> Failure {
        let base = &self.server.router.config.dtab;
        Failure::no_binding(&self.route.shown, base, self.route.local.dtab.as_ref())
    }

    fn still_pending(&self) -> Failure {
        let config = &self.server.router.config;
        let service = &self.route.shown;
        if let Some(total) = config.total_timeout.filter(|t| self.start.elapsed() >= *t) {
            return Failure::timeout("totalTimeoutMs", total, service);
        }
        let why = self.server.router.routes.why_pending();
        Failure::binding_timeout(config.binding_timeout, service, &why)
    }
}
