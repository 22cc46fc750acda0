//! Two connections joined: what comes from one goes to the other, whatever it is (node-proxy 9.6, trap 18.9).
//!
//! Comes in: both connections, and what was read of them too much. Each direction ends by itself, and its end is passed on; the
//! tunnel ends with the second one, or with an error of either connection, or when the worker has drained. A tunnel in which
//! nothing moves holds no buffer. It must never look at what it carries.

use std::io::{self, ErrorKind};

use tokio::io::AsyncWriteExt as _;

use super::buffer::Buffer;
use crate::connect::{ReadHalf, WriteHalf};

/// One connection: what comes, what goes, and what has come and was not used.
pub(super) type End<'a, 'c> = (&'a mut ReadHalf<'c>, &'a mut WriteHalf<'c>, &'a mut Buffer);

/// Carries bytes in both directions until both have ended.
pub(super) async fn join(
    (client_read, client_write, from_client): End<'_, '_>,
    (server_read, server_write, from_server): End<'_, '_>,
) -> io::Result<()> {
    let up = carry(client_read, from_client, server_write);
    let down = carry(server_read, from_server, client_write);
    tokio::try_join!(up, down).map(drop)
}

/// One direction. What cannot be written is not read.
async fn carry(
    read: &mut ReadHalf<'_>,
    buf: &mut Buffer,
    write: &mut WriteHalf<'_>,
) -> io::Result<()> {
    loop {
        while buf.is_empty() {
            buf.release();
            read.readable().await?;
            match buf.try_fill(read) {
                Ok(0) => return write.shutdown().await,
                Ok(_) => {}
                // What is called readable may have nothing to read: then the wait goes on.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        write.write_all(buf.filled()).await?;
        write.flush().await?;
        buf.consume(buf.len());
    }
}
