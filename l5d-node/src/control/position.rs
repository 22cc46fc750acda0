//! How far the world had come in what this node was told.

use std::collections::BTreeMap;

use l5d_resolver::v1;

/// The source whose versions clusters carry in `at`.
const SLICES: &str = "k8s/endpointslices";

/// For each source the newest object version that was told. Kept over all streams to one namerd, so that a replica that
/// is behind can be told from one that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position(BTreeMap<String, u64>);

impl Position {
    /// Moves forward, where `told` is further.
    pub(crate) fn advance(&mut self, told: &v1::Position) {
        for source in &told.sources {
            self.at_least(&source.source, source.rv);
        }
    }

    /// A cluster's state showed slices of this version (0: none).
    pub(crate) fn advance_slices(&mut self, at: u64) {
        if at > 0 {
            self.at_least(SLICES, at);
        }
    }

    pub(super) fn at_least(&mut self, source: &str, rv: u64) {
        match self.0.get_mut(source) {
            Some(have) => *have = rv.max(*have),
            None => {
                self.0.insert(source.to_owned(), rv);
            }
        }
    }

    /// Whether nothing was ever told.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Brings a copy of it up to date.
    pub(crate) fn copy_to(&self, copy: &mut BTreeMap<String, u64>) {
        if *copy != self.0 {
            copy.clone_from(&self.0);
        }
    }

    pub(crate) fn to_wire(&self) -> v1::Position {
        let source = |(source, rv): (&String, &u64)| v1::SourcePosition {
            source: source.clone(),
            rv: *rv,
        };
        v1::Position {
            sources: self.0.iter().map(source).collect(),
        }
    }
}
