//! `io.l5d.etcd` on a real etcd.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::etcd::RealEtcd;
use l5d_tests::real::Binaries;
use l5d_tests::store_suite::{self, Backing, NEWS, Opened, dtab};
use namerd::config::EtcdStorage;
use namerd::etcd::EtcdStore;
use namerd::store::NamespaceState;
use tokio::time::timeout;

use crate::kills::{self, System};

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

struct Mortal(RealEtcd);

impl System for Mortal {
    fn open(&self) -> Result<Opened> {
        open(&self.0)
    }

    async fn kill(&mut self) -> Result<()> {
        self.0.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        self.0.start_again().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_etcd_loses_no_acknowledged_write_and_empties_nothing() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    kills::lose_and_empty_nothing(Mortal(RealEtcd::start(&binaries).await?)).await
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
