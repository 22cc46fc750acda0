//! Frames of a client's side of an HTTP/2 connection (RFC 9113 4.1), passed on as they are until a request has an empty
//! `:authority`.
//!
//! In come bytes however they were cut; out go the same bytes, but from the first such request on every header block is
//! written anew, because the HTTP/2 library's table no longer is what the client believes. What is held back is at most
//! one header block with its frames. Whatever is not understood is passed on for the library to refuse.

use super::hpack::Table;

/// Where a connection is.
#[derive(Debug)]
pub(crate) struct Frames {
    state: State,
    /// Bytes that cannot be passed on before more come.
    held: Vec<u8>,
    /// Where in `held` the next frame of the block begins.
    scanned: usize,
    table: Table,
    /// Whether blocks are written anew.
    rewrites: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of the connection's first words have come.
    Preface(usize),
    /// A frame begins.
    Head,
    /// So many bytes of a frame that is passed on are still to come.
    Payload(usize),
    /// No longer looked at.
    Blind,
}

/// What is known of a header block from its frames so far.
enum Block {
    More,
    /// Complete, with its frames so many bytes long.
    Whole(usize),
    /// No block that anybody may send.
    Odd,
}

/// The parts of a HEADERS frame.
#[derive(Clone, Copy)]
struct Head<'a> {
    flags: u8,
    stream: &'a [u8],
    payload: &'a [u8],
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// Longest frame that we allow, the protocol's default.
const FRAME_BYTES: usize = 16 << 10;
/// Most bytes of a block that are looked at, with its frames, and most that are written for one. The library refuses
/// longer lists of headers.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// A block that every reader refuses: index 0.
const REFUSED: [u8; 1] = [0x80];

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Preface(0),
            held: Vec::new(),
            scanned: 0,
            table: Table::new(),
            rewrites: false,
        }
    }

    /// Passes bytes on: how many of them at once, while nothing is held; the rest by way of `out` then or later.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let passed = match self.held.is_empty() {
            true => self.pass(bytes),
            false => 0,
        };
        if passed < bytes.len() {
            self.held.extend_from_slice(&bytes[passed..]);
            self.settle(out);
        }
        passed
    }

    /// At the end of the bytes: what is still held.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.state = State::Blind;
        std::mem::take(&mut self.held)
    }

    /// How many bytes can be passed on as they are.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match &mut self.state {
                State::Blind => rest.len(),
                State::Preface(come) => {
                    let expected = &PREFACE[*come..];
                    let n = expected.len().min(rest.len());
                    *come += n;
                    if rest[..n] != expected[..n] {
                        self.state = State::Blind;
                    } else if *come == PREFACE.len() {
                        self.state = State::Head;
                    }
                    n
                }
                State::Payload(left) => {
                    let n = (*left).min(rest.len());
                    *left -= n;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    n
                }
                State::Head => {
                    if rest.len() < HEAD || rest[3] == HEADERS {
                        return at;
                    }
                    self.state = match payload_len(rest) {
                        0 => State::Head,
                        n => State::Payload(n),
                    };
                    HEAD
                }
            };
        }
        at
    }

    /// Passes on what is held as far as possible.
    fn settle(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        loop {
            let passed = self.pass(&held[at..]);
            out.extend_from_slice(&held[at..at + passed]);
            at += passed;
            let rest = &held[at..];
            // Part of a head, or a block.
            if rest.len() < HEAD {
                break;
            }
            match self.scan(rest) {
                Block::More if rest.len() <= BLOCK_BYTES => break,
                Block::Whole(len) if len <= BLOCK_BYTES + FRAME_BYTES => {
                    self.block(&rest[..len], out);
                    at += len;
                }
                Block::More | Block::Whole(_) => self.give_up(rest, out),
                Block::Odd => self.state = State::Blind,
            }
            self.scanned = 0;
        }
        self.held = match at {
            0 => held,
            _ if at == held.len() => Vec::new(),
            _ => held[at..].to_vec(),
        };
    }

    /// Looks for the end of the block that these bytes begin with.
    fn scan(&mut self, bytes: &[u8]) -> Block {
        loop {
            let rest = &bytes[self.scanned..];
            if rest.len() < HEAD {
                return Block::More;
            }
            let is_first = self.scanned == 0;
            let expected = if is_first { HEADERS } else { CONTINUATION };
            let len = payload_len(rest);
            if rest[3] != expected || len > FRAME_BYTES || rest[5..HEAD] != bytes[5..HEAD] {
                return Block::Odd;
            }
            if rest.len() < HEAD + len {
                return Block::More;
            }
            self.scanned += HEAD + len;
            if rest[4] & END_HEADERS != 0 {
                return Block::Whole(self.scanned);
            }
        }
    }

    /// A whole block with its frames: as it is, or anew.
    fn block(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        let Some((head, priority, fragments)) = open(frames) else {
            self.state = State::Blind;
            out.extend_from_slice(frames);
            return;
        };
        let mut anew = Vec::with_capacity(fragments.len() + HEAD);
        match self.table.rewrite(&fragments, &mut anew, BLOCK_BYTES) {
            Ok(seen) if !self.rewrites && !seen.empty_authority => out.extend_from_slice(frames),
            Ok(seen) => {
                self.rewrites = true;
                match seen.cut {
                    true => self.give_up(frames, out),
                    false => write_block(head, priority, &anew, out),
                }
            }
            Err(_) if self.rewrites => self.give_up(frames, out),
            Err(_) => {
                self.state = State::Blind;
                out.extend_from_slice(frames);
            }
        }
    }

    /// No longer looks at this connection. If its tables differ already, a block is put in that ends it.
    fn give_up(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        self.state = State::Blind;
        if self.rewrites {
            write_frame(HEADERS, END_HEADERS, &frames[5..HEAD], &[&REFUSED], out);
        }
    }

    /// Bytes held, about.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.held.len() + self.table.bytes()
    }
}

fn payload_len(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// The first frame of a whole block without padding, its priority, and the block itself; `None` if it is padded with more
/// than there is.
fn open(frames: &[u8]) -> Option<(Head<'_>, &[u8], Vec<u8>)> {
    let len = payload_len(frames);
    let head = Head {
        flags: frames[4],
        stream: &frames[5..HEAD],
        payload: &frames[HEAD..HEAD + len],
    };
    let mut payload = head.payload;
    if head.flags & PADDED != 0 {
        let (&padding, rest) = payload.split_first()?;
        payload = &rest[..rest.len().checked_sub(padding.into())?];
    }
    let (priority, first) = match head.flags & PRIORITY != 0 {
        true => payload.split_at_checked(5)?,
        false => (&payload[..0], payload),
    };
    let mut block = first.to_vec();
    let mut rest = &frames[HEAD + len..];
    while !rest.is_empty() {
        let len = payload_len(rest);
        block.extend_from_slice(&rest[HEAD..HEAD + len]);
        rest = &rest[HEAD + len..];
    }
    Some((head, priority, block))
}

/// A block in as few frames as it takes.
fn write_block(head: Head<'_>, priority: &[u8], block: &[u8], out: &mut Vec<u8>) {
    let room = FRAME_BYTES - priority.len();
    let (first, mut rest) = block.split_at(block.len().min(room));
    let ends = |rest: &[u8]| if rest.is_empty() { END_HEADERS } else { 0 };
    let flags = head.flags & (END_STREAM | PRIORITY) | ends(rest);
    write_frame(HEADERS, flags, head.stream, &[priority, first], out);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.len().min(FRAME_BYTES));
        rest = more;
        write_frame(CONTINUATION, ends(rest), head.stream, &[piece], out);
    }
}

fn write_frame(kind: u8, flags: u8, stream: &[u8], payload: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend_from_slice(stream);
    for part in payload {
        out.extend_from_slice(part);
    }
}
