//! Any message of the mesh interface, by either end: it has a meaning or is refused, and a meaning is written as what reads
//! back to the same.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/convert.rs"]
mod convert;
#[path = "../../src/replicas.rs"]
mod replicas;

use convert::BadMessage;
use l5d_naming::{BoundTree, Dtab, NameTree, Path, Replicas};
use prost::Message;

#[allow(clippy::all)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/io.linkerd.mesh.rs"));
}

/// Bytes to a message, to a meaning, and back and forth once more.
fn check<M, T>(bytes: &[u8])
where
    M: Message + Default + for<'a> From<&'a T>,
    T: for<'a> TryFrom<&'a M> + PartialEq + std::fmt::Debug,
{
    let Ok(message) = M::decode(bytes) else {
        return;
    };
    if let Ok(meaning) = T::try_from(&message) {
        let again = M::decode(&*M::from(&meaning).encode_to_vec()).expect("what is written decodes");
        let Ok(again) = T::try_from(&again) else {
            panic!("what is written has a meaning");
        };
        assert_eq!(again, meaning);
    }
}

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    match kind % 5 {
        0 => check::<v1::Path, Path>(bytes),
        1 => check::<v1::PathNameTree, NameTree<Path>>(bytes),
        2 => check::<v1::BoundNameTree, BoundTree>(bytes),
        3 => check::<v1::Dtab, Dtab>(bytes),
        _ => check::<v1::Replicas, Replicas>(bytes),
    }
});
