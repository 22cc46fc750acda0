//! A watch's body, line by line.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;

use super::transport::Chunks;

/// Longest line: far above any object, far below what memory bears.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Longest answer to a list: 500 of the biggest slices, or a whole cluster's where the server ignores limits.
const MAX_LIST_BYTES: usize = 512 << 20;

/// Splits a body at newlines.
pub(super) struct Lines {
    body: Chunks,
    buffer: BytesMut,
    /// No newline before this place.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Chunks) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
        }
    }

    /// The next line that is not blank, without its end. `None`: the body has ended. `Err`: the connection was cut, or
    /// a line is longer than allowed. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                // What is left has no newline: a line all the same, or a torn one that will not parse.
                let rest = self.buffer.split().freeze();
                return Ok((!rest.trim_ascii().is_empty()).then_some(rest));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(format!("a line is longer than {MAX_LINE_BYTES} bytes"));
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(error),
                None => self.ended = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let fresh = &self.buffer[self.searched..];
        let Some(at) = fresh.iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }
}

/// A whole body.
pub(super) async fn read_all(mut body: Chunks) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
        if all.len() > MAX_LIST_BYTES {
            return Err(format!("the answer is longer than {MAX_LIST_BYTES} bytes"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    #[tokio::test]
    async fn lines_are_cut_wherever_chunks_are() {
        let chunks =
            ["{\"a\"", ":1}\n\n{\"b\":2}", "\n"].map(|c| Ok(Bytes::from_static(c.as_bytes())));
        let mut lines = Lines::new(Box::pin(stream::iter(chunks)));
        assert_eq!(
            lines.next().await,
            Ok(Some(Bytes::from_static(b"{\"a\":1}")))
        );
        assert_eq!(
            lines.next().await,
            Ok(Some(Bytes::from_static(b"{\"b\":2}")))
        );
        assert_eq!(lines.next().await, Ok(None));
        let cut = stream::iter([Ok(Bytes::from_static(b"{}")), Err("cut".to_owned())]);
        assert!(Lines::new(Box::pin(cut)).next().await.is_err());
    }

    #[tokio::test]
    async fn k8s_7_3_a_line_without_an_end_is_an_error() {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let endless = stream::repeat_with(move || Ok(chunk.clone()));
        let error = Lines::new(Box::pin(endless))
            .next()
            .await
            .expect_err("too long");
        assert!(error.contains("longer"), "{error}");
    }
}
