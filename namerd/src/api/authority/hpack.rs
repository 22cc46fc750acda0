//! Header blocks (RFC 7541) of requests, read only as far as it takes to find an empty `:authority` and to say the same
//! without it and without the dynamic table.
//!
//! In comes a whole block; out goes the block as literals and static indices. Strings are never decoded: a Huffman code
//! is measured, because the table's size counts decoded bytes, and copied as it is. What a table holds is bounded by
//! what the code of its bytes can take, at most four times their number.

use std::collections::VecDeque;

/// Why a block cannot be read; the HTTP/2 library will say the same of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadBlock;

/// What a block was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// It had an `:authority` without a value, which was left out.
    pub(crate) empty_authority: bool,
    /// It said more than may be written; what was written is not all of it.
    pub(crate) cut: bool,
}

/// The dynamic table of one connection's requests.
#[derive(Debug)]
pub(crate) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Name,
    name_len: usize,
    value: Vec<u8>,
    value_len: usize,
}

#[derive(Clone, Debug)]
enum Name {
    /// Its index in the static table.
    Static(usize),
    /// As it was written, with its length before it.
    Written(Vec<u8>),
}

/// A string as written, and how many bytes it means.
struct Text<'a> {
    written: &'a [u8],
    len: usize,
}

/// What we allow, and the default: no SETTINGS of ours says otherwise.
const TABLE_BYTES: usize = 4096;
/// What each entry counts besides its bytes (RFC 7541 4.1).
const ENTRY_BYTES: usize = 32;
/// Index of `:authority`; its value in the static table is empty.
const AUTHORITY: usize = 1;
const AUTHORITY_TEXT: &[u8] = b":authority";
/// The same as a Huffman code; there is only one way to write it.
const AUTHORITY_CODE: [u8; 8] = [0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// Lengths of the static table's names, in its order (RFC 7541 appendix A).
const STATIC_NAMES: [usize; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10,
    25, 17, 10, 4, 3, 16,
];

/// How many symbols have a code of so many bits (RFC 7541 appendix B). The code is canonical, so this is all of it that
/// lengths depend on.
const CODES: [(u32, u32); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];

// === impl Table ===

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: TABLE_BYTES,
        }
    }

    /// Reads a whole block and writes what it says, without an empty `:authority`, at most `limit` bytes.
    pub(crate) fn rewrite(
        &mut self,
        mut block: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Seen, BadBlock> {
        let mut seen = Seen {
            empty_authority: false,
            cut: false,
        };
        let mut may_resize = true;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                let max = integer(&mut block, 5)?;
                if max > TABLE_BYTES || !may_resize {
                    return Err(BadBlock);
                }
                self.max = max;
                self.evict();
                continue;
            }
            may_resize = false;
            let start = out.len();
            if self.field(first, &mut block, out)? {
                seen.empty_authority = true;
                out.truncate(start);
            } else if out.len() > limit || seen.cut {
                seen.cut = true;
                out.truncate(start);
            }
        }
        Ok(seen)
    }

    /// Reads one field and writes it; says whether it was an empty `:authority`.
    fn field(&mut self, first: u8, block: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, BadBlock> {
        if first & 0x80 != 0 {
            let index = integer(block, 7)?;
            if (1..=STATIC_NAMES.len()).contains(&index) {
                out.push(0x80 | index as u8);
                return Ok(index == AUTHORITY);
            }
            let entry = self.entry(index)?;
            write(0, &entry.name, &entry.value, out);
            return Ok(entry.value_len == 0 && entry.name.is_authority());
        }
        let is_indexed = first & 0x40 != 0;
        let index = integer(block, if is_indexed { 6 } else { 4 })?;
        let (name, name_len) = match index {
            0 => {
                let name = text(block)?;
                (Name::Written(name.written.to_vec()), name.len)
            }
            1..=61 => (Name::Static(index), STATIC_NAMES[index - 1]),
            _ => {
                let entry = self.entry(index)?;
                (entry.name.clone(), entry.name_len)
            }
        };
        let value = text(block)?;
        let never_indexed = if is_indexed { 0 } else { first & 0x10 };
        write(never_indexed, &name, value.written, out);
        let is_empty_authority = value.len == 0 && name.is_authority();
        if is_indexed {
            self.insert(Entry {
                name,
                name_len,
                value: value.written.to_vec(),
                value_len: value.len,
            });
        }
        Ok(is_empty_authority)
    }

    fn entry(&self, index: usize) -> Result<&Entry, BadBlock> {
        let at = index.checked_sub(STATIC_NAMES.len() + 1);
        at.and_then(|at| self.entries.get(at)).ok_or(BadBlock)
    }

    fn insert(&mut self, entry: Entry) {
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size -= oldest.size();
        }
    }

    /// Bytes held, about.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let of = |e: &Entry| match &e.name {
            Name::Static(_) => e.value.len(),
            Name::Written(name) => name.len() + e.value.len(),
        };
        self.entries.iter().map(|e| of(e) + ENTRY_BYTES).sum()
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.name_len + self.value_len + ENTRY_BYTES
    }
}

impl Name {
    fn is_authority(&self) -> bool {
        match self {
            Name::Static(index) => *index == AUTHORITY,
            Name::Written(written) => {
                let mut rest = written.as_slice();
                let is_code = rest.first().is_some_and(|b| b & 0x80 != 0);
                let expected = if is_code {
                    &AUTHORITY_CODE[..]
                } else {
                    AUTHORITY_TEXT
                };
                integer(&mut rest, 7).is_ok() && rest == expected
            }
        }
    }
}

// === the wire ===

/// A literal field that leaves the table as it is.
fn write(never_indexed: u8, name: &Name, value: &[u8], out: &mut Vec<u8>) {
    match name {
        Name::Static(index) if *index < 0x0f => out.push(never_indexed | *index as u8),
        Name::Static(index) => out.extend([never_indexed | 0x0f, (*index - 0x0f) as u8]),
        Name::Written(name) => {
            out.push(never_indexed);
            out.extend_from_slice(name);
        }
    }
    out.extend_from_slice(value);
}

/// An integer with a prefix of so many bits (RFC 7541 5.1), of at most four further bytes.
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, BadBlock> {
    let (&first, mut tail) = rest.split_first().ok_or(BadBlock)?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        for shift in [0, 7, 14, 21, 28] {
            if shift == 28 {
                return Err(BadBlock);
            }
            let (&byte, more) = tail.split_first().ok_or(BadBlock)?;
            tail = more;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    Ok(value)
}

/// A string (RFC 7541 5.2).
fn text<'a>(rest: &mut &'a [u8]) -> Result<Text<'a>, BadBlock> {
    let start = *rest;
    let is_code = start.first().is_some_and(|b| b & 0x80 != 0);
    let len = integer(rest, 7)?;
    let (bytes, tail) = rest.split_at_checked(len).ok_or(BadBlock)?;
    *rest = tail;
    Ok(Text {
        written: &start[..start.len() - tail.len()],
        len: if is_code { decoded_len(bytes)? } else { len },
    })
}

/// How many bytes a Huffman code means.
fn decoded_len(code: &[u8]) -> Result<usize, BadBlock> {
    let mut symbols = 0;
    // Bits not yet part of a symbol, as a number, and how many.
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in code {
        for shift in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> shift & 1);
            count += 1;
            if count == 30 && bits == (1 << 30) - 1 {
                // The end of the string is not to be written.
                return Err(BadBlock);
            }
            if is_symbol(bits, count) {
                symbols += 1;
                (bits, count) = (0, 0);
            }
        }
    }
    // Padding: the beginning of the code for the end, shorter than a byte.
    let is_padding = count < 8 && bits == (1 << count) - 1;
    is_padding.then_some(symbols).ok_or(BadBlock)
}

/// Whether these bits, none of whose beginnings is one, are a symbol's code.
fn is_symbol(bits: u32, count: u32) -> bool {
    let (mut code, mut len) = (0, 0);
    for (symbol_len, symbols) in CODES {
        code <<= symbol_len - len;
        len = symbol_len;
        if len == count {
            return bits < code + symbols;
        }
        code += symbols;
    }
    false
}
