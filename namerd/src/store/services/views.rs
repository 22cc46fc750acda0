//! The cells of one port of one service.

use std::sync::{Arc, Weak};

use foldhash::HashMap;
use l5d_naming::Replicas;
use parking_lot::Mutex;

use super::merge::{Merged, Pool};
use super::model::ObjectName;
use super::narrow::Scope;
use super::{Existence, PortRef};
use crate::store::{Audience, Cell};

/// The cells that someone holds of one lookup. Each cell keeps its `Views` alive, so a held cell is fed for ever, also over
/// times when the name does not exist (K8S-2); the last cell takes it along.
pub(super) struct Views {
    pub(super) service: ObjectName,
    pub(super) port: PortRef,
    pub(super) label: Option<(Arc<str>, Arc<str>)>,
    cells: Mutex<Cells>,
}

#[derive(Default)]
struct Cells {
    existence: Weak<Cell<Existence>>,
    whole: Weak<Cell<Replicas>>,
    each_node: Weak<Cell<Replicas>>,
    on_node: HashMap<Arc<str>, Weak<Cell<Replicas>>>,
    scope: Weak<Cell<Scope>>,
    narrowed: HashMap<Audience, Weak<Cell<Replicas>>>,
}

impl Views {
    pub(super) fn new(
        service: ObjectName,
        port: PortRef,
        label: Option<(Arc<str>, Arc<str>)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            port,
            label,
            cells: Mutex::default(),
        })
    }

    /// Feeds all cells that are held: addresses first, so that who hears of a name finds its addresses.
    pub(super) fn refresh(&self, merged: &Merged<'_>) {
        let mut cells = self.cells.lock();
        if let Some(cell) = cells.whole.upgrade() {
            cell.set(replicas(merged, |pool| pool.whole()));
        }
        if let Some(cell) = cells.each_node.upgrade() {
            cell.set(replicas(merged, |pool| pool.each_node()));
        }
        cells.on_node.retain(|_, cell| cell.strong_count() > 0);
        if !cells.on_node.is_empty() {
            let by_node = match merged {
                Merged::Present(pool) => pool.by_node(),
                Merged::Pending | Merged::Absent => HashMap::default(),
            };
            for (node, cell) in &cells.on_node {
                if let Some(cell) = cell.upgrade() {
                    cell.set(replicas(merged, |pool| pool.on_node(&by_node, node)));
                }
            }
        }
        cells.narrowed.retain(|_, cell| cell.strong_count() > 0);
        if !cells.narrowed.is_empty() {
            let mut narrow = match merged {
                Merged::Present(pool) => Some(pool.narrow()),
                Merged::Pending | Merged::Absent => None,
            };
            for (audience, cell) in &cells.narrowed {
                if let Some(cell) = cell.upgrade() {
                    cell.set(match &mut narrow {
                        Some(narrow) => narrow.answer(audience),
                        None => replicas(merged, |pool| pool.whole()),
                    });
                }
            }
        }
        if let Some(cell) = cells.scope.upgrade() {
            cell.set(scope(merged));
        }
        if let Some(cell) = cells.existence.upgrade() {
            cell.set(existence(merged));
        }
    }

    pub(super) fn existence<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
    ) -> Arc<Cell<Existence>> {
        self.held(&mut self.cells.lock().existence, || existence(&merged()))
    }

    pub(super) fn whole<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
    ) -> Arc<Cell<Replicas>> {
        self.held(&mut self.cells.lock().whole, || {
            replicas(&merged(), |pool| pool.whole())
        })
    }

    pub(super) fn each_node<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
    ) -> Arc<Cell<Replicas>> {
        self.held(&mut self.cells.lock().each_node, || {
            replicas(&merged(), |pool| pool.each_node())
        })
    }

    pub(super) fn on_node<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
        node: &str,
    ) -> Arc<Cell<Replicas>> {
        let mut cells = self.cells.lock();
        let slot = cells.on_node.entry(node.into()).or_default();
        self.held(slot, || {
            replicas(&merged(), |pool| pool.on_node(&pool.by_node(), node))
        })
    }

    /// What the answers depend on now.
    pub(super) fn scope<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
    ) -> Arc<Cell<Scope>> {
        self.held(&mut self.cells.lock().scope, || scope(&merged()))
    }

    pub(super) fn narrowed<'a>(
        self: &Arc<Self>,
        merged: impl FnOnce() -> Merged<'a>,
        audience: &Audience,
    ) -> Arc<Cell<Replicas>> {
        let mut cells = self.cells.lock();
        let slot = cells.narrowed.entry(audience.clone()).or_default();
        self.held(slot, || {
            replicas(&merged(), |pool| pool.narrow().answer(audience))
        })
    }

    /// The cell that others hold already, or a new one.
    fn held<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        slot: &mut Weak<Cell<T>>,
        value: impl FnOnce() -> T,
    ) -> Arc<Cell<T>> {
        if let Some(cell) = slot.upgrade() {
            return cell;
        }
        let cell = Cell::new(value());
        cell.keep(Arc::clone(self) as _);
        *slot = Arc::downgrade(&cell);
        cell
    }
}

fn existence(merged: &Merged<'_>) -> Existence {
    match merged {
        Merged::Pending => Existence::Pending,
        Merged::Absent => Existence::Absent,
        Merged::Present(_) => Existence::Present,
    }
}

fn scope(merged: &Merged<'_>) -> Scope {
    match merged {
        Merged::Present(pool) => pool.scope(),
        Merged::Pending | Merged::Absent => Scope::default(),
    }
}

fn replicas(merged: &Merged<'_>, view: impl FnOnce(&Pool<'_>) -> Replicas) -> Replicas {
    match merged {
        Merged::Pending => Replicas::Pending,
        Merged::Absent => Replicas::Neg,
        Merged::Present(pool) => view(pool),
    }
}
