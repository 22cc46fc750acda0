//! RES-3 as a property: random events, reading pace, wants and drops, reconnects; then quiet, and both ends hold the same.

use l5d_naming::{BoundName, NameTree};
use proptest::prelude::*;

use super::*;
use crate::bind::{BindKey, BindState, Transformers};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const DTABS: [&str; 4] = [
    "/svc => /#/shelf",
    "/svc => /#/shelf ; /svc/a => /#/shelf/b",
    "/svc => /#/shelf ; /svc/a => 0.3 * /#/shelf/b & 0.7 * /#/shelf/c ; /svc/d => /#/shelf/none | /#/shelf/d",
    "/svc => /#/shelf ; /svc/b => ! ; /svc/c => $",
];
const PATHS: [&str; 6] = [
    "/svc/a", "/svc/b", "/svc/c/x", "/svc/d", "/svc/e", "/svc/a/y",
];
const OVERRIDES: [&str; 3] = ["", "", "/svc/a => /#/shelf/d"];

#[derive(Clone, Debug)]
enum Step {
    Set(usize, Vec<u8>),
    NotBound(usize, u8),
    Stands(usize, u8),
    Dtab(usize),
    Want(usize, usize),
    Drop(usize),
    Read(u8),
    Later,
    Refetch(usize),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        8 => (name.clone(), prop::collection::vec(0..20u8, 0..12)).prop_map(|(n, e)| Step::Set(n, e)),
        1 => (name.clone(), 0..3u8).prop_map(|(n, s)| Step::NotBound(n, s)),
        2 => (name, 0..6u8).prop_map(|(n, s)| Step::Stands(n, s)),
        1 => (0..DTABS.len()).prop_map(Step::Dtab),
        5 => (0..PATHS.len(), 0..OVERRIDES.len()).prop_map(|(p, o)| Step::Want(p, o)),
        2 => any::<prop::sample::Index>().prop_map(|i| Step::Drop(i.index(1 << 16))),
        8 => (1..3u8).prop_map(Step::Read),
        1 => Just(Step::Later),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::Refetch(i.index(1 << 16))),
        1 => Just(Step::Reconnect),
    ]
}

/// What the node wants now: interest to path and override.
type Wanted = BTreeMap<u32, (usize, usize)>;

fn wanted(id: u32, (path, local): (usize, usize)) -> v1::Interest {
    v1::Interest {
        dtab: OVERRIDES[local].to_owned(),
        ..interest(id, PATHS[path])
    }
}

fn replicas(endpoints: &[u8]) -> Replicas {
    set_of(endpoints.iter().map(|e| Endpoint {
        weight: EndpointWeight(65_536 * u32::from(1 + e % 3)),
        ..Endpoint::new(([10, 0, 0, e / 2], 80).into())
    }))
}

/// Carries out one step; gives the stream that goes on.
fn carry_out<'a>(
    mut stream: Stream<'a>,
    step: &Step,
    live: &mut Wanted,
    next: &mut u32,
) -> Stream<'a> {
    let world = stream.world;
    match step {
        Step::Set(name, endpoints) => world.set(NAMES[*name], replicas(endpoints)),
        Step::NotBound(name, state) => {
            let state = match state {
                0 => Replicas::Neg,
                1 => Replicas::Pending,
                _ => Replicas::Failed("lost".into()),
            };
            world.set(NAMES[*name], state);
        }
        Step::Stands(name, state) => {
            let state = match state {
                0 => Stands::No,
                1 => Stands::Pending,
                2 => Stands::Failed,
                _ => Stands::Yes,
            };
            world.stands(NAMES[*name], state);
        }
        Step::Dtab(dtab) => world.dtab(DTABS[*dtab]),
        Step::Want(path, local) => {
            live.insert(*next, (*path, *local));
            stream
                .want_all(vec![wanted(*next, (*path, *local))])
                .unwrap();
            *next += 1;
        }
        Step::Drop(index) => {
            if let Some(id) = live.keys().nth(index % live.len().max(1)).copied() {
                live.remove(&id);
                stream.drop_interest(id);
            }
        }
        Step::Read(chunks) => {
            for _ in 0..*chunks {
                stream.read();
            }
        }
        Step::Later => stream.later += Duration::from_secs(3),
        Step::Refetch(index) => {
            let numbers: Vec<u32> = stream.node.clusters.keys().copied().collect();
            if let Some(number) = numbers.get(index % numbers.len().max(1)) {
                let numbers = vec![*number];
                stream
                    .say(up::Message::Refetch(v1::Refetch { numbers }))
                    .unwrap();
            }
        }
        Step::Reconnect => {
            let (node, hello) = stream.lose();
            stream = world.connect_with(hello, node);
            let again = live.iter().map(|(id, what)| v1::Interest {
                held_tree: stream.node.kept_trees.get(id).map(|t| t.hash),
                ..wanted(*id, *what)
            });
            let again = again.collect();
            stream.want_all(again).unwrap();
        }
    }
    stream
}

/// Both ends hold the same.
fn agree(stream: &Stream<'_>, live: &Wanted) {
    let node = &stream.node;
    let mut numbers = std::collections::BTreeSet::new();
    for (id, (path, local)) in live {
        let key = BindKey {
            root: Some("default".into()),
            router: Dtab::empty(),
            local: Dtab::parse(OVERRIDES[*local]).unwrap(),
            path: Path::parse(PATHS[*path]).unwrap(),
            transformers: Transformers::default(),
        };
        let hub = &stream.world.hub;
        let binding = hub.binder().bind(&key, &Caller::default()).unwrap();
        let state = binding.state.get();
        let BindState::Tree(tree) = &state.1 else {
            // Pending or failed: told as such, or not told to a node that held a tree from before.
            continue;
        };
        let mut waits = false;
        tree.for_each_leaf(&mut |leaf| {
            let replicas = leaf.cluster.replicas.value();
            let Some(known) = node.clusters.get(&leaf.cluster.number) else {
                // Only what a resumed node holds and is not known here stays untold.
                assert_eq!(
                    replicas,
                    Replicas::Pending,
                    "{} is not told",
                    leaf.cluster.id
                );
                waits = true;
                return;
            };
            numbers.insert(leaf.cluster.number);
            let merged = match replicas {
                Replicas::Bound(set) => Replicas::Bound(Arc::new((*set).clone().merged())),
                other => other,
            };
            assert_eq!(known.told, merged);
            assert_eq!(known.hash, l5d_resolver::hash::cluster_hash(&merged));
        });
        if waits {
            continue;
        }
        assert_eq!(node.interests[id], Some(binding.number));
        numbers.insert(binding.number);
        let names: NameTree<BoundName> = tree.map(&mut |leaf| BoundName {
            id: leaf.cluster.id.clone(),
            residual: leaf.residual.clone(),
        });
        assert_eq!(node.serves(*id), Some(&names));
    }
    if live.is_empty() {
        assert!(node.clusters.is_empty() && node.trees.is_empty());
    }
    assert!(numbers.len() <= node.clusters.len() + node.trees.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn res_3_when_the_stream_is_quiet_node_and_replica_hold_the_same(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let world = World::new(&NAMES);
        let mut stream = world.connect();
        // One that follows everything and reads at once, so that the other one finds versions between its own.
        let mut leader = world.connect();
        let everything = (1..).zip(PATHS).map(|(id, path)| interest(id, path));
        leader.want_all(everything.collect()).unwrap();
        let (mut live, mut next) = (Wanted::new(), 1);
        for step in &steps {
            stream = carry_out(stream, step, &mut live, &mut next);
            leader.read_all();
        }
        stream.quiet();
        leader.quiet();
        agree(&leader, &(1..).zip((0..PATHS.len()).map(|path| (path, 0))).collect());
        drop(leader);
        // A heartbeat whose digest the node checks.
        stream.later += world.hub.limits().heartbeat;
        prop_assert!(stream.read_all().contains(&"heartbeat"));
        agree(&stream, &live);
        for id in live.keys() {
            stream.drop_interest(*id);
        }
        stream.quiet();
        live.clear();
        agree(&stream, &live);
        prop_assert_eq!(world.hub.followed(), (0, 0));
    }
}
