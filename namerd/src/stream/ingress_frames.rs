//! The frames of the table of Ingress rules: encoded once a version, whatever the number of sessions.

use std::sync::Arc;

use bytes::Bytes;
use l5d_resolver::ingress::Table;
use l5d_resolver::ingress_page::pages;
use l5d_resolver::v1::down::Message;
use parking_lot::Mutex;

use super::encode;
use super::metrics::Metrics;

/// The pages of the newest table.
#[derive(Debug, Default)]
pub(super) struct IngressFrames(Mutex<Option<(Table, Arc<[Bytes]>)>>);

impl IngressFrames {
    /// The pages of a table, in order.
    pub(super) fn of(&self, table: &Table, metrics: &Metrics) -> Arc<[Bytes]> {
        let mut known = self.0.lock();
        if let Some((of, frames)) = &*known
            && of == table
        {
            return Arc::clone(frames);
        }
        metrics.encodings.add(1);
        let pages = pages(table).into_iter().map(Message::Ingress);
        let frames: Arc<[Bytes]> = pages.map(encode::frame).collect();
        *known = Some((table.clone(), Arc::clone(&frames)));
        frames
    }
}
