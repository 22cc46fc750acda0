//! Resuming: from which version, how often, and when not.

use super::*;

#[tokio::test(start_paused = true)]
async fn f1_a_cut_watch_resumes_from_the_last_version_without_a_list() {
    let (mut rig, stream) = Rig::live().await;
    stream.send("ADDED", &slice("b", 12, &["10.0.0.2"])).await;
    stream.reset().await;
    rig.next().await.refuse();
    rig.next().await.refuse();
    let stream = rig.watch(12).await;
    assert_eq!(rig.shown(), "10.0.0.1 10.0.0.2");
    stream.send("DELETED", &slice("b", 13, &["10.0.0.2"])).await;
    assert_eq!(rig.answer().await, "10.0.0.1");
    assert_eq!((rig.status().relists, rig.status().resumes), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn k8s_113_bookmarks_move_the_version_to_resume_from() {
    let (mut rig, stream) = Rig::live().await;
    stream.bookmark(40, false).await;
    drop(stream);
    rig.watch(40).await;
    assert_eq!(&*rig.status().rv, "40");
    assert_eq!(
        rig.services.newest(Kind::Slices).value(),
        5,
        "told to nodes: objects only"
    );
}

#[tokio::test(start_paused = true)]
async fn f2_ten_minutes_without_a_server_change_nothing() {
    let (mut rig, stream) = Rig::live().await;
    stream.reset().await;
    let began = Instant::now();
    let mut tries = 0;
    while began.elapsed() < Duration::from_secs(600) {
        rig.next().await.refuse();
        tries += 1;
    }
    assert!(tries < 120, "{tries}");
    assert_eq!(rig.shown(), "10.0.0.1");
    let status = rig.status();
    assert!(status.synced && status.last_error.is_some());
    assert!(status.age(Instant::now()) >= Some(Duration::from_secs(590)));
    // K8S-131 may look at the version first; then the watch goes on.
    let asked = rig.next().await;
    let stream = match asked.is_list() {
        true => {
            asked.list(10, &[]);
            rig.watch(10).await
        }
        false => asked.stream(),
    };
    stream
        .send("MODIFIED", &slice("a", 11, &["10.0.0.7"]))
        .await;
    assert_eq!(rig.answer().await, "10.0.0.7");
}

#[tokio::test(start_paused = true)]
async fn k8s_117_f8_silence_ends_within_80_s_and_reconnects() {
    let (mut rig, _silent) = Rig::live().await;
    let began = Instant::now();
    let asked = rig.next().await;
    assert!(
        asked.at - began <= Duration::from_millis(80_200),
        "{:?}",
        asked.at - began
    );
    assert!(asked.is_watch_from(10));
    assert_eq!(rig.reconnects(), 1, "on a new connection");
}

#[tokio::test(start_paused = true)]
async fn k8s_117_watches_are_short_and_differ() {
    let (mut rig, mut stream) = Rig::live().await;
    let mut seconds = Vec::new();
    for _ in 0..20 {
        drop(stream);
        let asked = rig.next().await;
        let told = asked
            .query
            .split("timeoutSeconds=")
            .nth(1)
            .expect("is given");
        seconds.push(told.parse::<u32>().expect("a number"));
        stream = asked.stream();
    }
    assert!(seconds.iter().all(|s| (45..=75).contains(s)), "{seconds:?}");
    assert!(seconds.iter().any(|s| *s != seconds[0]), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn f9_a_list_that_hangs_is_given_up() {
    let mut rig = Rig::new();
    let began = Instant::now();
    let hanging = rig.next_list().await;
    let second = rig.next_list().await;
    assert!(second.at - began <= Duration::from_secs(60));
    assert_eq!(rig.reconnects(), 1);
    drop(hanging);
}

#[tokio::test(start_paused = true)]
async fn k8s_114_f10_clean_ends_at_once_do_not_spin() {
    let (mut rig, stream) = Rig::live().await;
    drop(stream);
    let began = Instant::now();
    let mut watches = 0;
    while began.elapsed() < Duration::from_secs(30) {
        drop(rig.watch(10).await);
        watches += 1;
    }
    assert!((25..=35).contains(&watches), "{watches}");
}

#[tokio::test(start_paused = true)]
async fn k8s_114_f11_retry_after_is_obeyed() {
    let (mut rig, stream) = Rig::live().await;
    drop(stream);
    let first = rig.next().await;
    let at = first.at;
    first.answer(429, Some(7), "");
    let next = rig.next().await;
    assert!(next.at - at >= Duration::from_secs(7));
    // Also as the server's own status tells it, in a list.
    let mut rig = Rig::new();
    let list = rig.next_list().await;
    let at = list.at;
    list.answer(
        503,
        None,
        r#"{"code":503,"details":{"retryAfterSeconds":9}}"#,
    );
    assert!(rig.next_list().await.at - at >= Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn k8s_131_five_refusals_of_a_version_list_anew() {
    let (mut rig, stream) = Rig::live().await;
    drop(stream);
    for _ in 0..5 {
        let asked = rig.next().await;
        assert!(asked.is_watch_from(10));
        asked.answer(
            504,
            None,
            r#"{"code":504,"message":"Too large resource version"}"#,
        );
    }
    rig.next_list().await.list(12, &[]);
    rig.watch(12).await;
}

#[tokio::test(start_paused = true)]
async fn k8s_131_overload_and_rights_are_no_reason_to_list() {
    let (mut rig, stream) = Rig::live().await;
    drop(stream);
    for _ in 0..8 {
        let asked = rig.next().await;
        assert!(asked.is_watch_from(10), "{}", asked.query);
        asked.answer(503, None, "");
    }
    for _ in 0..8 {
        rig.next().await.refuse();
    }
    rig.watch(10).await;
}

#[tokio::test(start_paused = true)]
async fn k8s_131_ten_silent_minutes_are_looked_into() {
    let (mut rig, stream) = Rig::live().await;
    let mut stream = Some(stream);
    let began = Instant::now();
    let probe = loop {
        let asked = rig.next().await;
        if asked.is_list() {
            break asked;
        }
        stream.replace(asked.stream());
    };
    assert!(began.elapsed() >= Duration::from_secs(600));
    assert!(probe.query.ends_with("limit=1"), "{}", probe.query);
    probe.list(3, &[]);
    let list = rig.next_list().await;
    assert!(
        list.query.ends_with("limit=500"),
        "history has gone back: {}",
        list.query
    );
}

#[tokio::test(start_paused = true)]
async fn k8s_115_relists_in_a_row_are_slowed_down() {
    let (mut rig, mut stream) = Rig::live().await;
    let mut times = Vec::new();
    for rv in 11..16 {
        stream.send("ERROR", r#"{"code":410}"#).await;
        let list = rig.next_list().await;
        times.push(list.at);
        list.list(rv, &[]);
        stream = rig.watch(rv).await;
    }
    assert!(times[2] - times[0] < Duration::from_secs(1));
    assert!(times[3] - times[2] >= Duration::from_secs(10));
    assert!(times[4] - times[3] >= Duration::from_secs(10));
}
