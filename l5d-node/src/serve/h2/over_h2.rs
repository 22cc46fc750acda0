//! One attempt on a stream of a shared HTTP/2 connection: the request out, the response back, resets both ways with their
//! codes (node-proxy 10.1).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use super::head;
use super::relay::{Cut, Piece, Responder, Source};
use crate::connect::h2::Handle;
use crate::connect::h2::engine::{Fail, Head, OpenError, Opening, Part, Stream};
use crate::serve::exchange::{Attempt, Done, Outcome};
use crate::serve::forward::{self, ResponseForm};
use crate::serve::wire::field::Kind;
use crate::serve::wire::framing::{self, Framing};
use crate::serve::wire::head::{ResponseHead, Version, parse_response};

/// How the receiving side ends.
pub(super) enum Received {
    Outcome(Outcome),
    /// The client has reset, or is gone.
    Client(Reason),
}

/// How the sending side ends. Once the body is whole it ends only if the client goes away.
pub(super) enum Sent {
    /// The endpoint does not take more.
    Stopped,
    Cut(Cut),
}

/// Interim responses for one request.
const MAX_INTERIM: usize = 32;

/// Runs the attempt. `takes_trailers`: the client said `te: trailers`.
pub(crate) async fn over_h2<S: Source, R: Responder>(
    attempt: &Attempt<'_>,
    handle: &mut Handle,
    takes_trailers: bool,
    source: &mut S,
    reply: &mut R,
) -> Outcome {
    let mut added: SmallVec<[(&str, &str); 2]> = SmallVec::new();
    if takes_trailers {
        added.push(("te", "trailers"));
    }
    if let Some(original) = original(attempt) {
        added.push((head::ORIG_PROTO, original));
    }
    let ends = matches!(attempt.request.framing, Framing::None | Framing::Length(0));
    let (text, to_head) = (&attempt.wire[..attempt.head_len], attempt.request.is_head);
    let opening = handle.opener.open(text, &added, (ends, to_head));
    let to_server = match opened(attempt.deadline, opening, reply).await {
        Ok(stream) => stream,
        Err(outcome) => return outcome,
    };
    let is_reused = handle.is_reused;
    let (has_head, is_whole) = (Cell::new(false), Cell::new(false));
    let ended = {
        let sending = pin!(send(
            attempt,
            source,
            &to_server,
            ends,
            (&has_head, &is_whole)
        ));
        let receiving = pin!(receive(attempt, is_reused, &to_server, reply, &has_head));
        both(sending, receiving, &has_head, &is_whole).await
    };
    match ended {
        Ok(outcome) => outcome,
        Err(reason) => {
            to_server.reset(reason);
            Outcome::Aborted { must_reset: true }
        }
    }
}

/// The stream, as soon as the endpoint takes one more; or how the attempt ends without it.
async fn opened<R: Responder>(
    deadline: Option<Instant>,
    opening: Opening<'_>,
    reply: &mut R,
) -> Result<Stream, Outcome> {
    let opened = async {
        tokio::select! {
            biased;
            _ = reply.gone() => Err(Outcome::Aborted { must_reset: true }),
            opened = opening => opened.map_err(|e| match e {
                OpenError::Closed => Outcome::NotSent,
                OpenError::Unsayable => {
                    let why = "its target or Host cannot be sent in HTTP/2";
                    Outcome::BadRequestBody(why.to_owned())
                }
            }),
        }
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, opened)
            .await
            .unwrap_or(Err(Outcome::TimedOut)),
        None => opened.await,
    }
}

/// What another node restores the request from (node-proxy 14.3).
fn original(attempt: &Attempt<'_>) -> Option<&'static str> {
    let is_absolute = attempt.request.authority.is_some();
    match (attempt.request.version, is_absolute) {
        (Version::Http2, _) => None,
        (Version::Http11, false) => Some("HTTP/1.1"),
        (Version::Http11, true) => Some("HTTP/1.1; absolute-form"),
        (Version::Http10, false) => Some("HTTP/1.0"),
        (Version::Http10, true) => Some("HTTP/1.0; absolute-form"),
    }
}

/// Both directions. An error: the client's reset, to be passed on.
pub(super) async fn both(
    mut sending: Pin<&mut impl Future<Output = Sent>>,
    mut receiving: Pin<&mut impl Future<Output = Received>>,
    has_head: &Cell<bool>,
    is_whole: &Cell<bool>,
) -> Result<Outcome, Reason> {
    let mut is_sending = true;
    let mut done = loop {
        tokio::select! {
            biased;
            received = &mut receiving => match received {
                Received::Outcome(Outcome::Done(done)) => break done,
                Received::Outcome(outcome) => return Ok(outcome),
                Received::Client(reason) => return Err(reason),
            },
            sent = &mut sending, if is_sending => {
                is_sending = false;
                match sent {
                    Sent::Stopped => {}
                    Sent::Cut(Cut::Malformed(what)) if !has_head.get() => {
                        return Ok(Outcome::BadRequestBody(what));
                    }
                    Sent::Cut(Cut::Malformed(_)) => return Err(Reason::CANCEL),
                    Sent::Cut(Cut::Reset(reason)) => return Err(reason),
                }
            }
        }
    };
    if is_sending && !is_whole.get() && done.reusable {
        // The endpoint has not said that it does not read the rest.
        let rest = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
            Poll::Pending if is_whole.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match rest.await {
            None | Some(Sent::Stopped) => {}
            Some(Sent::Cut(Cut::Reset(reason))) => return Err(reason),
            Some(Sent::Cut(Cut::Malformed(_))) => return Err(Reason::CANCEL),
        }
    }
    done.keep_alive &= is_whole.get();
    Ok(Outcome::Done(done))
}

/// Sends the request's body, then waits for the client to go away, if that shows where the body came from.
async fn send<S: Source>(
    attempt: &Attempt<'_>,
    source: &mut S,
    to_server: &Stream,
    mut is_done: bool,
    (has_head, is_whole): (&Cell<bool>, &Cell<bool>),
) -> Sent {
    while !is_done {
        if has_head.get() {
            source.commit();
        }
        let next = tokio::select! {
            biased;
            // Nothing may come from the client for long, and the endpoint want no more.
            _ = poll_fn(|cx| to_server.poll_fail(cx)) => return Sent::Stopped,
            next = source.next() => next,
        };
        attempt.idle.moved();
        // Said before anything of it is on its way: an answer may come at once.
        if !source.can_repeat() {
            attempt.judge.lost();
        }
        match next {
            Ok(Piece::Data(mut bytes, ends)) => {
                let n = bytes.len();
                let sent = poll_fn(|cx| to_server.poll_send(cx, &mut bytes, ends));
                if sent.await.is_err() {
                    return Sent::Stopped;
                }
                source.passed(n);
                is_done = ends;
            }
            Ok(Piece::End(trailers)) => {
                let ended = match trailers {
                    Some(trailers) => to_server.send_trailers(&trailers),
                    None => poll_fn(|cx| to_server.poll_send(cx, &mut Bytes::new(), true)).await,
                };
                if ended.is_err() {
                    return Sent::Stopped;
                }
                is_done = true;
            }
            Err(cut) => return Sent::Cut(cut),
        }
    }
    is_whole.set(true);
    source.gone().await;
    Sent::Cut(Cut::Reset(Reason::CANCEL))
}

/// Passes the response on.
async fn receive<R: Responder>(
    attempt: &Attempt<'_>,
    is_reused: bool,
    stream: &Stream,
    reply: &mut R,
    has_head: &Cell<bool>,
) -> Received {
    let head = response_head(attempt, stream, reply);
    let head = match attempt.deadline {
        Some(deadline) => match timeout_at(deadline, head).await {
            Ok(head) => head,
            Err(_) => return Received::Outcome(Outcome::TimedOut),
        },
        None => head.await,
    };
    let Head {
        text,
        ends,
        is_http10,
        ..
    } = match head {
        Ok(Ok(head)) => head,
        Ok(Err(fail)) => return Received::Outcome(without_head(attempt, is_reused, fail)),
        Err(reason) => return Received::Client(reason),
    };
    let head = match parse_response(&text, attempt.limits) {
        Ok(Some(head)) => ResponseHead {
            version: match (attempt.request.version, is_http10) {
                (Version::Http2, _) => Version::Http2,
                (_, true) => Version::Http10,
                _ => Version::Http11,
            },
            ..head
        },
        Ok(None) => return bad_response("its head does not end"),
        Err(e) => return bad_response(&e.to_string()),
    };
    if attempt.gives_back(head.status, &text, &head.fields) {
        return Received::Outcome(Outcome::TakenBack);
    }
    let mut seen = Seen::default();
    if attempt.judge.awaits_end() {
        if ends {
            seen.end = Some(None);
        } else {
            seen.look(stream);
        }
        if let Some(trailers) = &seen.end
            && attempt.judge.end(grpc_status(trailers.as_ref()), true)
        {
            return Received::Outcome(Outcome::TakenBack);
        }
    }
    has_head.set(true);
    let is_head = attempt.request.is_head || ends;
    let from = framing::of_response(&text, &head.fields, Version::Http11, head.status, is_head);
    let (form, hides) = match from {
        Ok(from) => attempt.form(&head, from),
        Err(e) => return bad_response(&e.to_string()),
    };
    let mut out = attempt.buffers.scratch();
    forward::response(&text, &head, form, &mut out);
    let ends = ends || hides;
    if let Err(reason) = reply.head(&out, form.framing, ends).await {
        return Received::Client(reason);
    }
    drop((text, out));
    if !ends && let Err(end) = relay(attempt, seen, stream, reply).await {
        return end;
    }
    Received::Outcome(Outcome::Done(Done {
        status: head.status,
        length: match form.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        },
        reusable: true,
        keep_alive: form.keep_alive,
    }))
}

impl<'a> Attempt<'a> {
    /// How a final response framed so goes on, and whether its body stays here (node-proxy 8.5).
    pub(super) fn form(&self, head: &ResponseHead, from: Framing) -> (ResponseForm<'a>, bool) {
        let (mut to, _) = self.onward(from);
        let is_ours = head.fields.iter().any(|f| f.kind == Kind::Err);
        let hides = self.clear_context && is_ours && to != Framing::None;
        if hides {
            to = Framing::Length(0);
        }
        let is_kept = self.request.keep_alive && to != Framing::UntilClose;
        let form = ResponseForm {
            via: self.via,
            version: self.request.version,
            framing: to,
            keep_alive: is_kept && !self.drain.is_draining(),
            clear_context: self.clear_context,
            success_class: self.judge.class(head.status).success_class(),
            offers_http2: false,
            hosts: self.hosts,
        };
        (form, hides)
    }
}

/// The final response's head; interim ones are passed on. An error: the client's reset.
async fn response_head<R: Responder>(
    attempt: &Attempt<'_>,
    stream: &Stream,
    reply: &mut R,
) -> Result<Result<Head, Fail>, Reason> {
    let mut interims = 0;
    loop {
        let head = tokio::select! {
            biased;
            reason = reply.gone() => return Err(reason),
            head = poll_fn(|cx| stream.poll_head(cx)) => head,
        };
        let text = match head {
            Ok(head) if head.status < 200 => head.text,
            head => return Ok(head),
        };
        interims += 1;
        let Ok(Some(head)) = parse_response(&text, attempt.limits) else {
            return Ok(Err(Fail::Protocol(Reason::PROTOCOL_ERROR)));
        };
        let is_wanted = attempt.request.version != Version::Http10 && head.status != 101;
        if is_wanted && interims <= MAX_INTERIM {
            let mut out = attempt.buffers.scratch();
            forward::interim(&text, &head, attempt.clear_context, &mut out);
            reply.interim(&out).await?;
        }
    }
}

/// What has come behind a head without waiting for it (node-proxy 17): enough to judge a short answer before it goes out.
#[derive(Default)]
struct Seen {
    data: SmallVec<[Bytes; 2]>,
    end: Option<Option<HeaderMap>>,
}

impl Seen {
    fn look(&mut self, stream: &Stream) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.data.len() < 2 && self.end.is_none() {
            match stream.poll_part(&mut cx) {
                Poll::Ready(Ok(Part::Data(bytes, ends))) => {
                    self.data.push(bytes);
                    self.end = ends.then_some(None);
                }
                Poll::Ready(Ok(Part::End(trailers))) => self.end = Some(trailers),
                // An error shows again.
                _ => return,
            }
        }
    }
}

fn grpc_status(trailers: Option<&HeaderMap>) -> Option<u32> {
    let value = trailers?.get("grpc-status")?;
    value.to_str().ok()?.trim().parse().ok()
}

/// Passes the body on. The client's window is the endpoint's: room is given back as bytes leave.
async fn relay<R: Responder>(
    attempt: &Attempt<'_>,
    seen: Seen,
    stream: &Stream,
    reply: &mut R,
) -> Result<(), Received> {
    for bytes in seen.data {
        let n = bytes.len();
        let passed = reply.data(bytes, false).await;
        passed.map_err(Received::Client)?;
        stream.release(n);
    }
    if let Some(trailers) = seen.end {
        return end(attempt, trailers, reply).await;
    }
    loop {
        let next = tokio::select! {
            biased;
            reason = reply.gone() => return Err(Received::Client(reason)),
            next = attempt.idle.watch(poll_fn(|cx| stream.poll_part(cx))) => next,
        };
        let Ok(next) = next else {
            // Nothing has moved for `streamIdleTimeoutMs`.
            return cut(attempt, Fail::Lost, reply).await;
        };
        match next {
            Ok(Part::Data(bytes, ends)) => {
                let n = bytes.len();
                if ends {
                    attempt.judge.end(None, false);
                }
                let Ok(passed) = attempt.idle.watch(reply.data(bytes, ends)).await else {
                    // Who does not read for so long is as good as gone: nothing of it is the endpoint's.
                    reply.cut(Reason::CANCEL);
                    return Err(Received::Outcome(Outcome::Aborted { must_reset: true }));
                };
                passed.map_err(Received::Client)?;
                stream.release(n);
                if ends {
                    return Ok(());
                }
            }
            Ok(Part::End(trailers)) => return end(attempt, trailers, reply).await,
            Err(fail) => return cut(attempt, fail, reply).await,
        }
    }
}

/// Ends the response. Trailers, if there are any, tell the verdict (node-proxy 10).
async fn end<R: Responder>(
    attempt: &Attempt<'_>,
    trailers: Option<HeaderMap>,
    reply: &mut R,
) -> Result<(), Received> {
    attempt.judge.end(grpc_status(trailers.as_ref()), false);
    let trailers = trailers.map(|mut trailers| {
        let inside = trailers.keys().filter(|n| n.as_str().starts_with("l5d-"));
        let inside: SmallVec<[HeaderName; 4]> = inside.cloned().collect();
        for name in inside {
            if attempt.clear_context || name == "l5d-success-class" {
                trailers.remove(name);
            }
        }
        if !attempt.clear_context {
            let class = attempt.judge.class(attempt.judge.status());
            let class = HeaderValue::from_static(match class.is_success() {
                true => "1.0",
                false => "0.0",
            });
            trailers.insert("l5d-success-class", class);
        }
        trailers
    });
    reply.end(trailers).await.map_err(Received::Client)
}

/// The endpoint's stream has ended before its end.
async fn cut<R: Responder>(
    attempt: &Attempt<'_>,
    fail: Fail,
    reply: &mut R,
) -> Result<(), Received> {
    let reason = match fail {
        // The response is whole, and the endpoint wants no more of the request.
        Fail::Reset(Reason::NO_ERROR) => return end(attempt, None, reply).await,
        Fail::Reset(reason) | Fail::Protocol(reason) => reason,
        Fail::Unseen | Fail::Lost => Reason::CANCEL,
    };
    attempt.judge.cut();
    reply.cut(reason);
    Err(Received::Outcome(Outcome::Aborted { must_reset: true }))
}

/// What the end of a stream means of which no response head came.
fn without_head(attempt: &Attempt<'_>, is_reused: bool, fail: Fail) -> Outcome {
    match fail {
        Fail::Reset(Reason::REFUSED_STREAM) | Fail::Unseen => Outcome::Refused,
        Fail::Reset(reason) => Outcome::Reset(reason),
        Fail::Protocol(_) => Outcome::BadResponse(fail.to_string()),
        Fail::Lost if is_reused && attempt.request.is_idempotent && attempt.request.is_buffered => {
            Outcome::Stale
        }
        Fail::Lost => Outcome::Lost,
    }
}

fn bad_response(what: &str) -> Received {
    Received::Outcome(Outcome::BadResponse(what.to_owned()))
}
