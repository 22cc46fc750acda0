//! One attempt in HTTP/1 for a request that came on a stream: what a node does with the requests of another node, restored to
//! what they were (node-proxy 14.3).

use std::cell::Cell;
use std::pin::pin;

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout_at;

use super::head;
use super::over_h2::{Received, Sent, both};
use super::relay::{Cut, Piece, Responder, Source};
use crate::connect::ReadHalf;
use crate::serve::buffer::Buffer;
use crate::serve::exchange::{Attempt, Done, Outcome, write_all};
use crate::serve::forward;
use crate::serve::upstream::Http1;
use crate::serve::wire::field::Options;
use crate::serve::wire::framing::{self, Framing};
use crate::serve::wire::head::{ResponseHead, Version, parse_response};
use crate::serve::wire::transfer::{Output, Transfer, put_chunk};

/// Interim responses for one request.
const MAX_INTERIM: usize = 32;

/// Runs the attempt.
pub(crate) async fn over_h1<S: Source, R: Responder>(
    attempt: &Attempt<'_>,
    http1: &mut Http1,
    source: &mut S,
    reply: &mut R,
) -> Outcome {
    let is_reused = http1.is_reused;
    let (mut read, mut write) = http1.connection.stream.split();
    let is_broken = match write_all(&mut write, attempt.wire).await {
        Ok(()) => false,
        Err(0) => return Outcome::NotSent,
        // There may be a response to read all the same.
        Err(_) => true,
    };
    let (has_head, is_whole) = (Cell::new(false), Cell::new(false));
    let sending = async {
        if is_broken {
            return Sent::Stopped;
        }
        send(attempt, source, &mut write, (&has_head, &is_whole)).await
    };
    let receiving = receive(attempt, &mut read, is_reused, reply, &has_head);
    match both(pin!(sending), pin!(receiving), &has_head, &is_whole).await {
        Ok(Outcome::Done(mut done)) => {
            done.reusable &= is_whole.get();
            Outcome::Done(done)
        }
        Ok(outcome) => outcome,
        // Both connections end with the attempt.
        Err(_) => Outcome::Aborted { must_reset: true },
    }
}

async fn send<S: Source, W: AsyncWrite + Unpin>(
    attempt: &Attempt<'_>,
    source: &mut S,
    write: &mut W,
    (has_head, is_whole): (&Cell<bool>, &Cell<bool>),
) -> Sent {
    let framing = attempt.request.framing;
    let mut is_done = matches!(framing, Framing::None | Framing::Length(0));
    let mut out = Vec::new();
    while !is_done {
        if has_head.get() {
            source.commit();
        }
        let next = source.next().await;
        if !source.can_repeat() {
            attempt.judge.lost();
        }
        let n = match next {
            Ok(Piece::Data(bytes, ends)) => {
                is_done = ends;
                match framing {
                    Framing::Chunked => put_chunk(&bytes, &mut out),
                    _ => out.extend_from_slice(&bytes),
                }
                if ends && framing == Framing::Chunked {
                    out.extend_from_slice(b"0\r\n\r\n");
                }
                bytes.len()
            }
            Ok(Piece::End(trailers)) => {
                is_done = true;
                if framing == Framing::Chunked {
                    put_end(trailers.as_ref(), &mut out);
                }
                0
            }
            Err(cut) => return Sent::Cut(cut),
        };
        if write.write_all(&out).await.is_err() || write.flush().await.is_err() {
            return Sent::Stopped;
        }
        out.clear();
        source.passed(n);
    }
    is_whole.set(true);
    source.gone().await;
    Sent::Cut(Cut::Reset(Reason::CANCEL))
}

/// The last chunk, and trailers.
pub(super) fn put_end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

async fn receive<R: Responder>(
    attempt: &Attempt<'_>,
    read: &mut ReadHalf<'_>,
    is_reused: bool,
    reply: &mut R,
    has_head: &Cell<bool>,
) -> Received {
    let mut buf = attempt.buffers.buffer();
    let head = response_head(attempt, read, is_reused, &mut buf, reply);
    let head = match attempt.deadline {
        Some(deadline) => match timeout_at(deadline, head).await {
            Ok(head) => head,
            Err(_) => return Received::Outcome(Outcome::TimedOut),
        },
        None => head.await,
    };
    let head = match head {
        Ok(head) => head,
        Err(end) => return end,
    };
    if attempt.gives_back(head.status, buf.filled(), &head.fields) {
        return Received::Outcome(Outcome::TakenBack);
    }
    let to_head = attempt.request.is_head;
    let from = framing::of_response(
        buf.filled(),
        &head.fields,
        head.version,
        head.status,
        to_head,
    );
    let from = match from {
        Ok(from) => from,
        Err(e) => return Received::Outcome(Outcome::BadResponse(e.to_string())),
    };
    has_head.set(true);
    let is_kept = from != Framing::UntilClose && keeps_alive(&head, buf.filled());
    let (form, hides) = attempt.form(&head, from);
    let mut text = attempt.buffers.scratch();
    forward::response(buf.filled(), &head, form, &mut text);
    if head.version == Version::Http10 {
        let end = text.len() - 2;
        text.truncate(end);
        text.extend_from_slice(b"l5d-orig-proto: HTTP/1.0\r\n\r\n");
    }
    buf.consume(head.len);
    let ends = hides || matches!(from, Framing::None | Framing::Length(0));
    if let Err(reason) = reply.head(&text, form.framing, ends).await {
        return Received::Client(reason);
    }
    drop(text);
    if !ends && let Err(end) = relay(attempt, from, read, &mut buf, reply).await {
        return end;
    }
    attempt.judge.end(None, false);
    Received::Outcome(Outcome::Done(Done {
        status: head.status,
        reusable: is_kept && !hides && buf.is_empty(),
        keep_alive: form.keep_alive,
        length: match form.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        },
    }))
}

fn keeps_alive(head: &ResponseHead, bytes: &[u8]) -> bool {
    let options = Options::read(bytes, &head.fields);
    match head.version {
        Version::Http10 => options.keep_alive,
        _ => !options.close,
    }
}

async fn response_head<R: Responder>(
    attempt: &Attempt<'_>,
    read: &mut ReadHalf<'_>,
    is_reused: bool,
    buf: &mut Buffer,
    reply: &mut R,
) -> Result<ResponseHead, Received> {
    let bad = |what: String| Err(Received::Outcome(Outcome::BadResponse(what)));
    let mut interims = 0;
    loop {
        let parsed = match buf.is_empty() {
            true => Ok(None),
            false => parse_response(buf.filled(), attempt.limits),
        };
        match parsed {
            Err(e) => return bad(e.to_string()),
            Ok(Some(head)) if head.status >= 200 => return Ok(head),
            Ok(Some(head)) if head.status == 101 || interims == MAX_INTERIM => {
                return bad("unexpected interim response".to_owned());
            }
            Ok(Some(head)) => {
                interims += 1;
                if attempt.request.version != Version::Http10 {
                    let mut text = attempt.buffers.scratch();
                    forward::interim(buf.filled(), &head, attempt.clear_context, &mut text);
                    let passed = reply.interim(&text).await;
                    passed.map_err(Received::Client)?;
                }
                buf.consume(head.len);
                continue;
            }
            Ok(None) => {}
        }
        let filled = tokio::select! {
            biased;
            reason = reply.gone() => return Err(Received::Client(reason)),
            filled = buf.fill(read) => filled,
        };
        match filled {
            Ok(n) if n > 0 => {}
            _ if !buf.is_empty() => return bad("it ends in its head".to_owned()),
            _ if interims == 0 && is_reused && attempt.may_be_sent_twice() => {
                return Err(Received::Outcome(Outcome::Stale));
            }
            _ => return Err(Received::Outcome(Outcome::Lost)),
        }
    }
}

async fn relay<R: Responder>(
    attempt: &Attempt<'_>,
    from: Framing,
    read: &mut ReadHalf<'_>,
    buf: &mut Buffer,
    reply: &mut R,
) -> Result<(), Received> {
    let mut transfer = Transfer::new(from, Output::Raw, attempt.limits.fields);
    loop {
        let mut out = Vec::new();
        let Ok(n) = transfer.step(buf.filled(), &mut out) else {
            return Err(cut(attempt, reply));
        };
        buf.consume(n);
        let ends = transfer.is_done() && transfer.trailers().is_empty();
        if !out.is_empty() || ends {
            let passed = reply.data(Bytes::from(out), ends).await;
            passed.map_err(Received::Client)?;
        }
        if ends {
            return Ok(());
        }
        if transfer.is_done() {
            let trailers = head::to_trailers(transfer.trailers());
            let ended = reply.end(Some(trailers)).await;
            return ended.map_err(Received::Client);
        }
        let filled = tokio::select! {
            biased;
            reason = reply.gone() => return Err(Received::Client(reason)),
            filled = buf.fill(read) => filled,
        };
        match filled {
            Ok(n) if n > 0 => {}
            Ok(_) if transfer.end(&mut Vec::new()) => {
                let ended = reply.end(None).await;
                return ended.map_err(Received::Client);
            }
            _ => return Err(cut(attempt, reply)),
        }
    }
}

/// The response has ended before its end.
fn cut<R: Responder>(attempt: &Attempt<'_>, reply: &mut R) -> Received {
    attempt.judge.cut();
    reply.cut(Reason::INTERNAL_ERROR);
    Received::Outcome(Outcome::Aborted { must_reset: true })
}
