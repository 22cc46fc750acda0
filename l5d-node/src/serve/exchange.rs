//! One attempt on one connection: the request out, the response back (node-proxy 9.3, 9.6); the latter in [`super::receive`].
//!
//! Both directions run at once, so that an early response passes while the request's body is still on its way. Nothing is
//! decided here about other endpoints: the outcome says what is known, the caller decides.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::buffer::{Buffer, Buffers};
use super::connection::{self, Next};
use super::forward;
use super::forwarded::Labels;
use super::h2;
use super::half::ClientHalf;
use super::pump::{Idle, PumpError, pump};
use super::request::Request;
use super::respond::Failure;
use super::retry::Judge;
use super::tunnel;
use super::upstream::{Http1, Upstream};
use super::wire::framing::Framing;
use super::wire::head::Limits;
use super::wire::transfer::{Output, Transfer};
use super::worker::{Drain, Server};
use crate::connect::{ReadHalf, WriteHalf};
use crate::tls::forwarded_cert;

/// The client's half of a request in HTTP/1: the connection.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) read: ReadHalf<'a>,
    pub(crate) write: WriteHalf<'a>,
    pub(crate) buf: Buffer,
    /// For `Forwarded`, if the server adds it.
    pub(crate) labels: Option<Labels>,
}

/// What an attempt needs to know.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) request: &'a Request,
    /// The head, and the body if it is buffered.
    pub(crate) wire: &'a [u8],
    /// How much of it is the head.
    pub(crate) head_len: usize,
    pub(crate) buffers: &'a Buffers,
    pub(crate) limits: Limits,
    /// Whether the caller wants to send elsewhere what a next hop says it could not handle.
    pub(crate) takes_back: bool,
    /// What the answer is worth.
    pub(crate) judge: &'a Judge<'a>,
    /// The endpoint is asked whether it takes HTTP/2 between nodes; set if it does.
    pub(crate) is_offered: Option<&'a Cell<bool>>,
    /// For the bodies.
    pub(crate) idle: Idle,
    /// For the response head.
    pub(crate) deadline: Option<Instant>,
    pub(crate) clear_context: bool,
    /// Our name in `Via`.
    pub(crate) via: &'a str,
    pub(crate) drain: &'a Drain,
    /// The host that was sent, if it was not the client's, and the client's.
    pub(crate) hosts: Option<(&'a str, &'a [u8])>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The client has the whole response.
    Done(Done),
    /// Nothing was written, or it was never read: the server cannot have seen the request.
    NotSent,
    /// A reused connection died without a byte of an answer to a request that may be sent twice.
    Stale,
    /// The next hop says that its destination did not see the request (`l5d-retryable`).
    TakenBack,
    /// The connection died and the server may have seen the request.
    Lost,
    /// The server did not take the stream: it has seen nothing of the request.
    Refused,
    /// The server reset the stream.
    Reset(::h2::Reason),
    /// What came is no HTTP response.
    BadResponse(String),
    TimedOut,
    /// The request's body does not read.
    BadRequestBody(String),
    /// The client is gone, or has part of a response that cannot be ended: close both connections. `must_reset`: the end
    /// of the connection would look like the end of the response.
    Aborted {
        must_reset: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) status: u16,
    /// Neither the server nor the framing asked for the end of the connection.
    pub(crate) reusable: bool,
    /// Likewise for the client's. False: the response said so, or the request was not read to its end.
    pub(crate) keep_alive: bool,
    /// `Content-Length` of the response, as the client has it.
    pub(crate) length: Option<u64>,
}

impl Done {
    /// Nothing follows on either connection.
    pub(super) fn last(status: u16) -> Self {
        Self {
            status,
            reusable: false,
            keep_alive: false,
            length: None,
        }
    }
}

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The client waits for 100 before it sends anything.
    Awaited,
    InFlight,
    Complete,
    /// The server does not read any more.
    Broken,
}

impl ClientHalf for Client<'_> {
    type Next = Next;

    fn message(&self) -> &[u8] {
        self.buf.filled()
    }

    fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    fn remote(&self) -> Option<SocketAddr> {
        self.read.peer_addr()
    }

    fn client_cert(&self) -> Option<String> {
        self.read.with_certificate(forwarded_cert)
    }

    fn take(&mut self, request: &Request) {
        self.buf.consume(request.buffered_len());
        if request.is_buffered {
            // While the response is awaited the memory serves others.
            self.buf.release();
        }
    }

    fn can_repeat(&self, request: &Request) -> bool {
        request.is_buffered
    }

    async fn attempt(&mut self, attempt: &Attempt<'_>, upstream: &mut Upstream) -> Outcome {
        match upstream {
            Upstream::Http1(http1) => attempt.run(self, http1).await,
            Upstream::Http2(handle) => Box::pin(h2::carry(attempt, self, handle)).await,
        }
    }

    async fn answer(&mut self, server: &Server, request: &Request, failure: &Failure) -> Next {
        connection::answer(server, self, Some(request), failure, request.is_buffered).await
    }

    fn done(&mut self, done: Done) -> Next {
        if done.keep_alive {
            Next::KeepAlive
        } else {
            Next::Close
        }
    }

    fn aborted(&mut self, must_reset: bool) -> Next {
        if must_reset { Next::Reset } else { Next::Abort }
    }
}

impl Attempt<'_> {
    /// HTTP/1 in, HTTP/1 out.
    pub(crate) async fn run(&self, client: &mut Client<'_>, server: &mut Http1) -> Outcome {
        let is_reused = server.is_reused;
        let (mut server_read, mut server_write) = server.connection.stream.split();
        let mut from_server = self.buffers.buffer();
        let server = (&mut server_read, &mut server_write, &mut from_server);
        let outcome = match self.request.is_connect {
            true => self.open_tunnel(client).await,
            false => self.exchange(client, server, is_reused).await,
        };
        let is_tunnel = |done: &Done| done.status == 101 || self.request.is_connect;
        if matches!(&outcome, Outcome::Done(done) if is_tunnel(done)) {
            let Client {
                read, write, buf, ..
            } = client;
            let client = (read, write, buf);
            let server = (&mut server_read, &mut server_write, &mut from_server);
            // Boxed: other requests have no room for it. An error ends both connections, as the end of both directions does.
            let _ended = Box::pin(tunnel::join(client, server)).await;
        }
        outcome
    }

    /// The connection to the server is there: that is all that CONNECT asks for.
    async fn open_tunnel(&self, client: &mut Client<'_>) -> Outcome {
        let mut out = self.buffers.scratch();
        forward::tunnel(self.request.version, self.via, &mut out);
        match write_all(&mut client.write, &out).await {
            Ok(()) => Outcome::Done(Done::last(200)),
            Err(_) => gone(),
        }
    }

    async fn exchange(
        &self,
        client: &mut Client<'_>,
        (server_read, server_write, from_server): tunnel::End<'_, '_>,
        is_reused: bool,
    ) -> Outcome {
        let mut progress = Progress::Complete;
        match write_all(server_write, self.wire).await {
            Ok(()) if self.request.is_buffered => {}
            Ok(()) if self.request.expects_continue => progress = Progress::Awaited,
            Ok(()) => progress = Progress::InFlight,
            Err(0) => return Outcome::NotSent,
            // There may be a response to read all the same.
            Err(_) => progress = Progress::Broken,
        }
        let progress = Cell::new(progress);
        let status = Cell::new(0);
        let Client {
            read, write, buf, ..
        } = client;
        let mut sending = pin!(self.send(read, buf, server_write, &progress));
        let mut receiving = pin!(self.receive(
            server_read,
            is_reused,
            from_server,
            write,
            &progress,
            &status
        ));
        let mut done = tokio::select! {
            biased;
            outcome = &mut receiving => match outcome {
                Outcome::Done(done) => done,
                other => return other,
            },
            outcome = &mut sending => return cut_short(outcome, status.get()),
        };
        if progress.get() == Progress::InFlight && done.reusable {
            // The server goes on reading: so do we.
            let rest = poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if progress.get() != Progress::InFlight => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(outcome) = rest.await {
                return cut_short(outcome, done.status);
            }
        }
        let is_sent = progress.get() == Progress::Complete;
        done.reusable &= is_sent;
        done.keep_alive &= is_sent;
        Outcome::Done(done)
    }

    /// Sends the request's body, then waits for the client to go away. Ends only if the exchange cannot go on.
    async fn send(
        &self,
        read: &mut ReadHalf<'_>,
        buf: &mut Buffer,
        server: &mut WriteHalf<'_>,
        progress: &Cell<Progress>,
    ) -> Outcome {
        if matches!(progress.get(), Progress::Awaited | Progress::InFlight) {
            let output = match self.request.framing {
                Framing::Chunked => Output::Chunked,
                _ => Output::Raw,
            };
            let mut transfer = Transfer::new(self.request.framing, output, self.limits.fields);
            let mut out = self.buffers.scratch();
            match pump(&mut transfer, buf, read, server, &mut out, &self.idle).await {
                Ok(()) => progress.set(Progress::Complete),
                Err(PumpError::Write(_)) => progress.set(Progress::Broken),
                Err(PumpError::Chunk(e)) => return Outcome::BadRequestBody(e.to_string()),
                Err(PumpError::Read(_) | PumpError::Truncated | PumpError::Idle(_)) => {
                    return gone();
                }
            }
            buf.release();
        }
        // The end of what the client sends is not the end of the client (trap 18.9); an error is.
        read.failed().await;
        gone()
    }
}

/// Writes all; an error tells how much was written before it.
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    write: &mut W,
    bytes: &[u8],
) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        match write.write(&bytes[written..]).await {
            Ok(n) if n > 0 => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => return Err(written),
        }
    }
    write.flush().await.map_err(|_| written)
}

pub(super) fn gone() -> Outcome {
    Outcome::Aborted { must_reset: false }
}

/// What an end of the sending side means when `status` (or nothing, 0) has been sent to the client.
fn cut_short(outcome: Outcome, status: u16) -> Outcome {
    match (outcome, status) {
        (outcome @ Outcome::BadRequestBody(_), 0) => outcome,
        (_, status) => Outcome::Aborted {
            must_reset: status != 0,
        },
    }
}
