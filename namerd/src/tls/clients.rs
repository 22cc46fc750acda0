//! Shares of clients: how many connections and requests one address gets.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::ClientLimits;

/// The clients of one server.
pub(super) struct Clients {
    limits: ClientLimits,
    table: Mutex<Table>,
    refused: [AtomicU64; 3],
}

#[derive(Default)]
struct Table {
    /// Connections of all.
    open: usize,
    clients: HashMap<IpAddr, Client>,
}

struct Client {
    open: usize,
    /// Requests that may be made at once, as of `at`.
    tokens: f64,
    at: Instant,
}

/// A connection's place; given back when dropped.
pub struct Place {
    clients: Arc<Clients>,
    ip: IpAddr,
}

/// What was refused, as metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// The server has all the connections that it may have.
    #[error("all connections of this server are taken")]
    Connections,
    /// This client has.
    #[error("this client has all the connections that one may have")]
    ClientConnections,
}

/// Clients without a connection that are remembered for the requests they have just made.
const REMEMBERED: usize = 4_096;
const REASONS: [&str; 3] = [
    "server-connections",
    "client-connections",
    "client-requests",
];

impl Clients {
    pub(super) fn new(limits: &ClientLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            table: Mutex::default(),
            refused: Default::default(),
        })
    }

    pub(super) fn connect(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Crowded> {
        let ip = ip.to_canonical();
        let mut table = self.table.lock();
        if table.open >= self.limits.connections {
            return Err(self.crowded(Crowded::Connections));
        }
        if table.clients.len() >= self.limits.connections + REMEMBERED {
            table.clients.retain(|_, client| client.open > 0);
        }
        let client = table.clients.entry(ip).or_insert_with(|| Client {
            open: 0,
            tokens: self.limits.request_burst,
            at: Instant::now(),
        });
        if client.open >= self.limits.connections_per_client {
            return Err(self.crowded(Crowded::ClientConnections));
        }
        client.open += 1;
        table.open += 1;
        let clients = Arc::clone(self);
        Ok(Place { clients, ip })
    }

    /// `Err`: when to come again.
    pub(super) fn ask(&self, ip: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut table = self.table.lock();
        // Whoever asks has a connection.
        let Some(client) = table.clients.get_mut(&ip.to_canonical()) else {
            return Ok(());
        };
        let limits = &self.limits;
        let gained = (now - client.at).as_secs_f64() * limits.requests_per_second;
        client.tokens = (client.tokens + gained).min(limits.request_burst);
        client.at = now;
        if client.tokens >= 1.0 {
            client.tokens -= 1.0;
            return Ok(());
        }
        self.refused[2].fetch_add(1, Ordering::Relaxed);
        let missing = 1.0 - client.tokens;
        Err(Duration::from_secs_f64(
            missing / limits.requests_per_second,
        ))
    }

    /// How often something was refused, by what it was.
    pub(super) fn refused(&self) -> [(&'static str, u64); 3] {
        std::array::from_fn(|i| (REASONS[i], self.refused[i].load(Ordering::Relaxed)))
    }

    fn crowded(&self, crowded: Crowded) -> Crowded {
        self.refused[crowded as usize].fetch_add(1, Ordering::Relaxed);
        crowded
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.clients.table.lock();
        table.open = table.open.saturating_sub(1);
        if let Some(client) = table.clients.get_mut(&self.ip) {
            client.open = client.open.saturating_sub(1);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.ip).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Arc<Clients> {
        Clients::new(&ClientLimits {
            connections: 3,
            connections_per_client: 2,
            requests_per_second: 10.0,
            request_burst: 2.0,
        })
    }

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn connections_are_shared_out_and_given_back() {
        let clients = clients();
        let first = clients.connect(A).expect("room");
        let _second = clients.connect(A).expect("room");
        assert_eq!(
            clients.connect(A).expect_err("its share"),
            Crowded::ClientConnections
        );
        let _other = clients.connect(B).expect("room");
        assert_eq!(clients.connect(B).expect_err("full"), Crowded::Connections);
        drop(first);
        clients.connect(B).expect("room again");
        assert_eq!(
            clients.refused()[..2],
            [("server-connections", 1), ("client-connections", 1)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn requests_come_at_a_rate_also_over_new_connections() {
        let clients = clients();
        let place = clients.connect(A).expect("room");
        assert_eq!([clients.ask(A), clients.ask(A)], [Ok(()), Ok(())]);
        let wait = clients.ask(A).expect_err("too many");
        assert_eq!(wait, Duration::from_millis(100));
        drop(place);
        let _place = clients.connect(A).expect("room");
        clients.ask(A).expect_err("still too many");
        tokio::time::advance(wait).await;
        assert_eq!(clients.ask(A), Ok(()));
        assert_eq!(clients.refused()[2], ("client-requests", 2));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let clients = clients();
        for n in 0..100_000_u32 {
            drop(clients.connect(IpAddr::V4(n.into())));
        }
        assert!(clients.table.lock().clients.len() <= 3 + REMEMBERED);
    }
}
