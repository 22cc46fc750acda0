//! The laws of resolver API 8 from the node's side.

mod gateways;
mod ingress;
pub(crate) mod replica;

use std::sync::Arc;

use l5d_naming::{Dtab, NameTree, Replicas};
use l5d_resolver::v1::down::Message;
use proptest::prelude::*;

use self::replica::{CLUSTERS, PATHS, Replica, bound, down, id, path, tree};
use super::*;
use crate::cache::NameState;

/// A session and its replica, joined by hand.
struct Pair {
    set: Arc<FollowSet>,
    session: Session,
    replica: Replica,
    now: Instant,
    refetches: Vec<(u32, Instant)>,
}

impl Pair {
    fn new(replica: Replica) -> Self {
        let set = FollowSet::new();
        let now = Instant::now();
        let session = open(&set, false, now);
        Self {
            set,
            session,
            replica,
            now,
            refetches: Vec::new(),
        }
    }

    fn name(&self, index: usize) -> Arc<Name> {
        self.set.begin(0, path(index), Dtab::empty())
    }

    /// Passes everything up.
    fn up(&mut self) {
        let changes = self.set.take();
        self.session.change(&changes);
        drop(changes);
        while let Some(up) = self.session.next_up(self.now) {
            if let Some(v1::up::Message::Refetch(refetch)) = &up.message {
                let at = self.now;
                self.refetches
                    .extend(refetch.numbers.iter().map(|n| (*n, at)));
            }
            if let Some(answer) = self.replica.take(up) {
                self.apply(answer);
            }
        }
    }

    fn apply(&mut self, down: v1::Down) {
        self.session.apply(down, self.now).expect("no fault");
    }

    /// Passes everything up, then down.
    fn turn(&mut self) {
        self.up();
        for down in self.replica.write() {
            self.apply(down);
        }
    }

    fn beat(&mut self) {
        let beat = self.replica.heartbeat();
        self.apply(beat);
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    /// A new stream of the same node to a replica that sees the same.
    fn reconnect(&mut self, is_hidden: bool) -> Session {
        self.replica = self.replica.next_stream();
        std::mem::replace(&mut self.session, open(&self.set, is_hidden, self.now))
    }

    fn cell(&self, cluster: usize) -> Arc<Cluster> {
        self.set.clusters.cell(&id(cluster))
    }
}

fn open(set: &Arc<FollowSet>, is_hidden: bool, now: Instant) -> Session {
    let routers = HashMap::from([(0, 0)]);
    let hello = v1::Hello::default();
    Session::open(
        set.clone(),
        routers,
        hello,
        Position::default(),
        is_hidden,
        now,
    )
}

/// Path 0 leads to cluster 0, which has one endpoint.
fn simple() -> Replica {
    let mut replica = Replica::new();
    replica.clusters[0] = bound(&[(80, 65_536)]);
    replica.trees[0] = Some(tree(&[0]));
    replica
}

fn clusters_of(name: &Name) -> Option<Vec<String>> {
    let mut all = Vec::new();
    name.tree()?
        .for_each_leaf(&mut |leaf: &Leaf| all.push(leaf.cluster.id.to_string()));
    Some(all)
}

#[tokio::test(start_paused = true)]
async fn hello_then_the_first_want_at_once() {
    let mut pair = Pair::new(simple());
    let _name = pair.name(0);
    let mut session = open(&pair.set, false, pair.now);
    let first = session.next_up(pair.now).and_then(|up| up.message);
    assert!(matches!(first, Some(v1::up::Message::Hello(_))));
    match session.next_up(pair.now).and_then(|up| up.message) {
        Some(v1::up::Message::Want(want)) => assert_eq!(want.interests.len(), 1),
        other => panic!("{other:?}"),
    }
    assert!(session.next_up(pair.now).is_none());
    assert_eq!(session.phase(), Phase::Greeting);
    pair.turn();
    assert_eq!(pair.session.phase(), Phase::Following);
}

#[tokio::test(start_paused = true)]
async fn a_name_gets_its_tree_with_all_sets() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    assert_eq!(clusters_of(&name), Some(vec![id(0).to_string()]));
    assert_eq!(pair.cell(0).state().replicas, bound(&[(80, 65_536)]));
    pair.replica.clusters[0] = bound(&[(80, 65_536), (81, 9)]);
    pair.turn();
    assert_eq!(
        pair.cell(0).state().replicas,
        bound(&[(80, 65_536), (81, 9)])
    );
    assert_eq!(pair.session.position.to_wire().sources[0].rv, 7);
    pair.beat();
}

#[tokio::test(start_paused = true)]
async fn res_2_a_tree_that_names_an_unknown_set_ends_the_stream() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.up();
    let told = pair.replica.write();
    let is_tree = |d: &&v1::Down| matches!(d.message, Some(Message::Tree(_)));
    let early = told.iter().find(is_tree).expect("a tree").clone();
    let fault = pair
        .session
        .apply(early, pair.now)
        .expect_err("out of order");
    assert!(matches!(fault, Fault::Protocol(_)));
    assert!(name.tree().is_none());
}

#[tokio::test(start_paused = true)]
async fn res_2_a_tree_waits_for_a_set_that_was_misread() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.replica.corrupt_next = true;
    pair.turn();
    assert!(name.tree().is_none(), "its set is missing");
    pair.turn();
    assert!(name.tree().is_some(), "refetched");
    pair.beat();
}

#[tokio::test(start_paused = true)]
async fn res_6_pending_failed_and_loss_keep_the_last_good_state() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    for bad in [Replicas::Pending, Replicas::Failed("down".into())] {
        pair.replica.clusters[0] = bad;
        pair.turn();
        assert_eq!(pair.cell(0).state().replicas, bound(&[(80, 65_536)]));
    }
    pair.replica.trees[0] = None;
    pair.turn();
    assert!(name.tree().is_some());
    pair.beat();
    pair.replica.trees[0] = Some(tree(&[0]));
    pair.replica.clusters[0] = Replicas::Neg;
    pair.turn();
    assert_eq!(
        pair.cell(0).state().replicas,
        Replicas::Neg,
        "what the source says counts"
    );
}

#[tokio::test(start_paused = true)]
async fn res_8_a_misread_set_is_asked_for_once_in_ten_seconds() {
    let mut pair = Pair::new(simple());
    let _name = pair.name(0);
    pair.turn();
    for port in 81..90 {
        pair.replica.corrupt_next = true;
        pair.replica.clusters[0] = bound(&[(port, 65_536)]);
        pair.turn();
        pair.turn();
        pair.beat();
        pair.wait(4);
    }
    pair.replica.corrupt_next = false;
    pair.wait(10);
    pair.turn();
    pair.turn();
    assert_eq!(pair.cell(0).state().replicas, bound(&[(89, 65_536)]));
    let gaps = pair.refetches.windows(2).map(|w| w[1].1 - w[0].1);
    assert!(
        gaps.into_iter().all(|gap| gap >= REFETCH_GAP),
        "{:?}",
        pair.refetches
    );
    assert!(pair.refetches.len() >= 2);
}

#[tokio::test(start_paused = true)]
async fn res_8_a_digest_that_differs_ends_the_stream() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    let other = Message::Heartbeat(v1::Heartbeat {
        digest: 1,
        ..v1::Heartbeat::default()
    });
    let fault = pair.session.apply(down(other), pair.now);
    assert_eq!(fault, Err(Fault::Digest));
    assert!(name.tree().is_some(), "the old state stays in use");
}

#[tokio::test(start_paused = true)]
async fn res_11_equal_state_is_confirmed_and_no_request_notices() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    let (tree, version) = (name.state(), pair.cell(0).version());
    pair.set.mark_stale();
    pair.reconnect(false);
    pair.up();
    assert!(name.is_stale() && pair.cell(0).is_stale());
    let told = pair.replica.write();
    let is_confirm = |d: &v1::Down| matches!(d.message, Some(Message::Confirm(_)));
    assert!(told.iter().all(is_confirm), "{told:?}");
    told.into_iter().for_each(|d| pair.apply(d));
    assert!(!name.is_stale() && !pair.cell(0).is_stale());
    assert!(Arc::ptr_eq(&tree, &name.state()));
    assert_eq!(version, pair.cell(0).version());
    assert_eq!(pair.session.phase(), Phase::Following);
    pair.beat();
    pair.replica.clusters[0] = bound(&[(99, 65_536)]);
    pair.turn();
    assert_eq!(
        pair.cell(0).state().replicas,
        bound(&[(99, 65_536)]),
        "a delta on what was held"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tree_confirmed_after_its_interest_ended_counts_as_told() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    pair.reconnect(false);
    pair.up();
    let told = pair.replica.write();
    drop(name);
    let changes = pair.set.take();
    pair.session.change(&changes);
    told.into_iter().for_each(|d| pair.apply(d));
    pair.beat();
    pair.turn();
    pair.beat();
}

#[tokio::test(start_paused = true)]
async fn res_12_numbers_that_are_not_known_are_counted_and_ignored() {
    let mut pair = Pair::new(simple());
    let _name = pair.name(0);
    pair.turn();
    let delta = v1::Delta {
        number: 77,
        ..v1::Delta::default()
    };
    pair.apply(down(Message::Delta(delta)));
    pair.apply(down(Message::Forget(v1::Forget { numbers: vec![78] })));
    let answer = v1::Answer {
        interests: vec![1],
        trees: vec![79],
    };
    pair.apply(down(Message::Answer(answer)));
    assert_eq!(pair.session.take_counts().unknown_numbers, 3);
    pair.beat();
}

#[tokio::test(start_paused = true)]
async fn res_10_a_refusal_ends_one_interest_only() {
    let mut pair = Pair::new(simple());
    let (good, bad) = (pair.name(0), pair.name(1));
    pair.up();
    let error = v1::Error {
        code: v1::Code::Limit.into(),
        message: "too many names".to_owned(),
        retry_ms: 1000,
    };
    let refuse = v1::Refuse {
        interest: 2,
        error: Some(error),
    };
    pair.apply(down(Message::Refuse(refuse)));
    pair.turn();
    assert!(good.tree().is_some());
    match &*bad.state() {
        NameState::Failed(failure) => assert!(failure.is_limit),
        other => panic!("{other:?}"),
    }
    assert_eq!(pair.session.phase(), Phase::Following);
}

#[tokio::test(start_paused = true)]
async fn res_15_unknown_messages_are_skipped() {
    let mut pair = Pair::new(simple());
    pair.turn();
    pair.apply(v1::Down { message: None });
    pair.beat();
}

#[tokio::test(start_paused = true)]
async fn acks_are_at_most_one_a_second() {
    let mut pair = Pair::new(simple());
    let _name = pair.name(0);
    pair.turn();
    let mut acks = Vec::new();
    for tenth in 0..40u64 {
        pair.now += Duration::from_millis(100);
        pair.beat();
        if let Some(v1::up::Message::Ack(ack)) =
            pair.session.next_up(pair.now).and_then(|u| u.message)
        {
            acks.push((tenth, ack.messages));
        }
    }
    assert!((3..=4).contains(&acks.len()), "{acks:?}");
    assert!(acks.windows(2).all(|w| w[1].0 - w[0].0 >= 10));
}

#[tokio::test(start_paused = true)]
async fn res_14_silence_ends_the_stream() {
    let mut pair = Pair::new(simple());
    assert_eq!(
        pair.session.check(pair.now + Duration::from_secs(5)),
        Err(Fault::NoWelcome(Duration::from_secs(5)))
    );
    pair.turn();
    pair.wait(24);
    assert_eq!(pair.session.check(pair.now), Ok(()));
    pair.beat();
    pair.wait(24);
    assert_eq!(pair.session.check(pair.now), Ok(()));
    pair.wait(1);
    assert_eq!(pair.session.check(pair.now), Err(Fault::Silent));
}

#[tokio::test(start_paused = true)]
async fn a_hidden_session_writes_nothing_until_it_takes_over() {
    let mut pair = Pair::new(simple());
    let name = pair.name(0);
    pair.turn();
    pair.replica.clusters[0] = bound(&[(99, 65_536)]);
    pair.replica.clusters[1] = bound(&[(70, 65_536)]);
    pair.replica.trees[0] = Some(tree(&[0, 1]));
    pair.reconnect(true);
    pair.turn();
    assert_eq!(pair.session.phase(), Phase::Following);
    assert_eq!(pair.cell(0).state().replicas, bound(&[(80, 65_536)]));
    assert_eq!(clusters_of(&name).map(|c| c.len()), Some(1));
    pair.session.take_over();
    assert_eq!(pair.cell(0).state().replicas, bound(&[(99, 65_536)]));
    assert_eq!(clusters_of(&name).map(|c| c.len()), Some(2));
    pair.beat();
}

#[derive(Clone, Debug)]
enum Op {
    Cluster(usize, Replicas),
    Tree(usize, Option<Vec<usize>>),
    Want(usize),
    End(usize),
    Corrupt,
    Up,
    Write,
    Wait(u64),
    Beat,
    Reconnect(bool),
}

fn replicas() -> impl Strategy<Value = Replicas> {
    prop_oneof![
        1 => Just(Replicas::Pending),
        1 => Just(Replicas::Neg),
        1 => Just(Replicas::Failed("no".into())),
        6 => proptest::collection::vec((1u16..6, 1u32..3), 0..5).prop_map(|e| bound(&e)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let clusters = proptest::collection::btree_set(0..CLUSTERS, 0..3)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>());
    prop_oneof![
        6 => (0..CLUSTERS, replicas()).prop_map(|(c, r)| Op::Cluster(c, r)),
        3 => (0..PATHS, proptest::option::weighted(0.8, clusters)).prop_map(|(p, t)| Op::Tree(p, t)),
        3 => (0..PATHS).prop_map(Op::Want),
        2 => (0..PATHS).prop_map(Op::End),
        1 => Just(Op::Corrupt),
        5 => Just(Op::Up),
        6 => Just(Op::Write),
        1 => (0u64..12).prop_map(Op::Wait),
        2 => Just(Op::Beat),
        1 => any::<bool>().prop_map(Op::Reconnect),
    ]
}

proptest! {
    /// RES-3, RES-6, RES-8: whatever happens, nothing good gets worse, no digest differs, and when all is quiet node and
    /// replica hold the same.
    #[test]
    fn res_3_when_all_is_quiet_both_hold_the_same(ops in proptest::collection::vec(op(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
        let _guard = runtime.enter();
        let mut pair = Pair::new(simple());
        let mut names: Vec<Option<Arc<Name>>> = vec![None; PATHS];
        let mut before: Option<Session> = None;
        for op in ops {
            let good_names: Vec<_> = names.iter().flatten().filter(|n| n.tree().is_some()).cloned().collect();
            let good_cells: Vec<_> = pair.set.clusters.live().into_iter().filter(|c| c.has_good()).collect();
            match op {
                Op::Cluster(cluster, replicas) => pair.replica.clusters[cluster] = replicas,
                Op::Tree(path, clusters) => pair.replica.trees[path] = clusters.map(|c| tree(&c)),
                Op::Want(path) => {
                    if names[path].is_none() {
                        names[path] = Some(pair.name(path));
                    }
                }
                Op::End(path) => names[path] = None,
                Op::Corrupt => pair.replica.corrupt_next = true,
                Op::Up => pair.up(),
                Op::Write => {
                    pair.up();
                    for down in pair.replica.write() {
                        pair.apply(down);
                    }
                }
                Op::Wait(secs) => pair.wait(secs),
                Op::Beat => if pair.session.phase() != Phase::Greeting { pair.beat() },
                Op::Reconnect(is_hidden) => {
                    let old = pair.reconnect(is_hidden);
                    if is_hidden {
                        before = Some(old);
                    } else {
                        before = None;
                        pair.set.mark_stale();
                    }
                }
            }
            prop_assert!(good_names.iter().all(|n| n.tree().is_some()), "RES-6");
            prop_assert!(good_cells.iter().all(|c| c.has_good()), "RES-6");
        }
        drop(before);
        pair.session.take_over();
        pair.replica.corrupt_next = false;
        for _ in 0..4 {
            pair.turn();
            pair.wait(11);
        }
        pair.beat();
        prop_assert_eq!(pair.session.phase(), Phase::Following);
        for (index, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            let Some(tree) = &pair.replica.trees[index] else { continue };
            let found = name.tree().map(|t| trees::hash_of(&t));
            prop_assert_eq!(found, Some(hash::tree_hash(tree)));
            prop_assert!(!name.is_stale());
            let mut cells = Vec::new();
            let tree: Arc<NameTree<Leaf>> = name.tree().expect("just seen");
            tree.for_each_leaf(&mut |leaf: &Leaf| cells.push(leaf.cluster.clone()));
            for cell in cells {
                let cluster = (0..CLUSTERS).find(|c| id(*c) == cell.id).expect("one of ours");
                let is = &pair.replica.clusters[cluster];
                if matches!(is, Replicas::Bound(_) | Replicas::Neg) {
                    prop_assert_eq!(&cell.state().replicas, is);
                    prop_assert!(!cell.is_stale());
                }
            }
        }
    }
}
