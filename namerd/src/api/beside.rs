//! One task for a connection and the first of its streams.
//!
//! The HTTP/2 library hands each stream to an executor, which would make it a task of its own: what a node is told would
//! wake that task, and it the connection's. A node has one stream for as long as it is connected, so the first stream of a
//! connection runs on the connection's task. Further streams, of clients that have many, get tasks of their own and use
//! all threads.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

/// The executor of one connection's streams.
#[derive(Clone)]
pub(super) struct Beside {
    first: Arc<Mutex<First>>,
    /// Counted so that shutdown can wait for them.
    others: TaskTracker,
}

enum First {
    Awaited,
    Here(BoxFuture<'static, ()>),
    Taken,
}

/// What a connection is told while it is served. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Orders(Arc<Order>);

#[derive(Default)]
struct Order {
    to_leave: AtomicBool,
    connection: AtomicWaker,
}

impl Beside {
    pub(super) fn new(others: TaskTracker) -> Self {
        Self {
            first: Arc::new(Mutex::new(First::Awaited)),
            others,
        }
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        let mut first = self.first.lock();
        if !matches!(*first, First::Here(_)) {
            return None;
        }
        match std::mem::replace(&mut *first, First::Taken) {
            First::Here(stream) => Some(stream),
            First::Awaited | First::Taken => None,
        }
    }

    /// Runs a connection and what belongs to it until one of `lives` has ended, with what that says. What is left of the
    /// first stream is dropped: nobody is there any more who could read it.
    pub(super) async fn run<'a, T: 'a>(
        &self,
        lives: impl IntoIterator<Item = BoxFuture<'a, T>>,
    ) -> T {
        let calls = Arc::new(Calls::default());
        let part = |bit: u32, life| Part::new(&calls, 1 << bit, life);
        let mut lives: Vec<_> = (1..)
            .zip(lives)
            .map(|(bit, life)| part(bit, life))
            .collect();
        let mut first: Option<Part<'static, ()>> = None;
        let mut has_come = false;
        std::future::poll_fn(move |cx| {
            calls.task.register(cx.waker());
            for _ in 0..ROUNDS {
                if !has_come && let Some(stream) = self.take() {
                    has_come = true;
                    first = Some(Part::new(&calls, 1, stream));
                }
                let called = calls.begin();
                if called == 0 {
                    return Poll::Pending;
                }
                // What it has to say is sent by the connection.
                if first
                    .as_mut()
                    .is_some_and(|stream| stream.poll(called).is_ready())
                {
                    first = None;
                }
                for life in &mut lives {
                    if let Poll::Ready(ended) = life.poll(called) {
                        return Poll::Ready(ended);
                    }
                }
            }
            // Others have their turn.
            calls.end();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// How often the parts of a connection are polled before other connections have their turn.
const ROUNDS: usize = 8;
/// That the parts are being polled: nobody has to be woken for them.
const POLLING: u32 = 1 << 31;

/// Which parts of a connection have been woken.
#[derive(Default)]
struct Calls {
    parts: AtomicU32,
    task: AtomicWaker,
}

/// A part of a connection's task, polled only when it was woken itself.
struct Part<'a, T> {
    bit: u32,
    life: BoxFuture<'a, T>,
    waker: Waker,
}

struct Call {
    bit: u32,
    calls: Arc<Calls>,
}

impl Calls {
    /// The parts that have been woken since the last call. None: a part that is woken from now on wakes the task.
    fn begin(&self) -> u32 {
        let called = self.parts.swap(POLLING, Ordering::AcqRel) & !POLLING;
        if called != 0 {
            return called;
        }
        let rest = self
            .parts
            .compare_exchange(POLLING, 0, Ordering::AcqRel, Ordering::Acquire);
        match rest {
            Ok(_) => 0,
            Err(_) => self.parts.swap(POLLING, Ordering::AcqRel) & !POLLING,
        }
    }

    fn end(&self) {
        self.parts.fetch_and(!POLLING, Ordering::AcqRel);
    }

    fn call(&self, bit: u32) {
        if self.parts.fetch_or(bit, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl<'a, T> Part<'a, T> {
    /// One that counts as woken.
    fn new(calls: &Arc<Calls>, bit: u32, life: BoxFuture<'a, T>) -> Self {
        calls.call(bit);
        let call = Call {
            bit,
            calls: Arc::clone(calls),
        };
        Self {
            bit,
            life,
            waker: Arc::new(call).into(),
        }
    }

    fn poll(&mut self, called: u32) -> Poll<T> {
        match called & self.bit {
            0 => Poll::Pending,
            _ => self
                .life
                .as_mut()
                .poll(&mut Context::from_waker(&self.waker)),
        }
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.calls.call(self.bit);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.calls.call(self.bit);
    }
}

impl<F> hyper::rt::Executor<F> for Beside
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let mut first = self.first.lock();
        if matches!(*first, First::Awaited) {
            *first = First::Here(Box::pin(async move {
                future.await;
            }));
            return;
        }
        drop(first);
        self.others.spawn(future);
    }
}

impl Orders {
    /// The connection takes no new requests; what is open goes on.
    pub(super) fn leave(&self) {
        self.0.to_leave.store(true, Ordering::Release);
        self.0.connection.wake();
    }

    /// A connection that obeys: `leave` is called on it when it has been told to.
    pub(super) async fn obeyed_by<C: Future>(
        self,
        mut connection: Pin<&mut C>,
        leave: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        std::future::poll_fn(move |cx: &mut Context<'_>| {
            self.0.connection.register(cx.waker());
            if self.0.to_leave.swap(false, Ordering::AcqRel) {
                leave(connection.as_mut());
            }
            connection.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt as _;
    use hyper::rt::Executor as _;
    use tokio::sync::Notify;

    use super::*;

    /// A future that counts how often it is polled.
    async fn counted(polls: Arc<AtomicUsize>, bell: Arc<Notify>) {
        let mut ring = Box::pin(async move {
            loop {
                bell.notified().await;
            }
        });
        std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            ring.poll_unpin(cx)
        })
        .await
    }

    #[tokio::test]
    async fn the_first_stream_runs_beside_its_connection_and_others_on_their_own() {
        let beside = Beside::new(TaskTracker::new());
        let bells = [(); 2].map(|()| Arc::new(Notify::new()));
        let polls = [(); 2].map(|()| Arc::<AtomicUsize>::default());
        let count = |n: usize| polls[n].load(Ordering::Relaxed);
        let connection = counted(Arc::clone(&polls[0]), Arc::clone(&bells[0])).boxed();
        let mut running = Box::pin(beside.run([connection]));
        let mut poll = || {
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(running.poll_unpin(cx).is_pending());
        };
        poll();
        let stream = counted(Arc::clone(&polls[1]), Arc::clone(&bells[1]));
        beside.execute(stream);
        assert_eq!(beside.others.len(), 0);
        poll();
        assert_eq!((count(0), count(1)), (1, 1));
        bells[1].notify_one();
        poll();
        poll();
        assert_eq!((count(0), count(1)), (1, 2), "only the one that was woken");
        beside.execute(std::future::pending::<()>());
        assert_eq!(beside.others.len(), 1);
    }

    #[test]
    fn a_part_that_wakes_another_wakes_the_task_no_more() {
        let beside = Beside::new(TaskTracker::new());
        let (bell, polls) = (Arc::new(Notify::new()), Arc::<AtomicUsize>::default());
        let rings = Arc::new(Notify::new());
        let connection = counted(Arc::clone(&polls), Arc::clone(&bell)).boxed();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut running = Box::pin(beside.run([connection]));
        let mut poll = || {
            let cx = &mut Context::from_waker(&waker);
            assert!(running.poll_unpin(cx).is_pending());
        };
        let stream = (Arc::clone(&rings), Arc::clone(&bell));
        beside.execute(async move {
            loop {
                stream.0.notified().await;
                stream.1.notify_one();
            }
        });
        poll();
        assert_eq!((polls.load(Ordering::Relaxed), wakes.count()), (1, 0));
        for n in 1..4 {
            rings.notify_one();
            poll();
            // The stream was polled, and the connection behind it.
            assert_eq!((polls.load(Ordering::Relaxed), wakes.count()), (1 + n, n));
        }
    }

    #[tokio::test]
    async fn a_part_that_never_rests_lets_others_have_their_turn() {
        let beside = Beside::new(TaskTracker::new());
        let restless = std::future::poll_fn(|cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let waits = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = beside.run([restless.boxed()]) => panic!("it never ends"),
            () = waits => {}
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);
    impl Wakes {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn when_the_connection_ends_its_first_stream_is_dropped() {
        let beside = Beside::new(TaskTracker::new());
        let stream = Arc::new(());
        let held = Arc::clone(&stream);
        beside.execute(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let ended = beside.run([async {
            tokio::task::yield_now().await;
            7
        }
        .boxed()]);
        assert_eq!(ended.await, 7);
        assert_eq!(Arc::strong_count(&stream), 1);
    }
}
