//! Laws of the codec: how bytes are cut into reads changes nothing, and what is accepted is exactly what a slow, plain
//! reading of the grammar accepts.

use proptest::prelude::*;

use super::chunk::ChunkError;
use super::field::Kind;
use super::framing::Framing;
use super::head::{HeadError, Limits, Version, parse_request, parse_response};
use super::transfer::{Output, Transfer};

const LIMITS: Limits = Limits {
    line: 4096,
    fields: 8192,
};

/// Feeds `input` in pieces cut at `cuts`, whatever is not taken stays for the next piece. Gives what came out and how many
/// bytes belonged to the body.
fn transfer(
    framing: Framing,
    output: Output,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, usize, bool), ChunkError> {
    let mut transfer = Transfer::new(framing, output, LIMITS.fields);
    let (mut out, mut used, mut have) = (Vec::new(), 0, 0);
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(input.len());
    for end in ends {
        have = have.max(end);
        if !transfer.is_done() {
            used += transfer.step(&input[used..have], &mut out)?;
        }
    }
    Ok((out, used, transfer.is_done()))
}

/// The body in these chunked bytes, without framing.
fn plain(chunked: &[u8]) -> Vec<u8> {
    transfer(Framing::Chunked, Output::Raw, chunked, &[])
        .unwrap()
        .0
}

fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunk = (
        proptest::collection::vec(any::<u8>(), 1..40),
        "(;[a-z=\"]{0,5})?",
        any::<bool>(),
    );
    let chunks = proptest::collection::vec(chunk, 0..6);
    (chunks, "(X-[a-z]{1,4}: [a-z ]{0,5}z\r\n){0,2}").prop_map(|(chunks, trailers)| {
        let (mut wire, mut body) = (Vec::new(), Vec::new());
        for (data, extension, is_upper) in chunks {
            let size = match is_upper {
                true => format!("{:03X}", data.len()),
                false => format!("{:x}", data.len()),
            };
            wire.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
            body.extend_from_slice(&data);
        }
        wire.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        (wire, body)
    })
}

/// Pieces of which heads are made: good ones and each kind of bad one.
fn head_text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => Just(&b"GET / HTTP/1.1\r\n"[..]),
        2 => Just(&b"POST /a?b=c%20 HTTP/1.0\r\n"[..]),
        1 => Just(&b"GET / HTTP/1.1\n"[..]),
        1 => Just(&b"GET  / HTTP/1.1\r\n"[..]),
        1 => Just(&b"G@T / HTTP/2.0\r\n"[..]),
        1 => Just(&b"GET /\r\n"[..]),
    ];
    let field = prop_oneof![
        6 => Just(&b"Host: a\r\n"[..]),
        6 => Just(&b"X-Empty:\r\n"[..]),
        6 => Just(&b"a:\t b c \t\r\n"[..]),
        4 => Just(&b"l5d-dtab: /a => /b\r\n"[..]),
        2 => Just(&b"x!#$%&'*+-.^_`|~9: \xff\xe4\r\n"[..]),
        1 => Just(&b"X: a\n"[..]),
        1 => Just(&b"X: a\rb\r\n"[..]),
        1 => Just(&b"X : a\r\n"[..]),
        1 => Just(&b" folded\r\n"[..]),
        1 => Just(&b"X: a\0\r\n"[..]),
        1 => Just(&b"X: a\x7f\r\n"[..]),
        1 => Just(&b"no colon\r\n"[..]),
        1 => Just(&b": a\r\n"[..]),
        1 => Just(&b"(x): a\r\n"[..]),
    ];
    let end = prop_oneof![20 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..])];
    (line, proptest::collection::vec(field, 0..6), end).prop_map(|(line, fields, end)| {
        let parts: Vec<&[u8]> = std::iter::once(line).chain(fields).chain([end]).collect();
        parts.concat()
    })
}

/// A plain reading of RFC 9112 on the strict side: names and values, or none. `head` is a whole head.
fn reference(head: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let text = head.strip_suffix(b"\r\n")?;
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    let is_token = |s: &[u8]| {
        let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        !s.is_empty() && s.iter().all(is_tchar)
    };
    let mut words = lines.first()?.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_version = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    let is_target = !target.is_empty() && target.iter().all(|b| b.is_ascii_graphic());
    if words.next().is_some() || !is_token(method) || !is_target || !is_version {
        return None;
    }
    lines[1..]
        .iter()
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let is_value = value
                .iter()
                .all(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..));
            let value = value.trim_ascii();
            (is_token(name) && is_value).then(|| (name.to_vec(), value.to_vec()))
        })
        .collect()
}

proptest! {
    #[test]
    fn cuts_change_nothing_in_chunked_bodies(
        (wire, body) in chunked(),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let input = [&wire[..], &rest].concat();
        let (out, used, is_done) = transfer(Framing::Chunked, Output::Raw, &input, &cuts).unwrap();
        prop_assert_eq!((&out, used, is_done), (&body, wire.len(), true));
        // Chunk boundaries may move; what they hold does not, and trailers stay.
        let (again, used, is_done) = transfer(Framing::Chunked, Output::Chunked, &input, &cuts).unwrap();
        prop_assert_eq!((plain(&again), used, is_done), (body, wire.len(), true));
        let trailers = |wire: &[u8]| wire[wire.windows(3).rposition(|w| w == b"0\r\n").unwrap()..].to_vec();
        prop_assert_eq!(trailers(&again), trailers(&wire));
    }

    #[test]
    fn garbage_gives_the_same_verdict_however_it_is_cut(
        input in "[0-9a-fA-F;x \r\n]{0,30}",
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let whole = transfer(Framing::Chunked, Output::Raw, input.as_bytes(), &[]);
        let cut = transfer(Framing::Chunked, Output::Raw, input.as_bytes(), &cuts);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            (whole, cut) => prop_assert_eq!(whole.err(), cut.err()),
        }
    }

    #[test]
    fn lengths_and_ends_are_kept(
        body in proptest::collection::vec(any::<u8>(), 0..60),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let input = [&body[..], &rest].concat();
        let framing = Framing::Length(body.len() as u64);
        for output in [Output::Raw, Output::Chunked] {
            let (out, used, is_done) = transfer(framing, output, &input, &cuts).unwrap();
            prop_assert_eq!((used, is_done), (body.len(), true));
            match output {
                Output::Raw => prop_assert_eq!(&out, &body),
                // An empty body is over before anything could be written.
                Output::Chunked if body.is_empty() => {}
                Output::Chunked => prop_assert_eq!(&plain(&out), &body),
            }
        }
    }

    #[test]
    fn heads_are_accepted_as_the_grammar_says(head in head_text()) {
        let parsed = parse_request(&head, LIMITS);
        // Both may stop at an empty line in the middle; only whole heads are compared.
        let whole = match &parsed {
            Ok(Some(p)) if p.len < head.len() => return Ok(()),
            Ok(Some(p)) => Some(p.fields.iter().map(|f| {
                (f.name(&head).to_vec(), f.value(&head).to_vec())
            }).collect::<Vec<_>>()),
            _ => None,
        };
        prop_assert_eq!(whole, reference(&head), "{:?}", parsed);
    }

    #[test]
    fn a_head_is_complete_at_its_end_and_never_before(head in head_text(), cut in any::<usize>()) {
        if let Ok(Some(whole)) = parse_request(&head, LIMITS) {
            let cut = cut % whole.len;
            prop_assert_eq!(parse_request(&head[..cut], LIMITS), Ok(None));
            let more = [&head[..whole.len], b"GET / HTTP/1.1\r\n\r\n"].concat();
            prop_assert_eq!(parse_request(&more, LIMITS), Ok(Some(whole)));
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_request(&bytes, LIMITS);
        let _ = parse_response(&bytes, LIMITS);
        let begin = [b"HTTP/1.1 200 ", &bytes[..]].concat();
        let _ = parse_response(&begin, LIMITS);
        let begin = [b"GET / HTTP/1.1\r\n", &bytes[..]].concat();
        let _ = parse_request(&begin, LIMITS);
    }

    #[test]
    fn kinds_do_not_depend_on_case(name in "(l5d-)?[a-z-]{1,20}") {
        prop_assert_eq!(Kind::of(name.as_bytes()), Kind::of(name.to_uppercase().as_bytes()));
    }
}

#[test]
fn known_fields_have_their_kinds() {
    for (name, kind) in [
        ("Host", Kind::Host),
        ("content-LENGTH", Kind::ContentLength),
        ("Transfer-Encoding", Kind::TransferEncoding),
        ("l5d-ctx-deadline", Kind::CtxDeadline),
        ("L5d-Success-Class", Kind::SuccessClass),
        ("l5d-dst-residual", Kind::Dst),
        ("l5d-dst-service", Kind::Dst),
        ("l5d-dst-client", Kind::Dst),
        ("l5d-x", Kind::OtherL5d),
        ("x-forwarded-client-cert", Kind::ClientCert),
        ("x-forwarded-for", Kind::EndToEnd),
        ("proxy-connection", Kind::HopByHop),
        ("l5d", Kind::Other),
        ("x", Kind::Other),
    ] {
        assert_eq!(Kind::of(name.as_bytes()), kind, "{name}");
    }
}

#[test]
fn limits_hold_at_the_byte() {
    let limits = Limits {
        line: 20,
        fields: 10,
    };
    let head = |target: usize, value: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nA: {}\r\n\r\n",
            "x".repeat(target),
            "y".repeat(value)
        )
    };
    // 14 bytes and the target; 5 bytes and the value.
    assert!(
        parse_request(head(6, 5).as_bytes(), limits)
            .unwrap()
            .is_some()
    );
    assert_eq!(
        parse_request(head(7, 5).as_bytes(), limits),
        Err(HeadError::LineTooLong(20))
    );
    assert_eq!(
        parse_request(head(6, 6).as_bytes(), limits),
        Err(HeadError::FieldsTooLong(10))
    );
}

#[test]
fn responses_are_taken_apart() {
    let bytes = b"HTTP/1.0 404 Not  here\r\nA: b\r\n\r\nrest";
    let head = parse_response(bytes, LIMITS).unwrap().unwrap();
    assert_eq!((head.version, head.status), (Version::Http10, 404));
    assert_eq!(&bytes[head.reason], b"Not  here");
    assert_eq!(&bytes[head.len..], b"rest");
}

/// Found by the fuzzer: the library takes an LF alone for the end of the fields.
#[test]
fn a_block_of_trailers_that_is_a_bare_lf_is_refused() {
    for block in [&b"\n"[..], b"a: b\n\n", b"a: b\r\n\n"] {
        assert!(super::head::parse_trailers(block).is_err(), "{block:?}");
    }
    assert!(super::head::parse_trailers(b"\r\n").is_ok());
}
