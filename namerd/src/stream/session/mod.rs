//! One node's stream: what it follows, and which version of it the node has been told.
//!
//! A session keeps no values and no queue of states, only positions: for each number the version told and a count of users.
//! What is to be written is decided when there is room for it, so a node that reads slowly skips versions instead of
//! waiting for old ones (RES-5). Whoever drives it hears the node's messages into it ([`Session::hear`],
//! [`Session::work`]) and asks for bytes ([`Session::next_chunk`]); it never waits.

mod clusters;
mod gateways;
mod ingress;
mod interests;
mod trees;
mod write;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use foldhash::HashMap;
use l5d_resolver::hash::Digest;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::up;
use tokio::time::Instant;

use super::bell::Bell;
use super::bucket::Bucket;
use super::hello::{self, Held, Router};
use super::hub::Hub;
use super::limits::Limits;
use super::registry::Registered;
use super::ring::Ring;
use super::sources::position;
use crate::store::{Caller, Listener};

use clusters::FollowedCluster;
use gateways::FollowedGateways;
use ingress::FollowedIngress;
use interests::Interest;
use trees::FollowedTree;
use write::Out;

/// One node's stream.
pub struct Session {
    hub: Arc<Hub>,
    limits: Arc<Limits>,
    registered: Registered,
    bell: Arc<Bell>,
    caller: Caller,
    routers: Vec<Result<Router, v1::Error>>,
    /// What the node kept from before and has not been told about yet, by H8 of the id.
    held: HashMap<u64, Held>,
    /// When it counts as not wanted any more.
    held_until: Instant,

    /// The rest of the last `Want`; the next message is heard when it is empty.
    inbox: VecDeque<v1::Interest>,
    wants: u64,
    /// So many interests may still come with a tree held from before, free of the limit in time.
    resumable: u32,
    last_interest: Option<u32>,
    interests: HashMap<u32, Interest>,
    /// For interests that have not been answered yet: hash of the tree that the node still holds from before.
    held_trees: HashMap<u32, u64>,
    overrides: u32,
    bucket: Bucket,

    trees: HashMap<u32, FollowedTree>,
    clusters: HashMap<u32, FollowedCluster>,
    ingress: Option<FollowedIngress>,
    gateways: Option<FollowedGateways>,

    // What is to be told, in this order (5.1).
    removals: Ring,
    changes: Ring,
    again: Ring,
    fresh: Ring,
    waiting: Ring,
    answers: VecDeque<u32>,
    refusals: VecDeque<v1::Refuse>,
    forgets: Ring,
    digest_due: bool,

    /// Whether a waiting tree may have become ready.
    scan: bool,
    /// When the first tree that is held back may go.
    hold_at: Option<Instant>,
    heartbeat_at: Instant,
    out: Out,
    digest: Digest,
}

/// Why a stream ends, or never begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The node has ended it.
    #[error("the node closed the stream")]
    Closed,
    /// Not every source has answered yet (K8S-129).
    #[error("namerd is not ready: a source has not answered yet")]
    NotReady,
    /// This process is about to stop.
    #[error("namerd is shutting down")]
    Leaving,
    /// As many sessions as allowed are open.
    #[error("this replica has its {0} sessions; try another one")]
    Sessions(usize),
    /// The node has seen newer objects elsewhere.
    #[error("behind: {0}")]
    Behind(String),
    /// The node has not shown who it is.
    #[error("{0}")]
    Unproven(String),
    /// The node has shown that it is another one.
    #[error("{0}")]
    Denied(String),
    /// Nobody can tell now who the node is.
    #[error("{0}")]
    Unchecked(String),
    /// A breach of the protocol.
    #[error("{0}")]
    Fault(String),
    /// A message over its limit.
    #[error("{0}")]
    TooLarge(String),
    /// The node reads nothing although something waits.
    #[error("the node took nothing for {0:?} while something was waiting")]
    Stalled(Duration),
}

impl Session {
    /// Begins with the node's `Hello`; the first bytes are the `Welcome`.
    pub fn begin(
        hub: &Arc<Hub>,
        limits: Arc<Limits>,
        hello: v1::Hello,
        peer: String,
        now: Instant,
    ) -> Result<Self, End> {
        let mut checked = hello::check(&hello, &limits)?;
        for router in checked.routers.iter_mut().flatten() {
            // Hashed and compared with those of others once, and not for each name.
            router.transformers = hub.binder.list(&router.transformers);
        }
        let resumed = !checked.held.is_empty();
        let registered = hub
            .registry()
            .enter(hello.node, peer, hello.version, resumed);
        if hub.registry().len() > limits.sessions {
            return Err(End::Sessions(limits.sessions));
        }
        let metrics = hub.metrics();
        metrics.sessions.add(1);
        metrics.opened.add(1);
        metrics.resumed.add(u64::from(resumed));
        let mut session = Self {
            registered,
            bell: Bell::new(&hub.pace),
            caller: checked.caller,
            routers: checked.routers,
            held: checked.held,
            held_until: now + RESUME_WAIT,
            inbox: VecDeque::new(),
            wants: 0,
            resumable: limits.interests,
            last_interest: None,
            interests: HashMap::default(),
            held_trees: HashMap::default(),
            overrides: 0,
            bucket: Bucket::new(limits.want_burst, limits.wants_per_second, now),
            trees: HashMap::default(),
            clusters: HashMap::default(),
            ingress: None,
            gateways: None,
            removals: Ring::default(),
            changes: Ring::default(),
            again: Ring::default(),
            fresh: Ring::default(),
            waiting: Ring::default(),
            answers: VecDeque::new(),
            refusals: VecDeque::new(),
            forgets: Ring::default(),
            digest_due: false,
            scan: false,
            hold_at: None,
            heartbeat_at: now + limits.heartbeat,
            out: Out::default(),
            digest: Digest::default(),
            limits,
            hub: Arc::clone(hub),
        };
        session.welcome();
        session.want_ingress(&hello.features, hello.ingress);
        session.want_gateways(&hello.features, hello.gateways);
        Ok(session)
    }

    fn welcome(&mut self) {
        let limits = &self.limits;
        let knows_gateways = self.hub.binder.gateways().is_some();
        let gateways = knows_gateways.then_some(l5d_resolver::gateways::FEATURE);
        let features = [l5d_resolver::ingress::FEATURE].into_iter().chain(gateways);
        let welcome = v1::Welcome {
            replica: self.hub.replica().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: features.map(str::to_owned).collect(),
            position: Some(position(&*self.hub.sources)),
            limits: Some(limits.to_wire()),
            heartbeat_ms: limits.heartbeat.as_millis() as u32,
        };
        self.tell(Message::Welcome(welcome));
    }

    /// Takes a message of the node. A `Want` is only put aside for [`Session::work`]. Unknown messages are skipped (RES-15).
    pub fn hear(&mut self, up: v1::Up, now: Instant) -> Result<(), End> {
        match up.message {
            Some(up::Message::Hello(_)) => {
                return Err(End::Fault("hello was said twice".to_owned()));
            }
            Some(up::Message::Want(want)) => {
                self.wants += 1;
                self.inbox.extend(want.interests);
            }
            Some(up::Message::Drop(drop)) => {
                drop.interests.iter().for_each(|id| self.drop_interest(*id));
            }
            Some(up::Message::Ack(ack)) => self.registered.entry.lag.acked(ack.messages, now),
            Some(up::Message::Refetch(refetch)) => {
                refetch.numbers.iter().for_each(|n| self.refetch(*n, now));
            }
            None => {}
        }
        Ok(())
    }

    /// Whether the next message of the node may be heard: what it has asked for is done, and what it was refused is told.
    pub fn is_listening(&self) -> bool {
        self.inbox.is_empty() && self.refusals.len() < MOST_REFUSALS
    }

    /// Binds some of what was wanted; says whether there is more. Bounded, so that one node does not keep a thread.
    pub fn work(&mut self, now: Instant) -> Result<bool, End> {
        let begun = Instant::now();
        for _ in 0..BINDINGS_A_TURN {
            if self.refusals.len() >= MOST_REFUSALS {
                return Ok(false);
            }
            if begun.elapsed() > LONGEST_TURN {
                break;
            }
            let Some(interest) = self.inbox.pop_front() else {
                return Ok(false);
            };
            self.want(&interest, now)?;
        }
        Ok(!self.inbox.is_empty())
    }

    /// Wakes the one who writes when something that is followed changes next; [`Session::has_more`] says whether something
    /// has.
    pub fn listen(&self, writer: &Waker) {
        self.bell.listen(writer);
    }

    /// When [`Session::next_chunk`] has something to give although nothing has changed.
    pub fn deadline(&self) -> Instant {
        self.hold_at
            .map_or(self.heartbeat_at, |at| at.min(self.heartbeat_at))
    }

    /// Tells the node to go elsewhere at a random moment within this time.
    pub fn goodbye(&mut self, within: Duration, reason: &str) {
        self.tell(Message::Goodbye(v1::Goodbye {
            within_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            reason: reason.to_owned(),
        }));
    }

    /// The bounds of this session.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A turn ends now: what changes from now on is gathered until the moment that this gives (5.2).
    pub fn gather(&self, now: Instant) -> Instant {
        let gap = self.hub.gap().now();
        let until = now + gap;
        if !gap.is_zero() {
            self.bell.gather(until);
        }
        until
    }

    /// Wakes whoever writes at this moment.
    pub fn wake_at(&self, until: Instant, writer: Waker) {
        self.hub.pace.wake_at(until, writer);
    }

    fn listener(&self) -> Weak<dyn Listener> {
        let bell: Arc<dyn Listener> = Arc::clone(&self.bell) as _;
        Arc::downgrade(&bell)
    }

    fn show(&self) {
        let entry = &self.registered.entry;
        entry
            .interests
            .store(self.interests.len() as u64, Ordering::Relaxed);
        entry
            .clusters
            .store(self.clusters.len() as u64, Ordering::Relaxed);
    }
}

/// How many names are bound before others have their turn.
const BINDINGS_A_TURN: usize = 64;
/// The same in time: one hostile dtab may take a thousand times as long as an honest one.
const LONGEST_TURN: Duration = Duration::from_millis(5);
/// How long what a node holds from before is remembered for names that it may still ask for.
const RESUME_WAIT: Duration = Duration::from_secs(60);
/// Refusals kept for a node that asks and does not read.
const MOST_REFUSALS: usize = 1_024;

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.metrics().sessions.sub(1);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("entry", &self.registered.entry)
            .field("interests", &self.interests.len())
            .field("trees", &self.trees.len())
            .field("clusters", &self.clusters.len())
            .finish_non_exhaustive()
    }
}
