//! The clusters that a stream has told, by number.

use std::collections::HashMap;
use std::sync::Arc;

use l5d_naming::{ClusterId, Replicas};
use l5d_resolver::change::{DeltaError, apply_delta};
use l5d_resolver::convert::read_path;
use l5d_resolver::hash::Digest;
use l5d_resolver::page::{Assembly, PageError};
use l5d_resolver::v1;

use super::{Fault, protocol};
use crate::cache::Cluster;

#[derive(Debug, Default)]
pub(super) struct Clusters {
    told: HashMap<u32, Told>,
    pages: Assembly,
    /// Whose pages are being put together.
    paged: Option<ClusterId>,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) cell: Arc<Cluster>,
    /// What the stream has told; the cell may keep something better (RES-6).
    replicas: Replicas,
    /// As told: what the digest is made of.
    hash: u64,
    /// The content is not what was told; deltas mean nothing until it was sent in full.
    is_broken: bool,
}

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing (yet).
    Nothing,
    /// The content of this number is now what was told.
    Good(u32),
    /// The content of this number is not what was told; the old one stays.
    Broken(u32),
    /// The number is not known.
    Unknown,
}

impl Clusters {
    pub(super) fn get(&self, number: u32) -> Option<&Told> {
        self.told.get(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    pub(super) fn add_to(&self, digest: &mut Digest) {
        for (number, told) in &self.told {
            digest.add(*number, told.hash);
        }
    }

    /// Whether a cluster's last page is still to come.
    pub(super) fn awaits_page(&self) -> bool {
        self.pages.is_open()
    }

    /// One page of a full state. Takes effect with the last one. `cell` gives the cell of an id.
    pub(super) fn page(
        &mut self,
        page: v1::Cluster,
        cell: impl FnOnce(&ClusterId) -> Arc<Cluster>,
    ) -> Result<Outcome, Fault> {
        if !self.pages.is_open() {
            self.paged = Some(ClusterId(read_path("id", &page.id).map_err(protocol)?));
        }
        let number = page.number;
        let whole = match self.pages.push(page) {
            Ok(None) => return Ok(Outcome::Nothing),
            Ok(Some(whole)) => Ok((whole.hash, whole.replicas)),
            Err(PageError::Hash { told, .. }) => Err(told),
            Err(e) => return Err(protocol(e)),
        };
        let Some(id) = self.paged.take() else {
            return Ok(Outcome::Nothing);
        };
        if self.told.get(&number).is_some_and(|t| t.cell.id != id) {
            return Err(protocol(format!(
                "number {number} was given to two clusters"
            )));
        }
        let told = self.told.entry(number).or_insert_with(|| Told {
            cell: cell(&id),
            replicas: Replicas::Pending,
            hash: 0,
            is_broken: true,
        });
        told.is_broken = whole.is_err();
        match whole {
            Ok((hash, replicas)) => {
                told.hash = hash;
                told.replicas = replicas;
                Ok(Outcome::Good(number))
            }
            Err(hash) => {
                told.hash = hash;
                Ok(Outcome::Broken(number))
            }
        }
    }

    /// A change of a bound cluster.
    pub(super) fn delta(&mut self, delta: &v1::Delta) -> Result<Outcome, Fault> {
        let Some(told) = self.told.get_mut(&delta.number) else {
            return Ok(Outcome::Unknown);
        };
        let before = std::mem::replace(&mut told.hash, delta.hash);
        let set = match &told.replicas {
            _ if told.is_broken => return Ok(Outcome::Nothing),
            Replicas::Bound(set) => set,
            Replicas::Pending | Replicas::Neg | Replicas::Failed(_) => {
                return Err(protocol(format!(
                    "a delta for cluster {}, which is not bound",
                    delta.number
                )));
            }
        };
        match apply_delta(delta, set, before) {
            Ok((set, _)) => {
                told.replicas = Replicas::Bound(Arc::new(set));
                Ok(Outcome::Good(delta.number))
            }
            Err(DeltaError::Hash { .. }) => {
                told.is_broken = true;
                Ok(Outcome::Broken(delta.number))
            }
            Err(e @ DeltaError::Records { .. }) => Err(protocol(e)),
        }
    }

    /// What was held from before is what the replica has.
    pub(super) fn confirm(
        &mut self,
        number: u32,
        cell: Arc<Cluster>,
        replicas: Replicas,
        hash: u64,
    ) {
        let told = Told {
            cell,
            replicas,
            hash,
            is_broken: false,
        };
        self.told.insert(number, told);
    }

    /// Whether the number was known.
    pub(super) fn forget(&mut self, number: u32) -> bool {
        self.told.remove(&number).is_some()
    }

    /// Gives the cell what was told.
    pub(super) fn write(&self, number: u32) {
        if let Some(told) = self.told.get(&number) {
            told.write();
        }
    }

    pub(super) fn write_all(&self) {
        self.told.values().for_each(Told::write);
    }
}

impl Told {
    /// Whether a tree may lead here: there is a state, this stream's or one from before (RES-2).
    pub(super) fn is_usable(&self) -> bool {
        !self.is_broken || self.cell.has_good()
    }

    /// The source's version that the state shows.
    pub(super) fn at(&self) -> u64 {
        match &self.replicas {
            Replicas::Bound(set) => set.at(),
            Replicas::Pending | Replicas::Neg | Replicas::Failed(_) => 0,
        }
    }

    /// What the replica does not know (pending, failed) neither replaces nor confirms a good state.
    fn write(&self) {
        if self.is_broken {
            return;
        }
        self.cell.set(self.replicas.clone());
        let is_known = matches!(self.replicas, Replicas::Bound(_) | Replicas::Neg);
        if is_known || !self.cell.has_good() {
            self.cell.set_stale(false);
        }
    }
}
