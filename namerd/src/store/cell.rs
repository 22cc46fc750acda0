//! A cell: the latest value, a version that moves only when the value changes, and a wake-up.
//!
//! Readers never wait for writers, and a slow reader skips values instead of queueing them. Who wants to hear of changes
//! registers a [`Listener`] with a token; it must do next to nothing (mark something, wake a task).

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

/// Our counter of a cell's value: grows by one with each change, starts at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Who hears of changes. Called on the writer's thread, outside of any lock of the cell's value.
pub trait Listener: Send + Sync {
    /// The cell registered under `token` has changed.
    fn notify(&self, token: u64);
}

/// Something that an evaluation has read and may listen to, whatever its type of value.
pub trait Dep: Send + Sync {
    /// The version now.
    fn version(&self) -> Version;
    /// Calls `listener` after each change, until the subscription is dropped.
    fn listen(&self, listener: Weak<dyn Listener>, token: u64) -> Subscription;
    /// Equal for two handles of one cell.
    fn address(&self) -> usize;
}

/// A value with one writer and many readers.
pub struct Cell<T> {
    now: ArcSwap<(Version, T)>,
    version: AtomicU64,
    writing: Mutex<()>,
    /// There once someone has listened.
    subs: OnceLock<Arc<Subs>>,
    keeps: OnceLock<Arc<dyn Any + Send + Sync>>,
}

#[derive(Default)]
struct Subs {
    entries: Mutex<Entries>,
}

/// A place in the list of listeners.
enum Slot {
    /// Who listens, and under which token.
    Taken(Weak<dyn Listener>, u64),
    /// Nobody; the next place that is free.
    Free(Option<u32>),
}

#[derive(Default)]
struct Entries {
    /// Most cells have one listener or none, and there are millions.
    slots: SmallVec<[Slot; 1]>,
    /// The first of the free places, each of which names the next.
    free: Option<u32>,
    live: u32,
}

/// Ends the registration when dropped.
pub struct Subscription {
    subs: Weak<Subs>,
    slot: u32,
}

// === impl Cell ===

impl<T> Cell<T> {
    /// A cell with a first value, at version 1.
    pub fn new(value: T) -> Arc<Self> {
        Arc::new(Self {
            now: ArcSwap::from_pointee((Version(1), value)),
            version: AtomicU64::new(1),
            writing: Mutex::new(()),
            subs: OnceLock::new(),
            keeps: OnceLock::new(),
        })
    }

    /// The value and its version.
    pub fn get(&self) -> Arc<(Version, T)> {
        self.now.load_full()
    }

    /// Sets the value whether or not it differs.
    pub fn replace(&self, value: T) -> Version {
        let version = {
            let _one_writer = self.writing.lock();
            let version = Version(self.version.load(Ordering::Acquire) + 1);
            self.now.store(Arc::new((version, value)));
            self.version.store(version.0, Ordering::Release);
            version
        };
        // Either we see who begins to listen, or they see this version (see `listen`).
        fence(Ordering::SeqCst);
        if let Some(subs) = self.subs.get() {
            subs.notify_all();
        }
        version
    }

    /// Keeps `writer` alive as long as this cell: who holds a computed cell need hold nothing else for it to go on
    /// being fed. The writer holds the cell weakly. Only the first call counts.
    pub fn keep(&self, writer: Arc<dyn Any + Send + Sync>) {
        let _first_one_stays = self.keeps.set(writer);
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        self.subs
            .get()
            .map_or(0, |subs| subs.entries.lock().live as usize)
    }
}

impl<T: PartialEq> Cell<T> {
    /// Sets the value if it differs; says whether it did.
    pub fn set(&self, value: T) -> bool {
        if self.now.load().1 == value {
            return false;
        }
        self.replace(value);
        true
    }
}

impl<T: Clone> Cell<T> {
    /// A copy of the value.
    pub fn value(&self) -> T {
        self.now.load().1.clone()
    }
}

impl<T: Send + Sync> Cell<T> {
    /// Waits until `wanted` holds and gives the value. Cancel safe.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> Arc<(Version, T)> {
        struct Bell(Notify);
        impl Listener for Bell {
            fn notify(&self, _: u64) {
                self.0.notify_one();
            }
        }
        let bell = Arc::new(Bell(Notify::new()));
        let weak: Weak<dyn Listener> = Arc::downgrade(&(Arc::clone(&bell) as Arc<dyn Listener>));
        let _subscription = self.listen(weak, 0);
        loop {
            let now = self.get();
            if wanted(&now.1) {
                return now;
            }
            bell.0.notified().await;
        }
    }

    /// Waits until the version is newer than `seen`. Cancel safe.
    pub async fn changed(&self, seen: Version) -> Arc<(Version, T)> {
        loop {
            let now = self.get();
            if now.0 > seen {
                return now;
            }
            let at = now.0;
            self.wait_for(|_| self.version() > at).await;
        }
    }
}

impl<T: Send + Sync> Dep for Cell<T> {
    fn version(&self) -> Version {
        Version(self.version.load(Ordering::Acquire))
    }

    fn listen(&self, listener: Weak<dyn Listener>, token: u64) -> Subscription {
        let subs = self.subs.get_or_init(Arc::default);
        let slot = subs.entries.lock().enter(listener, token);
        // Who listens looks at the version afterwards.
        fence(Ordering::SeqCst);
        Subscription {
            subs: Arc::downgrade(subs),
            slot,
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>() as usize
    }
}

impl<T: fmt::Debug> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.now.load();
        f.debug_struct("Cell")
            .field("version", &now.0.0)
            .field("value", &now.1)
            .finish_non_exhaustive()
    }
}

// === impl Subs ===

impl Subs {
    fn notify_all(&self) {
        // Collected first: a listener may register or end registrations.
        let listeners: SmallVec<[_; 2]> = {
            let entries = self.entries.lock();
            let there = entries.slots.iter().filter_map(|slot| match slot {
                Slot::Taken(listener, token) => Some((listener.upgrade()?, *token)),
                Slot::Free(_) => None,
            });
            there.collect()
        };
        for (listener, token) in listeners {
            listener.notify(token);
        }
    }
}

// === impl Entries ===

impl Entries {
    fn enter(&mut self, listener: Weak<dyn Listener>, token: u64) -> u32 {
        self.live += 1;
        let taken = Slot::Taken(listener, token);
        if let Some(place) = self.free
            && let Some(slot) = self.slots.get_mut(place as usize)
            && let Slot::Free(next) = *slot
        {
            self.free = next;
            *slot = taken;
            return place;
        }
        self.slots.push(taken);
        self.slots.len() as u32 - 1
    }

    /// Frees a place; gives what was in it.
    fn leave(&mut self, place: u32) -> Slot {
        self.live -= 1;
        let free = Slot::Free(self.free.replace(place));
        std::mem::replace(&mut self.slots[place as usize], free)
    }
}

// === impl Subscription ===

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subs) = self.subs.upgrade() {
            let mut entries = subs.entries.lock();
            let gone = entries.leave(self.slot);
            drop(entries);
            // Its last reference may go here; not under the lock.
            drop(gone);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Listener for Count {
        fn notify(&self, token: u64) {
            self.0.fetch_add(token as usize, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_version_moves_only_when_the_value_changes() {
        let cell = Cell::new(1);
        assert!(!cell.set(1));
        assert_eq!(cell.version(), Version(1));
        assert!(cell.set(2));
        assert_eq!(*cell.get(), (Version(2), 2));
    }

    #[test]
    fn k8s_140_readers_do_not_wait_for_a_writer_and_keep_what_they_read() {
        let cell = Cell::new(1);
        let read = cell.get();
        let writing = cell.writing.lock();
        // A reader that took the lock would hang here.
        assert_eq!((*cell.get(), cell.version()), (*read, Version(1)));
        drop(writing);
        cell.set(2);
        assert_eq!((*read, *cell.get()), ((Version(1), 1), (Version(2), 2)));
    }

    #[test]
    fn listeners_hear_until_their_subscription_is_dropped() {
        let cell = Cell::new(0);
        let count = Arc::new(Count::default());
        let listener: Arc<dyn Listener> = Arc::clone(&count) as _;
        let subscription = cell.listen(Arc::downgrade(&listener), 1);
        cell.set(1);
        drop(subscription);
        cell.set(2);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(cell.listeners(), 0);
    }

    #[test]
    fn places_of_listeners_that_left_are_taken_again() {
        let cell = Cell::new(0);
        let count = Arc::new(Count::default());
        let listener: Arc<dyn Listener> = Arc::clone(&count) as _;
        let mut held: Vec<_> = (0..8)
            .map(|_| cell.listen(Arc::downgrade(&listener), 1))
            .collect();
        for round in 0..100 {
            // Out of order, several at a time.
            held.swap_remove(round % 5);
            held.swap_remove(round % 3);
            held.extend((0..2).map(|_| cell.listen(Arc::downgrade(&listener), 1)));
        }
        let places = cell.subs.get().expect("somebody listens");
        assert_eq!(places.entries.lock().slots.len(), 8);
        held.truncate(3);
        count.0.store(0, Ordering::SeqCst);
        cell.set(1);
        assert_eq!((cell.listeners(), count.0.load(Ordering::SeqCst)), (3, 3));
    }

    #[test]
    fn a_listener_takes_no_more_than_its_handle_and_token() {
        assert_eq!(size_of::<Slot>(), size_of::<(Weak<dyn Listener>, u64)>());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_value_fits() {
        let cell = Cell::new(0);
        let waiter = tokio::spawn({
            let cell = Arc::clone(&cell);
            async move { cell.wait_for(|v| *v == 2).await.1 }
        });
        cell.set(1);
        tokio::task::yield_now().await;
        cell.set(2);
        assert_eq!(waiter.await.expect("joins"), 2);
    }
}
