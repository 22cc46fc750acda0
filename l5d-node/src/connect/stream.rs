//! The bytes of a connection, plain, in TLS or within the process, and its two halves.
//!
//! Plain ones cost one branch. The halves of one in TLS share the session: both belong to one task, and no borrow lives
//! longer than one poll. Bytes are counted here, as HTTP has them, in both directions.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, tcp};
use tokio_rustls::TlsStream;

use super::ConnectionCounts;
use super::local::Local;

/// A connection's bytes.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    counts: Option<Arc<ConnectionCounts>>,
}

#[derive(Debug)]
enum Io {
    /// As they are.
    Plain(TcpStream),
    /// In TLS, as client or as server.
    Tls(Tls),
    /// Without a socket, to another router of this worker.
    Local(Local),
}

/// A TLS session and the socket below it.
#[derive(Debug)]
pub struct Tls {
    session: RefCell<Box<TlsStream<Socket>>>,
    socket: Arc<TcpStream>,
}

/// A socket that a TLS session and its owner share: the owner asks it for readiness and addresses.
#[derive(Clone, Debug)]
pub struct Socket(Arc<TcpStream>);

/// What comes in.
#[derive(Debug)]
pub struct ReadHalf<'a> {
    io: ReadIo<'a>,
    counts: Option<&'a ConnectionCounts>,
}

#[derive(Debug)]
enum ReadIo<'a> {
    Plain(tcp::ReadHalf<'a>),
    Tls(&'a Tls),
    Local(&'a Local),
}

/// What goes out. TLS keeps what the socket does not take at once: whoever has written a message flushes.
#[derive(Debug)]
pub struct WriteHalf<'a> {
    io: WriteIo<'a>,
    counts: Option<&'a ConnectionCounts>,
}

#[derive(Debug)]
enum WriteIo<'a> {
    Plain(tcp::WriteHalf<'a>),
    Tls(&'a Tls),
    Local(&'a Local),
}

// === impl Stream ===

impl Stream {
    /// A session over a [`Socket`] that was made with [`Socket::new`].
    pub fn tls(session: TlsStream<Socket>) -> Self {
        let socket = session.get_ref().0.0.clone();
        Self::of(Io::Tls(Tls {
            session: RefCell::new(Box::new(session)),
            socket,
        }))
    }

    /// Clear text.
    pub fn plain(tcp: TcpStream) -> Self {
        Self::of(Io::Plain(tcp))
    }

    /// An end of a connection within the process.
    pub fn local(local: Local) -> Self {
        Self::of(Io::Local(local))
    }

    fn of(io: Io) -> Self {
        Self { io, counts: None }
    }

    /// Counts the bytes of both directions in `counts`, of whose worker the stream is.
    pub fn counted(mut self, counts: Arc<ConnectionCounts>) -> Self {
        self.counts = Some(counts);
        self
    }

    /// Whether it is in TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// Whether it stays within the process.
    pub fn is_local(&self) -> bool {
        matches!(self.io, Io::Local(_))
    }

    /// The socket, if there is one: for its options, not for bytes.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Plain(tcp) => Some(tcp),
            Io::Tls(tls) => Some(&tls.socket),
            Io::Local(_) => None,
        }
    }

    /// Where this end is. Costs a system call where there is a socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.io {
            Io::Local(local) => Some(local.local_addr()),
            _ => self.tcp()?.local_addr().ok(),
        }
    }

    /// Who is at the other end. Costs a system call where there is a socket.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.io {
            Io::Local(local) => Some(local.peer_addr()),
            _ => self.tcp()?.peer_addr().ok(),
        }
    }

    /// Ends the connection so that nobody can take its end for one in order: when it is dropped, which follows.
    pub fn reset(&self) {
        if let Io::Local(local) = &self.io {
            local.reset();
        } else if let Some(tcp) = self.tcp() {
            let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }

    /// The TLS session's state; `None` where there is none.
    pub fn with_session<T>(&self, see: impl FnOnce(&rustls::CommonState) -> T) -> Option<T> {
        match &self.io {
            Io::Plain(_) | Io::Local(_) => None,
            Io::Tls(tls) => Some(see(tls.session.borrow().get_ref().1)),
        }
    }

    /// The certificate that the peer has shown, if it has.
    pub fn with_certificate<T>(&self, see: impl FnOnce(&CertificateDer<'_>) -> T) -> Option<T> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(tls) => tls.with_certificate(see),
            Io::Local(local) => local.certificate().map(see),
        }
    }

    /// Both halves, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        let counts = self.counts.as_deref();
        let (read, write) = match &mut self.io {
            Io::Plain(tcp) => {
                let (read, write) = tcp.split();
                (ReadIo::Plain(read), WriteIo::Plain(write))
            }
            Io::Tls(tls) => (ReadIo::Tls(tls), WriteIo::Tls(tls)),
            Io::Local(local) => (ReadIo::Local(local), WriteIo::Local(local)),
        };
        let read = ReadHalf { io: read, counts };
        (read, WriteHalf { io: write, counts })
    }

    /// Whether nothing has come on an idle connection, as far as the event loop has been told: bytes nobody asked for are as
    /// bad as the end. Costs no system call while it is quiet.
    pub fn is_alive(&self) -> bool {
        let mut byte = [0];
        let read = match &self.io {
            Io::Plain(tcp) => tcp.try_read(&mut byte),
            Io::Tls(tls) => tls.try_read(&mut byte),
            Io::Local(local) => return local.is_quiet(),
        };
        matches!(read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asking the kernel.
    pub fn is_quiet(&self) -> bool {
        let tcp = match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(tls) => &*tls.socket,
            Io::Local(local) => return local.is_quiet(),
        };
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = socket2::SockRef::from(tcp).peek(&mut byte);
        matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(tls.session.get_mut()).poll_read(cx, buf),
            Io::Local(local) => local.poll_read(cx, buf),
        };
        received(this.counts.as_deref(), buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Io::Tls(tls) => Pin::new(tls.session.get_mut()).poll_write(cx, buf),
            Io::Local(local) => local.poll_write(cx, &[io::IoSlice::new(buf)]),
        };
        sent(this.counts.as_deref(), &written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Io::Tls(tls) => Pin::new(tls.session.get_mut()).poll_write_vectored(cx, bufs),
            Io::Local(local) => local.poll_write(cx, bufs),
        };
        sent(this.counts.as_deref(), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        !self.is_tls()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls.session.get_mut()).poll_flush(cx),
            Io::Local(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls.session.get_mut()).poll_shutdown(cx),
            Io::Local(local) => {
                local.shutdown();
                Poll::Ready(Ok(()))
            }
        }
    }
}

// === impl Tls ===

impl Tls {
    fn with_certificate<T>(&self, see: impl FnOnce(&CertificateDer<'_>) -> T) -> Option<T> {
        let session = self.session.borrow();
        let own = session.get_ref().1.peer_certificates()?.first()?;
        Some(see(own))
    }

    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(bytes);
        let mut session = self.session.borrow_mut();
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut *session).poll_read(&mut cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

// === impl Socket ===

impl Socket {
    /// Shares `tcp` with the session that is going to be made over it.
    pub fn new(tcp: TcpStream) -> Self {
        Self(Arc::new(tcp))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write);
        Poll::Ready(shut)
    }
}

// === impl ReadHalf ===

impl ReadHalf<'_> {
    /// The certificate that the peer has shown, if it has.
    pub fn with_certificate<T>(&self, see: impl FnOnce(&CertificateDer<'_>) -> T) -> Option<T> {
        match &self.io {
            ReadIo::Plain(_) => None,
            ReadIo::Tls(tls) => tls.with_certificate(see),
            ReadIo::Local(local) => local.certificate().map(see),
        }
    }

    /// When there may be something to read, without a buffer to read it into.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.io {
            ReadIo::Plain(read) => read.readable().await,
            ReadIo::Tls(tls) => {
                // What the session has decrypted already is not seen on the socket.
                let has_more = !tls.session.borrow().get_ref().1.wants_read();
                if has_more {
                    return Ok(());
                }
                tls.socket.readable().await
            }
            ReadIo::Local(local) => {
                local.readable().await;
                Ok(())
            }
        }
    }

    /// Who is at the other end.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.io {
            ReadIo::Plain(read) => read.peer_addr().ok(),
            ReadIo::Tls(tls) => tls.socket.peer_addr().ok(),
            ReadIo::Local(local) => Some(local.peer_addr()),
        }
    }

    /// Reads what is there already.
    pub fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match &self.io {
            ReadIo::Plain(read) => read.try_read(bytes),
            ReadIo::Tls(tls) => tls.try_read(bytes),
            ReadIo::Local(local) => local.try_read(bytes),
        }
    }

    /// When the connection has failed; its orderly end is no failure. Within the process it has when nobody is left to read.
    pub async fn failed(&self) {
        // Whatever is said of a connection that cannot be asked: it has failed.
        let _ = match &self.io {
            ReadIo::Plain(read) => read.ready(Interest::ERROR).await,
            ReadIo::Tls(tls) => tls.socket.ready(Interest::ERROR).await,
            ReadIo::Local(local) => return local.left().await,
        };
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut this.io {
            ReadIo::Plain(read) => Pin::new(read).poll_read(cx, buf),
            ReadIo::Tls(tls) => Pin::new(&mut *tls.session.borrow_mut()).poll_read(cx, buf),
            ReadIo::Local(local) => local.poll_read(cx, buf),
        };
        received(this.counts, buf.filled().len() - before);
        read
    }
}

// === impl WriteHalf ===

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            WriteIo::Plain(write) => Pin::new(write).poll_write(cx, buf),
            WriteIo::Tls(tls) => Pin::new(&mut *tls.session.borrow_mut()).poll_write(cx, buf),
            WriteIo::Local(local) => local.poll_write(cx, &[io::IoSlice::new(buf)]),
        };
        sent(this.counts, &written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            WriteIo::Plain(write) => Pin::new(write).poll_flush(cx),
            WriteIo::Tls(tls) => Pin::new(&mut *tls.session.borrow_mut()).poll_flush(cx),
            WriteIo::Local(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            WriteIo::Plain(write) => Pin::new(write).poll_shutdown(cx),
            WriteIo::Tls(tls) => Pin::new(&mut *tls.session.borrow_mut()).poll_shutdown(cx),
            WriteIo::Local(local) => {
                local.shutdown();
                Poll::Ready(Ok(()))
            }
        }
    }
}

fn received(counts: Option<&ConnectionCounts>, n: usize) {
    if let Some(counts) = counts {
        counts.received.add(n as u64);
    }
}

fn sent(counts: Option<&ConnectionCounts>, written: &Poll<io::Result<usize>>) {
    if let (Some(counts), Poll::Ready(Ok(n))) = (counts, written) {
        counts.sent.add(*n as u64);
    }
}
