//! Any message of a node, at namerd: what Hello and Want name is read or refused, and what is read is shown as what reads
//! back.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/change.rs"]
mod change;
#[path = "../../src/convert.rs"]
mod convert;
#[path = "../../src/hash.rs"]
mod hash;
#[path = "../../src/ingress.rs"]
mod ingress;
#[path = "../../src/ingress_page.rs"]
mod ingress_page;
#[path = "../../src/page.rs"]
mod page;
#[path = "../../src/record.rs"]
mod record;

#[allow(clippy::all)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/l5d.resolver.v1.rs"));
}

const MESSAGE_BYTES: usize = 16 << 10;
const ENVELOPE: usize = 4;

use convert::{read_dtab, read_path};
use l5d_naming::TransformerSpec;
use prost::Message as _;
use v1::up::Message;

fn path(text: &str) {
    if let Ok(path) = read_path("path", text) {
        let shown = path.to_string();
        assert_eq!(read_path("path", &shown), Ok(path));
    }
}

fn dtab(text: &str) {
    if let Ok(dtab) = read_dtab("dtab", text) {
        let shown = dtab.show_exact();
        assert_eq!(read_dtab("dtab", &shown), Ok(dtab));
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(up) = v1::Up::decode(bytes) else {
        return;
    };
    match up.message {
        Some(Message::Hello(hello)) => {
            for router in hello.routers {
                dtab(&router.dtab);
                for transformer in router.transformers {
                    let spec = TransformerSpec::from(transformer.clone());
                    assert_eq!(v1::Transformer::from(&spec), transformer);
                }
            }
        }
        Some(Message::Want(want)) => {
            for interest in want.interests {
                path(&interest.path);
                dtab(&interest.dtab);
            }
        }
        _ => {}
    }
});
