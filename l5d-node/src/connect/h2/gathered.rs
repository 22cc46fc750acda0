//! Bytes of many frames in one system call: what the codec writes is gathered while it is polled, and leaves when whoever
//! polls it says that there is no more for now.
//!
//! It must never be left with bytes that nobody sends: each poll of the codec is made by [`Outlet::poll`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The codec's end.
#[derive(Debug)]
pub struct Gathered<T>(Rc<RefCell<Inner<T>>>);

/// The end of who polls the codec.
#[derive(Debug)]
pub struct Outlet<T>(Rc<RefCell<Inner<T>>>);

#[derive(Debug)]
struct Inner<T> {
    io: T,
    out: Vec<u8>,
    sent: usize,
    /// Why nothing can be sent, until the codec hears of it.
    failed: Option<io::Error>,
}

/// Gathered bytes that leave at once. The codec makes frames of 16 KiB at most unless the peer asks for more.
const MOST: usize = 32 << 10;
/// Writes of this size and more are not copied.
const LARGE: usize = 8 << 10;

/// Both ends of what goes over `io`.
pub fn gather<T>(io: T) -> (Gathered<T>, Outlet<T>) {
    let inner = Rc::new(RefCell::new(Inner {
        io,
        out: Vec::new(),
        sent: 0,
        failed: None,
    }));
    (Gathered(inner.clone()), Outlet(inner))
}

impl<T: AsyncWrite + Unpin> Outlet<T> {
    /// Polls the codec, then sends what it has written.
    pub fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        mut codec: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let polled = codec(cx);
        let sent = self.0.borrow_mut().flush(cx);
        if let Poll::Ready(Err(e)) = sent {
            self.0.borrow_mut().failed = Some(e);
            if polled.is_pending() {
                // It finds out.
                return codec(cx);
            }
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    /// Sends what is gathered, and of `more` what goes with it; gives how much of `more` that was.
    fn send(&mut self, cx: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            let io = Pin::new(&mut self.io);
            let n = if more.is_empty() || !io.is_write_vectored() {
                ready!(io.poll_write(cx, rest))?
            } else {
                // The codec writes a frame's head and its payload.
                let (a, b) = (more[0], more.get(1).copied());
                let bufs = [IoSlice::new(rest), a, b.unwrap_or(IoSlice::new(&[]))];
                ready!(io.poll_write_vectored(cx, &bufs))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let beyond = n.saturating_sub(rest.len());
            self.sent += n - beyond;
            if beyond > 0 {
                self.out = Vec::new();
                self.sent = 0;
                return Poll::Ready(Ok(beyond));
            }
        }
        // Idle connections hold no memory for it.
        self.out = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(0))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(cx, &[]))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn put(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        if self.out.capacity() == 0 {
            self.out.reserve(LARGE);
        }
        bufs.iter().for_each(|b| self.out.extend_from_slice(b));
        bufs.iter().map(|b| b.len()).sum()
    }

    fn write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        let new: usize = bufs.iter().map(|b| b.len()).sum();
        if new < LARGE && self.out.len() + new <= MOST {
            return Poll::Ready(Ok(self.put(bufs)));
        }
        let n = ready!(self.send(cx, bufs))?;
        if n > 0 {
            return Poll::Ready(Ok(n));
        }
        if new < LARGE {
            return Poll::Ready(Ok(self.put(bufs)));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gathered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if let Some(e) = inner.failed.take() {
            return Poll::Ready(Err(e));
        }
        Pin::new(&mut inner.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathered<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().io.is_write_vectored()
    }

    /// The codec asks for it after each frame; it is done by [`Outlet::poll`].
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow_mut().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        inner.check()?;
        ready!(inner.send(cx, &[]))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    /// Writes like a codec, in pieces of these sizes, and flushes after each.
    fn write(codec: &mut Gathered<DuplexStream>, cx: &mut Context<'_>, sizes: &[usize]) -> usize {
        let mut n = 0;
        for (byte, size) in (b'a'..).zip(sizes) {
            let bytes = vec![byte; *size];
            match Pin::new(&mut *codec).poll_write(cx, &bytes) {
                Poll::Ready(Ok(written)) => n += written,
                _ => break,
            }
            let flushed = Pin::new(&mut *codec).poll_flush(cx);
            assert!(matches!(flushed, Poll::Ready(Ok(()))));
        }
        n
    }

    #[tokio::test]
    async fn what_is_written_in_a_poll_leaves_at_its_end() {
        let (ours, mut theirs) = duplex(1 << 20);
        let (mut codec, outlet) = gather(ours);
        let mut n = 0;
        let polled = poll_fn(|cx| {
            let polled = outlet.poll(cx, |cx| {
                n = write(&mut codec, cx, &[10, 20, 30]);
                let mut byte = [0];
                let nothing = Pin::new(&mut theirs).poll_read(cx, &mut ReadBuf::new(&mut byte));
                assert!(nothing.is_pending());
                Poll::<()>::Pending
            });
            Poll::Ready(polled)
        });
        assert!(polled.await.is_pending());
        let mut bytes = vec![0; 60];
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!(n, 60);
        let expected = [vec![b'a'; 10], vec![b'b'; 20], vec![b'c'; 30]].concat();
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn large_ones_go_behind_what_is_gathered_and_a_full_socket_stops_the_codec() {
        let (ours, mut theirs) = duplex(1 << 10);
        let (mut codec, outlet) = gather(ours);
        let mut n = 0;
        poll_fn(|cx| {
            let _ = outlet.poll(cx, |cx| {
                n = write(&mut codec, cx, &[100, LARGE, MOST, MOST]);
                Poll::<()>::Pending
            });
            Poll::Ready(())
        })
        .await;
        // What the socket took, and no more than is gathered.
        assert!((100..=(1 << 10) + MOST).contains(&n), "{n}");
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while all.len() < n {
            let read = theirs.read(&mut bytes).await.unwrap();
            all.extend_from_slice(&bytes[..read]);
            poll_fn(|cx| Poll::Ready(outlet.poll(cx, |_| Poll::<()>::Pending)))
                .await
                .is_pending();
        }
        assert!(all[..100].iter().all(|b| *b == b'a'));
        assert!(all[100..].iter().all(|b| *b == b'b'));
    }

    #[tokio::test]
    async fn the_codec_hears_that_nothing_can_be_sent() {
        let (ours, theirs) = duplex(64);
        let (mut codec, outlet) = gather(ours);
        drop(theirs);
        let mut polls = 0;
        let heard = poll_fn(|cx| {
            outlet.poll(cx, |cx| {
                polls += 1;
                if polls == 1 {
                    write(&mut codec, cx, &[10]);
                    return Poll::Pending;
                }
                Pin::new(&mut codec).poll_flush(cx)
            })
        });
        assert!(heard.await.is_err());
        assert_eq!(polls, 2);
    }
}
