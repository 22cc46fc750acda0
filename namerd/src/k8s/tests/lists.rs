//! Lists: pages, streams, never empty, time travel.

use super::*;

const STREAMS: &str = r#"{"major":"1","minor":"34"}"#;

#[tokio::test(start_paused = true)]
async fn k8s_105_and_k8s_120_what_is_asked() {
    let mut rig = Rig::new();
    let list = rig.next().await;
    assert_eq!(
        list.query,
        "/apis/discovery.k8s.io/v1/endpointslices?labelSelector=kubernetes.io%2Fservice-name&limit=500"
    );
    list.page(10, "a b", &[slice("a", 5, &["10.0.0.1"])]);
    let second = rig.next().await;
    assert!(
        second.query.ends_with("&limit=500&continue=a%20b"),
        "{}",
        second.query
    );
    assert_eq!(rig.shown(), "pending", "half a list is none");
    second.list(10, &[slice("b", 6, &["10.0.0.2"])]);
    let watch = rig.next().await;
    assert!(watch.is_watch_from(10) && watch.query.contains("allowWatchBookmarks=true"));
    assert_eq!(rig.answer().await, "10.0.0.1 10.0.0.2");
}

#[tokio::test(start_paused = true)]
async fn k8s_80_three_kinds_have_their_own_paths() {
    for (kind, path) in [
        (Kind::Services, "/api/v1/services?limit=500"),
        (Kind::Nodes, "/api/v1/nodes?limit=500"),
    ] {
        let mut rig = Rig::of(kind, "{}");
        assert_eq!(rig.next().await.query, path);
    }
}

#[tokio::test(start_paused = true)]
async fn k8s_111_k8s_112_f3_gone_on_opening_a_watch_lists_anew_and_swaps() {
    let (mut rig, stream) = Rig::live().await;
    drop(stream);
    let watch = rig.next().await;
    assert!(watch.is_watch_from(10));
    watch.answer(410, None, r#"{"kind":"Status","code":410}"#);
    let list = rig.next_list().await;
    assert_eq!(rig.shown(), "10.0.0.1", "nothing is emptied meanwhile");
    assert_eq!(rig.status().state, WatchState::Relisting);
    list.list(20, &[slice("b", 15, &["10.0.0.2"])]);
    rig.watch(20).await;
    assert_eq!(
        rig.shown(),
        "10.0.0.2",
        "what is not listed is gone, at once"
    );
    assert_eq!(rig.status().relists, 1);
}

#[tokio::test(start_paused = true)]
async fn f4_gone_as_an_event_with_status_200() {
    let (mut rig, stream) = Rig::live().await;
    stream
        .send(
            "ERROR",
            r#"{"kind":"Status","code":410,"reason":"Expired"}"#,
        )
        .await;
    rig.next_list().await.list(20, &[]);
    rig.watch(20).await;
    assert_eq!(rig.shown(), "neg");
}

#[tokio::test(start_paused = true)]
async fn f5_a_list_that_fails_half_way_leaves_no_trace() {
    let (mut rig, stream) = Rig::live().await;
    stream.send("ERROR", r#"{"code":410}"#).await;
    rig.next_list()
        .await
        .page(20, "next", &[slice("b", 15, &["10.0.0.2"])]);
    rig.next_list().await.answer(500, None, "");
    settle().await;
    assert_eq!(rig.shown(), "10.0.0.1");
    rig.next_list()
        .await
        .list(21, &[slice("c", 16, &["10.0.0.3"])]);
    rig.watch(21).await;
    assert_eq!(rig.shown(), "10.0.0.3");
}

#[tokio::test(start_paused = true)]
async fn k8s_120_streamed_lists_go_on_as_watches() {
    let mut rig = Rig::of(Kind::Slices, STREAMS);
    let asked = rig.next().await;
    for part in [
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
        "allowWatchBookmarks=true",
    ] {
        assert!(asked.query.contains(part), "{}", asked.query);
    }
    assert!(
        !asked.query.contains("resourceVersion="),
        "the newest: {}",
        asked.query
    );
    let stream = asked.stream();
    stream.send("ADDED", &slice("a", 5, &["10.0.0.1"])).await;
    stream.bookmark(6, false).await;
    assert_eq!(rig.shown(), "pending");
    stream.bookmark(10, true).await;
    assert_eq!(rig.answer().await, "10.0.0.1");
    stream
        .send("MODIFIED", &slice("a", 11, &["10.0.0.2"]))
        .await;
    assert_eq!(rig.answer().await, "10.0.0.2");
    drop(stream);
    rig.watch(11).await;
}

#[tokio::test(start_paused = true)]
async fn f6_a_streamed_list_without_an_end_falls_back_within_60_s() {
    let mut rig = Rig::of(Kind::Slices, STREAMS);
    let stream = rig.next().await.stream();
    stream.send("ADDED", &slice("a", 5, &["10.0.0.1"])).await;
    let began = Instant::now();
    let list = rig.next_list().await;
    assert!(
        list.at - began <= Duration::from_secs(61),
        "{:?}",
        list.at - began
    );
    list.list(10, &[]);
    rig.watch(10).await;
    assert_eq!(rig.shown(), "neg", "no trace of the failed one");
}

#[tokio::test(start_paused = true)]
async fn f7_a_server_that_refuses_streams_is_asked_for_pages_for_ten_minutes() {
    let mut rig = Rig::of(Kind::Slices, STREAMS);
    let began = Instant::now();
    rig.next().await.answer(422, None, r#"{"code":422}"#);
    let list = rig.next_list().await;
    assert_eq!(list.at, began, "at once");
    list.list(10, &[]);
    rig.watch(10).await.send("ERROR", r#"{"code":410}"#).await;
    rig.next_list().await.list(11, &[]);
    let stream = rig.watch(11).await;
    tokio::time::advance(Duration::from_secs(601)).await;
    drop(stream);
    // Something else than the paused task may have been asked first.
    loop {
        let asked = rig.next().await;
        match asked.query.contains("sendInitialEvents") {
            true => break,
            false => asked.answer(410, None, ""),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn k8s_121_the_cache_is_the_last_resort() {
    let mut rig = Rig::new();
    for status in [429, 504, 429] {
        let asked = rig.next_list().await;
        assert!(!asked.query.contains("resourceVersion=0"));
        asked.answer(status, None, "");
    }
    assert!(rig.next_list().await.query.ends_with("&resourceVersion=0"));
}

#[tokio::test(start_paused = true)]
async fn k8s_118_f31_an_older_list_is_refused_and_accepted_after_a_while() {
    let (mut rig, stream) = Rig::live().await;
    stream
        .send("MODIFIED", &slice("a", 50, &["10.0.0.5"]))
        .await;
    stream.send("ERROR", r#"{"code":410}"#).await;
    for _ in 0..5 {
        rig.next_list()
            .await
            .list(7, &[slice("a", 6, &["10.0.0.9"])]);
        settle().await;
        assert_eq!(rig.answer().await, "10.0.0.5");
    }
    assert_eq!(rig.status().time_travels, 5);
    rig.next_list()
        .await
        .list(7, &[slice("a", 6, &["10.0.0.9"])]);
    rig.watch(7).await;
    assert_eq!(rig.answer().await, "10.0.0.9");
    assert_eq!(rig.services.newest(Kind::Slices).value(), 6);
}

#[tokio::test(start_paused = true)]
async fn k8s_122_k8s_125_f14_one_bad_object_in_a_list_and_in_an_event() {
    let (mut rig, stream) = Rig::live().await;
    let bad = r#"{"metadata":{"name":"a","namespace":"default","uid":"u-a","resourceVersion":"20"},"endpoints":7}"#;
    stream.send("MODIFIED", bad).await;
    assert_eq!(rig.answer().await, "10.0.0.1");
    stream.send("ERROR", r#"{"code":410}"#).await;
    let good = slice("b", 21, &["10.0.0.2"]);
    rig.next_list()
        .await
        .list(30, &[bad.to_owned(), good, "5".to_owned()]);
    let stream = rig.watch(30).await;
    assert_eq!(
        rig.answer().await,
        "10.0.0.1 10.0.0.2",
        "the others load, its last good version stays"
    );
    assert_eq!(
        (rig.status().decode_errors, rig.status().stale_objects),
        (3, 1)
    );
    stream
        .send("MODIFIED", &slice("a", 31, &["10.0.0.3"]))
        .await;
    assert_eq!(rig.answer().await, "10.0.0.2 10.0.0.3");
    stream
        .send("DELETED", bad.replace("\"20\"", "\"32\"").as_str())
        .await;
    assert_eq!(rig.answer().await, "10.0.0.2");
}

#[tokio::test(start_paused = true)]
async fn k8s_85_slices_of_all_managers_are_one_set() {
    let mut rig = Rig::new();
    let label = r#""kubernetes.io/service-name""#;
    let managed = |name, manager: &str, ips: &[&str]| {
        let by = format!(r#""endpointslice.kubernetes.io/managed-by":"{manager}",{label}"#);
        slice(name, 5, ips).replace(label, &by)
    };
    let many: Vec<String> = (0..1_000)
        .map(|n| format!("10.1.{}.{}", n / 250, n % 250))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let slices = [
        managed("a", "endpointslice-controller.k8s.io", &many),
        managed(
            "b",
            "endpointslicemirroring-controller.k8s.io",
            &["10.2.0.1", "10.1.0.7"],
        ),
        managed("c", "somebody.example", &["10.2.0.2"]),
        managed("d", "endpointslice-controller.k8s.io", &[]),
        slice("e", 5, &["10.2.0.3"]),
    ];
    rig.next().await.list(10, &slices);
    let mut expected = many;
    expected.extend(["10.2.0.1", "10.2.0.2", "10.2.0.3"]);
    let answer = rig.answer().await;
    assert_eq!(answer.split(' ').collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn k8s_93_the_pod_behind_an_endpoint_is_not_asked_for() {
    let (mut rig, stream) = Rig::live().await;
    let target = r#"{"targetRef":{"kind":"Pod","namespace":"default","name":"p"},"addresses""#;
    let named = slice("a", 11, &["10.0.0.2"]).replace(r#"{"addresses""#, target);
    assert!(named.contains("targetRef"));
    stream.send("MODIFIED", &named).await;
    assert_eq!(rig.answer().await, "10.0.0.2");
    assert!(rig.asked.try_recv().is_err(), "no request follows");
}
