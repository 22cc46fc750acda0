//! A connection whose bytes are noticed: that something came at all, and how many frames of the sort that costs much and
//! says little (node-proxy 10.3, trap 18.17).

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes of HTTP/2 on their way to the codec and from it.
#[derive(Debug)]
pub struct Watched<T> {
    io: T,
    heard: Heard,
    flood: (Flood, Frames),
}

/// Whether something has come.
#[derive(Clone, Debug, Default)]
pub struct Heard(Rc<Cell<bool>>);

/// How many PING, SETTINGS, RST_STREAM and PRIORITY frames have come lately.
#[derive(Clone, Debug)]
pub struct Flood(Rc<Count>);

#[derive(Debug)]
struct Count {
    frames: Cell<u32>,
    since: Cell<Instant>,
}

/// Where in the stream of frames we are.
#[derive(Debug)]
struct Frames {
    /// Bytes to pass over before the next header: at first those of the preface.
    skip: usize,
    header: [u8; 9],
    filled: usize,
}

/// More frames than this in one period are a flood. Some gRPC clients send a PING for each round trip while they measure the
/// path, which is thousands in a second between neighbours.
const MOST: u32 = 100_000;
const PERIOD: Duration = Duration::from_secs(10);
/// What a client sends first (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl<T> Watched<T> {
    /// Notices that something comes, and counts a client's frames.
    pub fn counting(io: T, heard: Heard, flood: Flood) -> Self {
        let frames = Frames {
            skip: PREFACE.len(),
            header: [0; 9],
            filled: 0,
        };
        Self {
            io,
            heard,
            flood: (flood, frames),
        }
    }
}

impl Heard {
    /// Whether something has come since the last call.
    pub fn take(&self) -> bool {
        self.0.replace(false)
    }
}

impl Default for Flood {
    fn default() -> Self {
        Self(Rc::new(Count {
            frames: Cell::new(0),
            since: Cell::new(Instant::now()),
        }))
    }
}

impl Flood {
    /// Whether there are too many.
    pub fn is_too_much(&self) -> bool {
        self.0.frames.get() > MOST
    }

    fn count(&self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.0.since.get()) > PERIOD {
            self.0.since.set(now);
            self.0.frames.set(0);
        }
        self.0.frames.set(self.0.frames.get().saturating_add(1));
    }
}

impl Frames {
    fn see(&mut self, mut bytes: &[u8], flood: &Flood) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let n = (self.header.len() - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + n].copy_from_slice(&bytes[..n]);
            self.filled += n;
            bytes = &bytes[n..];
            if self.filled == self.header.len() {
                let [a, b, c, kind, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.filled = 0;
                // PRIORITY, RST_STREAM, SETTINGS, PING; the codec bounds the others.
                if matches!(kind, 2 | 3 | 4 | 6) {
                    flood.count();
                }
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            this.heard.0.set(true);
            let (flood, frames) = &mut this.flood;
            frames.see(new, flood);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_counted_however_they_are_cut() {
        let mut bytes = PREFACE.to_vec();
        for kind in [0, 1, 2, 3, 4, 6, 8] {
            // Payloads look like headers of PING frames.
            bytes.extend_from_slice(&[0, 0, 18, kind, 0, 0, 0, 0, 1]);
            bytes.extend_from_slice(&[0, 0, 0, 6, 0, 0, 0, 0, 0].repeat(2));
        }
        for step in [1, 2, 3, 7, 9, 30, bytes.len()] {
            let flood = Flood::default();
            let mut io = Watched::counting(std::io::Cursor::new(()), Heard::default(), flood);
            let (flood, frames) = &mut io.flood;
            bytes.chunks(step).for_each(|part| frames.see(part, flood));
            assert_eq!(flood.0.frames.get(), 4, "cut every {step}");
        }
    }
}
