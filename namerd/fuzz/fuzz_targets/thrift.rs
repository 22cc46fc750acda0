//! Any frame of ThriftMux is understood or refused; a message in it writes what reads back.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/api/thrift/mux.rs"]
mod mux;
#[path = "../../src/api/thrift/value.rs"]
mod value;

use bytes::Bytes;
use mux::Incoming;
use value::Message;

libfuzzer_sys::fuzz_target!(|frame: &[u8]| {
    let Ok(Incoming::Call { payload, .. }) = mux::read(Bytes::copy_from_slice(frame)) else {
        return;
    };
    if let Ok(message) = Message::read(payload) {
        let written = message.write();
        let again = Message::read(written.clone()).expect("what is written reads back");
        assert_eq!(again.write(), written);
    }
});
