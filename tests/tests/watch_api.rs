//! Facts of the Kubernetes API that `namerd`'s watches rest on (kubernetes 7.1), asserted by a bare client on the cluster
//! double and on the real API server: so the double stays honest.

use anyhow::{Context as _, Result};
use http::Method;
use l5d_tests::cluster::{Backing, Cluster, Workload, shared_real};
use l5d_tests::double::Kind;
use l5d_tests::objects::{self, Pod, Port};
use l5d_tests::real::{NAMERD, NOBODY};
use serde_json::{Value, json};

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const STREAMING: &str =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
const SLICES: Kind = Kind::EndpointSlice;

/// Each fact on both servers, in a namespace of its own.
macro_rules! on_both {
    ($($fact:ident),* $(,)?) => {
        mod double {
            $(#[tokio::test]
            async fn $fact() -> anyhow::Result<()> {
                let cluster = super::Cluster::double()?;
                super::fresh(&cluster, stringify!($fact), super::$fact).await
            })*
        }
        mod real {
            $(#[tokio::test]
            async fn $fact() -> anyhow::Result<()> {
                let Some(cluster) = super::shared_real().await else { return Ok(()) };
                super::fresh(&*cluster.read().await, stringify!($fact), super::$fact).await
            })*
        }
    };
}

on_both!(
    the_pages_of_a_list_are_of_one_version,
    a_watch_tells_every_change_in_order,
    a_selector_turns_changes_into_additions_and_deletions,
    a_write_that_changes_nothing_is_no_event,
    a_watch_without_a_version_begins_with_what_is_there,
    a_streaming_list_marks_its_end_and_goes_on,
    a_streaming_list_needs_not_older_than,
    metadata_only_shows_metadata_only,
    a_watch_ends_cleanly_at_its_timeout,
    a_watch_from_the_future_is_silent,
    a_list_from_the_future_is_refused,
    writes_are_refused_for_these_reasons,
    objects_are_filled_in,
    a_deleted_object_comes_back_with_another_uid,
    a_service_of_many_pods_has_many_slices,
);

async fn fresh(
    cluster: &Cluster,
    fact: &str,
    test: impl AsyncFn(&Cluster, &str) -> Result<()>,
) -> Result<()> {
    let namespace = fact.replace('_', "-");
    cluster.namespace(&namespace).await?;
    test(cluster, &namespace).await
}

fn http() -> Vec<Port> {
    vec![Port::new("http", 80, 8080)]
}

fn pod(n: u8) -> Pod {
    Pod::new(format!("world-{n}"), [10, 1, 1, n], "node-a")
}

async fn slice(cluster: &Cluster, ns: &str, name: &str, pods: &[Pod]) -> Result<()> {
    cluster.slice(ns, "world", name, &http(), pods).await
}

fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|v| v.parse().ok()).expect("a version")
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

async fn the_pages_of_a_list_are_of_one_version(cluster: &Cluster, ns: &str) -> Result<()> {
    for name in ["a", "b", "c", "d", "e"] {
        slice(cluster, ns, name, &[pod(1)]).await?;
    }
    let url = SLICES.url(Some(ns), None);
    let first = cluster.get(&format!("{url}?limit=2")).await?.ok()?;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    cluster.delete(SLICES, ns, "d").await?;
    slice(cluster, ns, "f", &[pod(1)]).await?;
    let mut seen = Vec::new();
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = cluster
            .get(&format!("{url}?limit=2&continue={token}"))
            .await?
            .ok()?;
        assert_eq!(version(&page), version(&first));
        seen.extend(names(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(seen, ["c", "d", "e"]);
    let now = cluster.list(SLICES, Some(ns)).await?;
    assert_eq!(names(&now), ["a", "b", "c", "e", "f"]);
    assert!(version(&now) > version(&first));
    Ok(())
}

async fn a_watch_tells_every_change_in_order(cluster: &Cluster, ns: &str) -> Result<()> {
    let url = SLICES.url(Some(ns), None);
    let from = version(&cluster.list(SLICES, Some(ns)).await?);
    slice(cluster, ns, "a", &[pod(1)]).await?;
    slice(cluster, ns, "a", &[pod(1), pod(2)]).await?;
    cluster.delete(SLICES, ns, "a").await?;
    slice(cluster, ns, "z", &[]).await?;
    let mut watch = cluster
        .api()
        .lines(&format!("{url}?watch=true&resourceVersion={from}"), &[])
        .await?;
    let events = watch
        .until(|e| e["object"]["metadata"]["name"] == "z")
        .await?;
    let kinds: Vec<_> = events.iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED", "ADDED"]);
    let versions: Vec<_> = events.iter().map(|e| version(&e["object"])).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let last_content = &events[2]["object"]["endpoints"];
    assert_eq!(last_content.as_array().map(Vec::len), Some(2));
    assert_eq!(events[0]["object"]["kind"], "EndpointSlice");
    assert_eq!(events[0]["object"]["apiVersion"], "discovery.k8s.io/v1");
    Ok(())
}

async fn a_selector_turns_changes_into_additions_and_deletions(
    cluster: &Cluster,
    ns: &str,
) -> Result<()> {
    let url = SLICES.url(Some(ns), None);
    let selector = "labelSelector=kubernetes.io%2Fservice-name";
    let mut watch = cluster
        .api()
        .lines(&format!("{url}?{STREAMING}&{selector}"), &[])
        .await?;
    let mut object = objects::slice(ns, "world", "a", &http(), &[pod(1)]);
    cluster.apply(SLICES, &object).await?;
    object["metadata"]["labels"][objects::SERVICE_NAME] = Value::Null;
    cluster.apply(SLICES, &object).await?;
    object["metadata"]["labels"][objects::SERVICE_NAME] = json!("world");
    cluster.apply(SLICES, &object).await?;
    slice(cluster, ns, "z", &[]).await?;
    let mut events = watch
        .until(|e| e["object"]["metadata"]["name"] == "z")
        .await?;
    events.retain(|e| e["type"] != "BOOKMARK");
    let kinds: Vec<_> = events.iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["ADDED", "DELETED", "ADDED", "ADDED"]);
    // What leaves the selection is shown as it was within.
    let left = &events[1]["object"]["metadata"];
    assert_eq!(left["labels"][objects::SERVICE_NAME], "world");
    assert!(version(&events[1]["object"]) > version(&events[0]["object"]));
    let selected = cluster
        .get(&format!("{url}?labelSelector=app%3Dother"))
        .await?
        .ok()?;
    assert_eq!(names(&selected), [""; 0]);
    Ok(())
}

async fn a_write_that_changes_nothing_is_no_event(cluster: &Cluster, ns: &str) -> Result<()> {
    slice(cluster, ns, "a", &[pod(1)]).await?;
    let url = SLICES.url(Some(ns), Some("a"));
    let before = cluster.get(&url).await?.ok()?;
    slice(cluster, ns, "a", &[pod(1)]).await?;
    assert_eq!(version(&cluster.get(&url).await?.ok()?), version(&before));
    Ok(())
}

async fn a_watch_without_a_version_begins_with_what_is_there(
    cluster: &Cluster,
    ns: &str,
) -> Result<()> {
    slice(cluster, ns, "a", &[pod(1)]).await?;
    slice(cluster, ns, "b", &[]).await?;
    for query in ["watch=true", "watch=1&resourceVersion=0"] {
        let url = format!("{}?{query}", SLICES.url(Some(ns), None));
        let mut watch = cluster.api().lines(&url, &[]).await?;
        let mut found = Vec::new();
        for _ in 0..2 {
            let event = watch.next().await?.context("an event")?;
            assert_eq!(event["type"], "ADDED");
            found.push(event["object"]["metadata"]["name"].clone());
        }
        assert_eq!(found, ["a", "b"]);
    }
    Ok(())
}

async fn a_streaming_list_marks_its_end_and_goes_on(cluster: &Cluster, ns: &str) -> Result<()> {
    slice(cluster, ns, "a", &[pod(1)]).await?;
    slice(cluster, ns, "b", &[]).await?;
    for version_wanted in ["", "&resourceVersion=0"] {
        let url = format!("{}?{STREAMING}{version_wanted}", SLICES.url(Some(ns), None));
        let mut watch = cluster.api().lines(&url, &[]).await?;
        let initial = watch.until(|e| e["type"] == "BOOKMARK").await?;
        assert_eq!(initial.len(), 3);
        let marker = &initial[2]["object"];
        assert_eq!(
            marker["metadata"]["annotations"]["k8s.io/initial-events-end"],
            "true"
        );
        assert!(version(marker) >= version(&initial[1]["object"]));
        assert_eq!(marker["kind"], "EndpointSlice");
        assert_eq!(marker.get("endpoints"), Some(&Value::Null));
        let pods = [pod(1), pod(u8::try_from(version_wanted.len())? + 2)];
        slice(cluster, ns, "a", &pods).await?;
        let live = watch.change().await?.context("an event")?;
        assert_eq!(
            (&live["type"], &live["object"]["metadata"]["name"]),
            (&json!("MODIFIED"), &json!("a"))
        );
    }
    Ok(())
}

async fn a_streaming_list_needs_not_older_than(cluster: &Cluster, ns: &str) -> Result<()> {
    let url = SLICES.url(Some(ns), None);
    let answer = cluster
        .get(&format!("{url}?watch=true&sendInitialEvents=true"))
        .await?;
    assert_eq!(answer.status, 422);
    let status = answer.json()?;
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&json!("Status"), &json!("Invalid"))
    );
    Ok(())
}

async fn metadata_only_shows_metadata_only(cluster: &Cluster, ns: &str) -> Result<()> {
    let zoned = format!("{ns}-1");
    cluster.node(&zoned, Some("zone-1")).await?;
    let url = format!(
        "{}?fieldSelector=metadata.name%3D{zoned}",
        Kind::Node.url(None, None)
    );
    let accept = [("accept", METADATA_LIST)];
    let list = cluster
        .api()
        .send(Method::GET, &url, &accept, None)
        .await?
        .ok()?;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["apiVersion"], "meta.k8s.io/v1");
    let item = &list["items"][0];
    assert_eq!(item["kind"], "PartialObjectMetadata");
    assert_eq!(item["metadata"]["labels"][objects::ZONE], "zone-1");
    assert_eq!(item.get("spec"), None);
    let mut watch = cluster
        .api()
        .lines(&format!("{url}&{STREAMING}"), &[("accept", METADATA)])
        .await?;
    let events = watch.until(|e| e["type"] == "BOOKMARK").await?;
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(event["object"].get("status"), None);
    }
    Ok(())
}

async fn a_watch_ends_cleanly_at_its_timeout(cluster: &Cluster, ns: &str) -> Result<()> {
    let from = version(&cluster.list(SLICES, Some(ns)).await?);
    let query = format!("watch=true&resourceVersion={from}&timeoutSeconds=1");
    let url = format!("{}?{query}", SLICES.url(Some(ns), None));
    let mut watch = cluster.api().lines(&url, &[]).await?;
    assert_eq!(watch.next().await?, None);
    Ok(())
}

async fn a_watch_from_the_future_is_silent(cluster: &Cluster, ns: &str) -> Result<()> {
    let query = "watch=true&resourceVersion=1000000000&timeoutSeconds=1";
    let url = format!("{}?{query}", SLICES.url(Some(ns), None));
    let mut watch = cluster.api().lines(&url, &[]).await?;
    slice(cluster, ns, "a", &[]).await?;
    assert_eq!(watch.status, 200);
    assert_eq!(watch.next().await?, None);
    Ok(())
}

async fn a_list_from_the_future_is_refused(cluster: &Cluster, ns: &str) -> Result<()> {
    let query = "resourceVersion=1000000000&resourceVersionMatch=NotOlderThan";
    let answer = cluster
        .get(&format!("{}?{query}", SLICES.url(Some(ns), None)))
        .await?;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(
        answer.json()?["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    Ok(())
}

async fn writes_are_refused_for_these_reasons(cluster: &Cluster, ns: &str) -> Result<()> {
    let object = objects::slice(ns, "world", "a", &http(), &[pod(1)]);
    cluster.apply(SLICES, &object).await?;
    let one = SLICES.url(Some(ns), Some("a"));
    let all = SLICES.url(Some(ns), None);
    let missing = SLICES.url(Some(ns), Some("b"));
    let elsewhere = SLICES.url(Some("no-such-namespace"), None);
    let mut homeless = object.clone();
    homeless["metadata"]["namespace"] = json!("no-such-namespace");
    let mut old = object.clone();
    old["metadata"]["resourceVersion"] = json!("1");
    let tries = [
        (Method::POST, &all, Some(&object), 409, "AlreadyExists"),
        (Method::POST, &elsewhere, Some(&homeless), 404, "NotFound"),
        (Method::PUT, &one, Some(&old), 409, "Conflict"),
        (Method::PATCH, &one, Some(&old), 409, "Conflict"),
        (Method::PATCH, &missing, Some(&object), 404, "NotFound"),
        (Method::GET, &missing, None, 404, "NotFound"),
        (Method::DELETE, &missing, None, 404, "NotFound"),
    ];
    for (method, url, body, code, reason) in tries {
        let what = format!("{method} {url}");
        let answer = cluster.api().send(method, url, &[], body).await?;
        let status = answer.json()?;
        assert_eq!(answer.status.as_u16(), code, "{what}: {status}");
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&json!(reason), &json!(code)),
            "{what}"
        );
    }
    Ok(())
}

async fn objects_are_filled_in(cluster: &Cluster, ns: &str) -> Result<()> {
    let placeholder = objects::slice(ns, "world", "a", &http(), &[]);
    let placeholder = cluster.apply(SLICES, &placeholder).await?;
    assert_eq!(placeholder.get("endpoints"), Some(&Value::Null));
    assert_eq!(placeholder.get("ports"), Some(&Value::Null));
    let mut unnamed = objects::slice(ns, "world", "b", &http(), &[pod(1)]);
    unnamed["ports"] = json!([{"port": 8080}]);
    let unnamed = cluster.apply(SLICES, &unnamed).await?;
    assert_eq!(
        unnamed["ports"],
        json!([{"name": "", "port": 8080, "protocol": "TCP"}])
    );
    let service = json!({
        "metadata": {"namespace": ns, "name": "plain"},
        "spec": {"ports": [{"port": 80}]},
    });
    let service = cluster.apply(Kind::Service, &service).await?;
    assert_eq!(
        service["spec"]["ports"],
        json!([{"port": 80, "protocol": "TCP", "targetPort": 80}])
    );
    assert_eq!(service["spec"]["type"], "ClusterIP");
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4"]));
    Ok(())
}

async fn a_deleted_object_comes_back_with_another_uid(cluster: &Cluster, ns: &str) -> Result<()> {
    let object = objects::slice(ns, "world", "a", &http(), &[pod(1)]);
    let first = cluster.apply(SLICES, &object).await?;
    cluster.delete(SLICES, ns, "a").await?;
    let second = cluster.apply(SLICES, &object).await?;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert!(version(&second) > version(&first));
    Ok(())
}

async fn a_service_of_many_pods_has_many_slices(cluster: &Cluster, ns: &str) -> Result<()> {
    let pods: Vec<_> = (0..250).map(pod).collect();
    let mut world = Workload::create(cluster, ns, "world", &http(), pods).await?;
    assert_eq!(names(&cluster.list(SLICES, Some(ns)).await?).len(), 3);
    world.scale_to_zero(cluster).await?;
    let slices = cluster.list(SLICES, Some(ns)).await?;
    assert_eq!(names(&slices), ["world-0000"]);
    assert_eq!(slices["items"][0].get("ports"), Some(&Value::Null));
    world.delete(cluster).await?;
    assert_eq!(names(&cluster.list(SLICES, Some(ns)).await?), [""; 0]);
    Ok(())
}

/// 410 comes as an event of a watch that was opened with 200 (kubernetes issue 35068).
fn assert_expired(event: &Value) {
    assert_eq!(event["type"], "ERROR", "{event}");
    let status = &event["object"];
    assert_eq!(
        (&status["kind"], &status["code"]),
        (&json!("Status"), &json!(410))
    );
    assert_eq!(status["reason"], "Expired");
}

#[tokio::test]
async fn a_lost_history_is_an_error_event_of_the_double() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        return Ok(());
    };
    fresh(&cluster, "lost", async |cluster, ns| {
        slice(cluster, ns, "a", &[]).await?;
        double.store().compact();
        let url = format!("{}?watch=true&resourceVersion=1", SLICES.url(None, None));
        let mut watch = cluster.api().lines(&url, &[]).await?;
        assert_eq!(watch.status, 200);
        assert_expired(&watch.next().await?.context("an event")?);
        assert_eq!(watch.next().await?, None);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_restarted_api_server_has_lost_its_history() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let mut cluster = cluster.write().await;
    let ns = "restarted";
    cluster.namespace(ns).await?;
    let from = version(&cluster.list(SLICES, Some(ns)).await?);
    slice(&cluster, ns, "a", &[pod(1)]).await?;
    let watch = format!(
        "{}?watch=true&resourceVersion={from}",
        SLICES.url(Some(ns), None)
    );
    let mut open = cluster.api().lines(&watch, &[]).await?;
    assert_eq!(open.next().await?.context("an event")?["type"], "ADDED");
    cluster.stop_api().await?;
    assert!(open.next().await.is_err(), "a crash breaks streams off");
    assert!(cluster.get("/readyz").await.is_err(), "nobody listens");
    cluster.start_api().await?;
    let mut watch = cluster.api().lines(&watch, &[]).await?;
    assert_expired(&watch.next().await?.context("an event")?);
    Ok(())
}

#[tokio::test]
async fn rights_are_given_by_kind() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let cluster = cluster.read().await;
    for (kind, allowed) in [
        (Kind::EndpointSlice, 200),
        (Kind::Service, 200),
        (Kind::Node, 200),
        (Kind::Namespace, 403),
    ] {
        let url = format!("{}?limit=1", kind.url(None, None));
        let namerd = cluster.api().clone().with_token(NAMERD).get(&url).await?;
        assert_eq!(namerd.status.as_u16(), allowed, "{kind:?}");
        let nobody = cluster.api().clone().with_token(NOBODY).get(&url).await?;
        assert_eq!(nobody.status.as_u16(), 403, "{kind:?}");
        let stranger = cluster.api().clone().with_token("wrong").get(&url).await?;
        assert_eq!(stranger.status.as_u16(), 401, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_real_server_takes_no_loopback_endpoints() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let cluster = cluster.read().await;
    cluster.namespace("loopback").await?;
    let pod = Pod::new("world", [127, 0, 1, 1], "node-a");
    let refused = slice(&cluster, "loopback", "a", &[pod]).await;
    assert!(refused.is_err());
    Ok(())
}
