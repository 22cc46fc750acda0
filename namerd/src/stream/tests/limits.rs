//! Bounds and breaches of the protocol (resolver API 7).

use super::*;

fn refused(stream: &Stream<'_>, id: u32) -> (v1::Code, u32) {
    let error = &stream.node.refused[&id];
    (error.code(), error.retry_ms)
}

/// Which limits have refused something, and how often.
fn counted(world: &World) -> Vec<(String, u64)> {
    let all = world.meter.limits.all();
    all.into_iter().map(|([limit], n)| (limit, n)).collect()
}

#[test]
fn res_10_a_bad_interest_is_refused_alone() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    let mut bad_dtab = interest(3, "/svc/web");
    bad_dtab.dtab = "/a => /b | ;".to_owned();
    let wanted = vec![
        interest(1, "svc"),
        interest(2, "/svc/web"),
        bad_dtab,
        interest(4, &format!("/{}", "x".repeat(9_000))),
    ];
    stream.want_all(wanted).unwrap();
    stream.read_all();
    assert_eq!(stream.node.shows(2), "/#/shelf/web");
    for id in [1, 3, 4] {
        assert_eq!(refused(&stream, id).0, v1::Code::Invalid);
    }
    assert!(stream.node.refused[&3].message.contains("line 1, column"));
    assert_eq!(world.hub.metrics().refused_invalid.get(), 3);
    assert_eq!(counted(&world), [("path_bytes".to_owned(), 1)]);
}

#[test]
fn interests_and_overrides_have_limits() {
    let limits = Limits {
        interests: 3,
        overrides: 1,
        ..Limits::default()
    };
    let world = World::with_limits(&["web"], limits);
    let mut stream = world.connect();
    let overridden = |id| v1::Interest {
        dtab: "/x => /y".to_owned(),
        ..interest(id, "/svc/web")
    };
    let wanted = vec![overridden(1), overridden(2), interest(3, "/svc/web")];
    stream.want_all(wanted).unwrap();
    stream
        .want_all(vec![interest(4, "/svc/web"), interest(5, "/svc/web")])
        .unwrap();
    stream.read_all();
    assert_eq!(refused(&stream, 2).0, v1::Code::Limit);
    assert_eq!(refused(&stream, 5).0, v1::Code::Limit);
    assert_eq!(stream.node.refused.len(), 2);
    assert_eq!(
        counted(&world),
        [("interests".to_owned(), 1), ("overrides".to_owned(), 1)]
    );
    // What is dropped makes room.
    stream.drop_interest(1);
    stream.want_all(vec![overridden(6)]).unwrap();
    stream.read_all();
    assert_eq!(stream.node.shows(6), "/#/shelf/web");
}

#[test]
fn new_interests_are_limited_in_time_but_not_the_first_ones() {
    let limits = Limits {
        want_burst: 2,
        wants_per_second: 10,
        ..Limits::default()
    };
    let world = World::with_limits(&["web"], limits);
    let mut stream = world.connect();
    stream
        .want_all((1..=50).map(|id| interest(id, "/svc/web")).collect())
        .unwrap();
    stream
        .want_all((51..=53).map(|id| interest(id, "/svc/web")).collect())
        .unwrap();
    stream.read_all();
    assert_eq!(refused(&stream, 53), (v1::Code::Limit, 100));
    assert_eq!(stream.node.refused.len(), 1);
    assert_eq!(counted(&world), [("new_interests".to_owned(), 1)]);
    stream.later += Duration::from_millis(100);
    stream.want(54, "/svc/web");
    stream.read_all();
    assert_eq!(stream.node.shows(54), "/#/shelf/web");
}

#[test]
fn breaches_of_the_protocol_end_the_stream() {
    let world = World::new(&["web"]);
    let fault = |result: Result<(), End>| match result {
        Err(End::Fault(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut stream = world.connect();
    stream.want(5, "/svc/web");
    let why = fault(stream.want_all(vec![interest(5, "/svc/web")]));
    assert!(why.contains("never used twice"), "{why}");
    let why = fault(stream.say(up::Message::Hello(hello())));
    assert!(why.contains("twice"), "{why}");
    let unknown = v1::Interest {
        router: 7,
        ..interest(9, "/svc/web")
    };
    let why = fault(stream.want_all(vec![unknown]));
    assert!(why.contains("no router 7"), "{why}");
    let mut bad = hello();
    bad.pod_ip = vec![1, 2, 3].into();
    let begun = Session::begin(
        &world.hub,
        Arc::clone(world.hub.limits()),
        bad,
        String::new(),
        world.now,
    );
    assert!(matches!(begun, Err(End::Fault(_))));
}

#[test]
fn res_15_unknown_messages_and_late_drops_are_skipped() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    stream
        .session
        .hear(v1::Up { message: None }, world.now)
        .unwrap();
    stream.drop_interest(77);
    stream
        .say(up::Message::Ack(v1::Ack { messages: 1 << 60 }))
        .unwrap();
    assert!(stream.read_all().is_empty());
}

#[test]
fn sessions_have_a_limit_and_existing_ones_are_unharmed() {
    let limits = Limits {
        sessions: 1,
        ..Limits::default()
    };
    let world = World::with_limits(&["web"], limits);
    let mut stream = world.connect();
    let begun = Session::begin(
        &world.hub,
        Arc::clone(world.hub.limits()),
        hello(),
        String::new(),
        world.now,
    );
    assert_eq!(begun.err(), Some(End::Sessions(1)));
    stream.want(1, "/svc/web");
    stream.read_all();
    assert_eq!(stream.node.shows(1), "/#/shelf/web");
    drop(stream);
    assert!(world.hub.registry().is_empty());
    assert_eq!(world.hub.metrics().sessions.get(), 0);
}

#[test]
fn a_node_that_asks_and_does_not_read_is_not_heard_any_more() {
    let world = World::new(&["web"]);
    let mut stream = world.connect();
    stream
        .want_all((1..=5_000).map(|id| interest(id, "bad")).collect())
        .unwrap();
    assert!(!stream.session.is_listening());
    // Reading makes room for the rest.
    while !stream.session.is_listening() {
        stream.read_all();
        while stream.session.work(world.now).unwrap() {}
    }
    stream.read_all();
    assert_eq!(stream.node.refused.len(), 5_000);
}
