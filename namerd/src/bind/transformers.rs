//! Lists of transformers as parts of keys: hashed once when they are made, and compared by what they point to where both
//! come from [`Binder::list`](super::Binder::list). A node has thousands of names through one list.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use foldhash::quality::RandomState;
use l5d_naming::TransformerSpec;

/// Transformers in the order in which they are applied. Cheap to clone, to hash and to compare.
#[derive(Clone, Debug)]
pub struct Transformers {
    hash: u64,
    specs: Arc<[TransformerSpec]>,
}

/// One for the process, so that equal lists have equal hashes, and random, so that nobody can make hashes collide.
static HASHING: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl From<Arc<[TransformerSpec]>> for Transformers {
    fn from(specs: Arc<[TransformerSpec]>) -> Self {
        Self {
            hash: HASHING.hash_one(&specs),
            specs,
        }
    }
}

impl From<&[TransformerSpec]> for Transformers {
    fn from(specs: &[TransformerSpec]) -> Self {
        Arc::<[_]>::from(specs).into()
    }
}

impl FromIterator<TransformerSpec> for Transformers {
    fn from_iter<I: IntoIterator<Item = TransformerSpec>>(specs: I) -> Self {
        specs.into_iter().collect::<Arc<[_]>>().into()
    }
}

impl Default for Transformers {
    fn default() -> Self {
        Arc::<[_]>::default().into()
    }
}

impl Deref for Transformers {
    type Target = [TransformerSpec];

    fn deref(&self) -> &[TransformerSpec] {
        &self.specs
    }
}

impl PartialEq for Transformers {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.specs, &other.specs)
            || (self.hash == other.hash && self.specs == other.specs)
    }
}

impl Eq for Transformers {}

impl Hash for Transformers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
impl Transformers {
    /// Whether it is the same list and not an equal one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.specs, &other.specs)
    }
}
