//! HTTP/2 connections that many requests share (node-proxy 10, 10.3).
//!
//! In: a [`Connection`] to an endpoint. Out: handles on it, one for each stream. A worker keeps as few connections to an
//! endpoint as the peer's stream limit allows, and opens one at a time. Each is driven by a task of its own, which ends when
//! nobody holds a handle, when the peer goes away, or when it does not answer a PING.

mod gathered;
mod shared;
mod watched;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Connection;
use crate::config::H2Settings;

pub use gathered::{Gathered, Outlet, gather};
pub use shared::{Dialing, Shared, Slot};
pub use watched::{Flood, Heard, PREFACE, Watched};

/// One stream's hold on a shared connection.
#[derive(Debug)]
pub struct Handle {
    /// Where a stream can be opened.
    pub send: SendRequest<Bytes>,
    /// Whether the connection had streams before.
    pub is_reused: bool,
    link: Rc<Link>,
}

/// What a connection's driver and its users share.
#[derive(Debug)]
struct Link {
    streams: Cell<usize>,
    used: Cell<Instant>,
    had_streams: Cell<bool>,
    is_closed: Cell<bool>,
}

/// A connection as its endpoint keeps it.
#[derive(Debug)]
struct Multiplexed {
    send: RefCell<SendRequest<Bytes>>,
    link: Rc<Link>,
}

/// Settings that fit together: a connection's window of one stream's size could be filled by that stream alone.
const WINDOWS: u32 = 4;
/// Bytes of our own that wait in a stream for the peer's window.
const SEND_BUFFER: usize = 64 << 10;
/// How many small DATA frames may wait for slow clients, in bytes of the codec's own measure (256 for the smallest). Many
/// clients share the connection: one that reads slowly must not end it for all.
const FRAME_BUDGET: usize = 64 << 20;
/// Stands for the peer's stream limit until it has said one.
const UNKNOWN: usize = usize::MAX - 1;

/// HTTP/2 did not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What came is not HTTP/2, or nothing came.
    #[error("HTTP/2 did not begin: {0}")]
    Protocol(#[from] h2::Error),
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
    let heard = Heard::default();
    let (io, outlet) = gather(connection);
    let io = Watched::new(io, heard.clone());
    let begun = timeout(limit, handshake(io, &outlet, settings)).await;
    let (send, connection) = begun.map_err(|_| BeginError::TimedOut(limit))??;
    let link = Rc::new(Link {
        streams: Cell::new(0),
        used: Cell::new(Instant::now()),
        had_streams: Cell::new(false),
        is_closed: Cell::new(false),
    });
    let pings = (settings.ping_interval, settings.ping_timeout);
    tokio::task::spawn_local(drive((connection, outlet), link.clone(), heard, pings));
    Ok(Multiplexed {
        send: RefCell::new(send),
        link,
    })
}

type Driver = h2::client::Connection<Watched<Gathered<Connection>>, Bytes>;

async fn handshake(
    io: Watched<Gathered<Connection>>,
    outlet: &Outlet<Connection>,
    settings: &H2Settings,
) -> Result<(SendRequest<Bytes>, Driver), h2::Error> {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(connection_window(settings))
        .initial_max_send_streams(UNKNOWN)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAME_BUDGET);
    if let Some(size) = settings.max_frame {
        builder.max_frame_size(size);
    }
    if let Some(size) = settings.max_header_list {
        builder.max_header_list_size(size);
    }
    if let Some(size) = settings.header_table {
        builder.header_table_size(size);
    }
    let (send, mut connection) = builder.handshake(io).await?;
    poll_fn(|cx| {
        let end = outlet.poll(cx, |cx| Pin::new(&mut connection).poll(cx));
        if send.current_max_send_streams() != UNKNOWN {
            return Poll::Ready(Ok(()));
        }
        // An orderly end before the settings is none.
        end.map(|end| end.and(Err(h2::Reason::PROTOCOL_ERROR.into())))
    })
    .await?;
    Ok((send, connection))
}

/// Runs the connection until it ends. Streams that are open then end with it.
async fn drive(
    (mut connection, outlet): (Driver, Outlet<Connection>),
    link: Rc<Link>,
    heard: Heard,
    (every, limit): (Duration, Duration),
) {
    let mut pings = connection.ping_pong();
    let mut end = poll_fn(|cx| outlet.poll(cx, |cx| Pin::new(&mut connection).poll(cx)));
    let mut tick = interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            end = &mut end => {
                if let Err(e) = end {
                    tracing::debug!(error = %e, "an HTTP/2 connection to an endpoint ended");
                }
                break;
            }
            _ = tick.tick() => {}
        }
        let is_silent = !heard.take() && link.streams.get() > 0;
        let Some(pings) = pings.as_mut().filter(|_| is_silent) else {
            continue;
        };
        // One that is still under way is the one that is waited for.
        let _ = pings.send_ping(h2::Ping::opaque());
        let pong = timeout(limit, poll_fn(|cx| pings.poll_pong(cx)));
        let is_alive = tokio::select! {
            biased;
            _ = &mut end => break,
            pong = pong => matches!(pong, Ok(Ok(_))),
        };
        if !is_alive {
            tracing::warn!(
                ?limit,
                "an endpoint does not answer PING: closing the connection"
            );
            break;
        }
    }
    link.is_closed.set(true);
}

// === impl Multiplexed ===

impl Multiplexed {
    /// Whether new streams can be opened: not ended, not told to go away, stream ids left.
    fn is_usable(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !self.link.is_closed.get()
            && matches!(
                self.send.borrow_mut().poll_ready(&mut cx),
                Poll::Ready(Ok(()))
            )
    }

    fn has_room(&self) -> bool {
        self.link.streams.get() < self.send.borrow().current_max_send_streams()
    }

    fn handle(&self) -> Handle {
        self.link.streams.set(self.link.streams.get() + 1);
        Handle {
            send: self.send.borrow().clone(),
            is_reused: self.link.had_streams.replace(true),
            link: self.link.clone(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        self.link.used.set(Instant::now());
    }
}
