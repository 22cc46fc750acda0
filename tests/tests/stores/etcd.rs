//! `io.l5d.etcd` on a real etcd.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use l5d_tests::etcd::RealEtcd;
use l5d_tests::real::Binaries;
use l5d_tests::store_suite::{self, Backing, NEWS, Opened, dtab};
use namerd::config::EtcdStorage;
use namerd::etcd::EtcdStore;
use namerd::store::NamespaceState;
use tokio::time::timeout;

const PREFIX: &str = "/namerd/dtabs";

fn open(etcd: &RealEtcd) -> Result<Opened> {
    let addr = etcd.addr();
    let store = EtcdStore::new(&EtcdStorage {
        hosts: vec![(addr.ip().to_string(), addr.port())],
        path_prefix: PREFIX.to_owned(),
        tls: None,
    })?;
    let run = Arc::clone(&store).run();
    Ok(Opened::new(store, Some(run)))
}

impl Backing for Place<'_> {
    const SHARED: bool = true;
    const HISTORY: bool = true;
    const BAD_NAME: Option<&'static str> = Some("");

    async fn open(&self) -> Result<Opened> {
        open(self.0)
    }

    async fn spoil(&self, namespace: &str, text: &str) -> Result<bool> {
        let key = format!("{PREFIX}/{namespace}");
        self.0.put(key.as_bytes(), text.as_bytes()).await?;
        Ok(true)
    }
}

struct Place<'a>(&'a RealEtcd);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_etcd_does_what_every_store_must() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let etcd = RealEtcd::start(&binaries).await?;
    // Keys of others, and one that is no text, are nobody's namespaces.
    for key in [
        &b"/namerd/dtabs"[..],
        b"/namerd/dtabs0",
        b"/namerd/dtabs/\xff",
        b"/other",
    ] {
        etcd.put(key, b"/svc=>/x").await?;
    }
    store_suite::run(&Place(&etcd)).await
}

/// While etcd is killed and started again and again, nobody sees a known dtab go, what was acknowledged is there
/// afterwards, and followers are up to date without being opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_etcd_loses_no_acknowledged_write_and_empties_nothing() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let mut etcd = RealEtcd::start(&binaries).await?;
    let (writer, follower) = (open(&etcd)?, open(&etcd)?);
    writer.store.create("live", dtab(0)).await?;
    follower.wait_dtab("live", &dtab(0)).await?;
    let gone = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&gone);
    let cell = follower.store.observe("live");
    let guard = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let lost = |state: &NamespaceState| !matches!(state, NamespaceState::Present(_));
        cell.wait_for(lost).await;
        counts.fetch_add(1, Ordering::Relaxed);
    }));
    let mut n = 0;
    for round in 0..3 {
        let mut acknowledged = None;
        for _ in 0..10 {
            n += 1;
            acknowledged = Some((n, writer.store.put("live", dtab(n)).await?));
        }
        etcd.kill().await?;
        let refused = writer.store.put("live", dtab(1_000 + round)).await;
        ensure!(refused.is_err(), "acknowledged by nobody");
        let status = follower.store.status();
        let told = status.wait_for(|status| !status.connected && status.failure.is_some());
        timeout(NEWS, told).await.context("the loss is not told")?;
        etcd.start_again().await?;
        let (last, token) = acknowledged.context("ten were written")?;
        for opened in [&writer, &follower] {
            ensure!(opened.wait_dtab("live", &dtab(last)).await? == token);
            let status = opened.store.status();
            let back = status.wait_for(|status| status.connected && status.failure.is_none());
            timeout(NEWS, back)
                .await
                .context("the return is not told")?;
        }
    }
    n += 1;
    writer.store.put("live", dtab(n)).await?;
    follower.wait_dtab("live", &dtab(n)).await?;
    ensure!(gone.load(Ordering::Relaxed) == 0, "a known dtab went");
    drop(guard);
    Ok(())
}

/// Changes and a delete that were compacted while a follower was cut off reach it nevertheless, in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_compacted_meanwhile_is_listed() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let mut etcd = RealEtcd::start(&binaries).await?;
    let follower = open(&etcd)?;
    for name in ["kept", "deleted"] {
        follower.store.create(name, dtab(1)).await?;
    }
    etcd.kill().await?;
    let status = follower.store.status();
    let told = status.wait_for(|status| !status.connected);
    timeout(NEWS, told).await.context("the loss is not told")?;
    etcd.start_again().await?;
    {
        let other = open(&etcd)?;
        other.store.put("kept", dtab(2)).await?;
        other.store.delete("deleted").await?;
        other.store.put("new", dtab(3)).await?;
        etcd.compact().await?;
    }
    follower.wait_dtab("kept", &dtab(2)).await?;
    follower.wait_dtab("new", &dtab(3)).await?;
    follower
        .wait("deleted", |state| *state == NamespaceState::Absent)
        .await?;
    // Older versions are gone with the compaction: the history ends there.
    ensure!(follower.store.history("kept").await?.len() == 1);
    Ok(())
}

/// An etcd restored from an older state, here an empty one, is believed although its revisions begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_goes_back_in_time_is_followed() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let mut etcd = RealEtcd::start(&binaries).await?;
    let follower = open(&etcd)?;
    for n in 0..20 {
        follower.store.put("a", dtab(n)).await?;
    }
    etcd.wipe().await?;
    follower.wait_dtab("a", &dtab(19)).await?;
    etcd.start_again().await?;
    etcd.put(b"/namerd/dtabs/b", b"/svc=>/v1").await?;
    follower.wait_dtab("b", &dtab(1)).await?;
    follower
        .wait("a", |state| *state == NamespaceState::Absent)
        .await?;
    Ok(())
}
