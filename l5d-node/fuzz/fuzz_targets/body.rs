//! Any bytes where a chunked body should be, cut in two ways: the same comes out, and what is framed anew reads as the same
//! body again.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/serve/wire/chunk.rs"]
mod chunk;
#[path = "../../src/serve/wire/field.rs"]
mod field;
#[path = "../../src/serve/wire/framing.rs"]
mod framing;
#[path = "../../src/serve/wire/head.rs"]
mod head;
#[path = "../../src/serve/wire/transfer.rs"]
mod transfer;

use chunk::ChunkError;
use framing::Framing;
use transfer::{Output, Transfer};

const TRAILERS: usize = 256;

/// What goes out, and how much of the input was the body; `None` if it has not ended.
fn pass<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    output: Output,
) -> Result<Option<(Vec<u8>, usize)>, ChunkError> {
    let mut transfer = Transfer::new(Framing::Chunked, output, TRAILERS);
    let (mut out, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let n = transfer.step(piece, &mut out)?;
        used += n;
        if transfer.is_done() {
            return Ok(Some((out, used)));
        }
        assert_eq!(n, piece.len(), "all is taken until the end");
    }
    Ok(None)
}

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let cut = usize::from(cut) + 1;
    let raw = pass(std::iter::once(bytes), Output::Raw);
    let is_same = |a: &Option<(Vec<u8>, usize)>, b: &Option<(Vec<u8>, usize)>| a == b;
    match (&raw, pass(bytes.chunks(cut), Output::Raw)) {
        (Ok(whole), Ok(parts)) => assert!(is_same(whole, &parts)),
        (whole, parts) => assert_eq!(whole.is_err(), parts.is_err()),
    }
    // Trailers are read only where they go out.
    let Ok(Some((framed, used))) = pass(std::iter::once(bytes), Output::Chunked) else {
        return;
    };
    let Ok(Some((body, whole))) = raw else {
        panic!("a body that goes out in chunks goes out as it is");
    };
    assert_eq!(used, whole);
    let again = pass(std::iter::once(&framed[..]), Output::Raw);
    assert_eq!(again, Ok(Some((body, framed.len()))));
});
