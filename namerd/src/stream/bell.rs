//! What cells ring when they change: remembers which numbers, wakes the session.

use foldhash::HashSet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::Listener;

/// The numbers that have changed since the session looked. Never larger than the set of numbers that it follows.
#[derive(Debug, Default)]
pub(super) struct Bell {
    dirty: Mutex<HashSet<u32>>,
    rung: Notify,
}

impl Bell {
    /// The numbers that have changed since the last call.
    pub(super) fn take(&self) -> HashSet<u32> {
        std::mem::take(&mut *self.dirty.lock())
    }

    /// Whether something has changed since the last [`Bell::take`].
    pub(super) fn is_rung(&self) -> bool {
        !self.dirty.lock().is_empty()
    }

    /// Waits until something has changed. Cancel safe; may return without a change.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }
}

impl Listener for Bell {
    fn notify(&self, token: u64) {
        let first = {
            let mut dirty = self.dirty.lock();
            let first = dirty.is_empty();
            dirty.insert(token as u32);
            first
        };
        if first {
            self.rung.notify_one();
        }
    }
}
