//! A body on its way: taken off one connection's framing, put into the other's.

use super::chunk::{ChunkDecoder, ChunkError, Piece};
use super::field::{Kind, copy};
use super::framing::Framing;
use super::head::parse_trailers;

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Transfer {
    input: Input,
    output: Output,
    /// Lines of trailers, without the empty one, that came with a body that leaves raw.
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum Input {
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
    Done,
}

/// How the body leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// As it is: its end is given by a length or by the end of the connection.
    Raw,
    Chunked,
}

impl Transfer {
    /// `max_trailers`: longest trailer block.
    pub(crate) fn new(input: Framing, output: Output, max_trailers: usize) -> Self {
        let input = match input {
            Framing::None | Framing::Length(0) => Input::Done,
            Framing::Length(n) => Input::Length(n),
            Framing::Chunked => Input::Chunked(ChunkDecoder::new(max_trailers)),
            Framing::UntilClose => Input::UntilClose,
        };
        Self {
            input,
            output,
            trailers: Vec::new(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.input, Input::Done)
    }

    /// How many of `available` bytes may go out as they are; `None`: the bytes must be translated.
    pub(crate) fn raw(&self, available: usize) -> Option<usize> {
        match (&self.input, self.output) {
            (Input::Length(left), Output::Raw) => {
                Some(usize::try_from(*left).unwrap_or(usize::MAX).min(available))
            }
            (Input::UntilClose, Output::Raw) => Some(available),
            _ => None,
        }
    }

    /// `n` bytes, as allowed by [`Transfer::raw`], have gone out.
    pub(crate) fn skip(&mut self, n: usize) {
        if let Input::Length(left) = &mut self.input {
            *left -= n as u64;
            if *left == 0 {
                self.input = Input::Done;
            }
        }
    }

    /// Translates as much of `input` as belongs to the body and appends it to `out`. Returns how much that was.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        match &mut self.input {
            Input::Done => Ok(0),
            Input::Length(left) => {
                let n = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                put(self.output, &input[..n], out);
                self.skip(n);
                if self.is_done() && self.output == Output::Chunked {
                    out.extend_from_slice(b"0\r\n\r\n");
                }
                Ok(n)
            }
            Input::UntilClose => {
                put(self.output, input, out);
                Ok(input.len())
            }
            Input::Chunked(decoder) => {
                let mut rest = input;
                loop {
                    match decoder.next(&mut rest)? {
                        Piece::Data(data) => put(self.output, data, out),
                        Piece::More => return Ok(input.len()),
                        Piece::End => break,
                    }
                }
                match self.output {
                    Output::Chunked => {
                        out.extend_from_slice(b"0\r\n");
                        put_trailers(decoder.trailers(), out)?;
                        out.extend_from_slice(b"\r\n");
                    }
                    Output::Raw => put_trailers(decoder.trailers(), &mut self.trailers)?,
                }
                self.input = Input::Done;
                Ok(input.len() - rest.len())
            }
        }
    }

    /// The trailers of a body that left raw, line by line.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// The connection has ended in good order. False: the body has not.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> bool {
        if matches!(self.input, Input::UntilClose) {
            if self.output == Output::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
            self.input = Input::Done;
        }
        self.is_done()
    }
}

fn put(output: Output, data: &[u8], out: &mut Vec<u8>) {
    match output {
        Output::Raw => out.extend_from_slice(data),
        Output::Chunked => put_chunk(data, out),
    }
}

/// One chunk; none for no bytes, which would be the last one.
pub(crate) fn put_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    put_hex(data.len(), out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

fn put_hex(n: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[n >> (4 * i) & 15]);
    }
}

/// The trailers that may travel: none that frame, route or end at this hop.
fn put_trailers(trailers: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
    if trailers.len() > 2 {
        let fields = parse_trailers(trailers).map_err(|_| ChunkError::Trailers)?;
        copy(trailers, &fields, out, |f| f.kind == Kind::Other);
    }
    Ok(())
}
