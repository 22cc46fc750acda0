//! Moving a body from one connection to the other. One buffer's worth is under way: what cannot be written is not read.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::buffer::Buffer;
use super::wire::chunk::ChunkError;
use super::wire::transfer::Transfer;

/// Longest time without a byte in either direction of one exchange (`streamIdleTimeoutMs`).
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Option<Duration>,
    /// When a byte last went in either direction.
    last: Cell<Instant>,
}

/// A body that did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpError {
    #[error("read: {0}")]
    Read(#[source] io::Error),
    #[error("write: {0}")]
    Write(#[source] io::Error),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("ended in the middle of a body")]
    Truncated,
    /// Nothing came for so long.
    #[error("no byte of the body for {0:?}")]
    Idle(Duration),
}

impl Idle {
    /// From now on; `None`: without limit, at the cost of a branch.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            last: Cell::new(Instant::now()),
        }
    }

    /// Some bytes have gone in a direction that nobody watches.
    pub(crate) fn moved(&self) {
        if self.limit.is_some() {
            self.last.set(Instant::now());
        }
    }

    /// `work`, which moves some bytes, unless nothing moves for too long: then the limit.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>) -> Result<T, Duration> {
        let Some(limit) = self.limit else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        loop {
            let last = self.last.get();
            if let Ok(done) = timeout_at(last + limit, &mut work).await {
                self.last.set(Instant::now());
                return Ok(done);
            }
            // The other direction may have moved.
            if self.last.get() == last {
                return Err(limit);
            }
        }
    }
}

/// Sends what is in `out` (a head, or nothing), then the body: what is in `buf` and what comes from `read`. The first bytes of
/// the body go out in one write with the head. Bytes behind the body stay in `buf`.
pub(crate) async fn pump<R, W>(
    transfer: &mut Transfer,
    buf: &mut Buffer,
    read: &mut R,
    write: &mut W,
    out: &mut Vec<u8>,
    idle: &Idle,
) -> Result<(), PumpError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    translate(transfer, buf, out)?;
    flush(write, out, idle).await?;
    while !transfer.is_done() {
        let filled = idle.watch(buf.fill(read)).await;
        let n = filled.map_err(PumpError::Idle)?.map_err(PumpError::Read)?;
        if n == 0 && !transfer.end(out) {
            return Err(PumpError::Truncated);
        }
        if let Some(n) = transfer.raw(buf.len()) {
            let body = &buf.filled()[..n];
            write_all(write, body, idle).await?;
            transfer.skip(n);
            buf.consume(n);
        } else {
            translate(transfer, buf, out)?;
        }
        flush(write, out, idle).await?;
    }
    Ok(())
}

/// Writes all of it, on to the peer.
async fn write_all<W>(write: &mut W, bytes: &[u8], idle: &Idle) -> Result<(), PumpError>
where
    W: AsyncWrite + Unpin,
{
    let all = async {
        write.write_all(bytes).await?;
        write.flush().await
    };
    // Who does not read for so long is as good as gone.
    let gone = |_| PumpError::Write(io::ErrorKind::TimedOut.into());
    idle.watch(all)
        .await
        .map_err(gone)?
        .map_err(PumpError::Write)
}

fn translate(
    transfer: &mut Transfer,
    buf: &mut Buffer,
    out: &mut Vec<u8>,
) -> Result<(), PumpError> {
    let n = transfer.step(buf.filled(), out)?;
    buf.consume(n);
    Ok(())
}

async fn flush<W: AsyncWrite + Unpin>(
    write: &mut W,
    out: &mut Vec<u8>,
    idle: &Idle,
) -> Result<(), PumpError> {
    if !out.is_empty() {
        write_all(write, out, idle).await?;
        out.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::super::buffer::Buffers;
    use super::super::wire::framing::Framing;
    use super::super::wire::transfer::Output;
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_move_ends_and_a_slow_one_does_not() {
        for (step, is_whole) in [(9 * S, true), (11 * S, false)] {
            let (mut from, mut read) = duplex(64);
            let (mut write, mut to) = duplex(64);
            let idle = Idle::new(Some(10 * S));
            let mut transfer = Transfer::new(Framing::Length(3), Output::Raw, 0);
            let (mut buf, mut out) = (Buffers::default().buffer(), Vec::new());
            let sent = async {
                for _ in 0..3 {
                    tokio::time::sleep(step).await;
                    from.write_all(b"x").await.unwrap();
                }
                std::future::pending::<()>().await;
            };
            let pumped = tokio::select! {
                pumped = pump(&mut transfer, &mut buf, &mut read, &mut write, &mut out, &idle) => pumped,
                () = sent => unreachable!(),
            };
            assert_eq!(pumped.is_ok(), is_whole, "{pumped:?}");
            if is_whole {
                let mut body = [0; 3];
                to.read_exact(&mut body).await.unwrap();
                assert_eq!(&body, b"xxx");
            } else {
                assert!(matches!(pumped, Err(PumpError::Idle(_))));
            }
        }
    }

    /// What is written into a pipe that nobody empties.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_as_good_as_gone() {
        let (mut write, _to) = duplex(1);
        let idle = Idle::new(Some(10 * S));
        let begin = Instant::now();
        let written = write_all(&mut write, b"xx", &idle).await;
        assert!(matches!(written, Err(PumpError::Write(_))), "{written:?}");
        assert_eq!(begin.elapsed(), 10 * S);
    }

    /// One direction is silent for as long as the other one moves.
    #[tokio::test(start_paused = true)]
    async fn the_other_direction_counts() {
        let idle = Idle::new(Some(10 * S));
        let moving = async {
            for _ in 0..5 {
                idle.watch(tokio::time::sleep(8 * S)).await.unwrap();
            }
        };
        let silent = async {
            let begin = Instant::now();
            let end = idle.watch(std::future::pending::<()>()).await;
            (end, begin.elapsed())
        };
        let ((), (end, after)) = tokio::join!(moving, silent);
        assert_eq!(end, Err(10 * S));
        assert_eq!(after, 50 * S);
    }
}
