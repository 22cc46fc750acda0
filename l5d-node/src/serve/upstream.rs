//! The upstream half of an attempt: what carries a request to an endpoint, and how it is come by.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::listener;
use super::policy::Walk;
use super::respond::{Failure, SHOWN_ADDRESSES};
use super::worker::Server;
use crate::balance::{Balancer, Endpoint, Lease, Session};
use crate::config::Protocol;
use crate::connect::h2::{Handle, Slot};
use crate::connect::{ConnectError, Connection, Local, Stream, dial, local};
use crate::tls::{Connector, within};

/// What carries one request to an endpoint.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// A connection of its own, in HTTP/1.
    Http1(Http1),
    /// A stream of a shared connection, in HTTP/2.
    Http2(Handle),
}

/// A connection that serves one request at a time.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(crate) connection: Connection,
    /// Whether it had requests before.
    pub(crate) is_reused: bool,
    /// The right to it, given up behind it.
    _session: Session,
}

impl Upstream {
    /// Whether it had requests before: that it is dead says nothing about the endpoint.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.is_reused,
            Self::Http2(handle) => handle.is_reused,
        }
    }

    /// Whether it is a connection within the process.
    fn is_local(&self) -> bool {
        matches!(self, Self::Http1(http1) if http1.connection.stream.is_local())
    }

    /// Keeps what can be used again; the exchange on it has ended well.
    pub(crate) fn keep(self, endpoint: &Endpoint, now: Instant) {
        match self {
            Self::Http1(http1) => endpoint.pool().put(http1.connection, now),
            Self::Http2(_) => {}
        }
    }
}

/// Why there is no shared connection.
enum NotShared {
    Failure(Failure),
    /// Connected, and HTTP/2 did not begin.
    NoHttp2(String),
}

/// How the id of a cluster begins whose endpoints are the routers of nodes: by this transformer.
const NODES: &str = "/%/io.l5d.k8s.daemonset/";

impl Walk<'_> {
    /// Whether the request could be put on a stream to another node (node-proxy 14.3).
    fn may_carry(&self, balancer: &Balancer) -> bool {
        let request = self.request;
        balancer.client.node_http2
            && balancer.id().starts_with(NODES)
            && self.server.router.config.protocol == Protocol::Http
            && !(request.is_connect || request.upgrades || request.expects_continue)
    }

    /// Whether the endpoint is to be asked if it takes such requests in HTTP/2: not within the process, where streams save
    /// nothing.
    pub(super) fn asks(
        &self,
        balancer: &Balancer,
        lease: &Lease,
        upstream: &Upstream,
        now: Instant,
    ) -> bool {
        !upstream.is_local()
            && self.may_carry(balancer)
            && lease.endpoint().multiplexed().is_unknown(now)
    }

    /// What carries the request to the leased endpoint. `fresh`: not over a connection that was used before. `is_repeatable`:
    /// the request may be sent again if the endpoint closes at this very moment.
    pub(super) async fn connect(
        &self,
        balancer: &Balancer,
        lease: &Lease,
        fresh: bool,
        is_repeatable: bool,
        now: Instant,
    ) -> Result<Upstream, Failure> {
        let endpoint = lease.endpoint();
        if self.server.router.is_own(endpoint.addr, None) {
            return Err(Failure::own_address(endpoint.addr, &self.route.shown));
        }
        if self.server.router.config.protocol == Protocol::H2 {
            let shared = self.share(balancer, lease).await;
            return shared.map(Upstream::Http2).map_err(|e| match e {
                NotShared::Failure(failure) => failure,
                NotShared::NoHttp2(why) => {
                    lease.connect_failed(Instant::now());
                    balancer.stats.connect_failures.inc();
                    self.connect_failed(balancer, endpoint, &why)
                }
            });
        }
        if self.may_carry(balancer) && endpoint.multiplexed().is_offered(now) {
            match self.share(balancer, lease).await {
                Ok(handle) => return Ok(Upstream::Http2(handle)),
                Err(NotShared::NoHttp2(_)) => endpoint.multiplexed().refused(now),
                // Somebody else has found out meanwhile.
                Err(NotShared::Failure(_)) if !endpoint.multiplexed().is_offered(now) => {}
                Err(NotShared::Failure(failure)) => return Err(failure),
            }
        }
        let session = lease.session(self.time_to_bind()).await;
        let session = session.map_err(|e| self.queue_full(balancer, &e.to_string()))?;
        if !fresh && let Some(connection) = endpoint.pool().take(now, is_repeatable) {
            return Ok(Upstream::Http1(Http1 {
                connection,
                is_reused: true,
                _session: session,
            }));
        }
        let connection = self.dial(balancer, lease).await?;
        Ok(Upstream::Http1(Http1 {
            connection,
            is_reused: false,
            _session: session,
        }))
    }

    /// A new connection, in clear text or in TLS as the cluster's settings say. `there`: the server of this process at `addr`.
    async fn open(
        &self,
        balancer: &Balancer,
        addr: SocketAddr,
        there: Option<Rc<Server>>,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let counts = &balancer.stats.connections;
        let router = &self.server.router;
        let connector = balancer.connector(|cluster, client| {
            let protocol = router.config.protocol;
            router.tls.connector(cluster, client, protocol)
        });
        if let Some(stream) = there.and_then(|server| self.within(addr, &server, connector)) {
            return Ok(Connection::new(Stream::local(stream), counts));
        }
        let connection = match connector {
            None => dial(addr, limit, counts).await,
            Some(connector) => connector.dial(addr, limit, counts).await,
        }?;
        let tuned = connection.tune(&balancer.client.socket);
        tuned.map_err(|source| ConnectError::Failed { addr, source })?;
        Ok(connection)
    }

    /// The near end of a connection to a server of this process, where no rule needs a socket: nobody has to prove anything
    /// but what this node knows of itself.
    fn within(
        &self,
        addr: SocketAddr,
        server: &Rc<Server>,
        connector: Option<&Connector>,
    ) -> Option<Local> {
        let certificate = within(connector, server.acceptor.as_deref())?;
        let (near, far) = local(addr, certificate);
        listener::take_local(server, far);
        Some(near)
    }

    /// A shared connection: one that is open, or a new one for all who wait for it.
    async fn share(&self, balancer: &Balancer, lease: &Lease) -> Result<Handle, NotShared> {
        let endpoint = lease.endpoint();
        let slot = timeout(self.time_to_bind(), endpoint.multiplexed().slot());
        let dialing = match slot.await {
            Ok(Slot::Ready(handle)) => return Ok(handle),
            Ok(Slot::Dial(dialing)) => dialing,
            Ok(Slot::Failed(why)) => return Err(NotShared::Failure(Failure::not_connected(&*why))),
            Err(_) => return Err(NotShared::Failure(self.no_time_to_connect(balancer))),
        };
        let connection = match self.dial(balancer, lease).await {
            Ok(connection) => connection,
            Err(failure) => {
                dialing.failed(&failure.message);
                return Err(NotShared::Failure(failure));
            }
        };
        let limit = balancer.client.connect_timeout.min(self.time_to_bind());
        let opened = dialing.opened(connection, &balancer.client.h2, limit).await;
        opened.map_err(|e| NotShared::NoHttp2(e.to_string()))
    }

    /// A new connection.
    async fn dial(&self, balancer: &Balancer, lease: &Lease) -> Result<Connection, Failure> {
        let endpoint = lease.endpoint();
        let left = self.time_to_bind();
        if left.is_zero() {
            return Err(self.no_time_to_connect(balancer));
        }
        let there = self.server.worker.server_at(endpoint.addr);
        let leads_here = |server: &Rc<Server>| Rc::ptr_eq(&server.router, &self.server.router);
        if there.as_ref().is_some_and(leads_here) {
            return Err(Failure::own_address(endpoint.addr, &self.route.shown));
        }
        let limit = balancer.client.connect_timeout.min(left);
        let (begin, stats) = (Instant::now(), &balancer.stats);
        match self.open(balancer, endpoint.addr, there, limit).await {
            Ok(connection) => {
                let from = connection.stream.local_addr().map(|a| a.ip());
                if self.server.router.is_own(endpoint.addr, from) {
                    return Err(Failure::own_address(endpoint.addr, &self.route.shown));
                }
                endpoint.connected();
                stats.connect_latency.observe(begin.elapsed());
                Ok(connection)
            }
            Err(e) => {
                lease.connect_failed(Instant::now());
                stats.connect_failures.inc();
                stats.failed_connect_latency.observe(begin.elapsed());
                Err(self.connect_failed(balancer, endpoint, &e.to_string()))
            }
        }
    }

    fn connect_failed(&self, balancer: &Balancer, endpoint: &Endpoint, why: &str) -> Failure {
        Failure::connect_failed(
            &self.route.shown,
            balancer.id(),
            &balancer.addresses(SHOWN_ADDRESSES),
            endpoint.addr,
            why,
        )
    }
}
