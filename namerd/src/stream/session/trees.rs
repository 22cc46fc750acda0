//! The trees of a session: told once all clusters that they name have been told (RES-2).

use std::sync::Arc;

use foldhash::HashMap;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Session;
use crate::bind::Binding;
use crate::store::{Dep, Subscription};
use crate::stream::tree_frames::{TreeFrames, TreeKind, TreeNow};

/// One binding that interests of this session read. A replica has a session's names times thousands of sessions, so what is
/// needed for a moment only stands elsewhere.
#[derive(Debug)]
pub(super) struct FollowedTree {
    pub(super) frames: Arc<TreeFrames>,
    _bell: Subscription,
    users: u32,
    /// Whether the node has a tree for one of the interests, told or held from before.
    has_good: bool,
    told: Option<Arc<TreeNow>>,
    /// The last one told that was a tree: the node goes on serving it while the binding is pending or failed, so its clusters
    /// stay followed until another tree takes its place.
    good: Option<Arc<TreeNow>>,
    /// `None` when all is told.
    untold: Option<Box<Untold>>,
}

/// What a binding's interests have not been told yet.
#[derive(Debug, Default)]
struct Untold {
    /// Interests that have not been given this tree.
    asking: Few,
    /// What is to be told next. Its clusters are followed already.
    next: Option<Next>,
}

/// Mostly one.
type Few = SmallVec<[u32; 4]>;

#[derive(Debug)]
struct Next {
    now: Arc<TreeNow>,
    /// Not before, while it waits for a branch or for addresses.
    hold: Option<Instant>,
}

/// About what one pair of a `Confirm` takes.
const PAIR_BYTES: usize = 10;

impl Session {
    /// One more interest reads this binding.
    pub(super) fn ask_for_tree(
        &mut self,
        interest: u32,
        held: Option<u64>,
        binding: &Arc<Binding>,
        now: Instant,
    ) {
        let number = binding.number;
        let listener = self.listener();
        let frames = &self.hub.frames;
        let tree = self.trees.entry(number).or_insert_with(|| {
            FollowedTree {
                // Listened to before it is read.
                _bell: binding.state.listen(listener, u64::from(number)),
                frames: frames.tree(binding),
                users: 0,
                has_good: false,
                told: None,
                good: None,
                untold: None,
            }
        });
        tree.users += 1;
        tree.has_good |= held.is_some();
        match &tree.told {
            Some(told) if told.kind != TreeKind::Pending || held.is_none() => {
                self.answers.push_back(interest);
                self.answered(interest);
            }
            _ => tree.untold.get_or_insert_default().asking.push(interest),
        }
        self.forgets.remove(number);
        self.stage(number, now);
    }

    /// One interest less reads it.
    pub(super) fn leave_tree(&mut self, number: u32, interest: u32) {
        if let Some(tree) = self.trees.get_mut(&number) {
            if let Some(untold) = &mut tree.untold {
                untold.asking.retain(|id| *id != interest);
            }
            tree.users -= 1;
            if tree.users == 0 {
                self.waiting.remove(number);
                self.forgets.insert(number);
            }
        }
    }

    pub(super) fn follows_tree(&self, number: u32) -> bool {
        self.trees.contains_key(&number)
    }

    /// Takes over the newest tree as the one to be told, and begins to follow its clusters.
    pub(super) fn stage(&mut self, number: u32, now: Instant) {
        let Some(tree) = self.trees.get_mut(&number) else {
            return;
        };
        if tree.users == 0 {
            return;
        }
        let newest = tree.frames.now();
        let told = tree.told.as_ref();
        let told = told.is_some_and(|told| told.version == newest.version);
        let mut untold = tree.untold.take().unwrap_or_default();
        let before = untold.next.take();
        if !told || !untold.asking.is_empty() {
            let hold = match &before {
                Some(before) => before.hold,
                None => (tree.has_good && newest.kind == TreeKind::Known)
                    .then(|| now + self.limits.hold),
            };
            untold.next = Some(Next {
                now: Arc::clone(&newest),
                hold,
            });
            tree.untold = Some(untold);
            newest.clusters.iter().for_each(|c| self.acquire(c));
            self.waiting.insert(number);
            self.scan = true;
        } else {
            self.waiting.remove(number);
        }
        if let Some(before) = before {
            before.now.numbers().for_each(|n| self.release(n));
        }
    }

    /// Tells the waiting trees that are ready.
    pub(super) fn tell_trees(&mut self, now: Instant) {
        self.scan = false;
        self.hold_at = None;
        let mut confirm = v1::Confirm::default();
        for number in self.waiting.iter().collect::<Vec<_>>() {
            if !self.out.has_room(confirm.interests.len() * PAIR_BYTES) {
                self.scan = true;
                break;
            }
            if self.is_ready(number, now) {
                self.tell_tree(number, &mut confirm);
            }
        }
        if !confirm.interests.is_empty() {
            self.tell(Message::Confirm(confirm));
        }
    }

    /// Whether the next tree of this number may be told. Notes when to look again if only time is missing.
    fn is_ready(&mut self, number: u32, now: Instant) -> bool {
        let Some(tree) = self.trees.get(&number) else {
            return false;
        };
        let Some(untold) = &tree.untold else {
            return false;
        };
        let Some(next) = &untold.next else {
            return false;
        };
        if next.now.kind == TreeKind::Pending && tree.told.is_none() {
            // Who holds a tree from before hears nothing until it is known (5.4).
            return untold.asking.iter().any(|id| self.held_tree(*id).is_none());
        }
        let told = |n: u32| self.clusters.get(&n).is_some_and(|c| c.told != 0);
        if !next.now.numbers().all(told) {
            return false;
        }
        let Some(hold) = next.hold.filter(|hold| now < *hold) else {
            return true;
        };
        let unknown = tree.frames.binding.is_partial()
            || next.now.numbers().any(|n| {
                self.clusters
                    .get(&n)
                    .is_some_and(|c| c.frames.now().state == v1::State::Pending)
            });
        if unknown {
            self.hold_at = Some(self.hold_at.map_or(hold, |at| at.min(hold)));
        }
        !unknown
    }

    fn tell_tree(&mut self, number: u32, confirm: &mut v1::Confirm) {
        let Some(tree) = self.trees.get_mut(&number) else {
            return;
        };
        let Some(untold) = tree.untold.take_if(|untold| untold.next.is_some()) else {
            return;
        };
        let Untold { asking, next } = *untold;
        let Some(Next { now: next, .. }) = next else {
            return;
        };
        self.waiting.remove(number);
        let told = tree.told.replace(Arc::clone(&next));
        let same = told.as_ref().is_some_and(|t| t.version == next.version);
        let (first, before) = (told.is_none(), told.map_or(0, |told| told.hash));
        let mut left = None;
        if next.kind == TreeKind::Known {
            tree.has_good = true;
            left = tree.good.replace(Arc::clone(&next));
        }
        let frames = Arc::clone(&tree.frames);
        let confirmed = confirm.interests.len();
        let mut still_asking = Few::new();
        for id in asking {
            let held = self.held_tree(id);
            if next.kind == TreeKind::Pending && held.is_some() {
                still_asking.push(id);
            } else if first && held == Some(next.hash) {
                confirm.interests.push(id);
                confirm.trees.push(number);
                self.answered(id);
            } else {
                self.answers.push_back(id);
                self.answered(id);
            }
        }
        if confirm.interests.len() == confirmed && !same {
            self.push(frames.frame(&next));
            self.digest_due = true;
        }
        if !still_asking.is_empty()
            && let Some(tree) = self.trees.get_mut(&number)
        {
            tree.untold.get_or_insert_default().asking = still_asking;
        }
        self.digest.remove(number, before);
        self.digest.add(number, next.hash);
        let left = left.iter().flat_map(|left| left.numbers());
        left.for_each(|n| self.release(n));
    }

    /// The tree told, once more, unless a newer one is on its way.
    pub(super) fn tell_tree_again(&mut self, number: u32) {
        if let Some(tree) = self.trees.get(&number)
            && let Some(told) = &tree.told
        {
            let now = tree.frames.now();
            if now.version == told.version && tree.users > 0 {
                let frame = tree.frames.frame(&now);
                self.push(frame);
            }
        }
    }

    fn held_tree(&self, interest: u32) -> Option<u64> {
        self.held_trees.get(&interest).copied()
    }

    /// What the node held from before for this interest does not count any more.
    fn answered(&mut self, interest: u32) {
        if self.held_trees.remove(&interest).is_some() && self.held_trees.is_empty() {
            // Gives its room back.
            self.held_trees = HashMap::default();
        }
    }

    /// Takes a tree out that nobody reads; says whether the node knows of it.
    pub(super) fn forget_tree(&mut self, number: u32) -> bool {
        if self.trees.get(&number).is_none_or(|t| t.users > 0) {
            return false;
        }
        let Some(gone) = self.trees.remove(&number) else {
            return false;
        };
        self.waiting.remove(number);
        self.again.remove(number);
        let next = gone.untold.and_then(|untold| untold.next);
        let used = [gone.good, next.map(|next| next.now)];
        let used = used.iter().flatten().flat_map(|now| now.numbers());
        used.for_each(|n| self.release(n));
        let is_known = gone.told.is_some();
        let hash = gone.told.map_or(0, |told| told.hash);
        self.digest.remove(number, hash);
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_tree_takes_no_more_than_its_positions() {
        assert!(size_of::<FollowedTree>() <= 56);
        assert!(size_of::<super::super::clusters::FollowedCluster>() <= 48);
        assert!(size_of::<super::super::interests::Interest>() <= 8);
    }
}
