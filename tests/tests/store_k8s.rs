//! The dtab store `io.l5d.k8s` on the cluster double and on the real API server: what writes do, what two replicas see, and
//! what a killed API server costs (nothing). Rule ids are those of the Kubernetes specification.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Method, StatusCode};
use l5d_naming::Dtab;
use l5d_tests::cluster::{Backing, Cluster, shared_real};
use l5d_tests::control::api_address;
use l5d_tests::double::{Fault, Kind, On};
use namerd::k8s::{ConfigMapDtabs, ConfigMapSource, DtabSource, K8sDtabs};
use namerd::store::{DtabStore, DtabToken, NamespaceState, StoreError, VersionedDtab};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// Each rule on both clusters, in a namespace of its own.
macro_rules! on_both {
    ($($rule:ident),* $(,)?) => {
        mod double {
            $(#[tokio::test]
            async fn $rule() -> anyhow::Result<()> {
                let cluster = super::Cluster::double()?;
                super::fresh(&cluster, stringify!($rule), super::$rule).await
            })*
        }
        mod real {
            $(#[tokio::test]
            async fn $rule() -> anyhow::Result<()> {
                let Some(cluster) = super::shared_real().await else { return Ok(()) };
                super::fresh(&*cluster.read().await, stringify!($rule), super::$rule).await
            })*
        }
    };
}

on_both!(
    k8s_160_create_update_put_and_delete,
    k8s_160_labels_and_annotations_of_others_stay,
    k8s_161_a_write_through_one_replica_is_served_by_the_other,
    k8s_160_of_conflicting_writes_one_wins,
    a_change_of_labels_is_no_other_version,
    objects_of_linkerd_1_are_served_and_bad_ones_hide_nobody,
    the_api_server_refuses_what_the_definition_forbids,
    the_status_is_written_once,
    earlier_versions_can_be_listed,
    k8s_162_a_config_map_is_read,
);

/// A Kubernetes namespace with stores over it.
struct Ground<'a> {
    cluster: &'a Cluster,
    ns: String,
}

/// A replica's store, while it is followed.
struct Replica {
    store: Arc<K8sDtabs>,
    _follow: AbortOnDropHandle<()>,
}

async fn fresh(
    cluster: &Cluster,
    rule: &str,
    test: impl AsyncFn(&Ground<'_>) -> Result<()>,
) -> Result<()> {
    let ns = rule.replace('_', "-");
    cluster.namespace(&ns).await?;
    cluster.define_dtabs().await?;
    test(&Ground { cluster, ns }).await
}

fn replica(cluster: &Cluster, ns: &str, write_status: bool) -> Result<Replica> {
    let (store, follow) = K8sDtabs::new(&DtabSource {
        address: api_address(cluster)?,
        namespace: ns.to_owned(),
        startup_jitter: Duration::ZERO,
        write_status,
    })?;
    let follow = AbortOnDropHandle::new(tokio::spawn(follow));
    Ok(Replica {
        store,
        _follow: follow,
    })
}

impl Ground<'_> {
    /// A replica that has listed.
    async fn replica(&self, write_status: bool) -> Result<Replica> {
        let replica = replica(self.cluster, &self.ns, write_status)?;
        replica.synced().await?;
        Ok(replica)
    }

    /// An object as the API has it.
    async fn object(&self, name: &str) -> Result<Value> {
        let url = Kind::DTab.url(Some(&self.ns), Some(name));
        self.cluster.get(&url).await?.ok()
    }

    /// As `kubectl patch --type merge`.
    async fn patch(&self, name: &str, patch: &Value) -> Result<Value> {
        let url = Kind::DTab.url(Some(&self.ns), Some(name));
        let api = self.cluster.api();
        api.send(Method::PATCH, &url, &[], Some(patch)).await?.ok()
    }
}

impl Replica {
    async fn synced(&self) -> Result<()> {
        let list = self.store.list();
        let synced = list.wait_for(Option::is_some);
        tokio::time::timeout(PATIENCE, synced)
            .await
            .context("a first list")?;
        Ok(())
    }

    /// Waits until a namespace is like this.
    async fn until(&self, name: &str, holds: impl Fn(&NamespaceState) -> bool) -> Result<()> {
        let cell = self.store.observe(name);
        let waiting = tokio::time::timeout(PATIENCE, cell.wait_for(holds)).await;
        waiting
            .with_context(|| format!("{name} is {:?}", cell.value()))
            .map(drop)
    }

    async fn until_dtab(&self, name: &str, wanted: &str) -> Result<()> {
        let wanted = dtab(wanted);
        let is = |state: &NamespaceState| matches!(state, NamespaceState::Present(now) if now.dtab == wanted);
        self.until(name, is).await
    }

    fn now(&self, name: &str) -> Result<VersionedDtab> {
        match self.store.observe(name).value() {
            NamespaceState::Present(now) => Ok(now),
            other => anyhow::bail!("{name} is {other:?}"),
        }
    }
}

fn dtab(text: &str) -> Dtab {
    Dtab::parse(text).expect("a dtab")
}

async fn k8s_160_create_update_put_and_delete(on: &Ground<'_>) -> Result<()> {
    let replica = on.replica(false).await?;
    let store = &replica.store;
    let missing = StoreError::Missing("a".to_owned());
    let none = DtabToken(Arc::from(*b"1"));
    assert_eq!(
        store.update("a", dtab("/a=>/b"), &none).await,
        Err(missing.clone())
    );
    assert_eq!(store.delete("a").await, Err(missing));
    let first = store.create("a", dtab("/a=>/b")).await?;
    // K8S-161: no waiting for the watch.
    assert_eq!(
        replica.now("a")?,
        VersionedDtab {
            dtab: dtab("/a=>/b"),
            token: first.clone()
        }
    );
    let version = on.object("a").await?["metadata"]["resourceVersion"].clone();
    assert_eq!(version.as_str().map(str::as_bytes), Some(&*first.0));
    let again = store.create("a", dtab("/a=>/c")).await;
    assert_eq!(again, Err(StoreError::Exists("a".to_owned())));
    // Weights lose nothing.
    let weights = "/a=>0.123456789*/b & 2*/c";
    let second = store.update("a", dtab(weights), &first).await?;
    assert_eq!(
        replica.now("a")?,
        VersionedDtab {
            dtab: dtab(weights),
            token: second.clone()
        }
    );
    let old = store.update("a", dtab("/a=>/d"), &first).await;
    assert_eq!(old, Err(StoreError::VersionMismatch("a".to_owned())));
    store.put("a", dtab("/a=>/e")).await?;
    store.put("new.one", dtab("")).await?;
    assert_eq!(replica.now("new.one")?.dtab, Dtab::empty());
    assert_eq!(
        store.list().value().as_deref(),
        Some(&["a".to_owned(), "new.one".to_owned()][..])
    );
    store.delete("a").await?;
    assert_eq!(store.observe("a").value(), NamespaceState::Absent);
    store.create("a", dtab("/a=>/f")).await?;
    assert_eq!(replica.now("a")?.dtab, dtab("/a=>/f"));
    let bad = store.put("No_Good", dtab("")).await;
    assert!(matches!(bad, Err(StoreError::BadName { .. })), "{bad:?}");
    Ok(())
}

async fn k8s_160_labels_and_annotations_of_others_stay(on: &Ground<'_>) -> Result<()> {
    let replica = on.replica(false).await?;
    let first = replica.store.create("a", dtab("/a=>/b")).await?;
    let others = json!({"metadata": {"labels": {"team": "web"}, "annotations": {"who": "me"}}});
    on.patch("a", &others).await?;
    replica.store.update("a", dtab("/a=>/c"), &first).await?;
    replica.store.put("a", dtab("/a=>/d")).await?;
    let object = on.object("a").await?;
    assert_eq!(object["metadata"]["labels"]["team"], "web");
    assert_eq!(object["metadata"]["annotations"]["who"], "me");
    assert_eq!(object["dentries"], json!([{"prefix": "/a", "dst": "/d"}]));
    Ok(())
}

async fn k8s_161_a_write_through_one_replica_is_served_by_the_other(on: &Ground<'_>) -> Result<()> {
    let (a, b) = (on.replica(false).await?, on.replica(false).await?);
    let token = a.store.create("shared", dtab("/a=>/b")).await?;
    b.until_dtab("shared", "/a=>/b").await?;
    b.store.update("shared", dtab("/a=>/c"), &token).await?;
    a.until_dtab("shared", "/a=>/c").await?;
    a.store.delete("shared").await?;
    b.until("shared", |state| *state == NamespaceState::Absent)
        .await
}

async fn k8s_160_of_conflicting_writes_one_wins(on: &Ground<'_>) -> Result<()> {
    let (a, b) = (on.replica(false).await?, on.replica(false).await?);
    let mut token = a.store.create("raced", dtab("/a=>/0")).await?;
    b.until_dtab("raced", "/a=>/0").await?;
    for round in 1..=10 {
        let (ours, theirs) = (format!("/a=>/a{round}"), format!("/a=>/b{round}"));
        let (left, right) = tokio::join!(
            a.store.update("raced", dtab(&ours), &token),
            b.store.update("raced", dtab(&theirs), &token),
        );
        let (won, lost, wanted) = match (left, right) {
            (Ok(won), lost) => (won, lost, ours),
            (lost, Ok(won)) => (won, lost, theirs),
            neither => anyhow::bail!("nobody wins: {neither:?}"),
        };
        assert_eq!(lost, Err(StoreError::VersionMismatch("raced".to_owned())));
        a.until_dtab("raced", &wanted).await?;
        b.until_dtab("raced", &wanted).await?;
        token = won;
    }
    Ok(())
}

/// A label's edit, or a status, changes the resource version; who holds the token of the table may still write.
async fn a_change_of_labels_is_no_other_version(on: &Ground<'_>) -> Result<()> {
    let (a, b) = (on.replica(false).await?, on.replica(false).await?);
    let token = a.store.create("labelled", dtab("/a=>/b")).await?;
    b.until_dtab("labelled", "/a=>/b").await?;
    on.patch("labelled", &json!({"metadata": {"labels": {"x": "1"}}}))
        .await?;
    let second = a.store.update("labelled", dtab("/a=>/c"), &token).await?;
    b.until_dtab("labelled", "/a=>/c").await?;
    on.patch("labelled", &json!({"metadata": {"labels": {"x": "2"}}}))
        .await?;
    on.patch(
        "labelled",
        &json!({"dentries": [{"prefix": "/a", "dst": "/other"}]}),
    )
    .await?;
    let lost = b.store.update("labelled", dtab("/a=>/d"), &second).await;
    assert_eq!(
        lost,
        Err(StoreError::VersionMismatch("labelled".to_owned()))
    );
    assert_eq!(
        b.now("labelled")?.dtab,
        dtab("/a=>/other"),
        "the conflict has told"
    );
    Ok(())
}

/// Control plane 12.1, 12.3; K8S-125.
async fn objects_of_linkerd_1_are_served_and_bad_ones_hide_nobody(on: &Ground<'_>) -> Result<()> {
    let object = |name: &str, dst: &str| {
        json!({
            "apiVersion": "l5d.io/v1alpha1", "kind": "DTab",
            "metadata": {"name": name, "namespace": on.ns},
            "dentries": [{"prefix": "/srv", "dst": "/#/io.l5d.k8s/default/http"},
                         {"prefix": "/svc", "dst": dst}],
        })
    };
    let good = "0.90*/srv/web & 0.10*/srv/web-v2";
    on.cluster
        .apply(Kind::DTab, &object("internal", good))
        .await?;
    on.cluster
        .apply(Kind::DTab, &object("broken", "/srv |"))
        .await?;
    let replica = on.replica(false).await?;
    let wanted = format!("/srv=>/#/io.l5d.k8s/default/http;/svc=>{good}");
    replica.until_dtab("internal", &wanted).await?;
    let broken = |state: &NamespaceState| matches!(state, NamespaceState::Unreadable(why) if why.contains("dentries[1].dst"));
    replica.until("broken", broken).await?;
    // A bad edit of a good one leaves the last good one.
    on.cluster
        .apply(Kind::DTab, &object("internal", "/srv &"))
        .await?;
    let status = replica.store.status();
    let told = |status: &namerd::store::StoreStatus| {
        let names = status.unreadable.iter().map(|(name, _)| name.as_str());
        names.eq(["broken", "internal"])
    };
    tokio::time::timeout(PATIENCE, status.wait_for(told)).await?;
    assert_eq!(replica.now("internal")?.dtab, dtab(&wanted));
    on.cluster
        .apply(Kind::DTab, &object("broken", "/srv/x"))
        .await?;
    replica
        .until_dtab("broken", "/srv=>/#/io.l5d.k8s/default/http;/svc=>/srv/x")
        .await
}

async fn the_api_server_refuses_what_the_definition_forbids(on: &Ground<'_>) -> Result<()> {
    let url = Kind::DTab.url(Some(&on.ns), None);
    let post = async |dentries: Value| {
        let object = json!({
            "apiVersion": "l5d.io/v1alpha1", "kind": "DTab", "metadata": {"name": "bad"}, "dentries": dentries,
        });
        let answer = on
            .cluster
            .api()
            .send(Method::POST, &url, &[], Some(&object))
            .await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        anyhow::Ok((answer.status, text))
    };
    let (status, text) = post(json!([{"prefix": "svc", "dst": "/a"}])).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    assert!(text.contains("begins with '/'"), "{text}");
    for dentries in [
        json!([{"prefix": "/svc", "dst": ""}]),
        json!([{"prefix": "/svc"}]),
        Value::Null,
    ] {
        let (status, text) = post(dentries.clone()).await?;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{dentries}: {text}"
        );
    }
    Ok(())
}

/// Control plane 12.3: three replicas that all may write it come to rest.
async fn the_status_is_written_once(on: &Ground<'_>) -> Result<()> {
    let replicas = [
        on.replica(true).await?,
        on.replica(true).await?,
        on.replica(true).await?,
    ];
    // Before the object is there: its status may be written as soon as it is.
    let url = Kind::DTab.url(Some(&on.ns), None);
    let list = on.cluster.list(Kind::DTab, Some(&on.ns)).await?;
    let from = list["metadata"]["resourceVersion"]
        .as_str()
        .context("a version")?;
    let mut watch = on
        .cluster
        .api()
        .lines(&format!("{url}?watch=true&resourceVersion={from}"), &[])
        .await?;
    let token = replicas[0].store.create("a", dtab("/a=>/b;/c=>/d")).await?;
    let added = tokio::time::timeout(PATIENCE, watch.next())
        .await??
        .context("an event")?;
    assert!(added["object"]["status"].is_null(), "{added}");
    let first = tokio::time::timeout(PATIENCE, watch.next())
        .await??
        .context("an event")?;
    assert_eq!(
        first["object"]["status"],
        json!({"observedGeneration": 1, "valid": true, "entries": 2}),
    );
    assert_eq!(on.object("a").await?["metadata"]["generation"], 1);
    // The token from before still writes; the next event but one is the next status, with nothing in between.
    replicas[1]
        .store
        .update("a", dtab("/a=>/b"), &token)
        .await?;
    let mut told = Vec::new();
    while told.last() != Some(&json!({"observedGeneration": 2, "valid": true, "entries": 1})) {
        let event = tokio::time::timeout(PATIENCE, watch.next())
            .await??
            .context("an event")?;
        told.push(event["object"]["status"].clone());
    }
    assert_eq!(told.len(), 2, "{told:?}");
    Ok(())
}

async fn earlier_versions_can_be_listed(on: &Ground<'_>) -> Result<()> {
    let replica = on.replica(false).await?;
    let store = &replica.store;
    let first = store.create("a", dtab("/a=>/1")).await?;
    store.update("a", dtab("/a=>/2"), &first).await?;
    // Behind our back.
    on.patch("a", &json!({"dentries": [{"prefix": "/a", "dst": "/3"}]}))
        .await?;
    replica.until_dtab("a", "/a=>/3").await?;
    store.put("a", dtab("/a=>/4")).await?;
    let other = on.replica(false).await?;
    let history = other.store.history("a").await?;
    let dtabs: Vec<_> = history
        .iter()
        .map(|past| past.version.dtab.to_string())
        .collect();
    assert_eq!(dtabs, ["/a=>/4", "/a=>/3", "/a=>/2", "/a=>/1"]);
    assert_eq!(history[3].version.token, first);
    let written: Vec<_> = history.iter().map(|past| past.written.is_some()).collect();
    assert_eq!(written, [true, false, true, true]);
    Ok(())
}

/// K8S-162 on the API: the watch is of one object, and nothing can be written.
async fn k8s_162_a_config_map_is_read(on: &Ground<'_>) -> Result<()> {
    let source = |key: Option<&str>| -> Result<ConfigMapSource> {
        Ok(ConfigMapSource {
            address: api_address(on.cluster)?,
            namespace: on.ns.clone(),
            name: "dtabs".to_owned(),
            key: key.map(str::to_owned),
            startup_jitter: Duration::ZERO,
        })
    };
    let (one, follow_one) = ConfigMapDtabs::new(source(Some("dtab"))?)?;
    let (all, follow_all) = ConfigMapDtabs::new(source(None)?)?;
    let _following = [
        AbortOnDropHandle::new(tokio::spawn(follow_one)),
        AbortOnDropHandle::new(tokio::spawn(follow_all)),
    ];
    let until = async |store: &ConfigMapDtabs, name: &str, wanted: Option<&str>| {
        let wanted = wanted.map(dtab);
        let is = |state: &NamespaceState| match (state, &wanted) {
            (NamespaceState::Present(now), Some(wanted)) => now.dtab == *wanted,
            (NamespaceState::Absent, None) => true,
            _ => false,
        };
        let cell = store.observe(name);
        let waiting = tokio::time::timeout(PATIENCE, cell.wait_for(is)).await;
        let said = || format!("{name} is {:?}", cell.value());
        waiting.with_context(said).map(drop)
    };
    let map = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": on.ns}, "data": data,
        })
    };
    until(&one, "default", None).await?;
    let another = map("another", json!({"dtab": "/no => /no"}));
    on.cluster.apply(Kind::ConfigMap, &another).await?;
    let good = map("dtabs", json!({"dtab": "/svc => /a", "more": "/svc => /b"}));
    on.cluster.apply(Kind::ConfigMap, &good).await?;
    until(&one, "default", Some("/svc=>/a")).await?;
    until(&all, "more", Some("/svc=>/b")).await?;
    let bad = map("dtabs", json!({"dtab": "/svc =>", "more": "/svc => /c"}));
    on.cluster.apply(Kind::ConfigMap, &bad).await?;
    until(&all, "more", Some("/svc=>/c")).await?;
    until(&one, "default", Some("/svc=>/a")).await?;
    let refused = one.put("default", dtab("/x=>/y")).await;
    assert!(
        matches!(&refused, Err(StoreError::Forbidden(why)) if why.contains("/dtabs,")),
        "{refused:?}"
    );
    on.cluster.delete(Kind::ConfigMap, &on.ns, "dtabs").await?;
    until(&one, "default", None).await?;
    until(&all, "more", None).await
}

/// Control plane 12.3: without its definition the store is empty and says so; with it, it serves.
#[tokio::test]
async fn without_the_definition_there_is_nothing_until_it_comes() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    double
        .faults()
        .fail(Some(Kind::DTab), On::Any, Fault::Status(404, None), None);
    cluster.namespace("default").await?;
    let replica = replica(&cluster, "default", false)?;
    replica.synced().await?;
    assert_eq!(replica.store.observe("a").value(), NamespaceState::Absent);
    let failure = replica.store.status().value().failure.context("is told")?;
    assert!(failure.contains("404"), "{failure}");
    let refused = replica.store.put("a", dtab("/a=>/b")).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("--crd")),
        "{refused:?}"
    );
    double.faults().clear();
    let object = json!({"metadata": {"name": "a", "namespace": "default"}, "dentries": []});
    cluster.apply(Kind::DTab, &object).await?;
    replica.until_dtab("a", "").await?;
    // Once something is known, a server that has forgotten the definition takes nothing away.
    double
        .faults()
        .fail(Some(Kind::DTab), On::Any, Fault::Status(404, None), None);
    double.faults().end_watches();
    let status = replica.store.status();
    tokio::time::timeout(PATIENCE, status.wait_for(|status| !status.connected)).await?;
    assert_eq!(replica.now("a")?.dtab, Dtab::empty());
    Ok(())
}

/// F1, F2 for writers: the real API server is killed again and again under a writer. What was acknowledged is there
/// afterwards, in order, and the replica that only follows is not stale.
#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_api_server_is_killed() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let mut cluster = cluster.write().await;
    cluster.namespace("killed").await?;
    cluster.define_dtabs().await?;
    let writer = replica(&cluster, "killed", false)?;
    let follower = replica(&cluster, "killed", false)?;
    writer.synced().await?;
    follower.synced().await?;
    let url = Kind::DTab.url(Some("killed"), Some("counter"));
    let stop = tokio_util::sync::CancellationToken::new();
    let (store, stopped) = (Arc::clone(&writer.store), stop.clone());
    let acknowledged = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&acknowledged);
    let writing = tokio::spawn(async move {
        let mut refused = 0_u32;
        for n in 1_u32.. {
            match store.put("counter", dtab(&format!("/n=>/{n}"))).await {
                Ok(_) => told.store(n, Ordering::SeqCst),
                // A server that has just begun forbids until it has read its roles.
                Err(StoreError::Unavailable(_) | StoreError::Forbidden(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            if stopped.is_cancelled() {
                return (refused, n);
            }
            // So that a refusing server is not asked in a hot loop.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("the loop has no end")
    });
    for _ in 0..3 {
        let before = follower.store.observe("counter").get().0;
        let cell = follower.store.observe("counter");
        let moved = async {
            while cell.get().0 == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, moved)
            .await
            .context("writes go on")?;
        cluster.stop_api().await?;
        let told = acknowledged.load(Ordering::SeqCst);
        cluster.start_api().await?;
        let object = cluster.get(&url).await?.ok()?;
        let there = object["dentries"][0]["dst"].as_str().context("a table")?;
        let there: u32 = there.trim_start_matches('/').parse()?;
        assert!(there >= told, "{told} was acknowledged, {there} is there");
    }
    stop.cancel();
    let (refused, tried) = writing.await?;
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    eprintln!("{tried} writes, {refused} refused, the last acknowledged is {acknowledged}");
    // A last write that is surely acknowledged.
    let last = tried + 1;
    let mut attempts = 0;
    while writer
        .store
        .put("counter", dtab(&format!("/n=>/{last}")))
        .await
        .is_err()
    {
        attempts += 1;
        anyhow::ensure!(attempts < 600, "the restarted API server takes no writes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    follower
        .until_dtab("counter", &format!("/n=>/{last}"))
        .await?;
    let object = cluster.get(&url).await?.ok()?;
    assert_eq!(object["dentries"][0]["dst"], format!("/{last}"));
    // What was acknowledged last before the end is among what the object tells of.
    let history = follower.store.history("counter").await?;
    let kept = history
        .iter()
        .any(|past| past.version.dtab == dtab(&format!("/n=>/{acknowledged}")));
    assert!(kept, "{acknowledged} was acknowledged: {history:?}");
    Ok(())
}
