//! Any value of `l5d-ctx-trace`, `l5d-sample` and `l5d-ctx-deadline`: there is always a span to go on with, and what is
//! written is understood by the next hop.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/serve/context.rs"]
mod context;

/// What the node tells of a trace; its own file knows more than this target needs.
mod tell {
    #[derive(Debug)]
    pub(crate) struct Ids {
        pub(crate) trace: u128,
        pub(crate) span: u64,
        pub(crate) parent: u64,
        pub(crate) sampled: Option<bool>,
    }
}

use context::{Deadline, Trace};

libfuzzer_sys::fuzz_target!(|values: (&[u8], Option<&[u8]>, Vec<&[u8]>)| {
    let (trace, sample, deadlines) = values;
    let mut rng = fastrand::Rng::with_seed(7);
    let here = Trace::receive(Some(trace), sample, &mut rng);
    let mut written = Vec::new();
    here.write(&mut written);
    let next = Trace::receive(Some(&written), None, &mut rng);
    assert_eq!(next.id, here.id, "the next hop is of the same trace");
    assert_eq!(next.ids().trace, here.ids().trace);
    assert_eq!(next.ids().parent, here.ids().span);
    let mut id = Vec::new();
    here.write_id(&mut id);
    assert_eq!(id.len(), 16);
    if let Some(deadline) = Deadline::combine(deadlines.into_iter()) {
        let mut written = Vec::new();
        deadline.write(&mut written);
        assert_eq!(Deadline::combine([&written[..]].into_iter()), Some(deadline));
    }
});
