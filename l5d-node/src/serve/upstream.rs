//! The upstream half of an attempt: what carries a request to an endpoint, and how it is come by.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Walk;
use super::respond::{Failure, SHOWN_ADDRESSES};
use crate::balance::{Balancer, Endpoint, Lease, Session};
use crate::connect::{ConnectError, Connection, dial};

/// What carries one request to an endpoint.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// A connection of its own, in HTTP/1.
    Http1(Http1),
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
        }
    }

    /// Keeps what can be used again; the exchange on it has ended well.
    pub(crate) fn keep(self, endpoint: &Endpoint, now: Instant) {
        match self {
            Self::Http1(http1) => endpoint.pool().put(http1.connection, now),
        }
    }
}

impl Walk<'_> {
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

    /// A new connection, in clear text or in TLS as the cluster's settings say.
    async fn open(
        &self,
        balancer: &Balancer,
        addr: SocketAddr,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let open = &balancer.stats.connections;
        let router = &self.server.router;
        let connector = balancer.connector(|cluster, client| {
            let protocol = router.config.protocol;
            router.tls.connector(cluster, client, protocol)
        });
        match connector {
            None => dial(addr, limit, open).await,
            Some(connector) => connector.dial(addr, limit, open).await,
        }
    }

    /// A new connection.
    async fn dial(&self, balancer: &Balancer, lease: &Lease) -> Result<Connection, Failure> {
        let endpoint = lease.endpoint();
        let left = self.time_to_bind();
        if left.is_zero() {
            return Err(self.no_time_to_connect(balancer));
        }
        let limit = balancer.client.connect_timeout.min(left);
        let (begin, stats) = (Instant::now(), &balancer.stats);
        match self.open(balancer, endpoint.addr, limit).await {
            Ok(connection) => {
                let from = connection.stream.tcp().local_addr().ok().map(|a| a.ip());
                if self.server.router.is_own(endpoint.addr, from) {
                    return Err(Failure::own_address(endpoint.addr, &self.route.shown));
                }
                endpoint.connected();
                stats.connects.inc();
                stats.connect_latency.observe(begin.elapsed());
                Ok(connection)
            }
            Err(e) => {
                lease.connect_failed(Instant::now());
                stats.connect_failures.inc();
                stats.failed_connect_latency.observe(begin.elapsed());
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
}
