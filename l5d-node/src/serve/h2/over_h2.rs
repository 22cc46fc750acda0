//! One attempt on a stream of a shared HTTP/2 connection: the request out, the response back, resets both ways with their
//! codes (node-proxy 10.1).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use smallvec::SmallVec;
use tokio::time::timeout_at;

use super::head;
use super::relay::{Cut, Piece, Responder, Source, write};
use crate::connect::h2::Handle;
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
    let Some(mut request) = head::to_request(&attempt.wire[..attempt.head_len], Scheme::HTTP)
    else {
        return Outcome::BadRequestBody("its target or Host cannot be sent in HTTP/2".to_owned());
    };
    if takes_trailers {
        let value = HeaderValue::from_static("trailers");
        request.headers_mut().insert(header::TE, value);
    }
    if let Some(original) = original(attempt) {
        request.headers_mut().insert(head::ORIG_PROTO, original);
    }
    if poll_fn(|cx| handle.send.poll_ready(cx)).await.is_err() {
        return Outcome::NotSent;
    }
    let ends = matches!(attempt.request.framing, Framing::None | Framing::Length(0));
    let Ok((response, mut to_server)) = handle.send.send_request(request, ends) else {
        return Outcome::NotSent;
    };
    let is_reused = handle.is_reused;
    let (has_head, is_whole) = (Cell::new(false), Cell::new(false));
    let ended = {
        let sending = pin!(send(
            attempt,
            source,
            &mut to_server,
            ends,
            (&has_head, &is_whole)
        ));
        let receiving = pin!(receive(attempt, is_reused, response, reply, &has_head));
        both(sending, receiving, &has_head, &is_whole).await
    };
    match ended {
        Ok(outcome) => outcome,
        Err(reason) => {
            to_server.send_reset(reason);
            Outcome::Aborted { must_reset: true }
        }
    }
}

/// What another node restores the request from (node-proxy 14.3).
fn original(attempt: &Attempt<'_>) -> Option<HeaderValue> {
    let is_absolute = attempt.request.authority.is_some();
    let text = match (attempt.request.version, is_absolute) {
        (Version::Http2, _) => return None,
        (Version::Http11, false) => "HTTP/1.1",
        (Version::Http11, true) => "HTTP/1.1; absolute-form",
        (Version::Http10, false) => "HTTP/1.0",
        (Version::Http10, true) => "HTTP/1.0; absolute-form",
    };
    Some(HeaderValue::from_static(text))
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
    to_server: &mut SendStream<Bytes>,
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
            _ = poll_fn(|cx| to_server.poll_reset(cx)) => return Sent::Stopped,
            next = source.next() => next,
        };
        attempt.idle.moved();
        // Said before anything of it is on its way: an answer may come at once.
        if !source.can_repeat() {
            attempt.judge.lost();
        }
        match next {
            Ok(Piece::Data(bytes, ends)) => {
                let n = bytes.len();
                if write(to_server, bytes, ends).await.is_err() {
                    return Sent::Stopped;
                }
                source.passed(n);
                is_done = ends;
            }
            Ok(Piece::End(trailers)) => {
                let ended = match trailers {
                    Some(trailers) => to_server.send_trailers(trailers),
                    None => to_server.send_data(Bytes::new(), true),
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
    response: ResponseFuture,
    reply: &mut R,
    has_head: &Cell<bool>,
) -> Received {
    let head = response_head(attempt, response, reply);
    let head = match attempt.deadline {
        Some(deadline) => match timeout_at(deadline, head).await {
            Ok(head) => head,
            Err(_) => return Received::Outcome(Outcome::TimedOut),
        },
        None => head.await,
    };
    let response = match head {
        Ok(Ok(response)) => response,
        Ok(Err(e)) => return Received::Outcome(without_head(attempt, is_reused, &e)),
        Err(reason) => return Received::Client(reason),
    };
    let (parts, mut stream) = response.into_parts();
    let ends = stream.is_end_stream();
    let mut text = attempt.buffers.scratch();
    head::put_response(parts.status, &parts.headers, ends, &mut text);
    let head = match parse_response(&text, attempt.limits) {
        Ok(Some(head)) => ResponseHead {
            version: match (attempt.request.version, head::original(&parts.headers)) {
                (Version::Http2, _) => Version::Http2,
                (_, "HTTP/1.0") => Version::Http10,
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
            seen.look(&mut stream);
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
    if !ends && let Err(end) = relay(attempt, seen, &mut stream, reply).await {
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
    mut response: ResponseFuture,
    reply: &mut R,
) -> Result<Result<Response<RecvStream>, h2::Error>, Reason> {
    enum Event {
        Interim(Response<()>),
        Final(Result<Response<RecvStream>, h2::Error>),
    }
    let mut interims = 0;
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
                return Poll::Ready(Event::Interim(interim));
            }
            Pin::new(&mut response).poll(cx).map(Event::Final)
        });
        let event = tokio::select! {
            biased;
            reason = reply.gone() => return Err(reason),
            event = event => event,
        };
        let interim = match event {
            Event::Final(head) => return Ok(head),
            Event::Interim(interim) => interim,
        };
        interims += 1;
        let mut text = attempt.buffers.scratch();
        head::put_response(interim.status(), interim.headers(), true, &mut text);
        let Ok(Some(head)) = parse_response(&text, attempt.limits) else {
            return Ok(Err(Reason::PROTOCOL_ERROR.into()));
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
    fn look(&mut self, stream: &mut RecvStream) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.data.len() < 2 {
            match stream.poll_data(&mut cx) {
                Poll::Ready(Some(Ok(bytes))) => self.data.push(bytes),
                Poll::Ready(None) => {
                    if let Poll::Ready(Ok(trailers)) = stream.poll_trailers(&mut cx) {
                        self.end = Some(trailers);
                    }
                    return;
                }
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
    stream: &mut RecvStream,
    reply: &mut R,
) -> Result<(), Received> {
    for bytes in seen.data {
        let (n, ends) = (bytes.len(), seen.end.is_none() && stream.is_end_stream());
        let passed = reply.data(bytes, ends).await;
        passed.map_err(Received::Client)?;
        let _ = stream.flow_control().release_capacity(n);
        if ends {
            return Ok(());
        }
    }
    if let Some(trailers) = seen.end {
        return end(attempt, trailers, reply).await;
    }
    loop {
        let next = tokio::select! {
            biased;
            reason = reply.gone() => return Err(Received::Client(reason)),
            next = attempt.idle.watch(stream.data()) => next,
        };
        let Ok(next) = next else {
            // Nothing has moved for `streamIdleTimeoutMs`.
            return cut(attempt, &Reason::CANCEL.into(), reply).await;
        };
        match next {
            Some(Ok(bytes)) => {
                let (n, ends) = (bytes.len(), stream.is_end_stream());
                if ends {
                    attempt.judge.end(None, false);
                }
                let Ok(passed) = attempt.idle.watch(reply.data(bytes, ends)).await else {
                    // Who does not read for so long is as good as gone: nothing of it is the endpoint's.
                    reply.cut(Reason::CANCEL);
                    return Err(Received::Outcome(Outcome::Aborted { must_reset: true }));
                };
                passed.map_err(Received::Client)?;
                let _ = stream.flow_control().release_capacity(n);
                if ends {
                    return Ok(());
                }
            }
            Some(Err(e)) => return cut(attempt, &e, reply).await,
            None => {
                let trailers = match stream.trailers().await {
                    Ok(trailers) => trailers,
                    Err(e) => return cut(attempt, &e, reply).await,
                };
                return end(attempt, trailers, reply).await;
            }
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
    e: &h2::Error,
    reply: &mut R,
) -> Result<(), Received> {
    let reason = match e.reason() {
        // The response is whole, and the endpoint wants no more of the request.
        Some(Reason::NO_ERROR) if e.is_reset() => {
            return end(attempt, None, reply).await;
        }
        Some(reason) if e.is_reset() => reason,
        _ => Reason::CANCEL,
    };
    attempt.judge.cut();
    reply.cut(reason);
    Err(Received::Outcome(Outcome::Aborted { must_reset: true }))
}

/// What the end of a stream means of which no response head came.
fn without_head(attempt: &Attempt<'_>, is_reused: bool, e: &h2::Error) -> Outcome {
    if e.is_reset() && e.is_remote() {
        return match e.reason() {
            Some(Reason::REFUSED_STREAM) => Outcome::Refused,
            Some(reason) => Outcome::Reset(reason),
            None => Outcome::Lost,
        };
    }
    // The codec ends streams so only if they are above the last one that the endpoint has seen.
    if e.is_go_away() && e.is_remote() {
        return Outcome::Refused;
    }
    if e.is_reset() || e.is_go_away() {
        return Outcome::BadResponse(e.to_string());
    }
    if is_reused && attempt.request.is_idempotent && attempt.request.is_buffered {
        return Outcome::Stale;
    }
    Outcome::Lost
}

fn bad_response(what: &str) -> Received {
    Received::Outcome(Outcome::BadResponse(what.to_owned()))
}
