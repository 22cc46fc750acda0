//! One attempt on one connection: the request out, the response back (node-proxy 9.3, 9.6).
//!
//! Both directions run at once, so that an early response passes while the request's body is still on its way. Nothing is
//! decided here about other endpoints: the outcome says what is known, the caller decides.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout_at};

use super::buffer::{Buffer, Buffers};
use super::forward::{self, ResponseForm};
use super::pump::{PumpError, pump};
use super::request::Request;
use super::wire::field::{Kind, Options, values};
use super::wire::framing::{self, Framing, FramingError};
use super::wire::head::{HeadError, Limits, ResponseHead, Version, parse_response};
use super::wire::transfer::{Output, Transfer};
use super::worker::Drain;

/// The client's side of a connection.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) read: ReadHalf<'a>,
    pub(crate) write: WriteHalf<'a>,
    pub(crate) buf: Buffer,
}

/// What an attempt needs to know.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) request: &'a Request,
    /// The head, and the body if it is buffered.
    pub(crate) wire: &'a [u8],
    pub(crate) buffers: &'a Buffers,
    pub(crate) limits: Limits,
    /// Whether the connection had requests before.
    pub(crate) is_reused: bool,
    /// Whether the caller wants to send elsewhere what a next hop says it could not handle.
    pub(crate) takes_back: bool,
    /// For the response head.
    pub(crate) deadline: Option<Instant>,
    pub(crate) clear_context: bool,
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
}

/// How a response goes on.
struct Plan<'a> {
    transfer: Transfer,
    form: ResponseForm<'a>,
    /// Whether the server's connection can be used again.
    reusable: bool,
}

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The client waits for 100 before it sends anything.
    Awaited,
    InFlight,
    Complete,
    /// The server does not read any more.
    Broken,
}

/// Interim responses for one request.
const MAX_INTERIM: usize = 32;
/// A body of unknown length up to this gets a length, if the client speaks HTTP/1.0.
const MAX_COLLECTED: usize = 64 << 10;

impl Attempt<'_> {
    pub(crate) async fn run(&self, client: &mut Client<'_>, server: &mut TcpStream) -> Outcome {
        let (mut server_read, mut server_write) = server.split();
        let mut progress = Progress::Complete;
        match write_all(&mut server_write, self.wire).await {
            Ok(()) if self.request.is_buffered => {}
            Ok(()) if self.request.expects_continue => progress = Progress::Awaited,
            Ok(()) => progress = Progress::InFlight,
            Err(0) => return Outcome::NotSent,
            // There may be a response to read all the same.
            Err(_) => progress = Progress::Broken,
        }
        let progress = Cell::new(progress);
        let status = Cell::new(0);
        let Client { read, write, buf } = client;
        let mut sending = pin!(self.send(read, buf, &mut server_write, &progress));
        let mut receiving = pin!(self.receive(&mut server_read, write, &progress, &status));
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
            match pump(&mut transfer, buf, read, server, &mut out).await {
                Ok(()) => progress.set(Progress::Complete),
                Err(PumpError::Write(_)) => progress.set(Progress::Broken),
                Err(PumpError::Chunk(e)) => return Outcome::BadRequestBody(e.to_string()),
                Err(PumpError::Read(_) | PumpError::Truncated) => return gone(),
            }
            buf.release();
        }
        // The end of what the client sends is not the end of the client (trap 18.9); an error is.
        let _ = read.ready(Interest::ERROR).await;
        gone()
    }

    async fn receive(
        &self,
        server: &mut ReadHalf<'_>,
        client: &mut WriteHalf<'_>,
        progress: &Cell<Progress>,
        status: &Cell<u16>,
    ) -> Outcome {
        let mut buf = self.buffers.buffer();
        let head = self.response_head(server, &mut buf, client, progress);
        let head = match self.deadline {
            Some(deadline) => match timeout_at(deadline, head).await {
                Ok(head) => head,
                Err(_) => return Outcome::TimedOut,
            },
            None => head.await,
        };
        let head = match head {
            Ok(head) => head,
            Err(outcome) => return outcome,
        };
        let is_refused = matches!(head.status, 502 | 503)
            && values(buf.filled(), &head.fields, Kind::Retryable).any(|v| v == b"true");
        if is_refused && self.takes_back {
            return Outcome::TakenBack;
        }
        status.set(head.status);
        self.relay(&head, server, &mut buf, client, progress).await
    }

    /// The final response's head; interim ones are passed on.
    async fn response_head(
        &self,
        server: &mut ReadHalf<'_>,
        buf: &mut Buffer,
        client: &mut WriteHalf<'_>,
        progress: &Cell<Progress>,
    ) -> Result<ResponseHead, Outcome> {
        let mut interims = 0;
        loop {
            let parsed = if buf.is_empty() {
                None
            } else {
                parse_response(buf.filled(), self.limits).map_err(bad_head)?
            };
            match parsed {
                Some(head) if head.status >= 200 => return Ok(head),
                Some(head) if head.status == 101 || interims == MAX_INTERIM => {
                    return Err(Outcome::BadResponse(
                        "unexpected interim response".to_owned(),
                    ));
                }
                Some(head) => {
                    interims += 1;
                    self.pass_interim(&head, buf, client).await?;
                    buf.consume(head.len);
                    if head.status == 100 && progress.get() == Progress::Awaited {
                        progress.set(Progress::InFlight);
                    }
                    continue;
                }
                None => {}
            }
            match buf.fill(server).await {
                Ok(n) if n > 0 => {}
                _ if !buf.is_empty() => {
                    return Err(Outcome::BadResponse("it ends in its head".to_owned()));
                }
                _ if interims == 0 && self.may_be_stale() => return Err(Outcome::Stale),
                _ => return Err(Outcome::Lost),
            }
        }
    }

    /// Only a request of which nothing is lost can be sent again (traps 18.6, 18.7, 18.10).
    fn may_be_stale(&self) -> bool {
        self.is_reused && self.request.is_idempotent && self.request.is_buffered
    }

    async fn pass_interim(
        &self,
        head: &ResponseHead,
        buf: &Buffer,
        client: &mut WriteHalf<'_>,
    ) -> Result<(), Outcome> {
        let answered_here = head.status == 100 && self.request.is_buffered;
        if self.request.version == Version::Http10 || answered_here {
            return Ok(());
        }
        let mut out = self.buffers.scratch();
        forward::interim(buf.filled(), head, self.clear_context, &mut out);
        client.write_all(&out).await.map_err(|_| gone())
    }

    /// Passes a final response on.
    async fn relay(
        &self,
        head: &ResponseHead,
        server: &mut ReadHalf<'_>,
        buf: &mut Buffer,
        client: &mut WriteHalf<'_>,
        progress: &Cell<Progress>,
    ) -> Outcome {
        let mut plan = match self.plan(head, buf.filled(), progress.get()) {
            Ok(plan) => plan,
            Err(e) => return Outcome::BadResponse(e.to_string()),
        };
        let mut out = self.buffers.scratch();
        if plan.form.framing == Framing::UntilClose {
            let head_bytes = buf.filled()[..head.len].to_vec();
            buf.consume(head.len);
            let mut begin = self.buffers.scratch();
            if let Err(e) = collect(&mut plan.transfer, buf, server, &mut begin).await {
                return aborted(&e, false);
            }
            if plan.transfer.is_done() {
                plan.form.framing = Framing::Length(begin.len() as u64);
            } else {
                plan.form.keep_alive = false;
            }
            forward::response(&head_bytes, head, plan.form, &mut out);
            out.extend_from_slice(&begin);
        } else {
            forward::response(buf.filled(), head, plan.form, &mut out);
            buf.consume(head.len);
            match plan.transfer.step(buf.filled(), &mut out) {
                Ok(n) => buf.consume(n),
                // Nothing has gone out yet.
                Err(e) => return Outcome::BadResponse(e.to_string()),
            }
        }
        if let Err(e) = pump(&mut plan.transfer, buf, server, client, &mut out).await {
            return aborted(&e, plan.form.framing == Framing::UntilClose);
        }
        Outcome::Done(Done {
            status: head.status,
            reusable: plan.reusable && buf.is_empty(),
            keep_alive: plan.form.keep_alive,
        })
    }

    /// How a final response goes on; `bytes` begin with its head.
    fn plan(
        &self,
        head: &ResponseHead,
        bytes: &[u8],
        progress: Progress,
    ) -> Result<Plan<'_>, FramingError> {
        let is_head = self.request.is_head;
        let from = framing::of_response(bytes, &head.fields, head.version, head.status, is_head)?;
        let options = Options::read(bytes, &head.fields);
        let reusable = from != Framing::UntilClose
            && match head.version {
                Version::Http11 => !options.close,
                Version::Http10 => options.keep_alive,
            };
        let is_cut_off = match progress {
            Progress::InFlight => !reusable,
            Progress::Complete => false,
            Progress::Awaited | Progress::Broken => true,
        };
        let (to, output) = self.onward(from);
        let mut plan = Plan {
            transfer: Transfer::new(from, output, self.limits.fields),
            form: ResponseForm {
                version: self.request.version,
                framing: to,
                keep_alive: self.request.keep_alive && !is_cut_off && !self.drain.is_draining(),
                clear_context: self.clear_context,
                hosts: self.hosts,
            },
            reusable,
        };
        let is_ours = head.fields.iter().any(|f| f.kind == Kind::Err);
        if self.clear_context && is_ours && from != Framing::None {
            // Its text tells about the inside (node-proxy 8.5).
            plan.form.framing = Framing::Length(0);
            plan.transfer = Transfer::new(Framing::None, Output::Raw, 0);
            plan.reusable = false;
        }
        Ok(plan)
    }

    /// How a body framed so goes on to this client.
    fn onward(&self, from: Framing) -> (Framing, Output) {
        match (from, self.request.version) {
            (Framing::None | Framing::Length(_), _) => (from, Output::Raw),
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => {
                (Framing::Chunked, Output::Chunked)
            }
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => {
                (Framing::UntilClose, Output::Raw)
            }
        }
    }
}

/// Reads a body of unknown length as far as it is small.
async fn collect(
    transfer: &mut Transfer,
    buf: &mut Buffer,
    server: &mut ReadHalf<'_>,
    out: &mut Vec<u8>,
) -> Result<(), PumpError> {
    loop {
        let n = transfer.step(buf.filled(), out)?;
        buf.consume(n);
        if transfer.is_done() || out.len() > MAX_COLLECTED {
            return Ok(());
        }
        let n = buf.fill(server).await.map_err(PumpError::Read)?;
        if n == 0 && !transfer.end(out) {
            return Err(PumpError::Truncated);
        }
    }
}

/// Writes all; an error tells how much was written before it.
async fn write_all<W: AsyncWrite + Unpin>(write: &mut W, bytes: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        match write.write(&bytes[written..]).await {
            Ok(n) if n > 0 => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => return Err(written),
        }
    }
    Ok(())
}

fn gone() -> Outcome {
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

fn aborted(e: &PumpError, must_reset: bool) -> Outcome {
    let must_reset = must_reset && !matches!(e, PumpError::Write(_));
    Outcome::Aborted { must_reset }
}

fn bad_head(e: HeadError) -> Outcome {
    Outcome::BadResponse(e.to_string())
}
