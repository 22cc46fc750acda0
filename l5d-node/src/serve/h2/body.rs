//! A request's body as it comes on a stream: kept while it may have to be sent again, as far as it is small.

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;

use super::relay::{Cut, Piece, Source};

/// The body of one stream.
#[derive(Debug)]
pub(super) struct Body {
    stream: RecvStream,
    /// What has come, while nobody has answered.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// Bytes that may be kept (`retryBufferSize.requestBytes`).
    limit: usize,
    /// How much of `kept` this attempt has had.
    at: usize,
    end: Option<Option<HeaderMap>>,
    /// No other attempt will want it.
    is_committed: bool,
    /// More has come than is kept.
    is_lost: bool,
    /// Bytes that were passed on: by this attempt, and by the one that came furthest, for which the client has room again.
    passed: usize,
    released: usize,
}

/// What a piece costs besides its bytes: many small ones are not kept either.
const PIECE: usize = 64;

impl Body {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            kept: Vec::new(),
            kept_bytes: 0,
            limit: 0,
            at: 0,
            end: None,
            is_committed: false,
            is_lost: false,
            passed: 0,
            released: 0,
        }
    }

    /// From the first byte on; no more than `limit` bytes are kept for another attempt.
    pub(super) fn rewind(&mut self, limit: usize) {
        (self.at, self.passed) = (0, 0);
        self.limit = limit;
    }

    fn keep(&mut self, bytes: &Bytes) {
        if self.is_lost {
            return;
        }
        self.kept_bytes += bytes.len();
        if self.kept_bytes + self.kept.len() * PIECE > self.limit.saturating_add(PIECE) {
            self.is_lost = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(bytes.clone());
        }
        self.at = self.kept.len();
    }
}

impl Source for Body {
    async fn next(&mut self) -> Result<Piece, Cut> {
        if let Some(bytes) = self.kept.get(self.at) {
            let bytes = bytes.clone();
            self.at += 1;
            let is_last = self.at == self.kept.len()
                && (matches!(self.end, Some(None))
                    || self.end.is_none() && self.stream.is_end_stream());
            return Ok(Piece::Data(bytes, is_last));
        }
        if let Some(trailers) = &self.end {
            return Ok(Piece::End(trailers.clone()));
        }
        match self.stream.data().await {
            Some(Ok(bytes)) => {
                self.keep(&bytes);
                let ends = self.stream.is_end_stream();
                Ok(Piece::Data(bytes, ends))
            }
            Some(Err(e)) => Err(Cut::Reset(e.reason().unwrap_or(Reason::CANCEL))),
            None => match self.stream.trailers().await {
                Ok(trailers) => {
                    self.end = Some(trailers.clone());
                    Ok(Piece::End(trailers))
                }
                Err(e) => Err(Cut::Reset(e.reason().unwrap_or(Reason::CANCEL))),
            },
        }
    }

    fn passed(&mut self, bytes: usize) {
        self.passed += bytes;
        let new = self.passed.saturating_sub(self.released);
        self.released += new;
        // A stream that has ended needs no room.
        let _ = self.stream.flow_control().release_capacity(new);
    }

    fn can_repeat(&self) -> bool {
        !self.is_lost
    }

    fn commit(&mut self) {
        if !self.is_committed {
            (self.is_committed, self.is_lost) = (true, true);
            let rest = self.kept.split_off(self.at.min(self.kept.len()));
            (self.kept, self.at) = (rest, 0);
        }
    }

    async fn gone(&mut self) {
        // It shows where the response goes.
        std::future::pending().await
    }
}
