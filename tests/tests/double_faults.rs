//! The cluster double's faults do what they say: a fault that does not happen would make tests of robustness pass for nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_tests::client::Lines;
use l5d_tests::cluster::Backing;
use l5d_tests::cluster::Cluster;
use l5d_tests::double::{Double, Fault, Gone, Kind, On, Streaming, Verb};
use l5d_tests::objects;
use serde_json::{Value, json};
use tokio::time::timeout;

const SLICES: Kind = Kind::EndpointSlice;
const STREAMING: &str =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

async fn ready() -> Result<Cluster> {
    let cluster = Cluster::double()?;
    cluster.namespace("shop").await?;
    for name in ["a", "b", "c"] {
        cluster.slice("shop", "world", name, &[], &[]).await?;
    }
    Ok(cluster)
}

fn double(cluster: &Cluster) -> &Double {
    match cluster.backing() {
        Backing::Double(double) => double,
        Backing::Real(_) => panic!("these tests are about the double"),
    }
}

async fn watch(cluster: &Cluster, query: &str) -> Result<Lines> {
    let url = format!("{}?{query}", SLICES.url(None, None));
    cluster.api().lines(&url, &[]).await
}

/// A watch from now on.
async fn live(cluster: &Cluster) -> Result<Lines> {
    let from = double(cluster).store().version();
    watch(
        cluster,
        &format!("watch=true&allowWatchBookmarks=true&resourceVersion={from}"),
    )
    .await
}

/// Long enough for any answer on loopback to have come.
const SILENCE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_stalled_server_accepts_and_says_nothing() -> Result<()> {
    let cluster = ready().await?;
    let mut open = live(&cluster).await?;
    double(&cluster).faults().stall(true);
    double(&cluster).store().delete(SLICES, "shop", "a");
    assert!(timeout(SILENCE, open.next()).await.is_err());
    assert!(timeout(SILENCE, cluster.get("/readyz")).await.is_err());
    double(&cluster).faults().stall(false);
    assert_eq!(open.next().await?.context("an event")?["type"], "DELETED");
    Ok(())
}

#[tokio::test]
async fn a_dead_server_refuses_and_comes_back_at_its_port() -> Result<()> {
    let mut cluster = ready().await?;
    let mut open = live(&cluster).await?;
    cluster.stop_api().await?;
    assert!(open.next().await.is_err());
    assert!(cluster.get("/readyz").await.is_err());
    cluster.start_api().await?;
    assert_eq!(cluster.get("/readyz").await?.status, 200);
    assert_eq!(double(&cluster).traffic().open_watches(SLICES), 0);
    Ok(())
}

#[tokio::test]
async fn streams_are_cut_or_ended() -> Result<()> {
    let cluster = ready().await?;
    let mut open = live(&cluster).await?;
    double(&cluster).cut();
    assert!(open.next().await.is_err());
    let mut open = live(&cluster).await?;
    double(&cluster).faults().end_watches();
    assert_eq!(open.next().await?, None);
    double(&cluster).faults().brief_watches(true);
    let mut open = watch(&cluster, "watch=true").await?;
    for _ in 0..3 {
        assert!(open.next().await?.is_some());
    }
    assert_eq!(open.next().await?, None);
    Ok(())
}

#[tokio::test]
async fn requests_fail_as_told_and_as_often() -> Result<()> {
    let cluster = ready().await?;
    let faults = double(&cluster).faults();
    let list = SLICES.url(None, None);
    faults.fail(
        Some(SLICES),
        On::Verb(Verb::List),
        Fault::Status(429, Some(7)),
        Some(1),
    );
    let answer = cluster.get(&list).await?;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (429, &"7".parse()?)
    );
    assert_eq!(cluster.get(&list).await?.status, 200);
    faults.fail(Some(SLICES), On::Page(2), Fault::Status(500, None), None);
    let page = cluster.get(&format!("{list}?limit=2")).await?.ok()?;
    let token = page["metadata"]["continue"].as_str().context("a token")?;
    assert_eq!(
        cluster
            .get(&format!("{list}?limit=2&continue={token}"))
            .await?
            .status,
        500
    );
    faults.clear();
    faults.fail(Some(Kind::Node), On::Any, Fault::Status(403, None), None);
    assert_eq!(cluster.get(&Kind::Node.url(None, None)).await?.status, 403);
    assert_eq!(cluster.get(&list).await?.status, 200);
    faults.fail(None, On::Any, Fault::Hang, Some(1));
    assert!(timeout(SILENCE, cluster.get(&list)).await.is_err());
    faults.fail(None, On::Any, Fault::CutInBody, Some(1));
    assert!(cluster.get(&list).await.is_err());
    assert_eq!(
        double(&cluster).traffic().requests(Kind::Node, Verb::List),
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_watch_can_be_cut_in_its_initial_events() -> Result<()> {
    let cluster = ready().await?;
    let cut = Fault::CutInBody;
    double(&cluster)
        .faults()
        .fail(Some(SLICES), On::Verb(Verb::Watch), cut, Some(1));
    let mut open = watch(&cluster, STREAMING).await?;
    assert_eq!(open.next().await?.context("an event")?["type"], "ADDED");
    assert!(open.next().await.is_err());
    Ok(())
}

#[tokio::test]
async fn streaming_lists_can_be_missing_in_three_ways() -> Result<()> {
    let cluster = ready().await?;
    let faults = double(&cluster).faults();
    faults.streaming(Streaming::Refused);
    assert_eq!(watch(&cluster, STREAMING).await?.status, 422);
    for missing in [Streaming::Ignored, Streaming::NoEndMarker] {
        faults.streaming(missing);
        let mut open = watch(&cluster, STREAMING).await?;
        for _ in 0..3 {
            assert_eq!(open.next().await?.context("an event")?["type"], "ADDED");
        }
        assert!(timeout(SILENCE, open.next()).await.is_err(), "{missing:?}");
    }
    Ok(())
}

#[tokio::test]
async fn lost_history_is_told_by_status_or_by_event() -> Result<()> {
    let cluster = ready().await?;
    double(&cluster).store().compact();
    let mut open = watch(&cluster, "watch=true&resourceVersion=2").await?;
    assert_eq!(
        open.next().await?.context("an event")?["object"]["code"],
        410
    );
    double(&cluster).faults().gone(Gone::Status);
    assert_eq!(
        watch(&cluster, "watch=true&resourceVersion=2")
            .await?
            .status,
        410
    );
    let list = format!("{}?limit=1", SLICES.url(None, None));
    let page = cluster.get(&list).await?.ok()?;
    let token = page["metadata"]["continue"].as_str().context("a token")?;
    double(&cluster).store().delete(SLICES, "shop", "a");
    double(&cluster).store().compact();
    assert_eq!(
        cluster
            .get(&format!("{list}&continue={token}"))
            .await?
            .status,
        410
    );
    Ok(())
}

#[tokio::test]
async fn bookmarks_come_when_it_is_quiet_and_when_told() -> Result<()> {
    let cluster = ready().await?;
    let mut open = live(&cluster).await?;
    double(&cluster).faults().bookmark();
    let bookmark = open.next().await?.context("a bookmark")?;
    assert_eq!(bookmark["type"], "BOOKMARK");
    let version = double(&cluster).store().version().to_string();
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], version);
    double(&cluster)
        .faults()
        .bookmark_every(Duration::from_millis(1));
    assert_eq!(
        open.next().await?.context("a bookmark")?["type"],
        "BOOKMARK"
    );
    Ok(())
}

#[tokio::test]
async fn time_goes_back() -> Result<()> {
    let cluster = ready().await?;
    let store = double(&cluster).store();
    let past = store.snapshot();
    let before = cluster.list(SLICES, None).await?;
    store.delete(SLICES, "shop", "a");
    let mut open = live(&cluster).await?;
    store.restore(&past);
    assert_eq!(cluster.list(SLICES, None).await?, before);
    cluster.slice("shop", "world", "d", &[], &[]).await?;
    assert!(timeout(SILENCE, open.next()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn anything_can_be_said_and_stored() -> Result<()> {
    let cluster = ready().await?;
    let mut open = live(&cluster).await?;
    double(&cluster)
        .faults()
        .send_line(SLICES, "{\"type\":\"ERROR\",\"object\":7}");
    assert_eq!(
        open.next().await?,
        Some(json!({"type": "ERROR", "object": 7}))
    );
    let mut bad = objects::slice("shop", "world", "bad", &[], &[]);
    bad["endpoints"] = json!("nonsense");
    double(&cluster).store().put(SLICES, bad);
    assert_eq!(
        open.next().await?.context("an event")?["object"]["endpoints"],
        "nonsense"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_takes_its_time() -> Result<()> {
    let cluster = ready().await?;
    let mut open = live(&cluster).await?;
    double(&cluster).faults().slow(Some(100));
    let mut big = objects::slice("shop", "world", "big", &[], &[]);
    big["metadata"]["annotations"] = json!({"filling": "x".repeat(1000)});
    let began = tokio::time::Instant::now();
    double(&cluster).store().put(SLICES, big);
    let event = open.next().await?.context("an event")?;
    assert_eq!(event["type"], "ADDED");
    assert!(
        began.elapsed() >= Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn watches_and_requests_are_counted() -> Result<()> {
    let cluster = ready().await?;
    let traffic = double(&cluster).traffic();
    let open = [live(&cluster).await?, live(&cluster).await?];
    traffic.wait(|t| t.open_watches(SLICES) == 2).await;
    assert_eq!(traffic.all_open_watches(), 2);
    assert_eq!(traffic.requests(SLICES, Verb::Watch), 2);
    drop(open);
    traffic.wait(|t| t.all_open_watches() == 0).await;
    assert_eq!(
        traffic.seen().last().map(|seen| seen.verb),
        Some(Verb::Watch)
    );
    Ok(())
}

#[tokio::test]
async fn a_token_can_be_required() -> Result<()> {
    let cluster = ready().await?;
    double(&cluster).faults().require_token(Some("right"));
    assert_eq!(cluster.get("/version").await?.status, 401);
    let client = cluster.api().clone().with_token("right");
    let version: Value = client.get("/version").await?.ok()?;
    assert_eq!(version["minor"], "36");
    Ok(())
}
