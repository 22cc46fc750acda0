//! What the session must know of the sources behind the binder: how far they are, how old they are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use l5d_resolver::v1;

/// Versions by source, such as `k8s/endpointslices`; only of sources whose versions compare as integers.
pub type Positions = BTreeMap<String, u64>;

/// The sources of this replica. Calls are cheap and never wait.
pub trait Sources: Send + Sync {
    /// The newest object version, for each source, in what is served. Told to nodes.
    fn served(&self) -> Positions;

    /// The newest version seen at all, bookmarks and lists included. Compared with what nodes have been told.
    fn seen(&self) -> Positions;

    /// For each watch and store, how long ago it was last known to be alive.
    fn ages(&self) -> Vec<(String, Duration)>;
}

/// No source that has versions.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn served(&self) -> Positions {
        Positions::new()
    }

    fn seen(&self) -> Positions {
        Positions::new()
    }

    fn ages(&self) -> Vec<(String, Duration)> {
        Vec::new()
    }
}

impl fmt::Debug for dyn Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.seen()).finish()
    }
}

/// As told to nodes and tools.
pub fn position(sources: &dyn Sources) -> v1::Position {
    v1::Position {
        sources: sources
            .served()
            .into_iter()
            .map(|(source, rv)| v1::SourcePosition { source, rv })
            .collect(),
    }
}

/// Whether this replica has seen all that the node was told elsewhere. Sources that this replica does not have are left
/// out: it can never catch up with them.
pub(super) fn behind(sources: &dyn Sources, told: Option<&v1::Position>) -> Option<String> {
    let seen = sources.seen();
    told?.sources.iter().find_map(|theirs| {
        let ours = *seen.get(&theirs.source)?;
        (ours < theirs.rv).then(|| {
            format!(
                "{} is at {ours} here, the node has seen {}",
                theirs.source, theirs.rv
            )
        })
    })
}
