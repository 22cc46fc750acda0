//! One task for a connection and the first of its streams.
//!
//! The HTTP/2 library hands each stream to an executor, which would make it a task of its own: what a node is told would
//! wake that task, and it the connection's. A node has one stream for as long as it is connected, so the first stream of a
//! connection runs on the connection's task. Further streams, of clients that have many, get tasks of their own and use
//! all threads.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
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
    ) -> Option<T> {
        // Each is polled only when it was woken itself.
        let mut parts: FuturesUnordered<BoxFuture<'a, Option<T>>> = lives
            .into_iter()
            .map(|life| Box::pin(async move { Some(life.await) }) as BoxFuture<'a, Option<T>>)
            .collect();
        std::future::poll_fn(move |cx| {
            loop {
                match parts.poll_next_unpin(cx) {
                    Poll::Ready(Some(None)) => {}
                    Poll::Ready(Some(ended)) => return Poll::Ready(ended),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => match self.take() {
                        Some(stream) => parts.push(Box::pin(async move {
                            stream.await;
                            None
                        })),
                        None => return Poll::Pending,
                    },
                }
            }
        })
        .await
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
    use std::task::Waker;

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
        assert_eq!(ended.await, Some(7));
        assert_eq!(Arc::strong_count(&stream), 1);
    }
}
