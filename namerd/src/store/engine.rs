//! The engine: recomputes what depends on cells when they have changed.
//!
//! A node of the graph is a [`Recompute`]: it reads cells, writes its own. When a cell that it listens to changes, the
//! node is queued once, however many changes arrive, and one task recomputes it. So the queue is never longer than the
//! number of nodes, and tests can run it dry with [`Engine::settle`] instead of waiting.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::cell::{Cell, Dep, Listener, Subscription, Version};

/// A node of the graph.
pub trait Recompute: Send + Sync {
    /// Reads its inputs through `reads`, so that it runs again when one of them changes, and writes its outputs. Never waits.
    fn recompute(&self, reads: &mut Reads);
}

/// What one computation has read, each with the version it saw.
#[derive(Default)]
pub struct Reads(SmallVec<[(Arc<dyn Dep>, Version); 2]>);

/// Runs recomputations. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<VecDeque<Arc<Slot>>>,
    bell: Notify,
    runs: AtomicU64,
}

/// Keeps a node in the graph; dropping it takes the node out.
pub struct Handle {
    slot: Arc<Slot>,
}

struct Slot {
    node: Weak<dyn Recompute>,
    shared: Weak<Shared>,
    /// An input has changed since the node was computed last.
    queued: AtomicBool,
    /// Each cell once; it is kept so that its address stays its own.
    inputs: Mutex<Inputs>,
    me: Weak<Slot>,
}

/// By address. There are millions of nodes that read one cell or two.
type Inputs = SmallVec<[Input; 2]>;

/// What a node has read, and how it hears of changes.
struct Input {
    cell: Arc<dyn Dep>,
    _subscription: Subscription,
}

// === impl Engine ===

impl Engine {
    /// An engine without nodes. Nothing is recomputed in the background until [`Engine::run`] is spawned.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                bell: Notify::new(),
                runs: AtomicU64::new(0),
            }),
        }
    }

    /// Adds a node and computes it once, now, on the caller's thread.
    pub fn add(&self, node: Weak<dyn Recompute>) -> Handle {
        let slot = Arc::new_cyclic(|me| Slot {
            node,
            shared: Arc::downgrade(&self.shared),
            queued: AtomicBool::new(false),
            inputs: Mutex::default(),
            me: me.clone(),
        });
        slot.run(slot.inputs.lock());
        Handle { slot }
    }

    /// A cell that a node of its own feeds for as long as somebody holds the cell. `node` gets the cell to write to.
    pub fn computed<T, N>(&self, first: T, node: impl FnOnce(Weak<Cell<T>>) -> N) -> Arc<Cell<T>>
    where
        T: Send + Sync + 'static,
        N: Recompute + 'static,
    {
        let cell = Cell::new(first);
        let node = Arc::new(node(Arc::downgrade(&cell)));
        let weak: Weak<N> = Arc::downgrade(&node);
        let handle = self.add(weak);
        cell.keep(Arc::new((node, handle)));
        cell
    }

    /// Recomputes until nothing is queued; for tests.
    pub fn settle(&self) {
        while let Some(slot) = self.shared.pop() {
            slot.run_if_queued();
        }
    }

    /// Recomputations so far, first ones included.
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(Ordering::Relaxed)
    }

    /// Nodes waiting to be recomputed.
    pub fn queued(&self) -> usize {
        self.shared.queue.lock().len()
    }

    /// Recomputes for ever; the one task that the app spawns. Cancel safe.
    pub async fn run(self) {
        loop {
            let mut batch = 0;
            while let Some(slot) = self.shared.pop() {
                slot.run_if_queued();
                batch += 1;
                if batch % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            self.shared.bell.notified().await;
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("queued", &self.queued())
            .field("runs", &self.runs())
            .finish()
    }
}

impl Shared {
    fn pop(&self) -> Option<Arc<Slot>> {
        self.queue.lock().pop_front()
    }
}

// === impl Reads ===

impl Reads {
    /// Reads a cell and notes that it was read.
    pub fn read<T: Send + Sync + 'static>(&mut self, cell: &Arc<Cell<T>>) -> Arc<(Version, T)> {
        let now = cell.get();
        self.0.push((Arc::clone(cell) as Arc<dyn Dep>, now.0));
        now
    }

    /// Each cell once, with the version that was seen first, by address.
    fn once(&mut self) {
        self.0.sort_by_key(|(cell, _)| cell.address());
        self.0.dedup_by_key(|(cell, _)| cell.address());
    }

    /// How many reads were noted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reads").field(&self.0.len()).finish()
    }
}

// === impl Handle ===

impl Handle {
    /// Queues the node as if an input had changed (for inputs that are not cells, such as time).
    pub fn touch(&self) {
        self.slot.queue();
    }

    /// Recomputes now, on the caller's thread, if an input has changed and the engine has not come to it yet: for calls
    /// that must see what was written before them. Waits for a computation that is under way.
    pub fn catch_up(&self) {
        self.slot.run_if_queued();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

// === impl Slot ===

impl Slot {
    fn queue(&self) {
        let (Some(shared), Some(me)) = (self.shared.upgrade(), self.me.upgrade()) else {
            return;
        };
        if !self.queued.swap(true, Ordering::AcqRel) {
            shared.queue.lock().push_back(me);
            shared.bell.notify_one();
        }
    }

    /// What is in the queue may have caught up since.
    fn run_if_queued(&self) {
        let inputs = self.inputs.lock();
        if self.queued.swap(false, Ordering::AcqRel) {
            self.run(inputs);
        }
    }

    fn run(&self, mut inputs: MutexGuard<'_, Inputs>) {
        let Some(node) = self.node.upgrade() else {
            inputs.clear();
            return;
        };
        if let Some(shared) = self.shared.upgrade() {
            shared.runs.fetch_add(1, Ordering::Relaxed);
        }
        let mut reads = Reads::default();
        node.recompute(&mut reads);
        reads.once();
        let mut before = std::mem::take(&mut *inputs).into_iter().peekable();
        let mut gone = Inputs::new();
        for (cell, seen) in reads.0 {
            let address = cell.address();
            while let Some(input) = before.next_if(|input| input.cell.address() < address) {
                gone.push(input);
            }
            let kept = before.next_if(|input| input.cell.address() == address);
            let input = kept.unwrap_or_else(|| {
                let me: Weak<Slot> = self.me.clone();
                let _subscription = cell.listen(me, 0);
                Input {
                    cell,
                    _subscription,
                }
            });
            // It may have changed between being read and being listened to.
            if input.cell.version() != seen {
                self.queue();
            }
            inputs.push(input);
        }
        // What ends with them may be much; not under the lock.
        drop(inputs);
        drop(gone);
        drop(before);
    }
}

impl Listener for Slot {
    fn notify(&self, _token: u64) {
        self.queue();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum {
        left: Arc<Cell<u32>>,
        right: Arc<Cell<u32>>,
        out: Arc<Cell<u32>>,
    }

    impl Recompute for Sum {
        fn recompute(&self, reads: &mut Reads) {
            let left = reads.read(&self.left).1;
            let right = if left == 0 {
                0
            } else {
                reads.read(&self.right).1
            };
            self.out.set(left + right);
        }
    }

    #[test]
    fn a_node_runs_again_only_when_something_it_read_has_changed() {
        let engine = Engine::new();
        let sum = Arc::new(Sum {
            left: Cell::new(0),
            right: Cell::new(5),
            out: Cell::new(9),
        });
        let node: Arc<dyn Recompute> = Arc::clone(&sum) as _;
        let handle = engine.add(Arc::downgrade(&node));
        assert_eq!(sum.out.value(), 0);
        sum.right.set(6);
        engine.settle();
        assert_eq!(engine.runs(), 1);
        sum.left.set(1);
        sum.left.set(2);
        engine.settle();
        assert_eq!((engine.runs(), sum.out.value()), (2, 8));
        sum.right.set(7);
        engine.settle();
        assert_eq!((engine.runs(), sum.out.value()), (3, 9));
        drop(handle);
        sum.right.set(8);
        engine.settle();
        assert_eq!(engine.runs(), 3);
    }

    #[test]
    fn a_node_that_has_caught_up_is_not_computed_again_by_the_engine() {
        let engine = Engine::new();
        let sum = Arc::new(Sum {
            left: Cell::new(1),
            right: Cell::new(5),
            out: Cell::new(0),
        });
        let node: Arc<dyn Recompute> = Arc::clone(&sum) as _;
        let handle = engine.add(Arc::downgrade(&node));
        handle.catch_up();
        assert_eq!((engine.runs(), sum.out.value()), (1, 6));
        sum.right.set(6);
        handle.catch_up();
        assert_eq!((engine.runs(), sum.out.value()), (2, 7));
        engine.settle();
        assert_eq!((engine.runs(), engine.queued()), (2, 0));
        sum.right.set(7);
        engine.settle();
        assert_eq!((engine.runs(), sum.out.value()), (3, 8));
    }
}
