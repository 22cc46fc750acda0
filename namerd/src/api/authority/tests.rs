//! The adapter against another HPACK implementation, arbitrary bytes and arbitrary cuts.

use loona_hpack::{Decoder, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::Tolerant;
use super::frames::{BLOCK_BYTES, Frames};
use super::hpack::{BadBlock, Table};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A read's worth, the block that may be held and the table with four times its bytes of code.
const MOST_HELD: usize = 2 * BLOCK_BYTES + 4 * 4096;

/// Everything that comes out for bytes that come in these pieces; also checks the bound.
fn pass<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut frames, mut out) = (Frames::new(), Vec::new());
    for piece in pieces {
        let mut later = Vec::new();
        let passed = frames.take(piece, &mut later);
        out.extend_from_slice(&piece[..passed]);
        out.append(&mut later);
        assert!(frames.bytes() <= MOST_HELD, "{} bytes held", frames.bytes());
    }
    out.append(&mut frames.rest());
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// One thing that a client does.
#[derive(Clone, Debug)]
enum Act {
    Other {
        kind: u8,
        payload: Vec<u8>,
    },
    Request {
        fields: Fields,
        padding: Option<u8>,
        priority: bool,
        /// Longest fragment.
        cut: usize,
    },
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    const NAMES: &[&str] = &[":method", ":path", "te", "x-a", "x-b", "cookie"];
    let name = prop::sample::select(NAMES).prop_map(|name| name.as_bytes().to_vec());
    let value = prop_oneof![
        4 => vec(prop::sample::select(&b"abcXYZ/0%"[..]), 0..6),
        1 => vec(any::<u8>(), 0..600),
    ];
    (name, value)
}

fn act(authority: &'static [&'static str]) -> impl Strategy<Value = Act> {
    let kinds = prop::sample::select(vec![0_u8, 2, 3, 4, 6, 8, 42]);
    let other =
        (kinds, vec(any::<u8>(), 0..80)).prop_map(|(kind, payload)| Act::Other { kind, payload });
    let fields = (prop::sample::select(authority), vec(field(), 0..8)).prop_map(|(host, rest)| {
        let host = (b":authority".to_vec(), host.as_bytes().to_vec());
        std::iter::once(host).chain(rest).collect()
    });
    let request = (fields, any::<Option<u8>>(), any::<bool>(), 1..400_usize).prop_map(
        |(fields, padding, priority, cut)| Act::Request {
            fields,
            padding,
            priority,
            cut,
        },
    );
    prop_oneof![other, request]
}

/// The bytes of a client that does all this.
fn client(acts: &[Act]) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(), PREFACE.to_vec());
    for (i, act) in acts.iter().enumerate() {
        match act {
            Act::Other { kind, payload } => bytes.extend(frame(*kind, 0, 0, payload)),
            Act::Request {
                fields,
                padding,
                priority,
                cut,
            } => {
                let pairs = fields.iter().map(|(n, v)| (&n[..], &v[..]));
                let block = encoder.encode(pairs);
                let stream = 2 * i as u32 + 1;
                let mut pieces = block.chunks(*cut).peekable();
                let first = pieces.next().unwrap_or_default();
                let (mut payload, mut flags) = (Vec::new(), 1);
                payload.extend(padding);
                if *priority {
                    payload.extend([0, 0, 0, 0, 7]);
                    flags |= 0x20;
                }
                payload.extend_from_slice(first);
                if let Some(n) = padding {
                    payload.extend(std::iter::repeat_n(0, usize::from(*n)));
                    flags |= 0x8;
                }
                if pieces.peek().is_none() {
                    flags |= 0x4;
                }
                bytes.extend(frame(1, flags, stream, &payload));
                while let Some(piece) = pieces.next() {
                    let end = if pieces.peek().is_none() { 0x4 } else { 0 };
                    bytes.extend(frame(9, end, stream, piece));
                }
            }
        }
    }
    bytes
}

/// The frames that are not of header blocks, and the requests' fields.
fn understood(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Fields>) {
    let mut rest = bytes.strip_prefix(PREFACE).expect("the preface");
    let (mut others, mut requests) = (Vec::new(), Vec::new());
    let (mut decoder, mut block) = (Decoder::new(), Vec::new());
    while !rest.is_empty() {
        let len = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let (this, more) = rest.split_at(9 + len);
        rest = more;
        let (kind, flags) = (this[3], this[4]);
        let mut payload = &this[9..];
        match kind {
            1 | 9 => {
                if flags & 0x8 != 0 && kind == 1 {
                    payload = &payload[1..payload.len() - usize::from(payload[0])];
                }
                if flags & 0x20 != 0 {
                    payload = &payload[5..];
                }
                block.extend_from_slice(payload);
                if flags & 0x4 != 0 {
                    let fields = decoder.decode(&std::mem::take(&mut block));
                    requests.push(fields.expect("decodes"));
                }
            }
            _ => others.push(this.to_vec()),
        }
    }
    (others, requests)
}

fn without_empty_authority(requests: Vec<Fields>) -> Vec<Fields> {
    let is_kept = |(name, value): &(Vec<u8>, Vec<u8>)| name != b":authority" || !value.is_empty();
    let keep = |fields: Fields| fields.into_iter().filter(is_kept).collect();
    requests.into_iter().map(keep).collect()
}

proptest! {
    #[test]
    fn ordinary_clients_pass_unchanged(acts in vec(act(&["namerd", "namerd:4321"]), 0..12), cut in 1..200_usize) {
        let bytes = client(&acts);
        prop_assert_eq!(pass(bytes.chunks(cut)), bytes);
    }

    #[test]
    fn old_clients_say_the_same_without_the_empty_field(acts in vec(act(&["", "", "namerd"]), 0..12), cut in 1..200_usize) {
        let bytes = client(&acts);
        let (others, requests) = understood(&bytes);
        let (others_out, requests_out) = understood(&pass(bytes.chunks(cut)));
        prop_assert_eq!(others_out, others);
        prop_assert_eq!(requests_out, without_empty_authority(requests));
    }

    #[test]
    fn any_bytes_come_out_bounded_and_the_same_however_cut(
        start in prop::sample::select(vec![&b""[..], PREFACE]),
        bytes in vec(any::<u8>(), 0..400),
        cut in 1..40_usize,
    ) {
        let bytes = [start, &bytes].concat();
        prop_assert_eq!(pass(bytes.chunks(cut)), pass([&bytes[..]]));
    }

    #[test]
    fn any_block_is_read_as_others_read_it(blocks in vec(vec(any::<u8>(), 0..60), 1..5)) {
        let (mut table, mut decoder) = (Table::new(), Decoder::new());
        decoder.set_max_allowed_table_size(4096);
        for block in blocks {
            let mut anew = Vec::new();
            let ours = table.rewrite(&block, &mut anew, BLOCK_BYTES);
            let theirs = decoder.decode(&block);
            // It allows changes of the table's size between fields; the HTTP/2 library and we do not.
            let Ok(_) = ours else { break };
            let theirs = theirs.or_else(|e| if block_ends_in_resize(&block) { Ok(Vec::new()) } else { Err(e) });
            let theirs = theirs.expect("they read it too");
            if !theirs.is_empty() {
                let anew = Decoder::new().decode(&anew).expect("what we write is read");
                prop_assert_eq!(vec![anew], without_empty_authority(vec![theirs]));
            }
        }
    }
}

/// Only changes of the table's size: no field follows, which others refuse.
fn block_ends_in_resize(block: &[u8]) -> bool {
    block.first().is_some_and(|b| b & 0xe0 == 0x20)
}

/// RFC 7541 C.6.1 to C.6.3 shortened: Huffman codes and evictions of a small table.
#[test]
fn huffman_codes_are_measured() {
    let hex = |text: &str| -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(byte).collect()
    };
    let first = hex(
        "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    );
    let blocks = [first, hex("4883640effc1c0bf")];
    let (mut table, mut decoder) = (Table::new(), Decoder::new());
    for block in blocks {
        let mut anew = Vec::new();
        let seen = table.rewrite(&block, &mut anew, BLOCK_BYTES).expect("good");
        assert!(!seen.empty_authority && !seen.cut);
        let theirs = decoder.decode(&block).expect("good");
        assert_eq!(Decoder::new().decode(&anew).expect("good"), theirs);
    }
}

#[test]
fn every_way_to_write_an_empty_authority_is_found() {
    let code = [0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];
    let text = b":authority";
    let named =
        |first: u8, len: u8, name: &[u8], value: u8| [&[first, len][..], name, &[value]].concat();
    for field in [
        vec![0x81],
        vec![0x41, 0x00],
        vec![0x01, 0x80],
        vec![0x11, 0x00],
        named(0x40, 10, text, 0x00),
        named(0x00, 10, text, 0x80),
        named(0x10, 0x88, &code, 0x00),
    ] {
        let mut out = Vec::new();
        let block = [&field[..], &[0x84]].concat();
        let seen = Table::new().rewrite(&block, &mut out, BLOCK_BYTES);
        assert!(seen.expect("good").empty_authority, "{field:?}");
        assert_eq!(out, [0x84], "{field:?}");
    }
}

#[test]
fn wrong_blocks_are_refused() {
    for block in [
        &[0x80][..],
        &[0xbe],
        &[0x40],
        &[0x41],
        &[0x41, 0x05, b'a'],
        &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x01],
        // Larger than the table may be, and not at the beginning.
        &[0x3f, 0xff, 0x7f],
        &[0x84, 0x20],
        // The code for the end, and padding that is not its beginning.
        &[0x41, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x41, 0x81, 0x00],
    ] {
        let bad = Table::new().rewrite(block, &mut Vec::new(), BLOCK_BYTES);
        assert_eq!(bad, Err(BadBlock), "{block:?}");
    }
}

/// A byte that stands for 4 KiB, again and again, costs nothing but a refusal.
#[test]
fn a_bomb_is_cut_and_the_connection_refused() {
    let value = vec![b'a'; 3000];
    let mut block = vec![0x81, 0x40, 3, b'x', b'-', b'a', 0x7f, 0xb9, 0x16];
    block.extend(&value);
    block.extend([0xbe; 8000]);
    let request = [PREFACE, &frame(1, 0x5, 1, &block)].concat();
    let out = pass([&request[..]]);
    let refused = frame(1, 0x4, 1, &[0x80]);
    assert_eq!(&out[PREFACE.len()..], refused);
}

/// Once a block was written anew, the library's table is not the client's: a block that we cannot read must end the
/// connection instead of being read by another table.
#[test]
fn after_a_rewrite_what_cannot_be_read_is_refused() {
    let good = frame(1, 0x5, 1, &[0x81, 0x84]);
    let bad = frame(1, 0x5, 3, &[0xbe]);
    let out = pass([&[PREFACE, &good, &bad].concat()[..]]);
    let expected = [
        PREFACE,
        &frame(1, 0x5, 1, &[0x84]),
        &frame(1, 0x4, 3, &[0x80]),
    ];
    assert_eq!(out, expected.concat());
    let untouched = [PREFACE, &bad[..]].concat();
    assert_eq!(pass([&untouched[..]]), untouched);
}

#[tokio::test]
async fn a_reader_with_little_room_gets_it_all() {
    let requests = [PREFACE, &frame(1, 0x5, 1, &[0x81, 0x84]), b"rest"].concat();
    let mut expected = [PREFACE, &frame(1, 0x5, 1, &[0x84])].concat();
    expected.extend(b"rest");
    let mut reader = Tolerant::new(&requests[..]);
    let (mut read, mut room) = (Vec::new(), [0; 5]);
    loop {
        match reader.read(&mut room).await.expect("reads") {
            0 => break,
            n => read.extend_from_slice(&room[..n]),
        }
    }
    // The end of what was not understood comes too.
    assert_eq!(read, expected);
}
