//! One client connection: its requests one after the other, until somebody has had enough.

use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::exchange::Client;
use super::forwarded::Labels;
use super::h2;
use super::request::Request;
use super::respond::{BESIDE_ERR, Failure, Form};
use super::session::Session;
use super::telling::Telling;
use super::walk;
use super::wire::head::{Version, parse_request};
use super::worker::Server;
use crate::config::Protocol;
use crate::connect::Stream;

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    /// Everything was answered; there may be bytes of a request that nobody will read.
    Close,
    /// The response is not whole: just end.
    Abort,
    /// The same, so that it cannot be taken for its end.
    Reset,
    /// Another node goes on in HTTP/2.
    Http2,
}

/// How long and how much we read from a client that has our last response, so that a reset does not destroy it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Longest wait for the rest of a head, or of a body that is buffered, of which a part is there, unless `readTimeoutMs` says
/// otherwise: who sends them drop by drop holds a connection and a buffer.
const SLOW_LIMIT: Duration = Duration::from_secs(30);

/// Serves one connection to its end; gives the number of requests that it had.
async fn run(server: Rc<Server>, mut stream: Stream) -> u64 {
    let mut requests = 0;
    let session = Session::new(server.config.session);
    // Kept for the whole connection, so that a request does not register itself anew.
    let mut idle_end = pin!(server.worker.drain.idle_end());
    let labels = labels(&server, &stream);
    let (next, rest, labels) = {
        let (read, write) = stream.split();
        let mut client = Client {
            read,
            write,
            buf: server.worker.buffers.buffer(),
            labels,
        };
        let next = loop {
            while client.buf.is_empty() {
                client.buf.release();
                tokio::select! {
                    biased;
                    _ = client.read.readable() => {}
                    () = &mut idle_end => break,
                    () = session.ended(), if session.is_limited() => {
                        session.count(&server.stats, Instant::now());
                        break;
                    }
                }
                // What is called readable may have nothing to read: then the wait goes on.
                if !matches!(client.buf.try_fill(&mut client.read), Err(e) if e.kind() == ErrorKind::WouldBlock)
                {
                    break;
                }
            }
            if client.buf.is_empty() {
                break Next::Close;
            }
            requests += 1;
            // Boxed: between requests a connection holds no room for one.
            match Box::pin(serve(&server, &session, &mut client, requests == 1)).await {
                Next::KeepAlive => {}
                next => break next,
            }
        };
        let rest = match next {
            Next::Http2 => Bytes::copy_from_slice(client.buf.filled()),
            _ => Bytes::new(),
        };
        (next, rest, client.labels)
    };
    match next {
        // Within the process nothing destroys what is under way.
        Next::Close if stream.is_local() => {
            let _ = stream.shutdown().await;
        }
        Next::Close => linger(&mut stream).await,
        Next::Reset => stream.reset(),
        Next::Http2 => {
            // Boxed, as below: a connection in HTTP/1 holds no room for it.
            let about = h2::About::of(&server, &stream, labels);
            let io = h2::Prefixed::new(rest, stream);
            requests = Box::pin(h2::run(server.clone(), io, about)).await;
        }
        Next::Abort | Next::KeepAlive => {}
    }
    requests
}

/// Serves a connection in what its router speaks.
pub(super) async fn converse(server: Rc<Server>, stream: Stream) -> u64 {
    match server.router.config.protocol {
        Protocol::Http => run(server, stream).await,
        // Boxed: a connection in HTTP/1 has no room for it.
        Protocol::H2 => Box::pin(h2::accept(server, stream)).await,
    }
}

/// What stands for the two ends in `Forwarded`.
pub(crate) fn labels(server: &Server, stream: &Stream) -> Option<Labels> {
    server.config.forwarded.as_ref()?;
    let ends = (stream.local_addr(), stream.peer_addr());
    let label = &server.router.config.label;
    Labels::new(
        &server.config,
        label,
        ends,
        &mut server.worker.rng.borrow_mut(),
    )
}

/// Reads one request and answers it.
async fn serve(
    server: &Server,
    session: &Session,
    client: &mut Client<'_>,
    is_first: bool,
) -> Next {
    let mut request = match read_head(server, client).await {
        Ok(Some(request)) => request,
        Ok(None) => return Next::Close,
        // What no request of HTTP/1 begins with: asked only of what does not read as one.
        Err(_) if is_first && client.buf.filled().starts_with(b"PRI * HTTP/2") => {
            return Next::Http2;
        }
        Err(failure) => {
            let telling = Telling::unreadable(server, client.read.peer_addr());
            telling.failed(&failure);
            server.stats.refused.inc();
            return answer(server, client, None, &failure, false).await;
        }
    };
    let start = Instant::now();
    // The answer to the first request behind the end is the last one, and says so.
    request.keep_alive &= !session.is_over(start);
    match read_body(server, client, &request).await {
        Ok(()) => {}
        Err(()) => return Next::Close,
    }
    walk::run(server, client, &request, start).await
}

/// The next request's head; `None`: the client has ended, or is too slow.
async fn read_head(server: &Server, client: &mut Client<'_>) -> Result<Option<Request>, Failure> {
    let mut parsed_len = 0;
    // Mostly all of it has come at once: that costs no timer.
    if let Some(request) = whole_head(server, client, &mut parsed_len)? {
        return Ok(Some(request));
    }
    let rest = async {
        loop {
            match client.buf.fill(&mut client.read).await {
                Ok(n) if n > 0 => {}
                _ => return Ok(None),
            }
            if let Some(request) = whole_head(server, client, &mut parsed_len)? {
                return Ok(Some(request));
            }
        }
    };
    timeout(patience(server), rest).await.unwrap_or_else(|_| {
        server.stats.refused.inc();
        Ok(None)
    })
}

/// The head, if all of it is there; of the buffer `parsed_len` bytes were seen before.
fn whole_head(
    server: &Server,
    client: &mut Client<'_>,
    parsed_len: &mut usize,
) -> Result<Option<Request>, Failure> {
    let limits = server.limits();
    skip_empty_lines(client);
    let bytes = client.buf.filled();
    // A head ends with a line: without a new one there is nothing new to say.
    let new = bytes.get(*parsed_len..).unwrap_or_default();
    let is_worth_it = *parsed_len == 0 || new.contains(&b'\n') || bytes.len() > limits.line;
    if bytes.is_empty() || !is_worth_it {
        return Ok(None);
    }
    *parsed_len = bytes.len();
    let Some(head) = parse_request(bytes, limits).map_err(Failure::head)? else {
        return Ok(None);
    };
    let stream_after = server.router.config.stream_after_bytes;
    Request::accept(bytes, head, stream_after).map(Some)
}

fn patience(server: &Server) -> Duration {
    server.config.socket.read_timeout.unwrap_or(SLOW_LIMIT)
}

/// RFC 9112 2.2: some old clients send an empty line too many.
fn skip_empty_lines(client: &mut Client<'_>) {
    while client.buf.filled().starts_with(b"\r\n") {
        client.buf.consume(2);
    }
}

/// Reads a body that is to be buffered, behind its head.
async fn read_body(server: &Server, client: &mut Client<'_>, request: &Request) -> Result<(), ()> {
    let len = request.buffered_len();
    if client.buf.len() >= len {
        return Ok(());
    }
    if request.expects_continue {
        let go_on = client.write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        go_on.await.map_err(|_| ())?;
        client.write.flush().await.map_err(|_| ())?;
    }
    let rest = async {
        while client.buf.len() < len {
            match client.buf.fill(&mut client.read).await {
                Ok(n) if n > 0 => {}
                _ => return Err(()),
            }
        }
        Ok(())
    };
    timeout(patience(server), rest).await.unwrap_or(Err(()))
}

/// Answers with a failure. `is_read`: the whole request was read, the next one can follow.
pub(crate) async fn answer(
    server: &Server,
    client: &mut Client<'_>,
    request: Option<&Request>,
    failure: &Failure,
    is_read: bool,
) -> Next {
    server.stats.failures.count(failure.reason);
    let config = &server.router.config;
    let keep_alive = is_read
        && !failure.closes
        && request.is_some_and(|r| r.keep_alive)
        && !server.worker.drain.is_draining();
    let form = Form {
        via: &config.via,
        version: request.map_or(Version::Http11, |r| r.version),
        to_head: request.is_some_and(|r| r.is_head),
        keep_alive,
        clear_context: server.config.clear_context,
        max_err: config.max_headers_bytes.saturating_sub(BESIDE_ERR),
        max_body: config.max_err_response_bytes,
    };
    let mut out = server.worker.buffers.scratch();
    failure.write(form, &mut out);
    let written = match client.write.write_all(&out).await {
        Ok(()) => client.write.flush().await,
        failed => failed,
    };
    match written {
        Ok(()) if keep_alive => Next::KeepAlive,
        Ok(()) => Next::Close,
        Err(_) => Next::Abort,
    }
}

/// Ends our side, and reads what the client still sends until it ends its own.
pub(super) async fn linger<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T) {
    let mut rest = [0; 1024];
    if stream.shutdown().await.is_err() {
        return;
    }
    let read_all = async {
        let mut total = 0;
        while total < LINGER_BYTES {
            match stream.read(&mut rest).await {
                Ok(n) if n > 0 => total += n,
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, read_all).await;
}
