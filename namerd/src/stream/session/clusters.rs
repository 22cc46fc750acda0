//! The clusters of a session: told in full once, then brought from version to version.

use std::sync::Arc;

use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;

use super::Session;
use crate::bind::BoundCluster;
use crate::store::{Dep, Subscription};
use crate::stream::cluster_frames::{CatchUp, ClusterFrames};

/// One cluster that trees of this session use.
#[derive(Debug)]
pub(super) struct FollowedCluster {
    pub(super) frames: Arc<ClusterFrames>,
    _bell: Subscription,
    /// Trees told, or about to be told, that name it.
    pub(super) users: u32,
    /// The version told; 0: none.
    pub(super) told: u64,
    pub(super) hash: u64,
}

/// About what one pair of a `Confirm` takes.
const PAIR_BYTES: usize = 10;

impl Session {
    /// One more tree uses it.
    pub(super) fn acquire(&mut self, cluster: &Arc<BoundCluster>) {
        let number = cluster.number;
        let listener = self.listener();
        let frames = &self.hub.frames;
        let followed = self.clusters.entry(number).or_insert_with(|| {
            // Listened to before it is read.
            let bell = cluster.replicas.listen(listener, u64::from(number));
            FollowedCluster {
                frames: frames.cluster(cluster),
                _bell: bell,
                users: 0,
                told: 0,
                hash: 0,
            }
        });
        if followed.users == 0 {
            // It may have been about to be forgotten, and was not told any more.
            self.forgets.remove(number);
            let ring = match followed.told {
                0 => &mut self.fresh,
                _ => &mut self.changes,
            };
            ring.insert(number);
        }
        followed.users += 1;
    }

    /// One tree less uses it.
    pub(super) fn release(&mut self, number: u32) {
        if let Some(followed) = self.clusters.get_mut(&number) {
            followed.users -= 1;
            if followed.users == 0 {
                self.forgets.insert(number);
            }
        }
    }

    /// Something of the cluster has changed: what is there to be told, and when?
    pub(super) fn cluster_changed(&mut self, number: u32) {
        let Some(followed) = self.clusters.get(&number) else {
            return;
        };
        // A tree may wait for its addresses to be known.
        self.scan |= !self.waiting.is_empty();
        if followed.users == 0 {
            return;
        }
        if followed.told == 0 {
            self.fresh.insert(number);
            return;
        }
        match followed.frames.catch_up(followed.told) {
            Some(up) if up.takes_away => {
                self.changes.remove(number);
                self.removals.insert(number);
            }
            Some(_) => self.changes.insert(number),
            None => {}
        }
    }

    /// Tells a cluster that was told before; says whether it was, and so nothing is left to be told of it.
    pub(super) fn tell_at_once(&mut self, number: u32) -> bool {
        let followed = self.clusters.get(&number);
        let Some(followed) = followed.filter(|f| f.users > 0 && f.told != 0) else {
            return false;
        };
        let up = followed.frames.catch_up(followed.told);
        // A tree may wait for its addresses to be known.
        self.scan |= !self.waiting.is_empty();
        if let Some(up) = up {
            self.tell_cluster(number, &up);
        }
        true
    }

    /// From the version told to the newest, if that is not the same.
    pub(super) fn tell_change(&mut self, number: u32) {
        if let Some(followed) = self.clusters.get(&number)
            && followed.users > 0
            && followed.told != 0
            && let Some(up) = followed.frames.catch_up(followed.told)
        {
            self.tell_cluster(number, &up);
        }
    }

    /// The full state, although it was told.
    pub(super) fn tell_again(&mut self, number: u32) {
        if let Some(followed) = self.clusters.get(&number)
            && followed.users > 0
            && followed.told != 0
        {
            let full = followed.frames.full();
            self.tell_cluster(number, &full);
        }
    }

    /// New clusters: confirmed where the node holds them (5.4), else in full.
    pub(super) fn tell_fresh(&mut self) {
        let mut confirm = v1::Confirm::default();
        while self.out.has_room(confirm.held.len() * PAIR_BYTES) {
            let Some(number) = self.fresh.pop() else {
                break;
            };
            let Some(followed) = self.clusters.get(&number) else {
                continue;
            };
            if followed.users == 0 || followed.told != 0 {
                continue;
            }
            let frames = Arc::clone(&followed.frames);
            let now = frames.now();
            let held = self.held.get(&frames.key).copied();
            if held.is_some() && now.state == v1::State::Pending {
                // Neither confirmed nor replaced until it is known; the bell brings it back.
                continue;
            }
            self.held.remove(&frames.key);
            match held.and_then(|held| Some((held, frames.version_of(held.hash)?))) {
                Some((held, version)) => {
                    confirm.held.push(held.index);
                    confirm.clusters.push(number);
                    self.mark_told(number, version, held.hash);
                    // Behind the confirmation, if it has changed since.
                    self.changes.insert(number);
                }
                None => self.tell_cluster(number, &frames.full()),
            }
        }
        if !confirm.held.is_empty() {
            self.tell(Message::Confirm(confirm));
        }
        self.scan = true;
    }

    fn tell_cluster(&mut self, number: u32, up: &CatchUp) {
        for frame in up.frames.iter() {
            self.push(frame.clone());
        }
        self.mark_told(number, up.now.version, up.now.hash);
    }

    fn mark_told(&mut self, number: u32, version: u64, hash: u64) {
        if let Some(followed) = self.clusters.get_mut(&number) {
            self.digest.remove(number, followed.hash);
            self.digest.add(number, hash);
            followed.told = version;
            followed.hash = hash;
        }
    }

    /// Takes a cluster out that nobody uses; says whether the node knows of it.
    pub(super) fn forget_cluster(&mut self, number: u32) -> bool {
        if self.clusters.get(&number).is_none_or(|c| c.users > 0) {
            return false;
        }
        let Some(gone) = self.clusters.remove(&number) else {
            return false;
        };
        for ring in [
            &mut self.removals,
            &mut self.changes,
            &mut self.again,
            &mut self.fresh,
        ] {
            ring.remove(number);
        }
        self.digest.remove(number, gone.hash);
        gone.told != 0
    }
}
