//! Moving a body from one connection to the other. One buffer's worth is under way: what cannot be written is not read.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::buffer::Buffer;
use super::wire::chunk::ChunkError;
use super::wire::transfer::Transfer;

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
}

/// Sends what is in `out` (a head, or nothing), then the body: what is in `buf` and what comes from `read`. The first bytes of
/// the body go out in one write with the head. Bytes behind the body stay in `buf`.
pub(crate) async fn pump<R, W>(
    transfer: &mut Transfer,
    buf: &mut Buffer,
    read: &mut R,
    write: &mut W,
    out: &mut Vec<u8>,
) -> Result<(), PumpError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    translate(transfer, buf, out)?;
    flush(write, out).await?;
    while !transfer.is_done() {
        let n = buf.fill(read).await.map_err(PumpError::Read)?;
        if n == 0 && !transfer.end(out) {
            return Err(PumpError::Truncated);
        }
        if let Some(n) = transfer.raw(buf.len()) {
            let body = &buf.filled()[..n];
            write.write_all(body).await.map_err(PumpError::Write)?;
            transfer.skip(n);
            buf.consume(n);
            write.flush().await.map_err(PumpError::Write)?;
        } else {
            translate(transfer, buf, out)?;
        }
        flush(write, out).await?;
    }
    Ok(())
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

async fn flush<W: AsyncWrite + Unpin>(write: &mut W, out: &mut Vec<u8>) -> Result<(), PumpError> {
    if !out.is_empty() {
        write.write_all(out).await.map_err(PumpError::Write)?;
        write.flush().await.map_err(PumpError::Write)?;
        out.clear();
    }
    Ok(())
}
