//! The trees that a stream has told, by number, and the interests that read them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use l5d_naming::{BoundName, NameTree};
use l5d_resolver::hash::{self, Digest};

use crate::cache::{Failure, Leaf, NameState};

#[derive(Debug, Default)]
pub(super) struct Trees {
    told: HashMap<u32, Told>,
}

#[derive(Debug)]
pub(super) struct Told {
    /// As told: what the digest is made of.
    hash: u64,
    pub(super) state: State,
    pub(super) readers: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    /// The content is not what was told, and was asked for again.
    Broken,
    Pending,
    Failed(Failure),
    /// With the numbers of its clusters, as far as this stream gave them.
    Bound(Arc<NameTree<Leaf>>, Arc<[u32]>),
}

impl Trees {
    pub(super) fn get(&self, number: u32) -> Option<&Told> {
        self.told.get(&number)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.told.keys().copied()
    }

    /// Those that lead to the cluster with this number.
    pub(super) fn leading_to(&self, cluster: u32) -> Vec<u32> {
        let leads = |told: &Told| match &told.state {
            State::Bound(_, parts) => parts.contains(&cluster),
            State::Broken | State::Pending | State::Failed(_) => false,
        };
        self.told
            .iter()
            .filter(|(_, told)| leads(told))
            .map(|(number, _)| *number)
            .collect()
    }

    pub(super) fn add_to(&self, digest: &mut Digest) {
        for (number, told) in &self.told {
            digest.add(*number, told.hash);
        }
    }

    /// The tree is this now; its readers stay.
    pub(super) fn set(&mut self, number: u32, hash: u64, state: State) {
        let told = self.told.entry(number).or_insert(Told {
            hash,
            state: State::Pending,
            readers: BTreeSet::new(),
        });
        told.hash = hash;
        told.state = state;
    }

    /// From now on the interest reads this tree.
    pub(super) fn join(&mut self, number: u32, interest: u32) {
        if let Some(told) = self.told.get_mut(&number) {
            told.readers.insert(interest);
        }
    }

    pub(super) fn leave(&mut self, number: u32, interest: u32) {
        if let Some(told) = self.told.get_mut(&number) {
            told.readers.remove(&interest);
        }
    }

    /// Whether the number was known.
    pub(super) fn forget(&mut self, number: u32) -> bool {
        self.told.remove(&number).is_some()
    }
}

impl State {
    /// What a name that reads this is told; `None`: nothing new is known.
    pub(super) fn to_name_state(&self) -> Option<NameState> {
        Some(match self {
            State::Broken => return None,
            State::Pending => NameState::Pending,
            State::Failed(failure) => NameState::Failed(failure.clone()),
            State::Bound(tree, _) => NameState::Bound(tree.clone()),
        })
    }
}

/// The hash of a tree whose leaves are cells.
pub(super) fn hash_of(tree: &NameTree<Leaf>) -> u64 {
    hash::tree_hash(&tree.map(&mut |leaf| BoundName {
        id: leaf.cluster.id.clone(),
        residual: leaf.residual.clone(),
    }))
}
