//! How far a node is behind what was handed over to it, by its acknowledgements.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Marks in the stream: when were the messages up to this count handed over, and have they been acknowledged?
#[derive(Debug, Default)]
pub(super) struct Lag(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is not acknowledged, oldest first.
    marks: VecDeque<(u64, Instant)>,
    last: Duration,
}

/// Most marks of a stream. What comes while there are so many counts as handed over with the last of them, so that a node
/// may seem further behind than it is, never less.
const MARKS: usize = 16;

impl Lag {
    /// `messages` have been handed over in all.
    pub(super) fn sent(&self, messages: u64, now: Instant) {
        let marks = &mut self.0.lock().marks;
        if marks.len() < MARKS {
            marks.push_back((messages, now));
        } else if let Some((last, _)) = marks.back_mut() {
            *last = messages;
        }
    }

    /// The node has applied this many; more may be under way.
    pub(super) fn acked(&self, messages: u64, now: Instant) {
        let mut state = self.0.lock();
        let covered = state.marks.iter().take_while(|(mark, _)| messages >= *mark);
        let covered = covered.count();
        let oldest = state.marks.drain(..covered).next();
        if let Some((_, at)) = oldest {
            state.last = now - at;
        }
    }

    /// How long the last acknowledgement took, or the next one is taking if that is longer; and how long the next one is
    /// taking, nothing if none is due.
    pub(super) fn now(&self) -> (Duration, Duration) {
        let state = self.0.lock();
        let oldest = state.marks.front();
        let stale = oldest.map_or(Duration::ZERO, |(_, at)| at.elapsed());
        (state.last.max(stale), stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_node_is_stale_since_the_oldest_message_that_it_has_not_acknowledged() {
        let lag = Lag::default();
        assert_eq!(lag.now(), (Duration::ZERO, Duration::ZERO));
        for messages in [2, 5, 9] {
            lag.sent(messages, Instant::now());
            tokio::time::advance(SECOND).await;
        }
        assert_eq!(lag.now(), (3 * SECOND, 3 * SECOND));
        // Halfway through the second mark only the first is covered.
        lag.acked(4, Instant::now());
        assert_eq!(lag.now(), (3 * SECOND, 2 * SECOND));
        lag.acked(9, Instant::now());
        assert_eq!(lag.now(), (2 * SECOND, Duration::ZERO));
        tokio::time::advance(100 * SECOND).await;
        assert_eq!(lag.now(), (2 * SECOND, Duration::ZERO), "all is quiet");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_marks_never_make_a_node_seem_current() {
        let lag = Lag::default();
        for messages in 1..=100 {
            lag.sent(messages, Instant::now());
            tokio::time::advance(SECOND).await;
        }
        lag.acked(99, Instant::now());
        assert_eq!(lag.now().1, (100 - 15) * SECOND);
        lag.acked(100, Instant::now());
        assert_eq!(lag.now().1, Duration::ZERO);
    }
}
