//! Reading chunked bodies, one buffer at a time.

/// Where in a chunked body we are. Extensions are skipped; trailers are kept, up to a limit.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    state: State,
    /// Bytes of the present extension, or digits of the present size.
    count: usize,
    trailers: Vec<u8>,
    max_trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// What was found at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// The body has ended.
    End,
    /// All input is used up.
    More,
}

/// A chunked body that does not read; the connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("invalid chunk size")]
    Size,
    #[error("invalid or too long chunk extension")]
    Extension,
    #[error("chunk data not followed by CRLF")]
    Data,
    #[error("invalid or too long trailers")]
    Trailers,
}

/// Longest extension of a chunk.
const MAX_EXTENSION: usize = 1024;

impl ChunkDecoder {
    pub(crate) fn new(max_trailers: usize) -> Self {
        Self {
            state: State::Size(0),
            count: 0,
            trailers: Vec::new(),
            max_trailers,
        }
    }

    /// Takes the next piece off `input`.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, ChunkError> {
        loop {
            if self.state == State::Done {
                return Ok(Piece::End);
            }
            if let State::Data(left) = self.state {
                if input.is_empty() {
                    return Ok(Piece::More);
                }
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (data, rest) = input.split_at(n);
                *input = rest;
                let left = left - n as u64;
                self.state = if left == 0 {
                    State::DataCr
                } else {
                    State::Data(left)
                };
                return Ok(Piece::Data(data));
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(Piece::More);
            };
            *input = rest;
            self.step(*byte)?;
        }
    }

    /// The trailer block with its empty line, once the body has ended; just CRLF if there are none.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match self.state {
            State::Size(n) => self.size(n, byte)?,
            State::Extension(n) => self.extension(n, byte)?,
            State::SizeLf(n) if byte == b'\n' => {
                self.count = 0;
                match n {
                    0 => State::Trailers,
                    n => State::Data(n),
                }
            }
            State::SizeLf(_) => return Err(ChunkError::Size),
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::Size(0),
            State::DataCr | State::DataLf => return Err(ChunkError::Data),
            State::Trailers => self.trailer(byte)?,
            State::Data(_) | State::Done => self.state,
        };
        Ok(())
    }

    fn size(&mut self, n: u64, byte: u8) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.count += 1;
            // Sixteen digits, of which the first is at most 7: below 2^63.
            if self.count > 16 || n >> 59 != 0 {
                return Err(ChunkError::Size);
            }
            return Ok(State::Size(n << 4 | u64::from(digit)));
        }
        if self.count == 0 {
            return Err(ChunkError::Size);
        }
        self.count = 0;
        match byte {
            b'\r' => Ok(State::SizeLf(n)),
            b';' => Ok(State::Extension(n)),
            _ => Err(ChunkError::Size),
        }
    }

    fn extension(&mut self, n: u64, byte: u8) -> Result<State, ChunkError> {
        self.count += 1;
        match byte {
            b'\r' => Ok(State::SizeLf(n)),
            b'\t' | b' '..=b'~' | 0x80.. if self.count <= MAX_EXTENSION => Ok(State::Extension(n)),
            _ => Err(ChunkError::Extension),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.trailers.len() >= self.max_trailers + 2 {
            return Err(ChunkError::Trailers);
        }
        let is_after_cr = self.trailers.last() == Some(&b'\r');
        if (byte == b'\n') != is_after_cr {
            return Err(ChunkError::Trailers);
        }
        self.trailers.push(byte);
        let is_end = self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n");
        Ok(if is_end { State::Done } else { State::Trailers })
    }
}
