//! Any bytes of an HTTP/2 client, cut in two ways: the same comes out, and little is held back.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/api/authority/frames.rs"]
mod frames;
#[path = "../../src/api/authority/hpack.rs"]
mod hpack;

use frames::{BLOCK_BYTES, Frames};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn pass<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, usize) {
    let (mut frames, mut out) = (Frames::new(), Vec::new());
    for piece in pieces {
        let mut later = Vec::new();
        let passed = frames.take(piece, &mut later);
        out.extend_from_slice(&piece[..passed]);
        out.append(&mut later);
    }
    let held = frames.rest();
    out.extend_from_slice(&held);
    (out, held.len())
}

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (cut, rest) = input;
    let bytes = [PREFACE, rest].concat();
    let (whole, held) = pass(std::iter::once(&bytes[..]));
    let (cut, held_cut) = pass(bytes.chunks(usize::from(cut) + 1));
    assert_eq!(whole, cut);
    assert!(held.max(held_cut) <= BLOCK_BYTES + 9);
    // A literal is at most a table's entry, four times its decoded bytes, for each byte of a block.
    assert!(whole.len() <= PREFACE.len() + (rest.len() + 1) * 4 * 4096);
});
