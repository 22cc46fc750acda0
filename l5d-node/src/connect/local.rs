//! A connection that stays within a worker: what one end writes the other end reads, without a socket.
//!
//! Both ends behave as those of a TCP connection do, as far as HTTP can see: an end in order, a half that is closed, a reset,
//! a peer that takes nothing more. What is under way is bounded; an idle connection holds next to no memory. The lock is
//! there because streams may be sent to other threads: both ends belong to one worker, and nobody ever waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::io::ReadBuf;

/// One end of a connection within the process.
pub struct Local {
    inbox: Arc<Flow>,
    outbox: Arc<Flow>,
    /// Of this end and of the other one. Who connects has the port 0: it has none.
    addresses: (SocketAddr, SocketAddr),
    /// Who is at the other end, where nodes prove who they are.
    certificate: Option<CertificateDer<'static>>,
}

/// One direction.
#[derive(Default)]
struct Flow(Mutex<State>);

#[derive(Default)]
struct State {
    /// Written and not read.
    bytes: VecDeque<u8>,
    /// The writer has said all.
    is_ended: bool,
    /// The writer is not there any more.
    is_left: bool,
    is_reset: bool,
    /// Nobody will read.
    is_refused: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who waits for the writer to leave.
    watcher: Option<Waker>,
}

/// Bytes under way in one direction: what sockets hold at least, and what bounds the memory of a slow reader.
const ROOM: usize = 64 << 10;
/// Memory that a direction keeps while nothing is under way.
const KEPT: usize = 2 << 10;

/// Both ends of a connection to `to`: the one that connects, and the one that is connected to. `certificate` is shown to the
/// latter, and to the former too: both are this node.
pub fn local(to: SocketAddr, certificate: Option<CertificateDer<'static>>) -> (Local, Local) {
    let (there, back) = (Arc::<Flow>::default(), Arc::<Flow>::default());
    let from = SocketAddr::new(to.ip(), 0);
    let near = Local {
        inbox: back.clone(),
        outbox: there.clone(),
        addresses: (from, to),
        certificate: certificate.clone(),
    };
    let far = Local {
        inbox: there,
        outbox: back,
        addresses: (to, from),
        certificate,
    };
    (near, far)
}

// === impl Local ===

impl Local {
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.addresses.0
    }

    pub(super) fn peer_addr(&self) -> SocketAddr {
        self.addresses.1
    }

    /// The certificate of who is at the other end.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    /// The connection ends as if it had been cut, in both directions: behind what is under way comes no end, but an error.
    pub(super) fn reset(&self) {
        self.outbox.end(|state| state.is_reset = true);
        self.inbox.end(|state| state.is_reset = true);
    }

    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match self.inbox.poll_read(&mut cx, &mut buf, false) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether nothing is to be read: no byte, no end.
    pub(super) fn is_quiet(&self) -> bool {
        self.inbox.0.lock().is_quiet()
    }

    /// When there is something to be read, be it the end. Cancel safe.
    pub(super) async fn readable(&self) {
        poll_fn(|cx| {
            let mut state = self.inbox.0.lock();
            match state.is_quiet() {
                true => wait(&mut state.reader, cx),
                false => Poll::Ready(()),
            }
        })
        .await;
    }

    /// When there is nobody at the other end any more. Cancel safe.
    pub(super) async fn left(&self) {
        poll_fn(|cx| {
            let mut state = self.inbox.0.lock();
            match state.is_left || state.is_reset {
                true => Poll::Ready(()),
                false => wait(&mut state.watcher, cx),
            }
        })
        .await;
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inbox.poll_read(cx, buf, true)
    }

    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(cx, bufs)
    }

    /// The other end reads what is under way, then the end.
    pub(super) fn shutdown(&self) {
        self.outbox.end(|state| state.is_ended = true);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // As TCP has it: who leaves with something unread has not got all that was said.
        let is_unread = self.inbox.end(|state| {
            state.is_refused = true;
            !std::mem::take(&mut state.bytes).is_empty()
        });
        self.outbox.end(|state| {
            state.is_reset |= is_unread && !state.is_ended;
            state.is_ended = true;
            state.is_left = true;
        });
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

// === impl Flow ===

impl Flow {
    /// Changes how it ends, and wakes all who may wait for that.
    fn end<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock();
        let changed = change(&mut state);
        let wakers = [
            state.reader.take(),
            state.writer.take(),
            state.watcher.take(),
        ];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        changed
    }

    /// `waits`: the task is woken when there is something.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        waits: bool,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.bytes.is_empty() {
            return match (state.is_ended, waits) {
                _ if state.is_reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                (true, _) => Poll::Ready(Ok(())),
                (false, true) => wait(&mut state.reader, cx),
                (false, false) => Poll::Pending,
            };
        }
        // What is read from is in at most two pieces.
        for _ in 0..2 {
            let n = state.bytes.read(buf.initialize_unfilled())?;
            buf.advance(n);
        }
        if state.bytes.is_empty() && state.bytes.capacity() > KEPT {
            state.bytes = VecDeque::new();
        }
        // Not at each read: the writer is to have something to do when it is woken.
        let woken = match state.bytes.len() <= ROOM / 2 {
            true => state.writer.take(),
            false => None,
        };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.is_refused || state.is_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut room = ROOM - state.bytes.len();
        if room == 0 {
            return wait(&mut state.writer, cx);
        }
        let before = state.bytes.len();
        for buf in bufs {
            let n = buf.len().min(room);
            state.bytes.extend(&buf[..n]);
            room -= n;
        }
        let written = state.bytes.len() - before;
        let woken = state.reader.take();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(written))
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        self.bytes.is_empty() && !self.is_ended && !self.is_reset
    }
}

/// Notes who is to be woken.
fn wait<T>(slot: &mut Option<Waker>, cx: &Context<'_>) -> Poll<T> {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        slot => *slot = Some(cx.waker().clone()),
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::Stream;
    use super::*;

    fn pair() -> (Stream, Stream) {
        let (near, far) = local(([127, 0, 0, 1], 4141).into(), None);
        (Stream::local(near), Stream::local(far))
    }

    fn kind<T: fmt::Debug>(failed: io::Result<T>) -> io::ErrorKind {
        failed.unwrap_err().kind()
    }

    #[tokio::test]
    async fn bytes_pass_in_order_whatever_the_pieces() {
        let (mut near, mut far) = pair();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i * 31 / 7) as u8).collect();
        let expected = sent.clone();
        let write = async {
            for (n, part) in (1..).zip(sent.chunks(4093)) {
                near.write_all(&part[..part.len() / n % 2]).await.unwrap();
                near.write_all(&part[part.len() / n % 2..]).await.unwrap();
            }
            near.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(write, far.read_to_end(&mut got));
        read.unwrap();
        assert!(got == expected);
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded_and_an_idle_one_holds_little() {
        let (near, far) = local(([127, 0, 0, 1], 4141).into(), None);
        let flow = far.inbox.clone();
        let (mut near, mut far) = (Stream::local(near), Stream::local(far));
        let block = vec![1; ROOM];
        near.write_all(&block).await.unwrap();
        let mut more = std::pin::pin!(near.write(b"x"));
        assert!(futures_util::poll!(more.as_mut()).is_pending());
        let mut read = vec![0; ROOM];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(more.await.unwrap(), 1);
        far.read_exact(&mut read[..1]).await.unwrap();
        assert!(flow.0.lock().bytes.capacity() <= KEPT);
    }

    #[tokio::test]
    async fn each_half_ends_by_itself() {
        let (mut near, mut far) = pair();
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut got = String::new();
        far.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "last");
        assert_eq!(kind(near.write(b"x").await), io::ErrorKind::BrokenPipe);
        far.write_all(b"answer").await.unwrap();
        drop(far);
        near.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "lastanswer");
    }

    #[tokio::test]
    async fn a_reset_is_no_end() {
        let (mut near, far) = pair();
        far.reset();
        drop(far);
        assert_eq!(kind(near.read_u8().await), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(near.write(b"x").await), io::ErrorKind::ConnectionReset);
        // Neither is it when who leaves has not read what was said.
        let (mut near, mut far) = pair();
        near.write_all(b"question").await.unwrap();
        far.write_all(b"half an ans").await.unwrap();
        drop(far);
        let mut got = Vec::new();
        let read = near.read_to_end(&mut got).await;
        assert_eq!(kind(read), io::ErrorKind::ConnectionReset);
        assert_eq!(got, b"half an ans");
    }

    #[tokio::test]
    async fn who_waits_is_told_that_nobody_is_left() {
        let (near, mut far) = pair();
        assert!(far.is_alive() && far.is_quiet());
        let (read, _write) = far.split();
        {
            let mut left = std::pin::pin!(read.failed());
            let mut readable = std::pin::pin!(read.readable());
            assert!(futures_util::poll!(left.as_mut()).is_pending());
            assert!(futures_util::poll!(readable.as_mut()).is_pending());
            drop(near);
            left.await;
            readable.await.unwrap();
        }
        assert!(!far.is_alive() && !far.is_quiet());
    }
}
