//! A binding before any transformer of a router: evaluated once for all who ask, again only when something that it has
//! read has changed.

use std::sync::{Arc, OnceLock, Weak};

use l5d_naming::{Dtab, Path};

use super::BindError;
use super::binder::Core;
use super::outcome::Outcome;
use super::rules::Rules;
use crate::store::{Caller, Cell, Handle, NamespaceState, Reads, Recompute};

/// What a base is shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BaseKey {
    pub(super) root: Option<Arc<str>>,
    pub(super) router: Dtab,
    pub(super) local: Dtab,
    pub(super) path: Path,
    /// What namers with per-caller transformers may look at.
    pub(super) caller: Caller,
}

/// A question's answer as the namers give it, live.
pub(super) struct Base {
    key: BaseKey,
    stored: Option<Arc<Cell<NamespaceState>>>,
    core: Weak<Core>,
    pub(super) out: Arc<Cell<Outcome>>,
    handle: OnceLock<Handle>,
}

impl BaseKey {
    /// A path with an empty dtab.
    pub(super) fn bare(path: Path, caller: Caller) -> Self {
        Self {
            root: None,
            router: Dtab::empty(),
            local: Dtab::empty(),
            path,
            caller,
        }
    }
}

impl Base {
    pub(super) fn new(key: BaseKey, core: &Arc<Core>) -> Self {
        Self {
            stored: key.root.as_ref().map(|root| core.store.observe(root)),
            key,
            core: Arc::downgrade(core),
            out: Cell::new(Outcome::Pending),
            handle: OnceLock::new(),
        }
    }

    /// Evaluates for the first time, unless somebody has or is about to.
    pub(super) fn start(self: &Arc<Self>, core: &Core) {
        self.handle.get_or_init(|| {
            let me: Weak<Self> = Arc::downgrade(self);
            core.engine.add(me)
        });
        self.catch_up();
    }

    /// What was written to the store before this call shows in the outcome after it.
    pub(super) fn catch_up(&self) {
        if let Some(handle) = self.handle.get() {
            handle.catch_up();
        }
    }
}

impl Recompute for Base {
    fn recompute(&self, reads: &mut Reads) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let outcome = with_rules(
            self.stored.as_ref(),
            (&self.key.router, &self.key.local),
            reads,
            |rules, reads| {
                core.count_evaluation();
                core.interpreter
                    .evaluate(rules, &self.key.path, &self.key.caller, reads)
            },
        );
        self.out
            .set(outcome.unwrap_or_else(|unknown| match unknown {
                NoRules::Pending => Outcome::Pending,
                NoRules::Unreadable(reason) => Outcome::Failed(BindError::Store(reason)),
            }));
    }
}

/// Why there is no full dtab.
pub(super) enum NoRules {
    /// The stored part is not known yet.
    Pending,
    /// The stored part cannot be read: why.
    Unreadable(Arc<str>),
}

/// Does something with the full dtab, if the stored part is known. A namespace that does not exist is an empty dtab
/// (naming 5.4).
pub(super) fn with_rules<T>(
    stored: Option<&Arc<Cell<NamespaceState>>>,
    (router, local): (&Dtab, &Dtab),
    reads: &mut Reads,
    work: impl FnOnce(Rules<'_>, &mut Reads) -> T,
) -> Result<T, NoRules> {
    let none = Dtab::empty();
    let state = stored.map(|cell| reads.read(cell));
    let stored = match state.as_ref().map(|s| &s.1) {
        None | Some(NamespaceState::Absent) => &none,
        Some(NamespaceState::Pending) => return Err(NoRules::Pending),
        Some(NamespaceState::Unreadable(reason)) => {
            return Err(NoRules::Unreadable(Arc::clone(reason)));
        }
        Some(NamespaceState::Present(versioned)) => &versioned.dtab,
    };
    Ok(work(Rules::new(stored, router, local), reads))
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base({})", self.key.path)
    }
}
