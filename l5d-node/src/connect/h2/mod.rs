//! HTTP/2 connections that many requests share (node-proxy 10, 10.3).
//!
//! In: a [`Connection`] to an endpoint. Out: handles on it, one for each stream. A worker keeps as few connections to an
//! endpoint as the peer's stream limit allows, and opens one at a time. Each is driven by a task of its own, which ends when
//! nobody holds a handle, when the peer goes away, or when it does not answer a PING.

pub mod engine;
mod gathered;
mod shared;
mod watched;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use self::engine::{Broken, Driver, Local, Opener};
use super::{Connection, ConnectionCounts};
use crate::config::H2Settings;

pub use gathered::{Outlet, gather};
pub use shared::{Dialing, Shared, Slot};
pub use watched::{Flood, Heard, PREFACE, Watched};

/// One stream's hold on a shared connection.
#[derive(Debug)]
pub struct Handle {
    /// Where a stream can be opened.
    pub opener: Rc<Opener>,
    /// Whether the connection had streams before.
    pub is_reused: bool,
    link: Rc<Link>,
}

/// What a connection's driver and its users share.
#[derive(Debug)]
struct Link {
    born: Instant,
    streams: Cell<usize>,
    used: Cell<Instant>,
    had_streams: Cell<bool>,
    is_closed: Cell<bool>,
    counts: Arc<ConnectionCounts>,
}

/// A connection as its endpoint keeps it.
#[derive(Debug)]
struct Multiplexed {
    opener: Rc<Opener>,
    link: Rc<Link>,
}

/// Settings that fit together: a connection's window of one stream's size could be filled by that stream alone.
const WINDOWS: u32 = 4;
/// HTTP/2 did not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What came is not HTTP/2, or nothing came.
    #[error("HTTP/2 did not begin: {0}")]
    Protocol(#[from] Broken),
    /// No settings within the limit.
    #[error("HTTP/2 did not begin: no SETTINGS within {0:?}")]
    TimedOut(Duration),
}

/// The connection's window: several times a stream's (node-proxy 17).
pub fn connection_window(settings: &H2Settings) -> u32 {
    let several = settings.stream_window.saturating_mul(WINDOWS);
    settings.connection_window.max(several).min((1 << 31) - 1)
}

/// Begins HTTP/2 on `connection`, within `limit`, and drives it in a task of this thread. Waits for the peer's settings: it
/// speaks HTTP/2, and its stream limit is known before the first request goes out.
async fn begin(
    connection: Connection,
    settings: &H2Settings,
    limit: Duration,
) -> Result<Multiplexed, BeginError> {
    let counts = connection.counts().clone();
    let (opener, mut driver) = engine::begin(connection, local(settings));
    let settled = poll_fn(|cx| match driver.poll(cx) {
        _ if opener.is_settled() => Poll::Ready(Ok(())),
        // An orderly end before the settings is none.
        Poll::Ready(Ok(())) => Poll::Ready(Err(Broken::Protocol(h2::Reason::PROTOCOL_ERROR))),
        polled => polled,
    });
    let begun = timeout(limit, settled).await;
    begun.map_err(|_| BeginError::TimedOut(limit))??;
    let link = Rc::new(Link {
        born: Instant::now(),
        streams: Cell::new(0),
        used: Cell::new(Instant::now()),
        had_streams: Cell::new(false),
        is_closed: Cell::new(false),
        counts,
    });
    let pings = (settings.ping_interval, settings.ping_timeout);
    tokio::task::spawn_local(drive(driver, link.clone(), pings));
    let opener = Rc::new(opener);
    Ok(Multiplexed { opener, link })
}

fn local(settings: &H2Settings) -> Local {
    Local {
        stream_window: settings.stream_window,
        connection_window: connection_window(settings),
        max_frame: settings.max_frame,
        max_header_list: settings.max_header_list,
        header_table: settings.header_table,
    }
}

/// Runs the connection until it ends. Streams that are open then end with it.
async fn drive(
    mut driver: Driver<Connection>,
    link: Rc<Link>,
    (every, limit): (Duration, Duration),
) {
    let mut tick = interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            end = poll_fn(|cx| driver.poll(cx)) => {
                if let Err(e) = end {
                    tracing::debug!(error = %e, "an HTTP/2 connection to an endpoint ended");
                }
                break;
            }
            _ = tick.tick() => {}
        }
        // One that takes nothing any more would keep what waits for ever, its goodbye too.
        let is_idle = link.streams.get() == 0 && driver.is_flushed();
        if driver.has_heard() || is_idle {
            continue;
        }
        driver.ping();
        let pong = poll_fn(|cx| match driver.poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if driver.has_pong() => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        });
        match timeout(limit, pong).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                tracing::warn!(
                    ?limit,
                    "an endpoint does not answer PING: closing the connection"
                );
                break;
            }
        }
    }
    link.is_closed.set(true);
}

// === impl Multiplexed ===

impl Multiplexed {
    /// Whether new streams can be opened: not ended, not told to go away, stream ids left.
    fn is_usable(&self) -> bool {
        !self.link.is_closed.get() && self.opener.is_usable()
    }

    fn has_room(&self) -> bool {
        self.link.streams.get() < self.opener.max_streams()
    }

    fn handle(&self) -> Handle {
        self.link.streams.set(self.link.streams.get() + 1);
        self.link.counts.streams.inc();
        Handle {
            opener: self.opener.clone(),
            is_reused: self.link.had_streams.replace(true),
            link: self.link.clone(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        self.link.counts.streams.dec();
        self.link.used.set(Instant::now());
    }
}
