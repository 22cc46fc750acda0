//! Ports whose numbers stay ours: while nobody listens at one, no other test may come to listen there.

use std::net::SocketAddr;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Bound and not listening, so that connecting is refused; kept until the process ends.
static HELD: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

fn shared(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&addr.into()).unwrap();
    socket
}

/// An address where nobody listens, now and later.
pub(in crate::serve) fn nobody() -> SocketAddr {
    let socket = shared(([127, 0, 0, 1], 0).into());
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    HELD.lock().push(socket);
    addr
}

/// A listener at an address where nobody else will listen when it has gone.
pub(in crate::serve) fn listen() -> TcpListener {
    let socket = shared(nobody());
    socket.listen(1024).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}
