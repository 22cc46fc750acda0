//! A request's walk: context, name, cluster, endpoint, connection, and again where that is safe (node-proxy 1, 12.3, 13.8).
//!
//! The steps are here; what is decided at each is in [`super::policy`], the client's half in [`super::half`], the upstream
//! half in [`super::upstream`].

use std::cell::Cell;

use tokio::time::Instant;

use super::added::{self, Hops};
use super::admit::{deadline, identify, local_dtab, rules_come};
use super::buffer::Scratch;
use super::classify::Method;
use super::exchange::{Attempt, Outcome};
use super::forward::{self, Context, Destination};
use super::half::ClientHalf;
use super::limits::Limit;
use super::policy::{self, End, Pass, Tries, Verdict, Walk};
use super::pump::Idle;
use super::request::Request;
use super::respond::Failure;
use super::retry::{Case, Judge};
use super::stats::Tally;
use super::telling::{Telling, receive_trace};
use super::upstream::Upstream;
use super::worker::Server;
use crate::balance::{Balancer, Lease, Unavailable};
use crate::cache::{Leaf, NameState};
use crate::route::pick;

/// Walks a request whose head, and body if it is buffered, are the client's message.
pub(crate) async fn run<C: ClientHalf>(
    server: &Server,
    client: &mut C,
    request: &Request,
    start: Instant,
) -> C::Next {
    let head = &client.message()[..request.head_len];
    let trace = receive_trace(server, head, request);
    let telling = Telling::begin(server, client, request, &trace, start);
    let _admitted = match server.admission.admit(&server.worker.total) {
        Ok(admitted) => admitted,
        Err(refused) => {
            server.stats.nacks.inc();
            let failure = policy::overloaded(refused);
            telling.failed(&failure);
            client.take(request);
            return client.answer(server, request, &failure).await;
        }
    };
    let local = match local_dtab(server, head, request) {
        Ok(local) => local,
        Err(failure) => {
            telling.failed(&failure);
            server.stats.refused.inc();
            client.take(request);
            return client.answer(server, request, &failure).await;
        }
    };
    let mut tally = Tally::new(server.stats.clone(), start);
    let named = match rules_come(server).await {
        Ok(()) => identify(server, head, request, &local, start),
        Err(failure) => Err(failure),
    };
    let named = named.and_then(|named| Ok((named, Hops::of(head, request)?)));
    let ((route, identified), hops) = match named {
        Ok(named) => named,
        Err(failure) => {
            telling.failed(&failure);
            tally.answered(failure.status);
            client.take(request);
            return client.answer(server, request, &failure).await;
        }
    };
    telling.named(&route);
    let mut service = Tally::new(route.stats.clone(), start);
    let limit = Limit::of(server, &route, request, head);
    let deadline = deadline(server, head, request, limit.map(|l| l.time));
    let method = Method::of(&head[request.method.clone()]);
    let config = &server.router.config;
    let added = added::fields(server, client, request);
    let context = Context {
        via: &config.via,
        propagator: config.trace_propagator,
        added: &added,
        max_forwards: hops.onward(),
        consumed: identified.consumed,
        service: &route.shown,
        local: &route.local.shown,
        sets_deadline: deadline.is_some(),
        trace: &trace,
        clear_context: server.config.clear_context,
    };
    let mut common = server.worker.buffers.scratch();
    forward::request(head, request, &context, &mut common);
    let host_len = request.host(head).map_or(0, <[u8]>::len);
    let kept = keep(server, client, request);
    let walk = Walk {
        server,
        request,
        route: &route,
        trace,
        telling,
        start,
        common: &common,
        body: &kept[host_len..],
        host: &kept[..host_len],
        limit,
        deadline,
        is_handed_on: Cell::new(false),
        is_traced: hops == Hops::Last,
        judge: Judge::new(
            Case {
                service: &route.service,
                budget: &route.budget,
                stats: &route.stats,
                method,
                start,
                end: limit.map(|l| start + l.time),
            },
            &server.worker.rng,
        ),
    };
    let end = walk.serve(client).await;
    let end = end.map_err(|failure| failure.with_timeout_status(config.timeout_status));
    walk.telling.ended(&end, &walk.judge);
    policy::ended(&end, &walk.judge, &mut tally, &mut service);
    match end {
        Ok(End::Done(done, _)) => client.done(done),
        Ok(End::Aborted { must_reset }) => client.aborted(must_reset),
        Err(failure) => client.answer(server, request, &failure).await,
    }
}

/// Takes the message from the client: the host, and behind it the buffered body, are kept aside.
fn keep<C: ClientHalf>(server: &Server, client: &mut C, request: &Request) -> Scratch {
    let mut kept = server.worker.buffers.scratch();
    let bytes = client.message();
    kept.extend_from_slice(request.host(bytes).unwrap_or_default());
    kept.extend_from_slice(&bytes[request.head_len..request.buffered_len()]);
    client.take(request);
    kept
}

impl Walk<'_> {
    /// Attempts until there is an answer, or none is to follow (node-proxy 13.7).
    async fn serve<C: ClientHalf>(&self, client: &mut C) -> Result<End, Failure> {
        loop {
            self.judge.begin(client.can_repeat(self.request));
            let wait = match self.go(client).await {
                Ok(Pass::End(end)) => return Ok(end),
                Ok(Pass::Retry(wait)) => wait,
                Err(failure) => {
                    let can_repeat = client.can_repeat(self.request);
                    let wait = self.retry_after(&failure, can_repeat);
                    wait.ok_or_else(|| self.given_up(failure))?
                }
            };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Attempts with one leaf of the name's tree.
    async fn go<C: ClientHalf>(&self, client: &mut C) -> Result<Pass, Failure> {
        let leaf = self.leaf().await?;
        let balancer = self.server.router.balancers.get(&leaf.cluster, self.start);
        self.begins(&balancer);
        let mut tries = Tries::new(&balancer.stats);
        loop {
            let (lease, now) = self.lease(&balancer, &tries).await?;
            let addr = lease.endpoint().addr;
            if self.is_traced {
                lease.discount();
                return Err(self.traced(&balancer, addr));
            }
            let tally = self.attempt_begins(&balancer, now);
            self.telling.attempt(balancer.id(), &leaf.residual, addr);
            let can_repeat = client.can_repeat(self.request);
            let is_repeatable = self.request.is_idempotent && can_repeat;
            // A tunnel is no request of a connection that others use.
            let is_fresh = tries.fresh || self.request.is_connect;
            let connected = self.connect(&balancer, &lease, is_fresh, is_repeatable, now);
            let mut upstream = match connected.await {
                Ok(upstream) => upstream,
                Err(failure) => {
                    self.not_connected(&balancer, &failure);
                    lease.discount();
                    tries.failed(addr);
                    if balancer.has_other(&tries.endpoints, None)
                        && self.may_requeue(&balancer, &mut tries, true)
                    {
                        continue;
                    }
                    return Err(failure);
                }
            };
            self.judge.begin(can_repeat);
            let takes_back = self.wants_back(&balancer, &tries, addr, can_repeat, now);
            let is_offered = Cell::new(false);
            let offer = self
                .asks(&balancer, &lease, &upstream, now)
                .then_some(&is_offered);
            let outcome = self
                .attempt(client, &balancer, &leaf, &mut upstream, takes_back, offer)
                .await;
            if offer.is_some_and(Cell::get) {
                lease.endpoint().multiplexed().offered(now);
            }
            match self.attempt_ended(outcome, &balancer, &lease, tally, upstream, &mut tries) {
                Verdict::End(end) => return end.map(Pass::End),
                Verdict::Retry(wait) => return Ok(Pass::Retry(wait)),
                Verdict::Again(_) if self.may_requeue(&balancer, &mut tries, false) => {}
                Verdict::Again(failure) => return Err(failure),
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
        tries: &Tries<'_>,
    ) -> Result<(Lease, Instant), Failure> {
        let worker = &self.server.worker;
        let lease = || {
            let now = Instant::now();
            let leased = balancer.lease(&tries.endpoints, &mut worker.rng.borrow_mut(), now);
            leased.map(|lease| (lease, now))
        };
        let mut leased = lease();
        if matches!(leased, Err(Unavailable::Pending)) {
            let Some(_place) = balancer.queue() else {
                return Err(self.queue_full(balancer, "too many requests wait for its endpoints"));
            };
            balancer.cluster().settled(self.time_to_bind()).await;
            leased = lease();
        }
        leased.map_err(|e| match e {
            Unavailable::Pending => self.still_pending(),
            Unavailable::Failed(why) => Failure::binding_failed(&why, false),
            Unavailable::NoAddress => self.no_address(balancer),
        })
    }

    async fn attempt<C: ClientHalf>(
        &self,
        client: &mut C,
        balancer: &Balancer,
        leaf: &Leaf,
        upstream: &mut Upstream,
        takes_back: bool,
        offer: Option<&Cell<bool>>,
    ) -> Outcome {
        let worker = &self.server.worker;
        let authority = balancer.authority();
        let wants_cert = balancer.client.forward_client_cert;
        let client_cert = wants_cert.then(|| client.client_cert()).flatten();
        let destination = Destination {
            client_cert: client_cert.as_deref(),
            client: balancer.id(),
            residual: &leaf.residual,
            propagator: self.server.router.config.trace_propagator,
            authority: authority.as_deref(),
            deadline: self.deadline(balancer),
            trace: self.trace.child(&mut worker.rng.borrow_mut()),
            asks_http2: offer.is_some(),
        };
        self.telling.sent(&destination.trace);
        let mut wire = worker.buffers.scratch();
        forward::attempt(self.common, self.request, &destination, &mut wire);
        let head_len = wire.len();
        wire.extend_from_slice(self.body);
        let attempt = Attempt {
            request: self.request,
            wire: &wire,
            head_len,
            buffers: &worker.buffers,
            limits: self.server.limits(),
            takes_back,
            deadline: self.head_deadline(balancer),
            judge: &self.judge,
            is_offered: offer,
            idle: Idle::new(balancer.client.stream_idle_timeout),
            clear_context: self.server.config.clear_context,
            via: &self.server.router.config.via,
            drain: &worker.drain,
            hosts: authority.as_deref().map(|sent| (sent, self.host)),
        };
        client.attempt(&attempt, upstream).await
    }
}
