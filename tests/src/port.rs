//! A port that stays ours: nobody else gets the number while a server is down or not yet up.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// A port held by a bound socket that does not listen: connecting to it is refused until a server shares it
/// (`SO_REUSEPORT`).
#[derive(Debug)]
pub struct HeldPort {
    _socket: Socket,
    addr: SocketAddr,
}

impl HeldPort {
    /// Takes a free port of an address.
    pub fn take(at: IpAddr) -> io::Result<Self> {
        let socket = shared(SocketAddr::new(at, 0))?;
        let addr = socket.local_addr()?;
        let addr = addr
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP socket without an address"))?;
        Ok(Self {
            _socket: socket,
            addr,
        })
    }

    /// The address and the number.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.addr.port()
    }

    /// Listens on it in this process.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = shared(self.addr)?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    }
}

fn shared(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_held_port_refuses_until_it_is_served_and_again_after() {
        let port = HeldPort::take([127, 0, 0, 1].into()).unwrap();
        let refused = |result: io::Result<TcpStream>| result.unwrap_err().kind();
        let connect = || TcpStream::connect(port.addr());
        assert_eq!(refused(connect().await), io::ErrorKind::ConnectionRefused);
        let listener = port.listen().unwrap();
        let _client = connect().await.unwrap();
        listener.accept().await.unwrap();
        drop(listener);
        assert_eq!(refused(connect().await), io::ErrorKind::ConnectionRefused);
    }
}
