//! Listeners: opened, accepting, and closed so that nobody is lost who believes to be connected.
//!
//! Each worker has its own share of each server's connections (`SO_REUSEPORT`). With `socketOptions.reusePort` the listeners of
//! another process may be among them: a new process listens beside an old one that drains (node-proxy 16.5). It never serves a
//! connection, and never holds more of them than its worker may have.

use std::future::ready;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connection;
use super::worker::{Open, Server};
use crate::config::SocketOptions;
use crate::connect::{Local, Stream};

/// Connections that wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Before accepting is tried again that has failed, mostly for want of file descriptors: they come back when connections end.
const FAILED_REST: Duration = Duration::from_millis(50);
/// How long a handshake that has begun may take to end before the listener is closed: some round trips between hosts of a
/// cluster. Whoever begins one meanwhile tries again after a second by itself, and then finds the other listeners.
const SETTLE: Duration = Duration::from_millis(200);

/// A classic BPF program over the TCP header: drops segments that begin a connection (SYN without ACK), keeps all others.
const NO_BEGINNERS: [SockFilter; 5] = [
    // The flags are the byte at 13.
    SockFilter::new(0x30, 0, 0, 13),
    // Of them SYN (2) and ACK (16).
    SockFilter::new(0x54, 0, 0, 0x12),
    SockFilter::new(0x15, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Whether somebody listens at `addr` already: shared listeners would silently join theirs.
pub(super) fn ask_for(addr: SocketAddr) -> io::Result<()> {
    socket(addr, false, true).map(drop)
}

/// A listener that shares its address with others of this user.
pub(super) fn open(addr: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
    let socket = socket(addr, true, options.reuse_addr)?;
    // Accepted connections have these from here, without a system call for each.
    socket.set_tcp_nodelay(options.no_delay)?;
    if let Some(is_on) = options.keep_alive {
        socket.set_keepalive(is_on)?;
    }
    // While a client takes nothing, bytes to it stay unacknowledged.
    socket.set_tcp_user_timeout(options.write_timeout)?;
    let backlog = options.backlog.and_then(|n| i32::try_from(n).ok());
    socket.listen(backlog.unwrap_or(BACKLOG))?;
    Ok(socket.into())
}

fn socket(addr: SocketAddr, is_shared: bool, reuse_addr: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(reuse_addr)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Accepts connections and serves each in a task of its own, until draining begins; then the ones already waiting.
pub(super) async fn accept(server: Rc<Server>, listener: tokio::net::TcpListener) {
    let drain = &server.worker.drain;
    loop {
        tokio::select! {
            biased;
            () = drain.started() => break,
            () = server.worker.connections.room() => {}
        }
        tokio::select! {
            biased;
            () = drain.started() => break,
            accepted = listener.accept() => take(&server, accepted).await,
        }
    }
    if let Err(e) = close(&server, listener).await {
        tracing::warn!(server = %server.config.label, error = %e, "cannot take who is waiting");
    }
}

/// Takes whoever believes to be connected, and closes. Where others listen at the same address too, the system resets what is
/// left in the queue of one that closes: so first nobody new may come into it, and those who are coming arrive.
async fn close(server: &Rc<Server>, listener: tokio::net::TcpListener) -> io::Result<()> {
    if server.config.socket.reuse_port {
        SockRef::from(&listener).attach_filter(&NO_BEGINNERS)?;
        let settled = Instant::now() + SETTLE;
        while let Ok(accepted) = timeout_at(settled, listener.accept()).await {
            take(server, accepted).await;
        }
    }
    // The system is asked itself: the runtime may not have heard of all.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, addr)) => {
                stream.set_nonblocking(true)?;
                take(server, Ok((TcpStream::from_std(stream)?, addr))).await;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The connection as the listener wants it, in clear text or in TLS; `None`: it is not let in.
async fn enter(server: &Server, stream: TcpStream) -> Option<Stream> {
    let Some(acceptor) = &server.acceptor else {
        return Some(Stream::plain(stream));
    };
    // Boxed: afterwards, and without TLS, a connection holds no room for it.
    let entered = Box::pin(acceptor.accept(stream)).await;
    entered
        .inspect_err(|error| tracing::debug!(server = %server.config.label, %error, "not let in"))
        .ok()
}

async fn take(server: &Rc<Server>, accepted: io::Result<(TcpStream, SocketAddr)>) {
    match accepted {
        Ok((stream, _)) => {
            let (open, entering) = (Open::new(&server.worker), Rc::clone(server));
            begin(server, async move {
                let stream = enter(&entering, stream).await?;
                Some((stream, Some(open)))
            });
        }
        Err(e) => {
            server.stats.accept_failures.inc();
            tracing::warn!(server = %server.config.label, error = %e, "cannot accept");
            tokio::time::sleep(FAILED_REST).await;
        }
    }
}

/// Serves a connection that another router of this worker has opened within the process. It needs no file, so it is none of
/// those that a worker has a limit of; it is bounded by the requests that others have brought.
pub(super) fn take_local(server: &Rc<Server>, stream: Local) {
    server.stats.local_connects.inc();
    begin(server, ready(Some((Stream::local(stream), None))));
}

/// Serves a connection, once it is let in, in a task of its own.
fn begin(
    server: &Rc<Server>,
    enters: impl Future<Output = Option<(Stream, Option<Open>)>> + 'static,
) {
    server.stats.connections.opened();
    let counted = Rc::clone(server);
    server.worker.tasks.spawn_local(async move {
        let (start, stats) = (Instant::now(), counted.stats.clone());
        let requests = match enters.await {
            Some((stream, open)) => {
                let is_tls = stream.is_tls();
                let stream = stream.counted(stats.connections.clone());
                stats.tls_connections.add(is_tls.into());
                let requests = connection::converse(counted, stream).await;
                if is_tls {
                    stats.tls_connections.dec();
                }
                drop(open);
                requests
            }
            None => 0,
        };
        stats.connections.closed(start.elapsed());
        stats.connection_requests.observe_number(requests);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of those that a listener has, asked without waiting.
    fn waiting(listener: &TcpListener) -> Vec<SocketAddr> {
        std::iter::from_fn(|| listener.accept().ok())
            .map(|(_, from)| from)
            .collect()
    }

    #[tokio::test]
    async fn who_begins_while_a_listener_closes_reaches_the_other_one() {
        let old = open(([127, 0, 0, 1], 0).into(), SocketOptions::default()).unwrap();
        let addr = old.local_addr().unwrap();
        let new = open(addr, SocketOptions::default()).unwrap();
        SockRef::from(&old).attach_filter(&NO_BEGINNERS).unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| tokio::spawn(TcpStream::connect(addr)))
            .collect();
        // Those that the system has given to the new one are connected; the others, given to the old one, begin again.
        let mut connected = Vec::new();
        while connected.is_empty() {
            tokio::task::yield_now().await;
            connected = waiting(&new);
        }
        assert_eq!(waiting(&old), []);
        drop(old);
        let mut all = Vec::new();
        for client in clients {
            all.push(client.await.unwrap().unwrap());
        }
        connected.extend(waiting(&new));
        let mut ours: Vec<_> = all.iter().map(|c| c.local_addr().unwrap()).collect();
        connected.sort_unstable();
        ours.sort_unstable();
        assert_eq!(connected, ours);
    }

    #[test]
    fn a_port_in_use_is_refused_unless_it_is_shared() {
        let first = open(([127, 0, 0, 1], 0).into(), SocketOptions::default()).unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(ask_for(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        open(addr, SocketOptions::default()).unwrap();
        drop(first);
    }
}
