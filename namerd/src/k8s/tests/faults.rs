//! Rights, tokens, starts and ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn f12_a_401_reads_the_token_again() {
    let mut rig = Rig::new();
    rig.next_list()
        .await
        .answer(401, None, r#"{"code":401,"message":"Unauthorized"}"#);
    rig.next_list().await.list(10, &[]);
    assert_eq!(rig.reconnects(), 1);
}

#[tokio::test(start_paused = true)]
async fn k8s_83_f13_a_forbidden_kind_is_asked_again_and_holds_nothing_up() {
    let mut rig = Rig::of(Kind::Nodes, "{}");
    for kind in [Kind::Slices, Kind::Services] {
        rig.services.replace(kind, Vec::new(), false);
    }
    assert!(!rig.services.ready().value());
    rig.next()
        .await
        .answer(403, None, r#"{"code":403,"message":"nodes is forbidden"}"#);
    settle().await;
    assert!(rig.services.ready().value());
    let status = rig.services.status(Kind::Nodes);
    assert_eq!(
        (status.state, status.synced),
        (WatchState::Forbidden, false)
    );
    let (_, error) = status.last_error.expect("was told");
    assert!(error.contains("ClusterRole"), "{error}");
    let node = r#"{"metadata":{"name":"n1","labels":{"topology.kubernetes.io/zone":"a"}}}"#;
    rig.next().await.list(10, &[node.to_owned()]);
    let _stream = rig.next().await.stream();
    settle().await;
    assert_eq!(rig.services.zone("n1").value().as_deref(), Some("a"));
    assert_eq!(rig.services.status(Kind::Nodes).state, WatchState::Live);
}

#[tokio::test(start_paused = true)]
async fn k8s_83_forbidden_slices_do_hold_readiness_up() {
    let mut rig = Rig::new();
    for kind in [Kind::Services, Kind::Nodes] {
        rig.services.replace(kind, Vec::new(), false);
    }
    rig.next().await.answer(403, None, "");
    settle().await;
    assert!(!rig.services.ready().value());
}

#[tokio::test(start_paused = true)]
async fn k8s_127_garbage_is_an_error_of_the_stream_and_not_for_ever() {
    let (mut rig, mut stream) = Rig::live().await;
    for garbage in [
        "{\"type\":",
        r#"{"type":"ERROR","object":{}}"#,
        "<html>",
        "[]",
        "5",
    ] {
        stream.raw(garbage).await;
        let asked = rig.next().await;
        if asked.is_list() {
            assert_eq!(garbage, "5", "K8S-131");
            return;
        }
        stream = asked.stream();
    }
    panic!("still tried");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_of_event_is_counted_and_ignored() {
    let (rig, stream) = Rig::live().await;
    stream.send("SOMETHING", "{}").await;
    stream
        .send("MODIFIED", &slice("a", 11, &["10.0.0.2"]))
        .await;
    assert_eq!(rig.answer().await, "10.0.0.2");
    assert_eq!(rig.status().decode_errors, 1);
}

#[tokio::test(start_paused = true)]
async fn f20_a_deleted_and_recreated_service_feeds_the_held_cell() {
    let (rig, stream) = Rig::live().await;
    let port = rig
        .services
        .port("default", PortRef::parse("http"), "world", None);
    let cell = port.whole();
    stream.send("DELETED", &slice("a", 11, &["10.0.0.1"])).await;
    rig.answer().await;
    assert_eq!(cell.value(), Replicas::Neg);
    // A new incarnation, with whatever version (F19).
    let reborn = slice("a", 12, &["10.0.0.2"]).replace("u-a", "u-b");
    stream.send("ADDED", &reborn).await;
    assert!(matches!(cell.value(), Replicas::Bound(set) if set.len() == 1));
}

/// All watches of a source, against one script.
fn watch_all(
    source: K8sSource,
) -> (
    Kubernetes,
    mpsc::Receiver<Asked>,
    TaskTracker,
    CancellationToken,
) {
    let (sender, asked) = mpsc::channel(16);
    let script = Arc::new(Script {
        asked: sender,
        version: Mutex::new("{}"),
        reconnects: Mutex::default(),
    });
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let connect = || Ok(Arc::clone(&script) as Arc<dyn Transport>);
    let kubernetes = Kubernetes::watch(source, &tracker, &token, connect);
    (kubernetes.expect("starts"), asked, tracker, token)
}

#[tokio::test(start_paused = true)]
async fn k8s_116_replicas_spread_their_first_lists_and_all_tasks_end() {
    let began = Instant::now();
    let source = K8sSource::new(Address::InCluster);
    let (kubernetes, mut asked, tracker, token) = watch_all(source);
    let (mut times, mut watches) = (Vec::new(), Vec::new());
    while times.len() < 3 {
        let asked = asked.recv().await.expect("three kinds list");
        if asked.is_list() {
            times.push(asked.at - began);
            asked.list(1, &[]);
        } else {
            watches.push(asked.stream());
        }
    }
    assert!(
        times.iter().all(|t| *t <= Duration::from_secs(2)),
        "{times:?}"
    );
    assert!(times.iter().any(|t| *t > Duration::ZERO), "{times:?}");
    kubernetes.services.ready().wait_for(|ready| *ready).await;
    token.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test(start_paused = true)]
async fn k8s_81_namespaces_have_watches_of_their_own() {
    let source = K8sSource {
        startup_jitter: Duration::ZERO,
        namespaces: vec!["default".to_owned(), "other".to_owned()],
        ..K8sSource::new(Address::InCluster)
    };
    let (kubernetes, mut asked, _tracker, token) = watch_all(source);
    let services = &kubernetes.services;
    let mut lists = Vec::new();
    while lists.len() < 5 {
        lists.push(asked.recv().await.expect("lists"));
    }
    let mut paths: Vec<_> = lists
        .iter()
        .map(|l| l.query.split('?').next().expect("a path").to_owned())
        .collect();
    paths.sort();
    let expected = [
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/other/services",
        "/api/v1/nodes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        "/apis/discovery.k8s.io/v1/namespaces/other/endpointslices",
    ];
    assert_eq!(paths, expected);
    let port = services.port("default", PortRef::parse("http"), "world", None);
    let mut last = None;
    for list in lists {
        match list.query.as_str() {
            q if q.contains("default/endpointslices") => {
                list.list(5, &[slice("a", 4, &["10.0.0.1"])])
            }
            q if q.contains("other/endpointslices") => last = Some(list),
            _ => list.list(5, &[]),
        }
    }
    settle().await;
    assert_eq!(
        port.whole().value(),
        Replicas::Pending,
        "half of the namespaces"
    );
    assert!(!services.ready().value() && !services.status(Kind::Slices).synced);
    last.expect("was asked").list(6, &[]);
    services.ready().wait_for(|ready| *ready).await;
    assert!(
        matches!(port.whole().value(), Replicas::Bound(_)),
        "one list leaves the other alone"
    );
    token.cancel();
}
