//! Blocks to header lists.

use std::collections::VecDeque;

use super::{Malformed, STATIC, huffman};

/// One direction's decoder.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    table: VecDeque<Entry>,
    size: usize,
    /// What the peer's encoder keeps to, and what it may choose.
    max: usize,
    limit: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    /// The name, and the value behind it.
    text: Box<[u8]>,
    name: usize,
}

/// What an entry costs besides its bytes (RFC 7541 4.1).
const ENTRY: usize = 32;
/// The table's size before anybody has said anything.
const DEFAULT: usize = 4096;

impl Decoder {
    /// Lets the peer use a table of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            max: DEFAULT,
            // A peer may use the default until it knows.
            limit: limit.max(DEFAULT),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Gives each field of a whole block to `field`, in order.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let mut rest = block;
        let mut is_first = true;
        while let Some(first) = rest.first().copied() {
            match first {
                0x80.. => {
                    let index = int(&mut rest, 7)?;
                    let (name, value) = self.get(index)?;
                    field(name, value);
                }
                0x40..0x80 => self.literal(&mut rest, 6, true, field)?,
                0x20..0x40 => {
                    let max = int(&mut rest, 5)?;
                    if !is_first || max > self.limit {
                        return Err(Malformed);
                    }
                    self.max = max;
                    self.evict(0);
                    continue;
                }
                0..0x20 => self.literal(&mut rest, 4, false, field)?,
            }
            is_first = false;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        prefix: u8,
        is_kept: bool,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let index = int(rest, prefix)?;
        let (mut own_name, mut own_value) = (
            std::mem::take(&mut self.name),
            std::mem::take(&mut self.value),
        );
        let name = match index {
            0 => string(rest, &mut own_name)?.unwrap_or(&own_name),
            index => self.get(index)?.0,
        };
        let value = string(rest, &mut own_value)?.unwrap_or(&own_value);
        field(name, value);
        let entry = is_kept.then(|| Entry {
            text: [name, value].concat().into(),
            name: name.len(),
        });
        if let Some(entry) = entry {
            self.insert(entry);
        }
        (self.name, self.value) = (own_name, own_value);
        Ok(())
    }

    fn get(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        let place = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.table.get(place - STATIC.len()).ok_or(Malformed)?;
        Ok(entry.text.split_at(entry.name))
    }

    fn insert(&mut self, entry: Entry) {
        let cost = entry.text.len() + ENTRY;
        self.evict(cost);
        if cost <= self.max {
            self.size += cost;
            self.table.push_front(entry);
        }
    }

    /// Makes room for `cost` bytes.
    fn evict(&mut self, cost: usize) {
        while self.size + cost > self.max
            && let Some(oldest) = self.table.pop_back()
        {
            self.size -= oldest.text.len() + ENTRY;
        }
    }
}

/// An integer with a prefix of so many bits (RFC 7541 5.1).
fn int(rest: &mut &[u8], prefix: u8) -> Result<usize, Malformed> {
    let (first, mut tail) = rest.split_first().ok_or(Malformed)?;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = tail.split_first().ok_or(Malformed)?;
            tail = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            // Nothing that is counted here needs more.
            if shift > 21 {
                return Err(Malformed);
            }
        }
    }
    *rest = tail;
    Ok(value)
}

/// A string as it stands in the block; `None`: it was decoded into `own`.
fn string<'a>(rest: &mut &'a [u8], own: &mut Vec<u8>) -> Result<Option<&'a [u8]>, Malformed> {
    let is_coded = rest.first().ok_or(Malformed)? & 0x80 != 0;
    let len = int(rest, 7)?;
    let (text, behind) = rest.split_at_checked(len).ok_or(Malformed)?;
    *rest = behind;
    if !is_coded {
        return Ok(Some(text));
    }
    own.clear();
    huffman::decode(text, own)?;
    Ok(None)
}
