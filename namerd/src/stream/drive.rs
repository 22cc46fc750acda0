//! Drives one session: hears the node, wakes when cells ring, hands bytes over when there is room.
//!
//! Room is one chunk of the `out` channel. Whoever empties it does so at the pace of the peer's window, so that this is the
//! only queue of a stream, and what does not fit is not decided upon yet.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use l5d_resolver::v1;
use l5d_resolver::v1::up;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::limits::{Limits, TURN_BYTES};
use super::session::{End, Session};
use super::sources::behind;
use crate::store::Cell;

/// Whether streams may begin and must end.
#[derive(Clone)]
pub struct Doors {
    /// Every source has answered (K8S-129).
    pub ready: Arc<Cell<bool>>,
    /// Cancelled when the process begins to leave: no new streams, `Goodbye` to those that are open.
    pub leaving: CancellationToken,
    /// Cancelled when streams that are still open have to end.
    pub closed: CancellationToken,
    /// The bounds of sessions that come in here.
    pub limits: Arc<Limits>,
    /// The time that nodes are given in `Goodbye`.
    pub goodbye: Duration,
    /// Cancelled when the connection is old: its node is told to go elsewhere, and that it may come back.
    pub aged: CancellationToken,
}

/// What a node has proved: given its name in `Hello`, whether it may follow as that one.
pub type Claim = Box<dyn FnOnce(&str) -> Result<(), End> + Send>;

/// The time that a node on an old connection is given to open another one.
pub const MOVE_WITHIN: Duration = Duration::from_secs(10);

/// How often a replica that is behind looks whether it has caught up.
const CATCH_UP_TICK: Duration = Duration::from_millis(100);

/// Serves one `Follow` stream to its end and says why it ended. Dropping the future ends the session.
pub async fn follow(
    hub: Arc<Hub>,
    doors: Doors,
    peer: String,
    claim: impl Future<Output = Result<Claim, End>>,
    ups: impl Stream<Item = Result<v1::Up, End>>,
    out: mpsc::Sender<Bytes>,
) -> End {
    let mut counted = Counted {
        hub: &hub,
        peer: peer.clone(),
        end: End::Closed,
    };
    if let Err(end) = serve(&hub, &doors, peer, claim, ups, &out).await {
        counted.end = end;
    }
    counted.end.clone()
}

/// Counts and logs the end of a stream when dropped: a stream that the peer gave up is dropped without an end of its own.
struct Counted<'a> {
    hub: &'a Hub,
    peer: String,
    end: End,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let metrics = self.hub.metrics();
        let counter = match &self.end {
            End::Closed => &metrics.ended_closed,
            End::NotReady | End::Leaving | End::Unchecked(_) => &metrics.ended_unavailable,
            End::Unproven(_) | End::Denied(_) => &metrics.ended_denied,
            End::Sessions(_) => &metrics.ended_limit,
            End::Behind(_) => &metrics.ended_behind,
            End::Fault(_) | End::TooLarge(_) => &metrics.ended_fault,
            End::Stalled(_) => &metrics.ended_stalled,
        };
        counter.add(1);
        match &self.end {
            End::Sessions(_) => self.hub.refused_by("sessions"),
            End::TooLarge(_) => self.hub.refused_by("message_bytes"),
            _ => {}
        }
        let (peer, end) = (&self.peer, &self.end);
        match end {
            End::Closed | End::Leaving | End::NotReady => {
                tracing::info!(%peer, %end, "stream ended")
            }
            _ => tracing::warn!(%peer, %end, "stream ended"),
        }
    }
}

async fn serve(
    hub: &Arc<Hub>,
    doors: &Doors,
    peer: String,
    claim: impl Future<Output = Result<Claim, End>>,
    ups: impl Stream<Item = Result<v1::Up, End>>,
    out: &mpsc::Sender<Bytes>,
) -> Result<(), End> {
    let mut ups = pin!(ups);
    if !doors.ready.value() {
        return Err(End::NotReady);
    }
    if doors.leaving.is_cancelled() {
        return Err(End::Leaving);
    }
    // Who proves nothing is not read either.
    let claim = claim.await?;
    let hello = greet(&doors.limits, ups.next()).await?;
    claim(&hello.node)?;
    catch_up(hub, doors, &hello).await?;
    let (node, version) = (hello.node.clone(), hello.version.clone());
    let session = Session::begin(
        hub,
        Arc::clone(&doors.limits),
        hello,
        peer.clone(),
        Instant::now(),
    )?;
    tracing::info!(?node, %peer, ?version, "node follows");
    Driver {
        session,
        out,
        doors,
        has_work: true,
        has_more_wants: false,
        next_turn: Instant::now(),
        turn_bytes: 0,
        blocked_since: None,
        said_goodbye: false,
    }
    .run(ups)
    .await
}

async fn greet(
    limits: &Limits,
    first: impl Future<Output = Option<Result<v1::Up, End>>>,
) -> Result<v1::Hello, End> {
    let wait = limits.hello_wait;
    let first = timeout(wait, first)
        .await
        .map_err(|_| End::Fault(format!("no hello within {wait:?}")))?;
    match first.ok_or(End::Closed)??.message {
        Some(up::Message::Hello(hello)) => Ok(hello),
        _ => Err(End::Fault("the first message must be hello".to_owned())),
    }
}

/// Waits until this replica has seen what the node has been told elsewhere (F27).
async fn catch_up(hub: &Hub, doors: &Doors, hello: &v1::Hello) -> Result<(), End> {
    let is_behind = || behind(&**hub.sources(), hello.position.as_ref());
    if hello.accept_older || is_behind().is_none() {
        return Ok(());
    }
    let caught_up = async {
        while is_behind().is_some() {
            sleep(CATCH_UP_TICK).await;
        }
    };
    tokio::select! {
        () = doors.leaving.cancelled() => Err(End::Leaving),
        done = timeout(doors.limits.behind_wait, caught_up) => match (done, is_behind()) {
            (Err(_), Some(how)) => Err(End::Behind(how)),
            _ => Ok(()),
        },
    }
}

struct Driver<'a> {
    session: Session,
    out: &'a mpsc::Sender<Bytes>,
    doors: &'a Doors,
    /// Whether the session may have something to tell.
    has_work: bool,
    /// Whether part of a `Want` is left.
    has_more_wants: bool,
    /// When the next turn may begin (5.2).
    next_turn: Instant,
    turn_bytes: usize,
    /// Since when bytes could be handed over, were there room.
    blocked_since: Option<Instant>,
    said_goodbye: bool,
}

impl Driver<'_> {
    async fn run(
        mut self,
        mut ups: impl Stream<Item = Result<v1::Up, End>> + Unpin,
    ) -> Result<(), End> {
        let out = self.out;
        let doors = self.doors;
        let mut alarm = pin!(sleep_until(Instant::now()));
        loop {
            let now = Instant::now();
            let may_write = self.has_work && now >= self.next_turn;
            let wake_at = self.wake_at(may_write, now)?;
            // An alarm that is too early does no harm, and moving it costs.
            if alarm.is_elapsed() || wake_at < alarm.deadline() {
                alarm.as_mut().reset(wake_at);
            }
            tokio::select! {
                () = doors.closed.cancelled() => return Err(End::Leaving),
                () = doors.leaving.cancelled(), if !self.said_goodbye => {
                    self.said_goodbye = true;
                    self.has_work = true;
                    self.session.goodbye(doors.goodbye, "this replica is shutting down");
                }
                () = doors.aged.cancelled(), if !self.said_goodbye => {
                    self.said_goodbye = true;
                    self.has_work = true;
                    self.session.goodbye(MOVE_WITHIN, "this connection is old: nodes are spread anew");
                }
                up = ups.next(), if self.session.is_listening() => {
                    let Some(up) = up.transpose()? else {
                        return Ok(());
                    };
                    let now = Instant::now();
                    self.session.hear(up, now)?;
                    self.work(now)?;
                }
                () = tokio::task::yield_now(), if self.has_more_wants => self.work(Instant::now())?,
                () = self.session.rung(), if !self.has_work => self.has_work = true,
                room = out.reserve(), if may_write => {
                    // The stream is gone when nobody takes from the channel any more.
                    let room = room.map_err(|_| End::Closed)?;
                    self.write(room);
                }
                () = out.closed() => return Ok(()),
                () = alarm.as_mut() => {
                    self.has_work |= Instant::now() >= self.session.deadline();
                }
            }
        }
    }

    fn work(&mut self, now: Instant) -> Result<(), End> {
        self.has_more_wants = self.session.work(now)?;
        self.has_work = true;
        Ok(())
    }

    /// When to look again although nothing happens. Ends a session that takes nothing for too long (K8S-146).
    fn wake_at(&mut self, may_write: bool, now: Instant) -> Result<Instant, End> {
        if !may_write {
            self.blocked_since = None;
            return Ok(match self.has_work {
                true => self.next_turn,
                false => self.session.deadline(),
            });
        }
        let stall = self.session.limits().stall;
        let ends = *self.blocked_since.get_or_insert(now) + stall;
        if now >= ends {
            return Err(End::Stalled(stall));
        }
        Ok(ends)
    }

    fn write(&mut self, room: mpsc::Permit<'_, Bytes>) {
        let now = Instant::now();
        self.blocked_since = None;
        if let Some(chunk) = self.session.next_chunk(now) {
            self.turn_bytes += chunk.len();
            room.send(chunk);
        }
        self.has_work = self.session.has_more();
        if !self.has_work || self.turn_bytes >= TURN_BYTES {
            if self.turn_bytes > 0 {
                self.next_turn = now + self.session.gap();
            }
            self.turn_bytes = 0;
        }
        // What was refused is told: the rest of a `Want` may go on.
        self.has_more_wants = !self.session.is_listening();
    }
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors")
            .field("ready", &self.ready.value())
            .field("leaving", &self.leaving.is_cancelled())
            .finish_non_exhaustive()
    }
}
