//! The clock of the HTTP/2 library's pings: a peer is not given up before what it has sent has been read.
//!
//! The library looks at its timers before it looks at the socket. A process that had no time for a connection for longer
//! than a ping may take would find the time over and the answer unread, and drop all that were patient with it. So each
//! time that is over says so at the second look only: between the two the library reads what has come.

#![expect(
    clippy::disallowed_types,
    reason = "the HTTP/2 library's clock is asked for it"
)]

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// Tokio's clock with one more look at the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience;

/// A time that is to pass.
struct Wait {
    time: Pin<Box<tokio::time::Sleep>>,
    /// It was over at the last look.
    is_over: bool,
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait::new(tokio::time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait::new(tokio::time::sleep_until(deadline.into())))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Wait>() {
            Some(wait) => {
                let wait = wait.get_mut();
                wait.is_over = false;
                wait.time.as_mut().reset(deadline.into());
            }
            None => *sleep = self.sleep_until(deadline),
        }
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Wait {
    fn new(time: tokio::time::Sleep) -> Self {
        Self {
            time: Box::pin(time),
            is_over: false,
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever came before the time was over has been noticed with it, and is read before the second look.
        ready!(self.time.as_mut().poll(cx));
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Sleep for Wait {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt;
    use http::{Request, Response};
    use hyper::body::Incoming;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const EVERY: Duration = Duration::from_secs(20);
    const WAIT: Duration = Duration::from_secs(10);
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const ACK: u8 = 1;

    async fn frame(peer: &mut DuplexStream) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        peer.read_exact(&mut head).await.ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut body = vec![0; len];
        peer.read_exact(&mut body).await.ok()?;
        Some((head[3], head[4], body))
    }

    /// The next frame that is no setting and no window.
    async fn event(peer: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
        loop {
            match frame(peer).await? {
                (4 | 8, ..) => {}
                (kind, _, body) => return Some((kind, body)),
            }
        }
    }

    /// A connection that is served as often as it is polled, and its other end, which has said hello.
    async fn open(
        clock: impl Timer + Send + Sync + 'static,
    ) -> (impl Future<Output = ()> + Send + 'static, DuplexStream) {
        let (server, mut peer) = tokio::io::duplex(64 << 10);
        let answer = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let server = http2::Builder::new(TokioExecutor::new())
            .timer(clock)
            .keep_alive_interval(EVERY)
            .keep_alive_timeout(WAIT)
            .serve_connection(TokioIo::new(server), answer);
        let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        peer.write_all(hello).await.expect("it is open");
        (server.map(|_| ()), peer)
    }

    /// Answers pings of a server that has no turn until the answer's time is over; how many there were.
    async fn pings_of_a_starved_server(clock: impl Timer + Send + Sync + 'static) -> usize {
        let (server, mut peer) = open(clock).await;
        let mut server = std::pin::pin!(server);
        let mut pings = 0;
        while pings < 3 {
            let event = tokio::select! {
                () = server.as_mut() => break,
                event = event(&mut peer) => event,
            };
            let Some((PING, body)) = event else {
                break;
            };
            pings += 1;
            let mut pong = vec![0, 0, 8, PING, ACK, 0, 0, 0, 0];
            pong.extend(body);
            peer.write_all(&pong).await.expect("it is open");
            tokio::time::advance(WAIT + WAIT).await;
        }
        pings
    }

    #[tokio::test(start_paused = true)]
    async fn res_14_an_answer_that_a_starved_server_has_not_read_counts() {
        assert_eq!(pings_of_a_starved_server(Patience).await, 3);
        // What this is for: when the library reads first by itself, this module can go.
        assert_eq!(pings_of_a_starved_server(TokioTimer::new()).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn res_14_a_peer_without_an_answer_is_gone_within_30_seconds() {
        let (server, mut peer) = open(Patience).await;
        let server = tokio::spawn(server);
        let begun = tokio::time::Instant::now();
        assert_eq!(event(&mut peer).await.map(|(kind, _)| kind), Some(PING));
        assert_eq!(event(&mut peer).await.map(|(kind, _)| kind), Some(GOAWAY));
        assert!(begun.elapsed() <= EVERY + WAIT + Duration::from_millis(10));
        server.abort();
    }
}
