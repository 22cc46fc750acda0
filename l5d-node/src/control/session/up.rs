//! What the stream shall be told: gathered in sets, made into messages when there is room.

use l5d_resolver::v1;
use prost::Message as _;
use tokio::time::Instant;

use super::trees::hash_of;
use super::{ACK_GAP, Phase, REFETCH_GAP, Session};

/// Size of one message up, with room below the server's limit of 256 KiB.
const UP_BYTES: usize = 200 << 10;

impl Session {
    /// What to send now, if anything. To be asked when there is room.
    pub(crate) fn next_up(&mut self, now: Instant) -> Option<v1::Up> {
        use v1::up::Message;
        let message = if let Some(hello) = self.hello.take() {
            Message::Hello(hello)
        } else if !self.is_first_want_sent {
            self.is_first_want_sent = true;
            let want = self.next_want();
            self.unanswered = want.interests.iter().map(|i| i.id).collect();
            Message::Want(want)
        } else if !self.drops.is_empty() {
            Message::Drop(self.next_drop())
        } else if let Some(numbers) = self.next_refetch(now) {
            Message::Refetch(v1::Refetch { numbers })
        } else if !self.wants.is_empty() {
            Message::Want(self.next_want())
        } else if self.ack_at().is_some_and(|at| at <= now) {
            self.acked = self.applied;
            self.acked_at = now;
            Message::Ack(v1::Ack {
                messages: self.applied,
            })
        } else {
            return None;
        };
        Some(v1::Up {
            message: Some(message),
        })
    }

    fn next_want(&mut self) -> v1::Want {
        let mut want = v1::Want::default();
        let mut bytes = 0;
        while let Some(id) = self.wants.first().copied() {
            let Some(interest) = self.wire_interest(id) else {
                self.wants.remove(&id);
                continue;
            };
            bytes += interest.encoded_len() + 4;
            if bytes > UP_BYTES && !want.interests.is_empty() {
                break;
            }
            self.wants.remove(&id);
            want.interests.push(interest);
        }
        want
    }

    /// `None` if the name is gone; its end will be told, but needs no `Drop`.
    fn wire_interest(&self, id: u32) -> Option<v1::Interest> {
        let interest = self.interests.get(&id)?;
        let name = interest.name.upgrade()?;
        Some(v1::Interest {
            id,
            router: *self.routers.get(&name.router)?,
            path: name.path.to_string(),
            dtab: if name.local.is_empty() {
                String::new()
            } else {
                name.local.show_exact()
            },
            held_tree: interest.held.as_deref().map(hash_of),
        })
    }

    fn next_drop(&mut self) -> v1::Drop {
        let mut interests: Vec<u32> = Vec::new();
        while interests.len() < UP_BYTES / 5 {
            match self.drops.pop_first() {
                Some(id) => interests.push(id),
                None => break,
            }
        }
        v1::Drop { interests }
    }

    fn next_refetch(&mut self, now: Instant) -> Option<Vec<u32>> {
        let mut numbers = Vec::new();
        for (number, refetch) in &mut self.refetch {
            if refetch.is_wanted && refetch.not_before <= now {
                refetch.is_wanted = false;
                refetch.not_before = now + REFETCH_GAP;
                numbers.push(*number);
            }
        }
        self.refetch
            .retain(|_, r| r.is_wanted || r.not_before > now);
        self.counts.refetches += numbers.len() as u64;
        (!numbers.is_empty()).then_some(numbers)
    }

    pub(super) fn ack_at(&self) -> Option<Instant> {
        let is_due = self.phase != Phase::Greeting && self.applied > self.acked;
        is_due.then(|| self.acked_at + ACK_GAP)
    }
}
