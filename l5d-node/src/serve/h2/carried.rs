//! The client's half in HTTP/1 of an attempt on a stream: requests between nodes share connections (node-proxy 14.3).

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use tokio::io::AsyncWriteExt as _;

use super::head;
use super::over_h1::put_end;
use super::over_h2::over_h2;
use super::relay::{Cut, Piece, Responder, Source};
use crate::connect::h2::Handle;
use crate::connect::{ReadHalf, WriteHalf};
use crate::serve::buffer::Buffer;
use crate::serve::exchange::{Attempt, Client, Outcome};
use crate::serve::wire::framing::Framing;
use crate::serve::wire::transfer::{Output, Transfer, put_chunk};

/// Where the request's body comes from.
struct Body<'c, 'a> {
    /// The whole of it, if it is buffered.
    whole: Option<Bytes>,
    transfer: Transfer,
    read: &'c mut ReadHalf<'a>,
    buf: &'c mut Buffer,
    is_buffered: bool,
}

/// Where the response goes.
struct Reply<'c, 'a> {
    write: &'c mut WriteHalf<'a>,
    framing: Framing,
    out: Vec<u8>,
}

/// Carries a request of HTTP/1 on a stream.
pub(crate) async fn carry(
    attempt: &Attempt<'_>,
    client: &mut Client<'_>,
    handle: &mut Handle,
) -> Outcome {
    let Client {
        read, write, buf, ..
    } = client;
    let whole = attempt.request.is_buffered;
    let whole = whole.then(|| Bytes::copy_from_slice(&attempt.wire[attempt.head_len..]));
    let framing = attempt.request.framing;
    let mut body = Body {
        whole,
        transfer: Transfer::new(framing, Output::Raw, attempt.limits.fields),
        read,
        buf,
        is_buffered: attempt.request.is_buffered,
    };
    let mut reply = Reply {
        write,
        framing: Framing::None,
        out: Vec::new(),
    };
    let outcome = over_h2(attempt, handle, false, &mut body, &mut reply).await;
    match outcome {
        // What was streamed is gone.
        Outcome::Refused if !attempt.request.is_buffered => Outcome::Reset(Reason::REFUSED_STREAM),
        outcome => outcome,
    }
}

impl Source for Body<'_, '_> {
    async fn next(&mut self) -> Result<Piece, Cut> {
        if let Some(whole) = self.whole.take() {
            return Ok(Piece::Data(whole, true));
        }
        loop {
            let mut out = Vec::new();
            match self.transfer.step(self.buf.filled(), &mut out) {
                Ok(n) => self.buf.consume(n),
                Err(e) => return Err(Cut::Malformed(e.to_string())),
            }
            let has_trailers = !self.transfer.trailers().is_empty();
            if self.transfer.is_done() && has_trailers && out.is_empty() {
                let trailers = head::to_trailers(self.transfer.trailers());
                return Ok(Piece::End(Some(trailers)));
            }
            if !out.is_empty() {
                let ends = self.transfer.is_done() && !has_trailers;
                return Ok(Piece::Data(out.into(), ends));
            }
            if self.transfer.is_done() {
                return Ok(Piece::End(None));
            }
            match self.buf.fill(self.read).await {
                Ok(n) if n > 0 => {}
                _ => return Err(Cut::Reset(Reason::CANCEL)),
            }
        }
    }

    fn passed(&mut self, _bytes: usize) {}

    fn can_repeat(&self) -> bool {
        self.is_buffered
    }

    fn commit(&mut self) {}

    async fn gone(&mut self) {
        self.buf.release();
        self.read.failed().await;
    }
}

impl Responder for Reply<'_, '_> {
    async fn gone(&mut self) -> Reason {
        // It shows where the body comes from.
        std::future::pending().await
    }

    async fn interim(&mut self, text: &[u8]) -> Result<(), Reason> {
        self.out.extend_from_slice(text);
        self.flush().await
    }

    async fn head(&mut self, text: &[u8], framing: Framing, ends: bool) -> Result<(), Reason> {
        self.framing = framing;
        self.out.extend_from_slice(text);
        if ends && framing == Framing::Chunked {
            put_end(None, &mut self.out);
        }
        self.flush().await
    }

    async fn data(&mut self, bytes: Bytes, ends: bool) -> Result<(), Reason> {
        match self.framing {
            Framing::Chunked => put_chunk(&bytes, &mut self.out),
            _ => self.out.extend_from_slice(&bytes),
        }
        if ends && self.framing == Framing::Chunked {
            put_end(None, &mut self.out);
        }
        self.flush().await
    }

    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Reason> {
        if self.framing == Framing::Chunked {
            put_end(trailers.as_ref(), &mut self.out);
        }
        self.flush().await
    }

    fn cut(&mut self, _reason: Reason) {}
}

impl Reply<'_, '_> {
    async fn flush(&mut self) -> Result<(), Reason> {
        let written = self.write.write_all(&self.out).await;
        self.out.clear();
        let flushed = match written {
            Ok(()) => self.write.flush().await,
            failed => failed,
        };
        flushed.map_err(|_| Reason::CANCEL)
    }
}
