//! Serves one stream: greets the node, hears it, looks at the time. What is written is asked for at the [`super::desk`] by
//! whoever sends it, at the pace of the peer's window.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use l5d_resolver::v1;
use l5d_resolver::v1::up;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::{Chunks, Desk};
use super::hub::Hub;
use super::limits::Limits;
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

/// One `Follow` stream: what serves it to its end and says why it ended, and the bytes that it gives. Dropping either ends
/// the session.
pub fn follow(
    hub: Arc<Hub>,
    doors: Doors,
    peer: String,
    claim: impl Future<Output = Result<Claim, End>>,
    ups: impl Stream<Item = Result<v1::Up, End>>,
) -> (impl Future<Output = End>, Chunks) {
    let desk = Desk::new();
    let chunks = desk.chunks();
    let serving = async move {
        // Last to be dropped: whoever waits for it finds the session gone.
        let mut counted = Counted {
            hub: &hub,
            peer: peer.clone(),
            end: End::Closed,
        };
        let _open = Open(&desk);
        if let Err(end) = serve(&hub, &doors, peer, claim, ups, &desk).await {
            counted.end = end;
        }
        counted.end.clone()
    };
    (serving, chunks)
}

/// Takes the session out when dropped: a stream may be given up at any moment.
struct Open<'a>(&'a Desk);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
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
    desk: &Desk,
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
    desk.begin(session);
    let hearer = Hearer {
        desk,
        doors,
        has_more_wants: false,
        said_goodbye: false,
    };
    hearer.run(ups).await
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

/// Hears the node until the stream ends.
struct Hearer<'a> {
    desk: &'a Desk,
    doors: &'a Doors,
    /// Whether part of a `Want` is left.
    has_more_wants: bool,
    said_goodbye: bool,
}

impl Hearer<'_> {
    async fn run(
        mut self,
        mut ups: impl Stream<Item = Result<v1::Up, End>> + Unpin,
    ) -> Result<(), End> {
        let doors = self.doors;
        let mut alarm = pin!(sleep_until(Instant::now()));
        loop {
            let outlook = self.desk.look(Instant::now())?;
            // An alarm that is too early does no harm, and moving it costs.
            if alarm.is_elapsed() || outlook.look_at < alarm.deadline() {
                alarm.as_mut().reset(outlook.look_at);
            }
            tokio::select! {
                () = doors.closed.cancelled() => return Err(End::Leaving),
                () = doors.leaving.cancelled(), if !self.said_goodbye => {
                    self.goodbye(doors.goodbye, "this replica is shutting down")?;
                }
                () = doors.aged.cancelled(), if !self.said_goodbye => {
                    self.goodbye(MOVE_WITHIN, "this connection is old: nodes are spread anew")?;
                }
                up = ups.next(), if outlook.is_listening => {
                    let Some(up) = up.transpose()? else {
                        return Ok(());
                    };
                    self.work(Some(up))?;
                }
                () = tokio::task::yield_now(), if self.has_more_wants => self.work(None)?,
                () = self.desk.called() => self.has_more_wants |= !outlook.is_listening,
                () = alarm.as_mut() => {}
            }
        }
    }

    fn work(&mut self, up: Option<v1::Up>) -> Result<(), End> {
        let now = Instant::now();
        self.has_more_wants = self.desk.work(|session| {
            if let Some(up) = up {
                session.hear(up, now)?;
            }
            session.work(now)
        })?;
        Ok(())
    }

    fn goodbye(&mut self, within: Duration, reason: &str) -> Result<(), End> {
        self.said_goodbye = true;
        self.desk.work(|session| {
            session.goodbye(within, reason);
            Ok(())
        })
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
