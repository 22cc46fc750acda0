//! What people write into a query and the HTTP library refuses.
//!
//! A dtab in a query is full of `=>`. Tools such as curl send `<`, `>` and `"` as they are written, servers of 1.x took
//! them, and the library answers 400 before any handler sees the request. [`Lenient`] stands between socket and library
//! and escapes them in queries, so that nothing behind it knows of this.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream in whose queries nothing is refused that can be escaped.
#[derive(Debug)]
pub(super) struct Lenient<S> {
    inner: S,
    place: Place,
    /// Read and escaped, but not taken yet.
    ready: Vec<u8>,
    taken: usize,
}

/// Where in the requests the next byte stands.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    RequestLine,
    /// In the rest of that line.
    Query,
    /// In a line of the head that began with these bytes; not more of them than are needed to know it.
    Header(Vec<u8>),
    /// Where the next request begins is for the library to know: a body comes, or something that it will refuse.
    Unknown,
}

/// Read from the socket at a time while request lines are looked for.
const PIECE: usize = 8 << 10;
/// Headers of requests with bodies.
const BODY_HEADERS: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
const LONGEST: usize = 17;

impl<S> Lenient<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            place: Place::RequestLine,
            ready: Vec::new(),
            taken: 0,
        }
    }

    fn escape(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match (&mut self.place, byte) {
                (Place::Query, b'<' | b'>' | b'"') => {
                    self.ready.extend(format!("%{byte:02X}").bytes());
                    continue;
                }
                (Place::RequestLine, b'?') => self.place = Place::Query,
                (Place::RequestLine | Place::Query, b'\n') => {
                    self.place = Place::Header(Vec::new())
                }
                (Place::Header(line), b'\n') => {
                    let is_end = matches!(line.as_slice(), b"" | b"\r");
                    let has_body = BODY_HEADERS
                        .iter()
                        .any(|name| line.to_ascii_lowercase().starts_with(name));
                    self.place = match (is_end, has_body) {
                        (true, _) => Place::RequestLine,
                        (false, true) => Place::Unknown,
                        (false, false) => Place::Header(Vec::new()),
                    };
                }
                (Place::Header(line), _) if line.len() < LONGEST => line.push(byte),
                _ => {}
            }
            self.ready.push(byte);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.taken == me.ready.len() {
            if me.place == Place::Unknown {
                return Pin::new(&mut me.inner).poll_read(cx, out);
            }
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut me.inner).poll_read(cx, &mut piece))?;
            me.ready.clear();
            me.taken = 0;
            me.escape(piece.filled());
        }
        let left = &me.ready[me.taken..];
        let now = left.len().min(out.remaining());
        out.put_slice(&left[..now]);
        me.taken += now;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What comes out, however the bytes are cut on their way in.
    async fn read(text: &str) -> String {
        let mut whole = String::new();
        Lenient::new(text.as_bytes())
            .read_to_string(&mut whole)
            .await
            .expect("text");
        for cut in 0..text.len() {
            let (first, rest) = text.as_bytes().split_at(cut);
            let mut pieces = String::new();
            Lenient::new(first.chain(rest))
                .read_to_string(&mut pieces)
                .await
                .expect("text");
            assert_eq!(pieces, whole, "cut at {cut}");
        }
        whole
    }

    #[tokio::test]
    async fn arrows_in_queries_are_escaped_and_nothing_else() {
        assert_eq!(
            read("GET /<a>?dtab=/x=>/y&q=\"<\" HTTP/1.1\r\nx: <\"a=>b\">\r\n\r\n").await,
            "GET /<a>?dtab=/x=%3E/y&q=%22%3C%22 HTTP/1.1\r\nx: <\"a=>b\">\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn requests_on_one_connection_are_told_apart_until_a_body_comes() {
        assert_eq!(
            read("GET /?> HTTP/1.1\r\na: ?>\r\n\r\nGET /?> HTTP/1.1\n\nGET /?> HTTP/1.1\r\n").await,
            "GET /?%3E HTTP/1.1\r\na: ?>\r\n\r\nGET /?%3E HTTP/1.1\n\nGET /?%3E HTTP/1.1\r\n"
        );
        for header in ["Content-Length: 8", "TRANSFER-ENCODING:chunked"] {
            let text = format!("PUT /x HTTP/1.1\r\n{header}\r\n\r\n/a? => /b\r\n\r\n?>\r\n\r\n?>");
            assert_eq!(read(&text).await, text);
        }
    }
}
