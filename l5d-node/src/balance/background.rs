//! Connections opened in the background: to find out whether an endpoint is back (`failFast`, node-proxy 13.5), and to have
//! some ready (`minSize`, 13.11).
//!
//! One task for each endpoint that needs one; it ends with the endpoint, and opens one connection at a time.

use std::rc::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Waits;
use super::endpoint::Endpoint;
use crate::config::Backoff;
use crate::connect;

/// Between two tries to reconnect.
const BACKOFF: Backoff = Backoff::EqualJittered {
    min: Duration::from_secs(1),
    max: Duration::from_secs(32),
};

/// Tries to connect until it succeeds or the endpoint is gone. What it opens is closed again: that a connection can be made
/// is all there is to know.
pub(super) async fn reconnect(endpoint: Weak<Endpoint>) {
    let waits = Waits::default();
    loop {
        let Some((to, wait)) = endpoint.upgrade().map(|e| {
            let wait = waits.next(BACKOFF, &mut e.shared.rng.borrow_mut());
            (e.connector(), wait)
        }) else {
            return;
        };
        tokio::time::sleep(wait).await;
        let (addr, limit, counts) = to;
        let dialled = connect::dial(addr, limit, &counts).await;
        let Some(endpoint) = endpoint.upgrade() else {
            return;
        };
        match dialled {
            Ok(_) => {
                endpoint.connected();
                return;
            }
            Err(e) => {
                endpoint.shared.stats.connect_failures.inc();
                tracing::debug!(error = %e, "still no connection");
            }
        }
    }
}

/// Opens the connections that are to be there; the next sweep tries again if one cannot be opened.
pub(super) async fn fill(endpoint: Weak<Endpoint>) {
    loop {
        let wanted = |e: &std::rc::Rc<Endpoint>| e.is_short() && !e.is_removed();
        let Some((addr, limit, counts)) = endpoint.upgrade().filter(wanted).map(|e| e.connector())
        else {
            return;
        };
        let dialled = connect::dial(addr, limit, &counts).await;
        let Some(endpoint) = endpoint.upgrade().filter(|e| !e.is_removed()) else {
            return;
        };
        let socket = &endpoint.shared.settings.socket;
        let tuned = dialled.and_then(|connection| match connection.tune(socket) {
            Ok(()) => Ok(connection),
            Err(source) => Err(connect::ConnectError::Failed { addr, source }),
        });
        match tuned {
            Ok(connection) => {
                endpoint.pool().put(connection, Instant::now());
            }
            Err(e) => {
                endpoint.shared.stats.connect_failures.inc();
                tracing::debug!(error = %e, "cannot open a connection in advance");
                return;
            }
        }
    }
}
