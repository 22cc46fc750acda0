//! What one stream has told and what it shall be told: pure, without IO, so that every order of events can be tested.
//!
//! In: messages of namerd ([`Session::apply`]), changes of what is wanted ([`Session::change`]), the time. Out: what to
//! send next ([`Session::next_up`], gathered, never a queue), and names and clusters written as the rules of resolver
//! API 6 say. While another stream is still in use, a session is *hidden*: it learns, but writes nothing until
//! [`Session::take_over`].

mod apply;
mod clusters;
#[cfg(test)]
pub(super) mod tests;
mod trees;
mod up;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use l5d_naming::{NameTree, Replicas};
use l5d_resolver::gateways::{self, Gateways};
use l5d_resolver::ingress::Table;
use l5d_resolver::ingress_page::TableAssembly;
use l5d_resolver::{hash, page, v1};
use prost::Message as _;
use tokio::time::Instant;

use self::clusters::Clusters;
use self::trees::Trees;
use super::position::Position;
use crate::cache::{Changes, Cluster, ContactCounts, Failure, FollowSet, Leaf, Name};

/// Longest wait for `Welcome`.
const GREETING: Duration = Duration::from_secs(5);
/// The same after a `Hello` with a position: a replica that is behind it waits for its sources up to 10 s before it
/// says so (F27), and the answer takes its way.
const GREETING_WITH_POSITION: Duration = Duration::from_secs(12);
/// Longest time without a `Heartbeat`.
const SILENCE: Duration = Duration::from_secs(25);
const ACK_GAP: Duration = Duration::from_secs(1);
const REFETCH_GAP: Duration = Duration::from_secs(10);
/// Size of the Hello, with room below the server's limit of 1 MiB.
const HELLO_BYTES: usize = 1000 << 10;

/// One stream's state. Ends with the stream.
#[derive(Debug)]
pub(crate) struct Session {
    set: Arc<FollowSet>,
    /// Index of a router in the configuration to its index in `Hello`.
    routers: HashMap<usize, u32>,
    phase: Phase,
    is_hidden: bool,
    accepts_older: bool,
    /// Longest wait for `Welcome`.
    greeting: Duration,
    /// When the stream is given up, unless something is heard.
    deadline: Instant,
    goodbye: Option<Duration>,
    replica: Option<(String, String)>,

    clusters: Clusters,
    trees: Trees,
    interests: HashMap<u32, Interest>,
    by_name: HashMap<u64, u32>,
    next_interest: u32,
    /// What was offered for interests that ended before an answer: their tree may still be confirmed, and is then told.
    dropped_held: HashMap<u32, Arc<NameTree<Leaf>>>,
    /// Refusals to be passed on by [`Session::take_over`].
    hidden_refusals: Vec<(Arc<Name>, Failure, Duration)>,
    /// Pages of a table of Ingress rules.
    ingress: TableAssembly,
    /// The newest table, to be passed on by [`Session::take_over`].
    hidden_ingress: Option<Table>,
    /// Pages of names of nodes at gateways.
    gateways_pages: gateways::Assembly,
    /// The newest names as this stream has them; `None`: this namerd does not tell any.
    gateways: Option<Gateways>,
    /// Interests of the first `Want` without an answer.
    unanswered: BTreeSet<u32>,
    /// What was offered in `Hello`, by index.
    held: Vec<Held>,
    pub(super) position: Position,
    sources: Vec<(String, Duration)>,

    hello: Option<v1::Hello>,
    is_first_want_sent: bool,
    wants: BTreeSet<u32>,
    drops: BTreeSet<u32>,
    applied: u64,
    acked: u64,
    acked_at: Instant,
    refetch: BTreeMap<u32, Refetch>,
    counts: ContactCounts,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No `Welcome` yet.
    Greeting,
    /// Some interest of the first `Want` has neither a tree nor a refusal.
    Resuming,
    /// All is answered.
    Following,
}

/// Why a session must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The other end breaks the rules.
    #[error("namerd broke the protocol: {0}")]
    Protocol(String),
    /// A message was lost or misread (RES-8).
    #[error("the digest of all states differs from namerd's")]
    Digest,
    /// No `Welcome`.
    #[error("no welcome within {} s", .0.as_secs())]
    NoWelcome(Duration),
    /// No `Heartbeat`.
    #[error("no heartbeat for {} s", SILENCE.as_secs())]
    Silent,
}

#[derive(Debug)]
struct Interest {
    name: Weak<Name>,
    tree: Option<u32>,
    /// The tree whose hash is offered.
    held: Option<Arc<NameTree<Leaf>>>,
}

#[derive(Debug)]
struct Held {
    cell: Arc<Cluster>,
    replicas: Replicas,
    hash: u64,
}

#[derive(Clone, Copy, Debug)]
struct Refetch {
    not_before: Instant,
    is_wanted: bool,
}

impl Session {
    /// A session for what is wanted and held now. `hello` comes without held clusters and position.
    pub(crate) fn open(
        set: Arc<FollowSet>,
        routers: HashMap<usize, u32>,
        mut hello: v1::Hello,
        position: Position,
        is_hidden: bool,
        now: Instant,
    ) -> Self {
        let held = held(&set, HELLO_BYTES.saturating_sub(hello.encoded_len()) / 16);
        hello.held_clusters = held
            .iter()
            .flat_map(|h| page::held(&h.cell.id, h.hash))
            .collect();
        hello.position = Some(position.to_wire());
        hello.ingress = set.ingress_class().map(|class| v1::IngressWish {
            class: class.to_string(),
            held: set.ingress().map(|table| table.hash()),
        });
        let gateways = set.gateways().map(|held| Gateways::clone(&held));
        hello.gateways = set.wants_gateways().then(|| v1::GatewaysWish {
            held: gateways.as_ref().map(Gateways::hash),
        });
        let greeting = if position.is_empty() {
            GREETING
        } else {
            GREETING_WITH_POSITION
        };
        let mut session = Self {
            routers,
            phase: Phase::Greeting,
            is_hidden,
            accepts_older: hello.accept_older,
            greeting,
            deadline: now + greeting,
            goodbye: None,
            replica: None,
            clusters: Clusters::default(),
            trees: Trees::default(),
            interests: HashMap::new(),
            by_name: HashMap::new(),
            next_interest: 1,
            dropped_held: HashMap::new(),
            hidden_refusals: Vec::new(),
            ingress: TableAssembly::default(),
            hidden_ingress: None,
            gateways_pages: gateways::Assembly::default(),
            gateways,
            unanswered: BTreeSet::new(),
            held,
            position,
            sources: Vec::new(),
            hello: Some(hello),
            is_first_want_sent: false,
            wants: BTreeSet::new(),
            drops: BTreeSet::new(),
            applied: 0,
            acked: 0,
            acked_at: now,
            refetch: BTreeMap::new(),
            counts: ContactCounts::default(),
            set,
        };
        for (id, name) in session.set.names() {
            session.want(id, &name);
        }
        session
    }

    /// Follows what has begun, drops what has ended.
    pub(crate) fn change(&mut self, changes: &Changes) {
        for (id, name) in &changes.begun {
            self.want(*id, name);
        }
        for id in &changes.ended {
            self.unwant(*id);
        }
        self.advance();
    }

    /// All is answered once nothing of the first `Want` is open.
    fn advance(&mut self) {
        if self.phase == Phase::Resuming && self.is_first_want_sent && self.unanswered.is_empty() {
            self.phase = Phase::Following;
        }
    }

    fn want(&mut self, name_id: u64, name: &Arc<Name>) {
        if !self.routers.contains_key(&name.router) || self.by_name.contains_key(&name_id) {
            return;
        }
        let interest = self.next_interest;
        self.next_interest += 1;
        self.by_name.insert(name_id, interest);
        self.wants.insert(interest);
        let entry = Interest {
            name: Arc::downgrade(name),
            tree: None,
            held: name.tree(),
        };
        self.interests.insert(interest, entry);
    }

    fn unwant(&mut self, name_id: u64) {
        let Some(interest) = self.by_name.remove(&name_id) else {
            return;
        };
        let ended = self.end_interest(interest);
        if !self.wants.remove(&interest) {
            self.drops.insert(interest);
            if let Some(held) = ended.and_then(|e| e.held) {
                self.dropped_held.insert(interest, held);
            }
        }
    }

    /// Forgets all about an interest but its name's number.
    fn end_interest(&mut self, interest: u32) -> Option<Interest> {
        self.unanswered.remove(&interest);
        let ended = self.interests.remove(&interest)?;
        if let Some(tree) = ended.tree {
            self.trees.leave(tree, interest);
        }
        Some(ended)
    }

    /// A number's content is not what was told: ask for it, at most once in 10 s (RES-8).
    fn ask_again(&mut self, number: u32, now: Instant) {
        self.counts.hash_mismatches += 1;
        let refetch = self.refetch.entry(number).or_insert(Refetch {
            not_before: now,
            is_wanted: true,
        });
        refetch.is_wanted = true;
    }

    /// When [`Session::next_up`] or [`Session::check`] have something new to say by time alone.
    pub(crate) fn wake_at(&self) -> Instant {
        let refetch = self.refetch.values().filter(|r| r.is_wanted);
        let times = refetch.map(|r| r.not_before).chain(self.ack_at());
        times.fold(self.deadline, Instant::min)
    }

    /// When the stream is given up, unless something is heard.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the stream must be given up by now.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Fault> {
        if now < self.deadline {
            return Ok(());
        }
        Err(match self.phase {
            Phase::Greeting => Fault::NoWelcome(self.greeting),
            Phase::Resuming | Phase::Following => Fault::Silent,
        })
    }

    /// Where it stands.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The replica's name for itself and its version, once it has said them.
    pub(crate) fn replica(&self) -> Option<&(String, String)> {
        self.replica.as_ref()
    }

    /// How old what is served is, from the last heartbeat.
    pub(crate) fn sources(&self) -> &[(String, Duration)] {
        &self.sources
    }

    /// The time within which to leave, once the replica has said goodbye.
    pub(crate) fn goodbye(&self) -> Option<Duration> {
        self.goodbye
    }

    /// Interests and clusters now.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.interests.len(), self.clusters.len())
    }

    /// What was counted since the last call.
    pub(crate) fn take_counts(&mut self) -> ContactCounts {
        std::mem::take(&mut self.counts)
    }

    /// From now on this session writes names and clusters: all that it knows, then every change.
    pub(crate) fn take_over(&mut self) {
        if !std::mem::replace(&mut self.is_hidden, false) {
            return;
        }
        self.clusters.write_all();
        let numbers: Vec<u32> = self.trees.numbers().collect();
        for number in numbers {
            self.deliver(number, None);
        }
        if let Some(table) = self.hidden_ingress.take() {
            self.set.set_ingress(Ok(table));
        }
        self.pass_gateways_on();
        for (name, failure, retry) in std::mem::take(&mut self.hidden_refusals) {
            name.refuse(failure, retry);
        }
    }
}

fn protocol(what: impl std::fmt::Display) -> Fault {
    Fault::Protocol(what.to_string())
}

/// The good states kept from before, at most this many.
fn held(set: &FollowSet, most: usize) -> Vec<Held> {
    set.clusters
        .live()
        .into_iter()
        .filter(|cell| cell.has_good())
        .take(most)
        .map(|cell| {
            let replicas = cell.state().replicas.clone();
            let hash = hash::cluster_hash(&replicas);
            Held {
                cell,
                replicas,
                hash,
            }
        })
        .collect()
}
