//! Any bytes in a warm file, bare and behind a head that is right: they read or are refused, and what reads is written as
//! what reads back.
#![no_main]
#![allow(dead_code)]

extern crate self as l5d_resolver;

#[path = "../../src/cache/warm/format.rs"]
mod format;

#[allow(clippy::all)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/l5d.resolver.v1.rs"));
}

fn check(bytes: &[u8]) {
    if let Ok(content) = format::decode(bytes) {
        let written = format::encode(&content);
        let again = format::decode(&written).expect("what is written reads back");
        assert_eq!(format::encode(&again), written);
    }
}

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    check(message);
    let mut file = b"L5DW\0\0\0\x01".to_vec();
    file.extend((message.len() as u64).to_be_bytes());
    file.extend(crc32fast::hash(message).to_be_bytes());
    file.extend(message);
    check(&file);
});
