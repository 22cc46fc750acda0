//! The bytes of a connection: in as long as there are any, out in one go.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::core::MOST_OUT;
use super::{Fail, Shared, frame};

/// Reads and writes for all streams. Dropped, it takes the connection with it.
#[derive(Debug)]
pub struct Driver<T> {
    io: T,
    core: Shared,
    /// Of a frame that is not whole yet.
    partial: Vec<u8>,
    sent: usize,
    /// What the session below has not sent yet, in TLS.
    is_unflushed: bool,
    end: Option<Result<(), Broken>>,
}

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The peer has not kept to the protocol.
    #[error("the peer has not kept to the protocol: {0}")]
    Protocol(Reason),
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Bytes that are read at once, besides what is left of the time before.
const READ: usize = 64 << 10;
/// What an idle connection keeps for what it writes.
const KEPT: usize = 2 << 10;

thread_local! {
    /// What is read, for all connections of a thread: nothing is left in it between two polls.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<T> Driver<T> {
    pub(super) fn new(io: T, core: Shared) -> Self {
        Self {
            io,
            core,
            partial: Vec::new(),
            sent: 0,
            is_unflushed: false,
            end: None,
        }
    }

    /// Whether something has come since the last call.
    pub fn has_heard(&self) -> bool {
        std::mem::take(&mut self.core.borrow_mut().has_heard)
    }

    /// Whether nothing waits to be written, the end included.
    pub fn is_flushed(&self) -> bool {
        self.end.is_none() && !self.is_unflushed && self.core.borrow().out.is_empty()
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&self) {
        let mut core = self.core.borrow_mut();
        core.has_pong = false;
        core.put(frame::PING, 0, 0, b"l5d-node");
    }

    /// Whether it has answered.
    pub fn has_pong(&self) -> bool {
        self.core.borrow().has_pong
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Reads what there is and writes what waits. Ends when the peer does, or with the last stream if nobody opens another.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.core.borrow_mut().attend(cx.waker());
        loop {
            let is_full = self.poll_input(cx);
            if let Err(e) = ready!(self.poll_output(cx)) {
                self.ended(Err(e.into()), Fail::Lost);
                return Poll::Ready(self.end.take().unwrap_or(Ok(())));
            }
            if self.end.is_some() {
                // What it says matters no more.
                let _ = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
                return Poll::Ready(self.end.take().unwrap_or(Ok(())));
            }
            if !is_full {
                self.core.borrow_mut().rest();
                return Poll::Pending;
            }
        }
    }

    /// Reads until there is no more for now, or too much to write: true.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> bool {
        while self.end.is_none() {
            if self.core.borrow().out.len() >= MOST_OUT {
                return true;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.ended(Ok(()), Fail::Lost),
                Poll::Ready(Err(Broken::Protocol(reason))) => {
                    let mut goodbye = [0; 8];
                    goodbye[4..].copy_from_slice(&u32::from(reason).to_be_bytes());
                    self.core.borrow_mut().put(frame::GOAWAY, 0, 0, &goodbye);
                    self.ended(Err(Broken::Protocol(reason)), Fail::Protocol(reason));
                }
                Poll::Ready(Err(e)) => self.ended(Err(e), Fail::Lost),
                Poll::Pending => break,
            }
        }
        if self.end.is_none() && self.core.borrow().is_done() {
            self.core.borrow_mut().put(frame::GOAWAY, 0, 0, &[0; 8]);
            self.ended(Ok(()), Fail::Lost);
        }
        false
    }

    fn ended(&mut self, end: Result<(), Broken>, fail: Fail) {
        self.core.borrow_mut().fail(fail);
        self.end.get_or_insert(end);
    }

    /// Reads once. False: the peer has ended.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        INPUT.with_borrow_mut(|input| {
            let before = self.partial.len();
            if input.len() < before + READ {
                input.resize(before + READ, 0);
            }
            let mut buf = ReadBuf::new(&mut input[before..]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            let new = buf.filled().len();
            if new == 0 {
                return Poll::Ready(Ok(false));
            }
            input[..before].copy_from_slice(&self.partial);
            let bytes = &input[..before + new];
            let taken = self
                .core
                .borrow_mut()
                .receive(bytes)
                .map_err(Broken::Protocol)?;
            self.partial.clear();
            if taken < bytes.len() {
                self.partial.extend_from_slice(&bytes[taken..]);
            } else if before > 0 {
                self.partial = Vec::new();
            }
            Poll::Ready(Ok(true))
        })
    }

    /// Writes all that waits.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.core.borrow_mut();
        while self.sent < core.out.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &core.out[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
            self.is_unflushed = true;
        }
        if self.sent > 0 {
            self.sent = 0;
            core.out.clear();
            if core.streams.is_empty() {
                core.out.shrink_to(KEPT);
            }
            core.wake_blocked();
            core.wake_openers();
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.core.borrow_mut().fail(Fail::Lost);
    }
}
