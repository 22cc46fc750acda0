//! Any value of `l5d-ctx-trace`, of the fields of B3 and W3C, `l5d-sample` and `l5d-ctx-deadline`: there is always a span to go on with, and what is
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

/// Likewise of the configuration.
mod config {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum TracePropagator {
        L5d,
        Zipkin,
        W3c,
    }
}

use config::TracePropagator;
use context::{Deadline, Trace, propagate};

fn read(value: &[u8], propagator: TracePropagator) -> Option<Trace> {
    propagate::received(propagator, Some(value), |_| Some(value))
}

libfuzzer_sys::fuzz_target!(|values: (&[u8], Option<&[u8]>, Vec<&[u8]>)| {
    let (trace, sample, deadlines) = values;
    let mut rng = fastrand::Rng::with_seed(7);
    let here = Trace::receive(read(trace, TracePropagator::L5d), sample, &mut rng);
    let mut written = Vec::new();
    here.write(&mut written);
    let next = Trace::receive(read(&written, TracePropagator::L5d), None, &mut rng);
    for propagator in [TracePropagator::Zipkin, TracePropagator::W3c] {
        if let Some(theirs) = read(trace, propagator) {
            propagate::write(propagator, &theirs, &mut Vec::new());
        }
    }
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
