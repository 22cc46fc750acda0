//! Between the one who hears a node and the one who writes to it: the session, and what both have to know.
//!
//! In comes work, from the task that hears the node ([`super::drive`]) and from the bell; out go chunks, each asked for when
//! there is room for it, on the task of whoever sends them: so a change costs no hop to another task. What does not fit is
//! not decided upon yet. The lock is hardly ever waited for: of the two, one is mostly asleep.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::TURN_BYTES;
use super::session::{End, Session};

/// The bytes of one stream as they are to be written. Dropping it ends the stream.
pub struct Chunks {
    desk: Arc<Desk>,
}

/// Where the session is while its stream lives.
pub(super) struct Desk {
    inner: Mutex<Inner>,
    writer: AtomicWaker,
    /// The writer found the lock taken: it is to be woken when that is free.
    is_missed: AtomicBool,
    hearer: Notify,
}

struct Inner {
    stage: Stage,
    /// Whether the session may have something to tell.
    has_work: bool,
    /// When the next turn may begin (5.2).
    next_turn: Instant,
    /// The turn for which the writer is woken already.
    paced_for: Option<Instant>,
    turn_bytes: usize,
    /// When a chunk was handed over that has not been taken yet, as far as is known: the next one was not asked for.
    handed_at: Option<Instant>,
    /// When the one who hears looks again by itself.
    looks_at: Instant,
    /// It has to look although that is not over.
    has_news: bool,
}

enum Stage {
    Greeting,
    Following(Box<Session>),
    Over,
}

/// What the one who writes has to do next.
enum Next {
    Chunk(Bytes),
    /// Nothing before the next turn.
    Gather,
    Nothing,
    Over,
}

/// What the one who hears has to do next.
pub(super) struct Outlook {
    /// Whether the next message may be heard.
    pub(super) is_listening: bool,
    /// When to look again although nothing happens.
    pub(super) look_at: Instant,
}

impl Desk {
    pub(super) fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            inner: Mutex::new(Inner {
                stage: Stage::Greeting,
                has_work: false,
                next_turn: now,
                paced_for: None,
                turn_bytes: 0,
                handed_at: None,
                looks_at: now,
                has_news: false,
            }),
            writer: AtomicWaker::new(),
            is_missed: AtomicBool::new(false),
            hearer: Notify::new(),
        })
    }

    pub(super) fn chunks(self: &Arc<Self>) -> Chunks {
        Chunks {
            desk: Arc::clone(self),
        }
    }

    /// The stream has been greeted.
    pub(super) fn begin(&self, session: Session) {
        {
            let inner = &mut *self.inner.lock();
            inner.stage = Stage::Following(Box::new(session));
            inner.has_work = true;
        }
        self.writer.wake();
    }

    /// Ends the session; nothing more is written.
    pub(super) fn end(&self) {
        let before = std::mem::replace(&mut self.inner.lock().stage, Stage::Over);
        self.writer.wake();
        drop(before);
    }

    /// Does something with the session after which there may be something to write.
    pub(super) fn work<T>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, End>,
    ) -> Result<T, End> {
        let (done, has_work) = {
            let inner = &mut *self.inner.lock();
            let Stage::Following(session) = &mut inner.stage else {
                return Err(End::Closed);
            };
            let done = work(session);
            inner.has_work |= session.has_more();
            (done, inner.has_work)
        };
        // What only told how far the node is wakes nobody.
        self.wake_if(has_work);
        done
    }

    /// Wakes the writer if it has something to do, or has found the lock taken, which has been given back.
    fn wake_if(&self, has_work: bool) {
        // With the one in `enter`: the lock's own order does not keep a later look at the flag behind its release.
        fence(Ordering::SeqCst);
        if self.is_missed.swap(false, Ordering::SeqCst) || has_work {
            self.writer.wake();
        }
    }

    /// For the writer. The one who has the lock may have a long list of names to bind: it wakes the writer afterwards.
    fn enter(&self) -> Option<MutexGuard<'_, Inner>> {
        self.inner.try_lock().or_else(|| {
            self.is_missed.store(true, Ordering::SeqCst);
            // Before the second try looks at the lock, or both sides could miss each other.
            fence(Ordering::SeqCst);
            // Whoever has given it back meanwhile may have looked before that.
            self.inner.try_lock()
        })
    }

    fn call_if(&self, wanted: bool) {
        if wanted {
            self.hearer.notify_one();
        }
    }

    /// Waits until the writer has something to say to the one who hears.
    pub(super) async fn called(&self) {
        self.hearer.notified().await;
    }

    /// What the one who hears has to do now. Ends a session whose bytes nobody takes for too long (K8S-146).
    pub(super) fn look(&self, now: Instant) -> Result<Outlook, End> {
        let (outlook, has_work) = {
            let inner = &mut *self.inner.lock();
            let Stage::Following(session) = &inner.stage else {
                return Err(End::Closed);
            };
            let stall = session.limits().stall;
            inner.looks_at = if let Some(handed_at) = inner.handed_at {
                if now >= handed_at + stall {
                    return Err(End::Stalled(stall));
                }
                handed_at + stall
            } else if inner.has_work {
                // Being written; a stall shows later.
                now + stall
            } else if now >= session.deadline() {
                inner.has_work = true;
                now + stall
            } else {
                session.deadline()
            };
            let outlook = Outlook {
                is_listening: session.is_listening(),
                look_at: inner.looks_at,
            };
            (outlook, inner.has_work)
        };
        self.wake_if(has_work);
        Ok(outlook)
    }
}

impl Chunks {
    /// The next bytes; `None`: the stream has ended. To be called only when there is room for them. The newest state is
    /// told, whatever came between.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.desk.writer.register(cx.waker());
        let Some(mut inner) = self.desk.enter() else {
            return Poll::Pending;
        };
        inner.handed_at = None;
        match inner.next(cx) {
            Next::Over => Poll::Ready(None),
            Next::Gather => Poll::Pending,
            Next::Nothing => {
                self.desk.call_if(inner.is_hearer_late());
                Poll::Pending
            }
            Next::Chunk(chunk) => {
                self.desk.call_if(inner.is_hearer_late());
                Poll::Ready(Some(chunk))
            }
        }
    }
}

impl Inner {
    fn next(&mut self, cx: &mut Context<'_>) -> Next {
        let session = match &mut self.stage {
            Stage::Greeting => return Next::Nothing,
            Stage::Following(session) => session,
            Stage::Over => return Next::Over,
        };
        if !self.has_work {
            // Listened to before it is looked at.
            session.listen(cx.waker());
            self.has_work = session.has_more();
            if !self.has_work {
                return Next::Nothing;
            }
        }
        let now = Instant::now();
        if now < self.next_turn {
            if self.paced_for.replace(self.next_turn) != Some(self.next_turn) {
                session.wake_at(self.next_turn, cx.waker().clone());
            }
            return Next::Gather;
        }
        let was_listening = session.is_listening();
        let chunk = session.next_chunk(now);
        self.has_work = session.has_more();
        self.turn_bytes += chunk.as_ref().map_or(0, Bytes::len);
        if !self.has_work || self.turn_bytes >= TURN_BYTES {
            if self.turn_bytes > 0 {
                self.next_turn = session.gather(now);
            }
            self.turn_bytes = 0;
        }
        // What was refused may be told now: the rest of a `Want` goes on.
        self.has_news |= !was_listening;
        let Some(chunk) = chunk else {
            session.listen(cx.waker());
            if session.has_more() {
                cx.waker().wake_by_ref();
            }
            return Next::Nothing;
        };
        self.handed_at = Some(now);
        Next::Chunk(chunk)
    }

    /// Whether the one who hears has to look earlier than it would.
    fn is_hearer_late(&mut self) -> bool {
        let Stage::Following(session) = &self.stage else {
            return false;
        };
        std::mem::take(&mut self.has_news) || (!self.has_work && session.deadline() < self.looks_at)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.desk.end();
        self.desk.hearer.notify_one();
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}
