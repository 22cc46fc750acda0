//! The frames of the names of nodes at gateways: encoded once a version, whatever the number of sessions.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use l5d_resolver::gateways::Gateways;
use l5d_resolver::v1::down::Message;
use parking_lot::Mutex;

use super::encode::frame;
use super::limits::HISTORY;
use super::metrics::Metrics;
use crate::store::Cell;

/// The newest names, and how one comes to them.
#[derive(Debug, Default)]
pub(super) struct GatewayFrames(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: Gateways,
    full: Option<Arc<[Bytes]>>,
    /// The steps to `now`, oldest first: from which hash, and the change.
    steps: VecDeque<(u64, Bytes)>,
}

impl GatewayFrames {
    /// What brings a node that was told the names with the hash `told` to the newest ones, and their hash.
    pub(super) fn catch_up(
        &self,
        cell: &Cell<Gateways>,
        told: Option<u64>,
        metrics: &Metrics,
    ) -> (u64, Vec<Bytes>) {
        let mut inner = self.0.lock();
        // Within the lock, so that nobody brings an older state back.
        inner.advance(cell.value(), metrics);
        let hash = inner.now.hash();
        let Some(told) = told else {
            return (hash, inner.full(metrics).to_vec());
        };
        if told == hash {
            return (hash, Vec::new());
        }
        let since = inner.steps.iter().rposition(|(from, _)| *from == told);
        let steps = since.map(|since| inner.steps.range(since..).map(|(_, frame)| frame));
        let frames = match steps {
            Some(steps) if is_shorter(steps.clone(), inner.full.as_deref()) => {
                steps.cloned().collect()
            }
            _ => inner.full(metrics).to_vec(),
        };
        (hash, frames)
    }
}

/// Whether steps are shorter than all names; where those are not encoded, steps are what is at hand.
fn is_shorter<'a>(steps: impl Iterator<Item = &'a Bytes>, full: Option<&[Bytes]>) -> bool {
    let full = full.map(|frames| frames.iter().map(Bytes::len).sum());
    full.is_none_or(|full: usize| steps.map(Bytes::len).sum::<usize>() < full)
}

impl Inner {
    fn advance(&mut self, new: Gateways, metrics: &Metrics) {
        if new.hash() == self.now.hash() {
            return;
        }
        match new.change_from(&self.now) {
            Some(change) => {
                metrics.encodings.add(1);
                let frame = frame(Message::Gateways(change));
                self.steps.push_back((self.now.hash(), frame));
                if self.steps.len() > HISTORY {
                    self.steps.pop_front();
                }
            }
            None => self.steps.clear(),
        }
        self.now = new;
        self.full = None;
    }

    fn full(&mut self, metrics: &Metrics) -> Arc<[Bytes]> {
        let full = self.full.get_or_insert_with(|| {
            metrics.encodings.add(1);
            let pages = self.now.pages().into_iter().map(Message::Gateways);
            pages.map(frame).collect()
        });
        Arc::clone(full)
    }
}
