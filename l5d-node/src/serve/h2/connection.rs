//! One client connection in HTTP/2: its streams are polled by the task of the connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::about::About;
use super::client::Client;
use super::head;
use crate::config::Protocol;
use crate::connect::h2::{Flood, Heard, Outlet, Watched, connection_window, gather};
use crate::meter::OpenStream;
use crate::serve::connection::linger;
use crate::serve::request::Request;
use crate::serve::respond::Failure;
use crate::serve::session::Session;
use crate::serve::telling::Telling;
use crate::serve::walk;
use crate::serve::wire::head::{Version, parse_request};
use crate::serve::worker::Server;

/// What a connection's streams share with it.
#[derive(Clone)]
struct Common {
    server: Rc<Server>,
    about: About,
    given_up: Rc<Cell<u32>>,
    requests: Rc<Cell<u64>>,
}

/// What makes the connection's task do something besides serving.
enum Event {
    /// The connection has ended.
    End(Result<(), h2::Error>),
    Drain,
    /// What is still open at the end of the grace.
    Forced,
    Tick,
    Flood,
}

/// Silence and answers on a connection (node-proxy 10.3).
struct Alive {
    heard: Heard,
    pings: Option<PingPong>,
    tick: Interval,
    /// Until when an answer is awaited.
    asked: Option<Instant>,
    limit: Duration,
    /// How long the connection may live, and when it last had streams; looked at when the tick comes.
    session: Session,
    used: Instant,
}

/// For the preface, and for the last frames to leave.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How many small DATA frames may wait for slow endpoints, in bytes of the codec's own measure (256 for the smallest): those of
/// gRPC messages of a few bytes that fill several windows.
const FRAME_BUDGET: usize = 8 << 20;
/// Bytes of ours that wait in a stream for the client's window.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that one connection may give up before they are answered, in [`PERIOD`], whatever the others do: each costs an
/// endpoint work (node-proxy trap 17).
const GIVEN_UP: u32 = 1000;
const PERIOD: Duration = Duration::from_secs(10);

/// Serves a connection that begins with the preface; gives the number of requests that it had.
pub(crate) async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    server: Rc<Server>,
    mut io: T,
    about: About,
) -> u64 {
    let common = Common {
        server: server.clone(),
        about,
        given_up: Rc::default(),
        requests: Rc::default(),
    };
    if let Err(e) = converse(&common, &mut io).await
        && !e.is_io()
    {
        tracing::debug!(server = %server.config.label, error = %e, "an HTTP/2 connection ended");
        // What the client has sent meanwhile must not destroy what it is told.
        linger(&mut io).await;
    }
    common.requests.get()
}

async fn converse<T: AsyncRead + AsyncWrite + Unpin>(
    common: &Common,
    io: &mut T,
) -> Result<(), h2::Error> {
    let server = &common.server;
    let (heard, flood) = (Heard::default(), Flood::default());
    let (io, outlet) = gather(io);
    let io = Watched::counting(io, heard.clone(), flood.clone());
    let mut handshake = pin!(builder(server).handshake::<_, Bytes>(io));
    let handshake = poll_fn(|cx| outlet.poll(cx, |cx| handshake.as_mut().poll(cx)));
    let Ok(connection) = timeout(LIMIT, handshake).await else {
        return Ok(());
    };
    let mut connection = connection?;
    let settings = &server.config.h2;
    let every = settings.ping_interval;
    let mut alive = Alive {
        heard,
        pings: connection.ping_pong(),
        tick: interval_at(Instant::now() + every, every),
        asked: None,
        limit: settings.ping_timeout,
        session: Session::new(server.config.session),
        used: Instant::now(),
    };
    alive
        .tick
        .set_missed_tick_behavior(MissedTickBehavior::Delay);
    serve(common, (&mut connection, &outlet), &mut alive, &flood).await
}

fn builder(server: &Server) -> Builder {
    let settings = &server.config.h2;
    let own_list = server.limits().line + server.limits().fields;
    let own_list = u32::try_from(own_list).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(connection_window(settings))
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(settings.max_header_list.unwrap_or(own_list))
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAME_BUDGET);
    if let Some(size) = settings.max_frame {
        builder.max_frame_size(size);
    }
    if let Some(size) = settings.header_table {
        builder.header_table_size(size);
    }
    builder
}

/// Serves until the end.
async fn serve<T: AsyncRead + AsyncWrite + Unpin, U: AsyncWrite + Unpin>(
    common: &Common,
    (connection, outlet): (&mut Connection<T, Bytes>, &Outlet<U>),
    alive: &mut Alive,
    flood: &Flood,
) -> Result<(), h2::Error> {
    let drain = &common.server.worker.drain;
    let mut drained = pin!(drain.started());
    let mut forced = pin!(drain.forced());
    let mut streams = FuturesUnordered::new();
    let (mut is_draining, mut is_ending, mut is_calming) = (false, false, false);
    let mut period = (Instant::now(), 0);
    loop {
        let event = poll_fn(|cx| {
            let end = outlet.poll(cx, |cx| {
                loop {
                    // Streams first: what they write leaves as the connection is polled.
                    while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
                    match ready!(connection.poll_accept(cx)) {
                        Some(Ok((request, respond))) => {
                            streams.push(stream(common.clone(), request, respond));
                        }
                        Some(Err(e)) => return Poll::Ready(Err(e)),
                        None => return Poll::Ready(Ok(())),
                    }
                }
            });
            if let Poll::Ready(end) = end {
                return Poll::Ready(Event::End(end));
            }
            let given_up = common.given_up.get() - period.1;
            if (flood.is_too_much() || given_up > GIVEN_UP) && !is_ending {
                return Poll::Ready(Event::Flood);
            }
            if !is_draining && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            if !is_ending && forced.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Forced);
            }
            alive.tick.poll_tick(cx).map(|_| Event::Tick)
        });
        match event.await {
            Event::End(end) if is_calming => return end.and(Err(Reason::ENHANCE_YOUR_CALM.into())),
            Event::End(end) => return end,
            Event::Drain => {
                is_draining = true;
                connection.graceful_shutdown();
            }
            Event::Forced => {
                is_ending = true;
                // Whatever is dropped is reset with CANCEL.
                streams.clear();
            }
            Event::Flood => {
                (is_ending, is_calming) = (true, true);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            Event::Tick => {
                if period.0.elapsed() >= PERIOD {
                    period = (Instant::now(), common.given_up.get());
                }
                if !is_draining && alive.is_over(!streams.is_empty()) {
                    is_draining = true;
                    alive.session.count(&common.server.stats, Instant::now());
                    connection.graceful_shutdown();
                }
                if !alive.check(!streams.is_empty()) {
                    tracing::debug!("a client does not answer PING: closing the connection");
                    return Ok(());
                }
            }
        }
    }
}

impl Alive {
    /// Whether the connection has lived, or been idle, for as long as it may (`serverSession`).
    fn is_over(&mut self, has_streams: bool) -> bool {
        let now = Instant::now();
        if has_streams {
            self.used = now;
        }
        self.session.is_over(now) || self.session.is_idle(self.used, now)
    }

    /// Asks if nothing was heard. False: the last question has no answer.
    fn check(&mut self, has_streams: bool) -> bool {
        let now = Instant::now();
        if self.heard.take() {
            if let (Some(_), Some(pings)) = (self.asked.take(), &mut self.pings) {
                // Makes room for the next question.
                let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            }
            return true;
        }
        match (self.asked, &mut self.pings) {
            (Some(asked), _) if now.saturating_duration_since(asked) >= self.limit => false,
            (None, Some(pings)) if has_streams => {
                // An answer is heard like anything else.
                let _ = pings.send_ping(Ping::opaque());
                self.asked = Some(now);
                self.tick.reset_after(self.limit);
                true
            }
            _ => true,
        }
    }
}

/// One request.
async fn stream(common: Common, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
    let server = &*common.server;
    let _open = OpenStream::new(&server.stats.connections);
    common.requests.set(common.requests.get() + 1);
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let mut text = server.worker.buffers.scratch();
    // A router of HTTP/1 gets what another node has put on a stream.
    let is_restored = server.router.config.protocol == Protocol::Http;
    let version = match is_restored {
        true => head::original(&parts.headers),
        false => "HTTP/1.1",
    };
    head::put_request(&parts, version, body.is_end_stream(), &mut text);
    let accepted = accept(server, &text, is_restored);
    let given_up = common.given_up.clone();
    let about = common.about.clone();
    let mut client = Client::new(text, &parts, body, respond, is_restored, given_up, about);
    let is_head = parts.method == http::Method::HEAD;
    drop(parts);
    match accepted {
        Ok(request) => walk::run(server, &mut client, &request, start).await,
        Err(failure) => {
            Telling::unreadable(server, common.about.remote).failed(&failure);
            server.stats.refused.inc();
            client.fail(server, &failure, is_head).await;
        }
    }
}

fn accept(server: &Server, text: &[u8], is_restored: bool) -> Result<Request, Failure> {
    let parsed = parse_request(text, server.limits()).map_err(Failure::head)?;
    let head = parsed.ok_or_else(|| Failure::malformed("its head does not end"))?;
    // Nothing of a body is behind the head: it comes on the stream.
    let mut request = Request::accept(text, head, 0)?;
    if request.is_connect {
        return Err(Failure::connect_method());
    }
    if !is_restored {
        request.version = Version::Http2;
    }
    request.keep_alive = true;
    request.expects_continue = false;
    Ok(request)
}
