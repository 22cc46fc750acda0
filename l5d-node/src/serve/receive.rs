//! The response's half of an exchange: its head, interim ones before it, its body, on to the client.

use std::cell::Cell;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout_at;

use super::buffer::Buffer;
use super::exchange::{Attempt, Done, Outcome, Progress, gone};
use super::forward::{self, ResponseForm};
use super::pump::{Idle, PumpError, pump};
use super::wire::field::{Kind, Options};
use super::wire::framing::{self, Framing, FramingError};
use super::wire::head::{HeadError, ResponseHead, Version, parse_response};
use super::wire::transfer::{Output, Transfer};
use crate::connect::{ReadHalf, WriteHalf};

/// How a response goes on.
struct Plan<'a> {
    transfer: Transfer,
    form: ResponseForm<'a>,
    /// Whether the server's connection can be used again.
    reusable: bool,
}

/// Interim responses for one request.
const MAX_INTERIM: usize = 32;
/// A body of unknown length up to this gets a length, if the client speaks HTTP/1.0.
const MAX_COLLECTED: usize = 64 << 10;

impl Attempt<'_> {
    /// Passes the response on; `status` tells when its head has begun to go out.
    pub(super) async fn receive(
        &self,
        server: &mut ReadHalf<'_>,
        is_reused: bool,
        buf: &mut Buffer,
        client: &mut WriteHalf<'_>,
        progress: &Cell<Progress>,
        status: &Cell<u16>,
    ) -> Outcome {
        let head = self.response_head(server, is_reused, buf, client, progress);
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
        if self.gives_back(head.status, buf.filled(), &head.fields) {
            if self.is_whole(&head, buf.filled(), progress.get()) {
                self.judge.drained();
            }
            return Outcome::TakenBack;
        }
        status.set(head.status);
        if head.status == 101 {
            return self.switch(&head, buf, client).await;
        }
        self.relay(&head, server, buf, client, progress).await
    }

    /// The final response's head; interim ones are passed on.
    async fn response_head(
        &self,
        server: &mut ReadHalf<'_>,
        is_reused: bool,
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
                Some(head) if head.status == 101 && self.request.upgrades => return Ok(head),
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
                _ if interims == 0 && is_reused && self.may_be_sent_twice() => {
                    return Err(Outcome::Stale);
                }
                _ => return Err(Outcome::Lost),
            }
        }
    }

    /// Only a request of which nothing is lost can be sent again (traps 18.6, 18.7, 18.10).
    pub(super) fn may_be_sent_twice(&self) -> bool {
        self.request.is_idempotent && self.request.is_buffered
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
        client.write_all(&out).await.map_err(|_| gone())?;
        client.flush().await.map_err(|_| gone())
    }

    /// The server has agreed to another protocol: this is said, and what follows is no HTTP.
    async fn switch(
        &self,
        head: &ResponseHead,
        buf: &mut Buffer,
        client: &mut WriteHalf<'_>,
    ) -> Outcome {
        let mut out = self.buffers.scratch();
        forward::switching(buf.filled(), head, self.via, self.clear_context, &mut out);
        buf.consume(head.len);
        let written = match client.write_all(&out).await {
            Ok(()) => client.flush().await,
            failed => failed,
        };
        match written {
            Ok(()) => Outcome::Done(Done::last(101)),
            Err(_) => gone(),
        }
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
            if let Err(e) = collect(&mut plan.transfer, buf, server, &mut begin, &self.idle).await {
                return self.aborted(&e, false);
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
        if let Err(e) = pump(
            &mut plan.transfer,
            buf,
            server,
            client,
            &mut out,
            &self.idle,
        )
        .await
        {
            return self.aborted(&e, plan.form.framing == Framing::UntilClose);
        }
        // Trailers are not looked into: a service that goes by them is not answered in HTTP/1.
        self.judge.end(None, false);
        Outcome::Done(Done {
            status: head.status,
            reusable: plan.reusable && buf.is_empty(),
            keep_alive: plan.form.keep_alive,
            length: match plan.form.framing {
                Framing::Length(length) => Some(length),
                _ => None,
            },
        })
    }

    /// The body did not arrive whole: the endpoint's doing, unless the client could not be written to.
    fn aborted(&self, e: &PumpError, must_reset: bool) -> Outcome {
        let is_client = matches!(e, PumpError::Write(_));
        if !is_client {
            self.judge.cut();
        }
        Outcome::Aborted {
            must_reset: must_reset && !is_client,
        }
    }

    /// Whether a response that is not passed on has been read to its end, and the connection can be used again.
    fn is_whole(&self, head: &ResponseHead, bytes: &[u8], progress: Progress) -> bool {
        let is_head = self.request.is_head;
        let framing = framing::of_response(bytes, &head.fields, head.version, head.status, is_head);
        let len = match framing {
            Ok(Framing::None) => 0,
            Ok(Framing::Length(n)) => n,
            _ => return false,
        };
        progress == Progress::Complete
            && head.version == Version::Http11
            && !Options::read(bytes, &head.fields).close
            && (bytes.len() - head.len) as u64 == len
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
                Version::Http11 | Version::Http2 => !options.close,
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
                via: self.via,
                version: self.request.version,
                framing: to,
                keep_alive: self.request.keep_alive && !is_cut_off && !self.drain.is_draining(),
                clear_context: self.clear_context,
                success_class: self.judge.class(head.status).success_class(),
                offers_http2: !self.clear_context && self.request.asks_http2(),
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
    pub(super) fn onward(&self, from: Framing) -> (Framing, Output) {
        match (from, self.request.version) {
            (Framing::None | Framing::Length(_), _) => (from, Output::Raw),
            (Framing::Chunked | Framing::UntilClose, Version::Http11 | Version::Http2) => {
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
    idle: &Idle,
) -> Result<(), PumpError> {
    loop {
        let n = transfer.step(buf.filled(), out)?;
        buf.consume(n);
        if transfer.is_done() || out.len() > MAX_COLLECTED {
            return Ok(());
        }
        let filled = idle.watch(buf.fill(server)).await;
        let n = filled.map_err(PumpError::Idle)?.map_err(PumpError::Read)?;
        if n == 0 && !transfer.end(out) {
            return Err(PumpError::Truncated);
        }
    }
}

fn bad_head(e: HeadError) -> Outcome {
    Outcome::BadResponse(e.to_string())
}
