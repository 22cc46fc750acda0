//! Serves clients of the 1.x generation, which send `:authority` with an empty value (control plane 4.1a).
//!
//! The HTTP/2 library takes that for a malformed request and resets it; without the field the same request is fine. So
//! between the socket and the library stands [`Tolerant`], which leaves the field out. Other clients' bytes pass
//! unchanged, and an idle connection keeps no buffer here.

mod frames;
mod hpack;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::frames::Frames;

/// A client's connection whose empty `:authority` fields are left out.
#[derive(Debug)]
pub(super) struct Tolerant<IO> {
    io: IO,
    frames: Frames,
    /// To be read before anything else, from `at` on.
    out: Vec<u8>,
    at: usize,
}

impl<IO> Tolerant<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            frames: Frames::new(),
            out: Vec::new(),
            at: 0,
        }
    }

    /// Reads what is ready; says whether there was any.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.out[self.at..];
        let n = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..n]);
        self.at += n;
        if self.at == self.out.len() {
            (self.out, self.at) = (Vec::new(), 0);
        }
        n > 0
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Tolerant<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        loop {
            if buf.remaining() == 0 || me.hand_over(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut me.io).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                me.out = me.frames.rest();
                me.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            let passed = me.frames.take(read, &mut me.out);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Tolerant<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
