//! What is written next, in the order of resolver API 5.1.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use foldhash::HashMap;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use tokio::time::Instant;

use super::{Session, gateways, ingress};
use crate::stream::encode;
use crate::stream::limits::CHUNK_BYTES;
use crate::stream::sources::position;

/// Messages that are decided upon and not handed over yet: about one chunk, or the pages of one cluster.
#[derive(Debug, Default)]
pub(super) struct Out {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Messages since the stream began.
    messages: u64,
}

/// Interests or numbers in one `Answer` or `Forget`, so that it stays below the size of a message.
const MOST_IN_A_MESSAGE: usize = 1_500;

impl Session {
    /// The next bytes, at most about 16 KiB, in whole messages; `None` when all is told. The newest state is told, whatever
    /// came between. To be called when there is room for them.
    pub fn next_chunk(&mut self, now: Instant) -> Option<Bytes> {
        self.absorb(now);
        while self.out.has_room(0) && self.tell_next(now) {}
        let chunk = self.out.take()?;
        let entry = &self.registered.entry;
        entry.lag.sent(self.out.messages, now);
        entry.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        entry.writes.fetch_add(1, Ordering::Relaxed);
        let metrics = self.hub.metrics();
        metrics.bytes.add(chunk.len() as u64);
        metrics.writes.add(1);
        self.show();
        Some(chunk)
    }

    /// Whether [`Session::next_chunk`] may have something to give now.
    pub fn has_more(&self) -> bool {
        let rings = [
            &self.removals,
            &self.changes,
            &self.again,
            &self.fresh,
            &self.forgets,
        ];
        self.out.bytes > 0
            || self.scan
            || self.digest_due
            || self.ingress.as_ref().is_some_and(|i| i.is_due)
            || self.gateways.as_ref().is_some_and(|g| g.is_due)
            || self.bell.is_rung()
            || rings.iter().any(|ring| !ring.is_empty())
            || !(self.answers.is_empty() && self.refusals.is_empty())
    }

    /// Looks at what has changed since the last time.
    fn absorb(&mut self, now: Instant) {
        let mut rung = self.bell.take();
        // Mostly one change of one cluster, which nothing goes before.
        if let [number] = rung[..]
            && self.out.bytes == 0
            && self.removals.is_empty()
            && self.changes.is_empty()
            && self.gateways.as_ref().is_none_or(|g| !g.is_due)
            && self.tell_at_once(number)
        {
            rung.clear();
        }
        for number in rung {
            if number == ingress::NUMBER {
                self.ingress.iter_mut().for_each(|i| i.is_due = true);
            } else if number == gateways::NUMBER {
                self.gateways.iter_mut().for_each(|g| g.is_due = true);
            } else if self.follows_tree(number) {
                self.stage(number, now);
            } else {
                self.cluster_changed(number);
            }
        }
        if self.hold_at.is_some_and(|at| at <= now) {
            self.scan = true;
        }
    }

    /// Decides upon the next message or messages; `false` when nothing is left to be told.
    fn tell_next(&mut self, now: Instant) -> bool {
        // Not even a stream that never rests may look dead.
        if now >= self.heartbeat_at + self.limits.heartbeat / 2 {
            self.heartbeat(now);
        } else if self.gateways.as_ref().is_some_and(|g| g.is_due) {
            // Before the clusters that have them: whoever connects needs the names.
            self.tell_gateways();
        } else if let Some(number) = self.removals.pop() {
            self.tell_change(number);
        } else if let Some(number) = self.changes.pop() {
            self.tell_change(number);
        } else if let Some(number) = self.again.pop() {
            self.tell_again(number);
            self.tell_tree_again(number);
        } else if !self.fresh.is_empty() {
            self.tell_fresh();
        } else if self.scan {
            self.tell_trees(now);
        } else if !self.answers.is_empty() {
            self.tell_answers();
        } else if let Some(refuse) = self.refusals.pop_front() {
            self.tell(Message::Refuse(refuse));
        } else if self.ingress.as_ref().is_some_and(|i| i.is_due) {
            self.tell_ingress();
        } else if !self.forgets.is_empty() {
            self.tell_forgets();
        } else if self.digest_due || now >= self.heartbeat_at {
            self.heartbeat(now);
        } else {
            return false;
        }
        true
    }

    fn tell_answers(&mut self) {
        let mut answer = v1::Answer::default();
        while answer.interests.len() < MOST_IN_A_MESSAGE {
            let Some(id) = self.answers.pop_front() else {
                break;
            };
            // It may have been dropped since.
            if let Some(interest) = self.interests.get(&id) {
                answer.interests.push(id);
                answer.trees.push(interest.tree);
            }
        }
        if !answer.interests.is_empty() {
            self.tell(Message::Answer(answer));
        }
    }

    fn tell_forgets(&mut self) {
        let mut numbers = Vec::new();
        while numbers.len() < MOST_IN_A_MESSAGE {
            let Some(number) = self.forgets.pop() else {
                break;
            };
            // Forgetting a tree may leave clusters without users, which then are next.
            if self.forget_tree(number) || self.forget_cluster(number) {
                numbers.push(number);
            }
        }
        if !numbers.is_empty() {
            self.tell(Message::Forget(v1::Forget { numbers }));
        }
    }

    fn heartbeat(&mut self, now: Instant) {
        let sources = &self.hub.sources;
        let ages = sources.ages().into_iter().map(|(name, age)| v1::Source {
            name,
            age_ms: age.as_millis() as u64,
        });
        let heartbeat = v1::Heartbeat {
            position: Some(position(&**sources)),
            digest: self.digest.value(),
            sources: ages.collect(),
        };
        if now >= self.held_until {
            self.held = HashMap::default();
        }
        self.digest_due = false;
        self.heartbeat_at = now + self.limits.heartbeat;
        self.tell(Message::Heartbeat(heartbeat));
    }

    pub(super) fn tell(&mut self, message: Message) {
        self.push(encode::frame(message));
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.hub.metrics().frames.add(1);
        self.out.push(frame);
    }
}

impl Out {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.messages += 1;
        self.frames.push_back(frame);
    }

    /// Whether another message may be decided upon, `more` bytes being sure to come.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.bytes + more < CHUNK_BYTES
    }

    /// Whole messages up to the size of a chunk, at least one. A message that goes alone is not copied.
    fn take(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        let mut len = first.len();
        let more = self
            .frames
            .iter()
            .take_while(|frame| {
                len += frame.len();
                len <= CHUNK_BYTES
            })
            .count();
        if more == 0 {
            self.bytes -= first.len();
            return Some(first);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES.min(self.bytes));
        chunk.extend_from_slice(&first);
        for frame in self.frames.drain(..more) {
            chunk.extend_from_slice(&frame);
        }
        self.bytes -= chunk.len();
        Some(chunk.freeze())
    }
}
