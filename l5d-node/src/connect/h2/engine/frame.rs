//! Frames: their headers, kinds and flags (RFC 9113 4, 6).

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

pub(super) const HEADER: usize = 9;
/// What an endpoint takes before it has said anything.
pub(super) const WINDOW: u32 = 65_535;
pub(super) const MAX_FRAME: usize = 16_384;
pub(super) const MAX_WINDOW: i64 = (1 << 31) - 1;

/// Settings.
pub(super) const HEADER_TABLE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW: u16 = 4;
pub(super) const FRAME_SIZE: u16 = 5;
pub(super) const HEADER_LIST: u16 = 6;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    /// The header at the beginning of `bytes`, if all of it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, rest @ ..] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            len: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(rest) & 0x7fff_ffff,
        })
    }

    pub(super) fn write(self) -> [u8; HEADER] {
        let [_, a, b, c] = (self.len as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// A payload without its padding and its priority. `None`: they do not fit.
    pub(super) fn strip(self, payload: &[u8]) -> Option<&[u8]> {
        let mut rest = payload;
        let mut padding = 0;
        if self.flags & PADDED != 0 {
            let (len, behind) = rest.split_first()?;
            (padding, rest) = (usize::from(*len), behind);
        }
        if self.kind == HEADERS && self.flags & WITH_PRIORITY != 0 {
            rest = rest.get(5..)?;
        }
        rest.get(..rest.len().checked_sub(padding)?)
    }
}

/// Appends a frame.
pub(super) fn put(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let len = payload.len();
    let header = Header {
        len,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&header.write());
    out.extend_from_slice(payload);
}

/// Makes the header block at the end of `out`, which begins at `start` behind room for a frame's header, a frame, or several
/// of at most `most` bytes.
pub(super) fn close_block(start: usize, ends: bool, stream: u32, most: usize, out: &mut Vec<u8>) {
    let len = out.len() - start - HEADER;
    let end_stream = if ends { END_STREAM } else { 0 };
    if len <= most {
        let header = Header {
            len,
            kind: HEADERS,
            flags: END_HEADERS | end_stream,
            stream,
        };
        out[start..start + HEADER].copy_from_slice(&header.write());
        return;
    }
    let block = out.split_off(start + HEADER);
    out.truncate(start);
    let parts = block.len().div_ceil(most);
    for (i, part) in block.chunks(most).enumerate() {
        let (kind, flags) = match i {
            0 => (HEADERS, end_stream),
            _ => (CONTINUATION, 0),
        };
        let last = if i + 1 == parts { END_HEADERS } else { 0 };
        put(kind, flags | last, stream, part, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        let header = Header {
            len: 0x01_0203,
            kind: HEADERS,
            flags: 0x2c,
            stream: 0x7fff_fffe,
        };
        assert_eq!(Header::read(&header.write()), Some(header));
        assert_eq!(Header::read(&header.write()[..8]), None);
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let strip = |flags, payload| {
            let header = Header {
                len: 0,
                kind: HEADERS,
                flags,
                stream: 1,
            };
            header.strip(payload)
        };
        assert_eq!(strip(0, b"ab"), Some(&b"ab"[..]));
        assert_eq!(strip(PADDED, b"\x01ab"), Some(&b"a"[..]));
        assert_eq!(strip(PADDED, b"\x02ab"), Some(&b""[..]));
        assert_eq!(strip(PADDED, b"\x03ab"), None);
        assert_eq!(strip(PADDED, b""), None);
        assert_eq!(
            strip(PADDED | WITH_PRIORITY, b"\x0112345ab"),
            Some(&b"a"[..])
        );
        assert_eq!(strip(WITH_PRIORITY, b"1234"), None);
    }

    #[test]
    fn a_long_block_becomes_several_frames() {
        let mut out = b"before".to_vec();
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(b"0123456789");
        close_block(start, true, 5, 4, &mut out);
        let mut rest = &out[start..];
        let mut seen = Vec::new();
        while let Some(header) = Header::read(rest) {
            seen.push((header.kind, header.flags, header.stream));
            rest = &rest[HEADER + header.len..];
        }
        let expected = [
            (HEADERS, END_STREAM, 5),
            (CONTINUATION, 0, 5),
            (CONTINUATION, END_HEADERS, 5),
        ];
        assert_eq!(seen, expected);
    }
}
