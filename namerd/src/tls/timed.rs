//! `readTimeoutMs` and `writeTimeoutMs` of an accepted connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::config::SocketOptions;

/// A stream that fails when it has been waited for too long.
#[derive(Debug)]
pub(super) struct Timed<S> {
    inner: S,
    read: Limit,
    write: Limit,
}

/// How long one direction may stand still.
#[derive(Debug)]
struct Limit {
    after: Option<Duration>,
    /// Set while it stands still.
    alarm: Option<Pin<Box<Sleep>>>,
    what: &'static str,
}

impl<S> Timed<S> {
    pub(super) fn new(inner: S, options: &SocketOptions) -> Self {
        let limit = |after, what| Limit {
            after,
            alarm: None,
            what,
        };
        Self {
            inner,
            read: limit(options.read_timeout, "readTimeoutMs"),
            write: limit(options.write_timeout, "writeTimeoutMs"),
        }
    }
}

impl Limit {
    fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(after) = self.after else {
            return polled;
        };
        if polled.is_ready() {
            self.alarm = None;
            return polled;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(alarm.as_mut().poll(cx));
        let message = format!("nothing for {after:?} ({})", self.what);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.read.bound(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.write.bound(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.write.bound(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.write.bound(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.write.bound(cx, polled)
    }
}
