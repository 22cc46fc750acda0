//! One session and its node: order, sharing, conflation, forgetting.

use super::*;

const WEB: &str = "/#/shelf/web";

#[test]
fn a_name_is_told_with_its_addresses_before_it_is_answered() {
    // RES-2, 5.1.
    let world = World::new(&["web"]);
    world.set("web", bound(&[("10.1.1.2:4141", 1.0)]));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    let told = stream.read_all();
    assert_eq!(told, ["cluster", "tree", "answer", "heartbeat"]);
    assert_eq!(stream.node.shows(1), WEB);
    assert_eq!(stream.node.endpoints(WEB), ["10.1.1.2:4141"]);
}

#[test]
fn res_1_a_cluster_of_many_interests_is_told_once() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    let interests = (1..=50).map(|i| interest(i, &format!("/svc/web/p{i}")));
    stream.want_all(interests.collect()).unwrap();
    let told = stream.read_all();
    assert_eq!(told.iter().filter(|k| **k == "cluster").count(), 1);
    assert_eq!(told.iter().filter(|k| **k == "tree").count(), 50);
    assert_eq!(told.iter().filter(|k| **k == "answer").count(), 1);
}

#[test]
fn interests_with_the_same_question_share_one_tree() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    stream
        .want_all(vec![interest(1, "/svc/web"), interest(2, "/svc/web")])
        .unwrap();
    let told = stream.read_all();
    assert_eq!(told, ["cluster", "tree", "answer", "heartbeat"]);
    stream.want(3, "/svc/web");
    assert_eq!(stream.read_all(), ["answer"]);
    assert_eq!(stream.node.shows(3), WEB);
}

/// K8S-150: the latest state wins.
#[test]
fn res_5_a_reader_that_stopped_gets_the_newest_state_in_one_message() {
    let world = World::new(&["web"]);
    world.set("web", many(100));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    for n in 1..=60 {
        world.set("web", many(100 + n));
    }
    assert_eq!(stream.read_all(), ["delta"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 160);
}

#[test]
fn k8s_142_changes_beyond_the_history_or_larger_than_the_state_come_in_full() {
    // 5.3: 64 versions.
    let world = World::new(&["web", "api"]);
    world.set("web", many(500));
    world.set("api", many(500));
    let mut stream = world.connect();
    let mut close = world.connect();
    let mut just_within = world.connect();
    for s in [&mut stream, &mut close, &mut just_within] {
        s.want_all(vec![interest(1, "/svc/web"), interest(2, "/svc/api")])
            .unwrap();
        s.read_all();
    }
    for n in 1..=65 {
        world.set("web", many(500 + n));
        assert_eq!(close.read_all(), ["delta"]);
        if n == 1 {
            assert_eq!(just_within.read_all(), ["delta"]);
        }
    }
    assert_eq!(just_within.read_all(), ["delta"], "64 versions behind");
    assert_eq!(stream.read_all(), ["cluster"], "65 versions behind");
    world.set("api", many(10));
    assert_eq!(stream.read_all(), ["cluster"]);
}

#[test]
fn a_change_to_or_from_bound_comes_in_full() {
    // 5.3.
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.set("web", Replicas::Neg);
    assert_eq!(stream.read_all(), ["cluster"]);
    assert!(stream.node.endpoints(WEB).is_empty());
    world.set("web", many(3));
    assert_eq!(stream.read_all(), ["cluster"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 3);
}

#[test]
fn res_6_pending_and_failure_leave_the_node_with_what_it_has() {
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.set("web", Replicas::Failed("lost".into()));
    world.set("web", Replicas::Pending);
    world.stands("web", Stands::Failed);
    assert_eq!(stream.read_all(), ["cluster", "tree", "heartbeat"]);
    assert_eq!(stream.node.shows(1), WEB);
    assert_eq!(stream.node.endpoints(WEB).len(), 3);
    // The addresses of the tree that is still served go on being told.
    world.set("web", many(4));
    assert_eq!(stream.read_all(), ["cluster"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 4);
}

#[test]
fn removals_go_before_additions() {
    // 5.1, RES-9.
    let world = World::new(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        world.set(name, many(10));
    }
    let mut stream = world.connect();
    let wanted = ["a", "b", "c"].iter().zip(1..);
    let wanted = wanted.map(|(name, id)| interest(id, &format!("/svc/{name}")));
    stream.want_all(wanted.collect()).unwrap();
    stream.read_all();
    world.set("a", many(11));
    world.set("b", many(11));
    world.set("c", many(9));
    let chunk = stream.session.next_chunk(stream.now()).unwrap();
    let first = messages(&chunk)[0].message.clone();
    let Some(v1::down::Message::Delta(first)) = first else {
        panic!("{first:?}");
    };
    assert_eq!((first.del4.len(), first.put4.len()), (6, 0));
}

#[test]
fn k8s_58_an_address_that_moves_does_so_in_one_delta() {
    let world = World::new(&["web"]);
    world.set(
        "web",
        bound(&[("10.1.1.2:4141", 3.0), ("10.1.2.2:4141", 1.0)]),
    );
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.set(
        "web",
        bound(&[("10.1.1.9:4141", 3.0), ("10.1.2.2:4141", 1.0)]),
    );
    assert_eq!(stream.read_all(), ["delta"]);
    assert_eq!(
        stream.node.endpoints(WEB),
        ["10.1.1.9:4141", "10.1.2.2:4141"]
    );
}

#[test]
fn a_large_set_comes_in_pages_and_nothing_between() {
    let world = World::new(&["web", "api"]);
    world.set("web", many(20_000));
    let mut stream = world.connect();
    stream
        .want_all(vec![interest(1, "/svc/web"), interest(2, "/svc/api")])
        .unwrap();
    while let Some(chunk) = stream.session.next_chunk(stream.now()) {
        assert!(chunk.len() <= CHUNK_BYTES + 5);
        stream.node.read(&chunk);
    }
    assert_eq!(stream.node.endpoints(WEB).len(), 20_000);
    assert!(stream.node.log.iter().filter(|k| **k == "cluster").count() > 7);
}

#[test]
fn res_12_what_nobody_uses_is_forgotten_and_silent() {
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let mut stream = world.connect();
    stream
        .want_all(vec![interest(1, "/svc/web"), interest(2, "/svc/web")])
        .unwrap();
    stream.read_all();
    stream.drop_interest(1);
    assert!(stream.read_all().is_empty());
    stream.drop_interest(2);
    assert_eq!(stream.read_all(), ["forget"]);
    assert!(stream.node.clusters.is_empty() && stream.node.trees.is_empty());
    world.set("web", many(5));
    assert!(stream.read_all().is_empty());
    assert_eq!(world.hub.followed(), (0, 0));
    // Wanted again, it is told in full again.
    stream.want(3, "/svc/web");
    assert_eq!(
        stream.read_all(),
        ["cluster", "tree", "answer", "heartbeat"]
    );
    assert_eq!(stream.node.endpoints(WEB).len(), 5);
}

#[test]
fn a_name_that_is_wanted_again_at_once_is_not_forgotten() {
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    stream.drop_interest(1);
    world.set("web", many(4));
    stream.want(2, "/svc/web");
    assert_eq!(stream.read_all(), ["delta", "answer"]);
    assert_eq!(stream.node.endpoints(WEB).len(), 4);
}

#[test]
fn a_new_dtab_moves_the_name_and_forgets_the_old_cluster() {
    let world = World::new(&["web", "v2"]);
    world.set("web", many(3));
    world.set("v2", many(2));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.dtab("/svc => /#/shelf ; /svc/web => /#/shelf/v2");
    let told = stream.read_all();
    assert_eq!(told, ["cluster", "tree", "forget", "heartbeat"]);
    assert_eq!(stream.node.shows(1), "/#/shelf/v2");
}

#[test]
fn a_pending_name_is_told_as_such_and_then_as_it_is() {
    let world = World::new(&["web"]);
    world.stands("web", Stands::Pending);
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    assert_eq!(stream.read_all(), ["tree", "answer", "heartbeat"]);
    assert_eq!(stream.node.shows(1), "nothing");
    world.stands("web", Stands::Yes);
    assert_eq!(stream.read_all(), ["cluster", "tree", "heartbeat"]);
    assert_eq!(stream.node.shows(1), WEB);
}

#[test]
fn a_union_with_a_pending_branch_is_held_back_for_five_seconds() {
    // 5.4, naming 4.2.
    let world = World::new(&["web", "api", "v2"]);
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.stands("v2", Stands::Pending);
    world.dtab("/svc/web => 0.5 * /#/shelf/api & 0.5 * /#/shelf/v2");
    // The new cluster comes, the tree does not.
    assert_eq!(stream.read_all(), ["cluster"]);
    assert_eq!(stream.node.shows(1), WEB);
    let hold = world.hub.limits().hold;
    assert_eq!(stream.session.deadline(), stream.now() + hold);
    world.stands("v2", Stands::Yes);
    let told = stream.read_all();
    assert_eq!(told, ["cluster", "tree", "forget", "heartbeat"]);
    assert_eq!(stream.node.shows(1), "/#/shelf/api /#/shelf/v2");
    // A branch that stays pending does not hold it back for ever.
    world.stands("v2", Stands::Pending);
    assert!(stream.read_all().is_empty());
    stream.later += hold;
    assert_eq!(stream.read_all(), ["tree", "forget", "heartbeat"]);
    assert_eq!(stream.node.shows(1), "/#/shelf/api");
}

#[test]
fn a_tree_whose_addresses_are_not_known_yet_is_held_back_for_five_seconds() {
    // RES-6.
    let world = World::new(&["web", "v2"]);
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.set("v2", Replicas::Pending);
    world.dtab("/svc/web => /#/shelf/v2");
    assert_eq!(stream.read_all(), ["cluster"]);
    assert_eq!(stream.node.shows(1), WEB);
    world.set("v2", many(2));
    let told = stream.read_all();
    assert_eq!(told, ["cluster", "tree", "forget", "heartbeat"]);
    assert_eq!(stream.node.shows(1), "/#/shelf/v2");
}

#[test]
fn res_13_a_change_on_one_node_writes_nothing_to_the_local_routes_of_another() {
    let world = World::new(&["web"]);
    let on = |node: &str| v1::Hello {
        node: node.to_owned(),
        pod_ip: vec![10, 1, 1, 2].into(),
        routers: vec![router("default", "", &["io.l5d.k8s.localnode"])],
        ..v1::Hello::default()
    };
    let on_node = |node: &str, n: u32| {
        set_of((0..n).map(|i| Endpoint {
            node: Some(node.into()),
            ..Endpoint::new((std::net::Ipv4Addr::from(0x0a00_0000 + i), 80).into())
        }))
    };
    for node in ["a", "b"] {
        world.set_on("web", node, on_node(node, 1));
    }
    let mut a = world.connect_with(on("a"), Node::default());
    let mut b = world.connect_with(on("b"), Node::default());
    for stream in [&mut a, &mut b] {
        stream.want(1, "/svc/web");
        stream.read_all();
    }
    let encodings = world.hub.metrics().encodings.get();
    world.set_on("web", "b", on_node("b", 2));
    assert!(!a.session.has_more());
    assert_eq!(a.read_all(), [""; 0]);
    assert_eq!(b.read_all(), ["delta"]);
    assert_eq!(world.hub.metrics().encodings.get(), encodings + 1);
}

#[test]
fn res_13_a_delta_for_one_pod_is_at_most_64_bytes_with_all_framing() {
    const HTTP2_BYTES: usize = 9;
    let world = World::new(&["web"]);
    let at = 1_234_567_890;
    let set = |n| match many(n) {
        Replicas::Bound(set) => Replicas::Bound(Arc::new((*set).clone().with_at(at))),
        other => other,
    };
    world.set("web", set(100));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    let mut frame = |replicas| {
        world.set("web", replicas);
        let chunk = stream.session.next_chunk(stream.now()).unwrap();
        stream.node.read(&chunk);
        chunk.len() + HTTP2_BYTES
    };
    let added = frame(set(101));
    let removed = frame(set(100));
    assert!(added <= 64 && removed <= 64, "{added} {removed}");
    println!("a pod added: {added} bytes, removed: {removed} bytes");
}

#[test]
fn a_heartbeat_comes_when_it_is_due_and_a_goodbye_when_asked_for() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    assert!(stream.read_all().is_empty());
    stream.later += world.hub.limits().heartbeat;
    assert_eq!(stream.session.deadline(), stream.now());
    assert_eq!(stream.read_all(), ["heartbeat"]);
    stream.session.goodbye(Duration::from_secs(1), "test");
    assert_eq!(stream.read_all(), ["goodbye"]);
}

#[test]
fn res_8_a_refetched_number_is_told_in_full() {
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    let numbers = stream.node.clusters.keys().chain(stream.node.trees.keys());
    let numbers = numbers.copied().chain([u32::MAX]).collect();
    stream
        .say(up::Message::Refetch(v1::Refetch { numbers }))
        .unwrap();
    let mut told = stream.read_all();
    told.sort_unstable();
    assert_eq!(told, ["cluster", "tree"]);
    assert_eq!(world.hub.metrics().refetches.get(), 2);
}

#[test]
fn acknowledgements_tell_the_lag() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    let messages = stream.node.messages;
    stream.later += Duration::from_secs(3);
    stream.say(up::Message::Ack(v1::Ack { messages })).unwrap();
    let shown = world.hub.registry().list(Some("a"));
    assert_eq!(shown.len(), 1);
    assert!(shown[0].lag >= Duration::from_secs(3));
    assert_eq!(shown[0].stale, Duration::ZERO, "it has everything");
}

#[test]
fn res_10_a_badly_given_router_refuses_its_own_interests_only() {
    let world = World::new(&["web"]);
    let mut hello = hello();
    hello
        .routers
        .push(router("default", "", &["io.l5d.nothing"]));
    hello.routers.push(router("default", "/a => ", &[]));
    hello.routers.push(router("/default", "", &[]));
    let mut stream = world.connect_with(hello, Node::default());
    let on = |id, router| v1::Interest {
        router,
        ..interest(id, "/svc/web")
    };
    stream
        .want_all(vec![on(1, 0), on(2, 1), on(3, 2), on(4, 3)])
        .unwrap();
    stream.read_all();
    assert_eq!(stream.node.shows(1), WEB);
    let codes: Vec<_> = stream.node.refused.values().map(v1::Error::code).collect();
    assert_eq!(codes, [v1::Code::Router; 3]);
}
