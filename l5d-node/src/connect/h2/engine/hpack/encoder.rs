//! Header lists to blocks.

use super::STATIC;

/// One direction's encoder.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    has_begun: bool,
}

/// Forms of a field with a literal value: not to be kept, and never to be kept by anybody.
const LITERAL: u8 = 0;
const NEVER: u8 = 0x10;

/// Places in the static table by the length of the name.
const BY_LENGTH: [&[u8]; 28] = [
    &[],
    &[],
    &[],
    &[21, 60],
    &[33, 34, 37, 38, 45, 59],
    &[22, 50],
    &[19, 32, 35, 54],
    &[36, 51, 52],
    &[39, 42, 46],
    &[],
    &[55, 58],
    &[53],
    &[31, 47],
    &[18, 23, 24, 30, 41, 44],
    &[15, 28],
    &[16, 17],
    &[26, 27, 29, 61],
    &[40, 57],
    &[48],
    &[25, 43, 49],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[56],
    &[],
    &[20],
];

impl Encoder {
    /// Begins a block.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            // The table has no room, from here on: whatever the peer says of its size later changes nothing.
            out.push(0x20);
        }
    }

    pub(crate) fn method(&self, method: &[u8], out: &mut Vec<u8>) {
        match method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            method => literal(LITERAL, 2, method, out),
        }
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self, is_secure: bool, out: &mut Vec<u8>) {
        out.push(if is_secure { 0x87 } else { 0x86 });
    }

    pub(crate) fn authority(&self, authority: &[u8], out: &mut Vec<u8>) {
        literal(LITERAL, 1, authority, out);
    }

    pub(crate) fn path(&self, path: &[u8], out: &mut Vec<u8>) {
        match path {
            b"/" => out.push(0x84),
            path => literal(LITERAL, 4, path, out),
        }
    }

    /// A field; its name is sent in lower case.
    pub(crate) fn field(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let places = BY_LENGTH.get(name.len()).copied().unwrap_or_default();
        let is_it = |p: &&u8| {
            let known = STATIC[usize::from(**p) - 1].0.as_bytes();
            known.eq_ignore_ascii_case(name)
        };
        if let Some(place) = places.iter().find(is_it) {
            // Cookies and credentials.
            let form = match place {
                23 | 32 | 49 | 55 => NEVER,
                _ => LITERAL,
            };
            return literal(form, *place, value, out);
        }
        out.push(LITERAL);
        int(0, 7, name.len(), out);
        let start = out.len();
        out.extend_from_slice(name);
        out[start..].make_ascii_lowercase();
        int(0, 7, value.len(), out);
        out.extend_from_slice(value);
    }
}

fn literal(form: u8, place: u8, value: &[u8], out: &mut Vec<u8>) {
    int(form, 4, usize::from(place), out);
    int(0, 7, value.len(), out);
    out.extend_from_slice(value);
}

/// An integer behind the bits of `form`, with a prefix of so many bits.
fn int(form: u8, prefix: u8, value: usize, out: &mut Vec<u8>) {
    let most = (1usize << prefix) - 1;
    if value < most {
        out.push(form | value as u8);
        return;
    }
    out.push(form | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
