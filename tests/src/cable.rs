//! The way between two programs, for cutting: bytes stop on it without a word to either end, as when a switch fails. A cut
//! stops bytes behind the first kernel, which still takes and acknowledges them; a silence stops every packet, so that the
//! kernels hear nothing either: no acknowledgement, no reset, no answer to a new connection.
//!
//! Comes in: connections to [`Cable::addr`]. Goes out: the same bytes to the server, unless the cable is cut. It must never
//! lose or change bytes of a connection that it does not break.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use socket2::{SockFilter, SockRef, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::port::HeldPort;

/// A cable to one server. Dropping it ends its connections.
#[derive(Debug)]
pub struct Cable {
    port: HeldPort,
    state: watch::Sender<State>,
    _stop: DropGuard,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_cut: bool,
    /// Then it is cut, too.
    is_silent: bool,
    /// How often all connections have been broken.
    breaks: u64,
}

impl Cable {
    /// Lays a cable from a free port of `at` to a server, which need not be up.
    pub fn lay(at: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let port = HeldPort::take(at)?;
        let (state, now) = watch::channel(State::default());
        let stop = CancellationToken::new();
        let accept = accept(port.listen()?, to, now, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        Ok(Self {
            port,
            state,
            _stop: stop.drop_guard(),
        })
    }

    /// Where its near end is.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// From now on nothing comes through; nobody is told.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.is_cut = true);
    }

    /// From now on nothing comes through, and soon no packet of either end is answered any more.
    pub fn silence(&self) {
        self.state.send_modify(|state| {
            state.is_cut = true;
            state.is_silent = true;
        });
    }

    /// What was sent meanwhile arrives, and all goes on.
    pub fn mend(&self) {
        self.state.send_modify(|state| {
            state.is_cut = false;
            state.is_silent = false;
        });
    }

    /// All goes on over new connections: the old ones are reset, with what was sent meanwhile.
    pub fn mend_with_new_connections(&self) {
        self.state.send_modify(|state| {
            state.is_cut = false;
            state.is_silent = false;
            state.breaks += 1;
        });
    }
}

async fn accept(
    listener: TcpListener,
    to: SocketAddr,
    mut state: watch::Receiver<State>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let is_silent = state.borrow_and_update().is_silent;
        deafen(&SockRef::from(&listener), is_silent);
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((near, _)) = accepted else { continue };
        let carry = carry(near, to, state.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(carry));
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let breaks = state.borrow().breaks;
    let mut news = state.clone();
    let carried = async {
        whole(&mut state).await;
        let mut far = TcpStream::connect(to).await?;
        let ends = [near.as_fd(), far.as_fd()];
        let ends = ends.map(|end| end.try_clone_to_owned().map(Socket::from));
        let (from_near, to_near) = near.split();
        let (from_far, to_far) = far.split();
        tokio::select! {
            never = hush(ends, state.clone()) => never,
            ended = pipe(from_near, to_far, state.clone()) => ended,
            ended = pipe(from_far, to_near, state.clone()) => ended,
        }
    };
    let is_clean = tokio::select! {
        // A broken one first: nothing of it may arrive.
        biased;
        _ = news.wait_for(|state| state.breaks != breaks) => false,
        ended = carried => ended.is_ok(),
    };
    if !is_clean {
        // Then the end is a reset. An error is that the connection has ended already.
        let _ = SockRef::from(&near).set_linger(Some(Duration::ZERO));
    }
}

/// Lets the sockets hear nothing while the cable is silent; ends only with an error.
async fn hush(ends: [io::Result<Socket>; 2], mut state: watch::Receiver<State>) -> io::Result<()> {
    let [near, far] = ends;
    let ends = [near?, far?];
    loop {
        let is_silent = state.borrow_and_update().is_silent;
        for end in &ends {
            deafen(&SockRef::from(end), is_silent);
        }
        if state.changed().await.is_err() {
            // The cable is gone, and this task with it.
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the kernel drops each packet that comes for the socket, before anything is answered.
fn deafen(socket: &SockRef<'_>, is_deaf: bool) {
    // The one instruction "return 0" (BPF_RET, BPF_K): nothing is kept of a packet.
    let nothing = SockFilter::new(0x06, 0, 0, 0);
    match is_deaf {
        true => socket
            .attach_filter(&[nothing])
            .expect("the kernel has socket filters"),
        // An error is that there was none.
        false => drop(socket.detach_filter()),
    }
}

/// Until one side's end, which is passed on.
async fn pipe(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        whole(&mut state).await;
        match read? {
            0 => return to.shutdown().await,
            n => to.write_all(&buffer[..n]).await?,
        }
    }
}

async fn whole(state: &mut watch::Receiver<State>) {
    if state.wait_for(|state| !state.is_cut).await.is_err() {
        // The cable is gone, and this task with it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::timeout;

    use super::*;

    async fn pair() -> (Cable, TcpStream, TcpStream) {
        let server = HeldPort::take([127, 0, 0, 1].into()).unwrap();
        let listener = server.listen().unwrap();
        let cable = Cable::lay([127, 0, 0, 1].into(), server.addr()).unwrap();
        let near = TcpStream::connect(cable.addr()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (cable, near, far)
    }

    #[tokio::test]
    async fn what_is_sent_on_a_cut_cable_arrives_when_it_is_mended() {
        let (cable, mut near, mut far) = pair().await;
        cable.cut();
        near.write_all(b"late").await.unwrap();
        let (near, seen) = (near, &mut [0; 4]);
        assert!(far.try_read(seen).is_err(), "nothing comes through");
        cable.mend();
        far.read_exact(seen).await.unwrap();
        assert_eq!(seen, b"late");
        drop(near);
        assert_eq!(far.read(seen).await.unwrap(), 0, "an end is passed on");
    }

    #[tokio::test]
    async fn new_connections_lose_what_was_on_its_way() {
        let (cable, mut near, mut far) = pair().await;
        cable.cut();
        near.write_all(b"lost").await.unwrap();
        cable.mend_with_new_connections();
        let error = near.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(far.read(&mut [0; 4]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_silent_cable_answers_no_packet_until_it_is_mended() {
        let (cable, mut near, mut far) = pair().await;
        cable.silence();
        let within = Duration::from_millis(200);
        let mut is_silent = false;
        for _ in 0..50 {
            let connected = timeout(within, TcpStream::connect(cable.addr())).await;
            is_silent = connected.is_err();
            if is_silent {
                break;
            }
        }
        assert!(is_silent, "new connections are answered");
        near.write_all(b"late").await.unwrap();
        let mut connecting = pin!(TcpStream::connect(cable.addr()));
        assert!(timeout(within, &mut connecting).await.is_err());
        cable.mend();
        let seen = &mut [0; 4];
        far.read_exact(seen).await.unwrap();
        assert_eq!(seen, b"late", "the kernel sends it again");
        connecting.await.unwrap();
    }
}
