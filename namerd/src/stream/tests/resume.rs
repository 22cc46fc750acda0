//! A node comes back with what it holds (resolver API 5.4).

use super::*;

const WEB: &str = "/#/shelf/web";

/// Ends the stream, and begins the next one on `world` with everything held.
fn again<'a>(stream: Stream<'_>, world: &'a World, wanted: &[(u32, &str)]) -> Stream<'a> {
    let (node, hello) = stream.lose();
    let mut next = world.connect_with(hello, node);
    resume(&mut next, wanted);
    next
}

fn resume(stream: &mut Stream<'_>, wanted: &[(u32, &str)]) {
    let interests = wanted.iter().map(|(id, path)| v1::Interest {
        held_tree: stream.node.kept_trees.get(id).map(|t| t.hash),
        ..interest(*id, path)
    });
    let interests = interests.collect();
    stream.want_all(interests).unwrap();
}

/// K8S-153: a node that holds what the replica holds is told so in 20 bytes a name, and a tree in as many.
#[test]
fn res_11_everything_equal_sends_no_cluster_and_no_tree() {
    let names: Vec<String> = (0..100).map(|i| format!("n{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&names);
    let other = World::new(&names);
    let mut stream = world.connect();
    let paths: Vec<String> = names.iter().map(|n| format!("/svc/{n}")).collect();
    let wanted: Vec<(u32, &str)> = (1..).zip(paths.iter().map(String::as_str)).collect();
    let all = wanted.iter().map(|(id, path)| interest(*id, path));
    stream.want_all(all.collect()).unwrap();
    stream.read_all();
    // Another replica, which has given other numbers.
    let mut first = other.connect();
    first.want(1, "/svc/n50");
    first.read_all();
    let mut stream = again(stream, &other, &wanted);
    let welcome = stream.node.bytes;
    let told = stream.read_all();
    assert_eq!(told, ["confirm", "confirm"]);
    assert!(stream.node.bytes - welcome <= 20 * 200);
    assert_eq!(stream.node.shows(100), "/#/shelf/n99");
    assert_eq!(stream.node.clusters.len(), 100);
    // What was confirmed goes on as if it had been told.
    other.set("n7", many(2));
    assert_eq!(stream.read_all(), ["delta"]);
    stream.later += other.hub.limits().heartbeat;
    assert_eq!(stream.read_all(), ["heartbeat"]);
}

#[test]
fn a_held_set_in_the_history_is_caught_up_by_a_delta() {
    let world = World::new(&["web"]);
    world.set("web", many(100));
    let mut other = world.connect();
    let mut stream = world.connect();
    for stream in [&mut stream, &mut other] {
        stream.want(1, "/svc/web");
        stream.read_all();
    }
    let (node, hello) = stream.lose();
    world.set("web", many(101));
    other.read_all();
    let mut stream = world.connect_with(hello, node);
    resume(&mut stream, &[(1, "/svc/web")]);
    assert_eq!(stream.read_all(), ["confirm", "delta", "confirm"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 101);
}

#[test]
fn a_held_set_that_is_not_known_here_is_told_in_full() {
    let world = World::new(&["web"]);
    let other = World::new(&["web"]);
    world.set("web", many(3));
    other.set("web", many(7));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    let mut stream = again(stream, &other, &[(1, "/svc/web")]);
    assert_eq!(stream.read_all(), ["cluster", "confirm"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 7);
}

#[test]
fn res_6_what_is_not_known_yet_is_neither_confirmed_nor_replaced() {
    let world = World::new(&["web", "api"]);
    let other = World::new(&["web", "api"]);
    world.set("web", many(3));
    world.set("api", many(3));
    let mut stream = world.connect();
    let wanted = [(1, "/svc/web"), (2, "/svc/api")];
    stream
        .want_all(wanted.map(|(id, path)| interest(id, path)).into())
        .unwrap();
    stream.read_all();
    other.stands("web", Stands::Pending);
    other.set("web", many(3));
    other.set("api", Replicas::Pending);
    let mut stream = again(stream, &other, &wanted);
    assert!(stream.read_all().is_empty());
    stream.later += other.hub.limits().hold;
    assert!(stream.read_all().is_empty());
    assert_eq!(
        (stream.node.shows(1), stream.node.shows(2)),
        (WEB.to_owned(), "/#/shelf/api".to_owned())
    );
    other.stands("web", Stands::Yes);
    assert_eq!(stream.read_all(), ["confirm", "confirm"]);
    other.set("api", many(4));
    assert_eq!(stream.read_all(), ["cluster", "confirm"]);
    assert_eq!(stream.node.endpoints("/#/shelf/api").len(), 4);
}

#[test]
fn a_tree_that_differs_is_told_after_its_clusters() {
    let world = World::new(&["web", "v2"]);
    world.set("web", many(3));
    world.set("v2", many(2));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.dtab("/svc/web => /#/shelf/v2");
    let mut stream = again(stream, &world, &[(1, "/svc/web")]);
    assert_eq!(
        stream.read_all(),
        ["cluster", "tree", "answer", "heartbeat"]
    );
    assert_eq!(stream.node.shows(1), "/#/shelf/v2");
}

#[test]
fn a_resumed_session_says_so() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    assert!(!world.hub.registry().list(None)[0].resumed);
    let _stream = again(stream, &world, &[(1, "/svc/web")]);
    assert!(world.hub.registry().list(None)[0].resumed);
    assert_eq!(world.hub.metrics().resumed.get(), 1);
}

#[test]
fn res_7_replicas_with_other_histories_have_equal_hashes() {
    let (one, two) = (World::new(&["web"]), World::new(&["web"]));
    for n in [5, 9, 2, 7] {
        one.set("web", many(n));
    }
    two.set("web", many(7));
    let hash = |world: &World| {
        let mut stream = world.connect();
        stream.want(1, "/svc/web");
        stream.read_all();
        let cluster = stream.node.clusters.values().next().unwrap();
        let tree = stream.node.trees.values().next().unwrap();
        (cluster.hash, tree.hash)
    };
    assert_eq!(hash(&one), hash(&two));
}

#[test]
fn what_is_resumed_is_free_of_the_limit_in_time_even_in_several_messages() {
    let limits = Limits {
        want_burst: 1,
        ..Limits::default()
    };
    let world = World::with_limits(&["web"], limits);
    let mut stream = world.connect();
    let paths: Vec<String> = (1..=20).map(|i| format!("/svc/web/{i}")).collect();
    let wanted: Vec<(u32, &str)> = (1..).zip(paths.iter().map(String::as_str)).collect();
    let all = wanted.iter().map(|(id, path)| interest(*id, path));
    stream.want_all(all.collect()).unwrap();
    stream.read_all();
    let (node, hello) = stream.lose();
    let mut stream = world.connect_with(hello, node);
    for part in wanted.chunks(5) {
        resume(&mut stream, part);
    }
    assert_eq!(stream.read_all(), ["confirm", "confirm"]);
    assert!(stream.node.refused.is_empty());
}

/// RES-11, K8S-153: however many nodes come from another replica, what they hold is told in confirmations alone: nothing is
/// encoded for it, and each costs at most 20 bytes for a name and for a cluster.
#[test]
fn res_11_many_sessions_resume_without_an_encoding() {
    const NODES: usize = 200;
    const NAMES: usize = 30;
    let names: Vec<String> = (0..NAMES).map(|i| format!("n{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (world, other) = (World::new(&names), World::new(&names));
    for world in [&world, &other] {
        names.iter().for_each(|name| world.set(name, many(15)));
    }
    let paths: Vec<String> = names.iter().map(|n| format!("/svc/{n}")).collect();
    let wanted: Vec<(u32, &str)> = (1..).zip(paths.iter().map(String::as_str)).collect();
    let mut streams = Vec::new();
    for _ in 0..NODES {
        let mut stream = world.connect();
        let all = wanted.iter().map(|(id, path)| interest(*id, path));
        stream.want_all(all.collect()).unwrap();
        stream.read_all();
        streams.push(stream);
    }
    // A version is encoded once, for all of them (RES-4).
    assert_eq!(world.hub.metrics().encodings.get(), 2 * NAMES as u64);
    let mut moved = Vec::new();
    for stream in streams {
        let mut stream = again(stream, &other, &wanted);
        let welcome = stream.node.bytes;
        assert_eq!(stream.read_all(), ["confirm", "confirm"]);
        assert!(stream.node.bytes - welcome <= 20 * 2 * NAMES);
        moved.push(stream);
    }
    let metrics = other.hub.metrics();
    assert_eq!(metrics.encodings.get(), 0);
    assert_eq!(metrics.frames.get(), 3 * NODES as u64);
    assert_eq!(metrics.resumed.get(), NODES as u64);
    assert!(world.hub.registry().is_empty());
}
