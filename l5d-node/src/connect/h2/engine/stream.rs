//! One stream: opened with a request's head, read and written by whoever owns it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use super::core::MOST_OUT;
use super::head::{Head, put_request, put_trailers};
use super::state::State;
use super::{Fail, Shared, frame};

/// Opens streams. Once it is dropped the connection ends with its last stream.
pub struct Opener(Shared);

/// A stream. Dropped before both sides have ended, it is reset with CANCEL.
pub struct Stream {
    core: Shared,
    id: u32,
}

/// A stream being opened. Dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Opening<'a> {
    core: &'a Shared,
    text: &'a [u8],
    added: &'a [(&'a str, &'a str)],
    ends: bool,
    to_head: bool,
    /// Its place among those who wait, once it has to.
    ticket: Option<u64>,
}

/// A part of a response's body.
#[derive(Debug)]
pub enum Part {
    /// Bytes, and whether they are the last ones, with nothing behind them.
    Data(Bytes, bool),
    /// The end, perhaps with trailers.
    End(Option<HeaderMap>),
}

/// No stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The connection takes no more.
    #[error("the connection takes no more streams")]
    Closed,
    /// HTTP/2 cannot say that head.
    #[error("HTTP/2 cannot say that head")]
    Unsayable,
}

impl Opener {
    pub(super) fn new(core: Shared) -> Self {
        Self(core)
    }

    /// Whether streams can still be opened: not ended, not told to go away, ids left.
    pub fn is_usable(&self) -> bool {
        !self.0.borrow().is_closed()
    }

    /// Whether the peer's settings have come.
    pub fn is_settled(&self) -> bool {
        self.0.borrow().peer.max_streams.is_some()
    }

    /// How many streams the peer takes at once.
    pub fn max_streams(&self) -> usize {
        self.0.borrow().peer.max_streams.unwrap_or(0)
    }

    /// Opens a stream, as soon as the peer takes one more, with a request's head in the form of HTTP/1 and `added` fields.
    /// `ends`: nothing comes behind it; `to_head`: its method is HEAD.
    ///
    /// # Errors
    /// The connection takes no more streams, or the head cannot be sent.
    pub fn open<'a>(
        &'a self,
        text: &'a [u8],
        added: &'a [(&'a str, &'a str)],
        (ends, to_head): (bool, bool),
    ) -> Opening<'a> {
        Opening {
            core: &self.0,
            text,
            added,
            ends,
            to_head,
            ticket: None,
        }
    }
}

impl Future for Opening<'_> {
    type Output = Result<Stream, OpenError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let core = &mut *this.core.borrow_mut();
        if core.is_closed() {
            return Poll::Ready(Err(OpenError::Closed));
        }
        if core.room() == 0 {
            let ticket = *this.ticket.get_or_insert_with(|| {
                core.next_ticket += 1;
                core.next_ticket
            });
            core.openers.insert(ticket, cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(ticket) = this.ticket.take() {
            core.openers.remove(&ticket);
        }
        let (start, id) = (core.out.len(), core.next_id);
        core.out.extend_from_slice(&[0; frame::HEADER]);
        if !put_request(this.text, this.added, &mut core.encoder, &mut core.out) {
            core.out.truncate(start);
            core.wake_openers();
            return Poll::Ready(Err(OpenError::Unsayable));
        }
        frame::close_block(start, this.ends, id, core.peer.max_frame, &mut core.out);
        core.kick();
        core.next_id += 2;
        core.open += 1;
        let state = core.state(this.ends, this.to_head);
        core.streams.insert(id, state);
        let core = this.core.clone();
        Poll::Ready(Ok(Stream { core, id }))
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let core = &mut *self.core.borrow_mut();
            if core.openers.remove(&ticket).is_none() {
                // It was told of room that others can have.
                core.wake_openers();
            }
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let mut core = self.0.borrow_mut();
        core.has_no_opener = true;
        if core.is_done() {
            core.kick();
        }
    }
}

impl Stream {
    /// Lets `poll` look at the state; it is told when that changes.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut State) -> Poll<Result<R, Fail>>,
    ) -> Poll<Result<R, Fail>> {
        let mut core = self.core.borrow_mut();
        let Some(state) = core.streams.get_mut(&self.id) else {
            // It is there as long as its owner.
            return Poll::Ready(Err(Fail::Lost));
        };
        match (poll(state), state.fail) {
            (Poll::Pending, Some(fail)) => Poll::Ready(Err(fail)),
            (Poll::Pending, None) => {
                state.watch(cx.waker());
                Poll::Pending
            }
            (ready, _) => ready,
        }
    }

    /// The next head of the response: interim ones, then the final one.
    ///
    /// # Errors
    /// The stream has ended before.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Head, Fail>> {
        self.poll(cx, |state| match state.heads.pop_front() {
            Some(head) => Poll::Ready(Ok(head)),
            None => Poll::Pending,
        })
    }

    /// The next part of the response's body. After the end, the end again, without trailers.
    ///
    /// # Errors
    /// The stream has ended before its end; what came before was given.
    pub fn poll_part(&self, cx: &mut Context<'_>) -> Poll<Result<Part, Fail>> {
        self.poll(cx, |state| match state.received.pop_front() {
            Some(bytes) => {
                let is_last = state.received.is_empty() && matches!(state.end, Some(None));
                Poll::Ready(Ok(Part::Data(bytes.into(), is_last)))
            }
            None => match &mut state.end {
                Some(trailers) => Poll::Ready(Ok(Part::End(trailers.take()))),
                None => Poll::Pending,
            },
        })
    }

    /// Bytes of the body have gone on: there is room for as many.
    pub fn release(&self, bytes: usize) {
        self.core.borrow_mut().release(self.id, bytes as u32);
    }

    /// When the peer has reset the stream, or it has failed otherwise.
    pub fn poll_fail(&self, cx: &mut Context<'_>) -> Poll<Fail> {
        let polled = self.poll(cx, |_| Poll::<Result<(), Fail>>::Pending);
        polled.map(|fail| fail.err().unwrap_or(Fail::Lost))
    }

    /// Sends of `bytes` what the windows allow, and is done when all of it is on its way. `ends`: nothing comes behind them.
    ///
    /// # Errors
    /// The stream takes no more.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
        ends: bool,
    ) -> Poll<Result<(), Fail>> {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let Some(state) = core.streams.get_mut(&self.id) else {
            return Poll::Ready(Err(Fail::Lost));
        };
        if let Some(fail) = state.fail {
            return Poll::Ready(Err(fail));
        }
        if state.is_sent {
            return Poll::Ready(Err(Fail::Lost));
        }
        let mut has_sent = false;
        loop {
            let out = MOST_OUT.saturating_sub(core.out.len()) as i64;
            let room = state.window.min(core.window).min(out).max(0) as usize;
            let n = room.min(bytes.len()).min(core.peer.max_frame);
            let is_last = ends && n == bytes.len();
            if n == 0 && !(bytes.is_empty() && is_last) {
                break;
            }
            let flags = if is_last { frame::END_STREAM } else { 0 };
            frame::put(frame::DATA, flags, self.id, &bytes[..n], &mut core.out);
            has_sent = true;
            state.window -= n as i64;
            core.window -= n as i64;
            let _ = bytes.split_to(n);
            state.is_sent = is_last;
            if bytes.is_empty() {
                break;
            }
        }
        if has_sent && std::mem::take(&mut state.is_blocked) {
            let id = self.id;
            core.blocked.retain(|other| *other != id);
        }
        let is_done = bytes.is_empty();
        if is_done {
            core.settle(self.id);
        } else {
            state.watch(cx.waker());
            // Who waits for its own window is told of that.
            if state.window > 0 && !std::mem::replace(&mut state.is_blocked, true) {
                core.blocked.push_back(self.id);
            }
        }
        if has_sent {
            core.kick();
        }
        if is_done {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Ends the request, with trailers.
    ///
    /// # Errors
    /// The stream takes no more.
    pub fn send_trailers(&self, trailers: &HeaderMap) -> Result<(), Fail> {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let Some(state) = core.streams.get_mut(&self.id) else {
            return Err(Fail::Lost);
        };
        if state.is_sent || state.fail.is_some() {
            return Err(state.fail.unwrap_or(Fail::Lost));
        }
        state.is_sent = true;
        core.settle(self.id);
        let start = core.out.len();
        core.out.extend_from_slice(&[0; frame::HEADER]);
        put_trailers(trailers, &mut core.encoder, &mut core.out);
        frame::close_block(start, true, self.id, core.peer.max_frame, &mut core.out);
        core.kick();
        Ok(())
    }

    /// Resets the stream, unless it has ended.
    pub fn reset(&self, reason: Reason) {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let Some(state) = core.streams.get_mut(&self.id) else {
            return;
        };
        let is_over = state.is_sent && state.end.is_some() || state.fail.is_some();
        if !is_over && !std::mem::replace(&mut state.is_reset, true) {
            state.settle(&mut core.open);
            core.wake_openers();
            core.put(
                frame::RST_STREAM,
                0,
                self.id,
                &u32::from(reason).to_be_bytes(),
            );
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core.borrow_mut().drop_stream(self.id);
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
