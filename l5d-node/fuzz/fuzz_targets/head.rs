//! Any bytes where a head should be: a head that is taken lies within its bytes, does not change when more bytes follow it,
//! and is not taken before it has ended.
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

use field::Field;
use head::{Limits, parse_request, parse_response, parse_trailers};

const LIMITS: Limits = Limits {
    line: 2_048,
    fields: 4_096,
};

fn fields(head: &[u8], fields: &[Field]) {
    for field in fields {
        assert!(!field.name(head).is_empty());
        let value = field.value(head);
        assert!(!value.contains(&b'\r') && !value.contains(&b'\n') && !value.contains(&0));
        assert!(field.line(head).ends_with(b"\r\n"));
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(head)) = parse_request(bytes, LIMITS) {
        let whole = &bytes[..head.len];
        assert!(whole.ends_with(b"\r\n\r\n"));
        assert!(!whole[head.method.clone()].is_empty() && !whole[head.target.clone()].is_empty());
        fields(whole, &head.fields);
        let _ = framing::of_request(whole, &head.fields, head.version);
        assert_eq!(parse_request(whole, LIMITS), Ok(Some(head.clone())));
        assert!(!matches!(parse_request(&whole[..head.len - 1], LIMITS), Ok(Some(_))));
    }
    if let Ok(Some(head)) = parse_response(bytes, LIMITS) {
        let whole = &bytes[..head.len];
        assert!(whole[head.reason.clone()].iter().all(|b| !matches!(b, b'\r' | b'\n')));
        fields(whole, &head.fields);
        for to_head in [true, false] {
            let _ = framing::of_response(whole, &head.fields, head.version, head.status, to_head);
        }
        assert_eq!(parse_response(whole, LIMITS), Ok(Some(head)));
    }
    if let Ok(trailers) = parse_trailers(bytes) {
        fields(bytes, &trailers);
    }
});
