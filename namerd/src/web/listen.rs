//! Sockets that listen, with the options of the configuration.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{Server, SocketOptions};

/// A server's address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{who} cannot listen on {addr}: {source}")]
pub struct ListenError {
    /// Which server.
    pub who: String,
    /// Where.
    pub addr: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Connections waiting to be accepted, unless the configuration says otherwise.
const BACKLOG: i32 = 1024;

/// Listens for `who`. Must be called in a runtime; the socket belongs to it.
pub fn listen(who: &str, server: &Server) -> Result<TcpListener, ListenError> {
    open(server).map_err(|source| ListenError {
        who: who.to_owned(),
        addr: server.addr,
        source,
    })
}

fn open(server: &Server) -> io::Result<TcpListener> {
    let options = &server.socket;
    let socket = Socket::new(
        Domain::for_address(server.addr),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(options.reuse_addr)?;
    socket.set_reuse_port(options.reuse_port)?;
    if server.addr.is_ipv6() {
        // `::` takes IPv4 as well, as operators expect of "all addresses".
        socket.set_only_v6(false)?;
    }
    // Connections inherit it, also those of doors that accept for themselves.
    socket.set_keepalive(options.keep_alive)?;
    socket.set_nonblocking(true)?;
    socket.bind(&server.addr.into())?;
    let backlog = options.backlog.and_then(|n| i32::try_from(n).ok());
    socket.listen(backlog.unwrap_or(BACKLOG))?;
    TcpListener::from_std(socket.into())
}

/// Sets the options of an accepted connection. A failure means that the peer is gone already, which shows elsewhere.
pub fn prepare(stream: &TcpStream, options: &SocketOptions) {
    let socket = SockRef::from(stream);
    if let Err(e) = socket.set_tcp_nodelay(options.no_delay) {
        tracing::debug!(error = %e, "cannot set options of an accepted connection");
    }
}
