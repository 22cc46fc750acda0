//! What servers and clients count of their connections.

use std::time::Duration;

use super::{Counter, Histogram, Measured, Reading, table};

/// Connections, from their beginning to their end, and the bytes on them (those of HTTP: above TLS, where there is TLS).
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Connections that have begun.
    pub connects: Counter,
    /// Of them ended.
    pub closes: Counter,
    /// Of them not yet ended.
    pub open: Counter,
    /// Bytes that came.
    pub received: Counter,
    /// Bytes that went out.
    pub sent: Counter,
    /// How long they lived.
    pub duration: Histogram,
    /// Streams that are open on those in HTTP/2.
    pub streams: Counter,
}

/// One stream; counted until it is dropped.
#[derive(Debug)]
pub struct OpenStream<'a>(&'a ConnectionCounts);

impl ConnectionCounts {
    /// One has begun.
    pub fn opened(&self) {
        self.connects.inc();
        self.open.inc();
    }

    /// One has ended, after so long.
    pub fn closed(&self, lived: Duration) {
        self.open.dec();
        self.closes.inc();
        self.duration.observe(lived);
    }
}

impl<'a> OpenStream<'a> {
    /// One more.
    pub fn new(counts: &'a ConnectionCounts) -> Self {
        counts.streams.inc();
        Self(counts)
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}

impl Measured for ConnectionCounts {
    fn read(&self, to: &mut Reading) {
        to.add(&table::CONNECTS, &self.connects);
        to.add(&table::CLOSES, &self.closes);
        to.add(&table::CONNECTIONS, &self.open);
        to.add(&table::RECEIVED_BYTES, &self.received);
        to.add(&table::SENT_BYTES, &self.sent);
        to.add(&table::OPEN_STREAMS, &self.streams);
        to.spread(&table::CONNECTION_DURATION, &self.duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_is_open_or_has_ended() {
        let counts = ConnectionCounts::default();
        (0..3).for_each(|_| counts.opened());
        counts.closed(Duration::from_secs(1));
        let numbers = [&counts.connects, &counts.closes, &counts.open];
        assert_eq!(numbers.map(Counter::get), [3, 1, 2]);
        assert_eq!(counts.duration.view().count(), 1);
    }
}
