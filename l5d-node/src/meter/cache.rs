//! What caches of a router count, level by level (node-proxy 12.4).

use super::{Counter, Measured, Reading, table};

/// The level of clients, of one worker.
#[derive(Debug, Default)]
pub struct CacheCounts {
    /// Clients asked for that were not there.
    pub misses: Counter,
    /// Clients that left to make room.
    pub evicts: Counter,
    /// Clients that left because nobody used them.
    pub expires: Counter,
    /// Clients that were made although there was no room, since all others were in use.
    pub oneshots: Counter,
}

impl Measured for CacheCounts {
    fn read(&self, to: &mut Reading) {
        to.add(&table::CLIENT_MISSES, &self.misses);
        to.add(&table::CLIENT_EVICTS, &self.evicts);
        to.add(&table::CLIENT_EXPIRES, &self.expires);
        to.add(&table::CLIENT_ONESHOTS, &self.oneshots);
    }
}
