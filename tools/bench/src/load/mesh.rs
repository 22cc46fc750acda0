//! A follower of `io.linkerd.mesh`, as a Linkerd 1.x proxy is: a stream for each name, whole sets on each change.
//!
//! Sets are not decoded: what is timed is their arrival, and a mark is found by its bytes.

use std::rc::Rc;

use bytes::Bytes;
use l5d_mesh::v1;

use super::tally::{Marks, Tally, put};
use super::wire::Wire;
use crate::plan::{Followed, MARK_BYTES, MARKS, Sizes};

const PATH: &str = "/io.linkerd.mesh.Resolver/StreamReplicas";
/// Streams that a server lets a connection have at once, at least.
const STREAMS: usize = 100;

/// One follower.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Rc<Followed>,
    answered: Vec<bool>,
    marks: Marks,
}

impl Follower {
    /// One that holds nothing yet.
    pub(super) fn new(followed: Rc<Followed>) -> Self {
        let names = followed.outgoing.len().min(STREAMS);
        Self {
            followed,
            answered: vec![false; names],
            marks: Marks::default(),
        }
    }

    /// The same for another connection.
    pub(super) fn again(self) -> Self {
        Self {
            marks: self.marks,
            ..Self::new(self.followed)
        }
    }

    /// Opens its streams.
    pub(super) fn open(&self, wire: &mut Wire, authority: &str) {
        for service in self.followed.outgoing.iter().take(STREAMS) {
            let service = Sizes::service(*service);
            let elems = ["#", "io.l5d.k8s", "default", "http", &service];
            let path = v1::Path {
                elems: elems.iter().map(|e| e.as_bytes().to_vec().into()).collect(),
            };
            let call = wire.call(PATH, authority, &[v1::ReplicasReq { id: Some(path) }]);
            wire.close(call);
        }
    }

    /// Whether every name has a set.
    pub(super) fn is_ready(&self) -> bool {
        self.answered.iter().all(|answered| *answered)
    }

    /// Takes a message that came in at this moment.
    pub(super) fn take(&mut self, call: usize, bytes: &Bytes, at: u64, tally: &mut Tally) {
        tally.report.messages += 1;
        tally.report.whole += 1;
        if let Some(answered) = self.answered.get_mut(call) {
            *answered = true;
        }
        let mut has = Marks::default();
        for address in bytes.windows(4) {
            let mark = u32::from(address[2]) << 8 | u32::from(address[3]);
            if address[..2] == MARK_BYTES[0] && mark < MARKS {
                put(&mut has, mark);
            }
        }
        tally.arrive(&mut self.marks, &has, at);
    }
}
