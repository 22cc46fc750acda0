//! What must hold while the system behind a store is killed and started again and again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use l5d_tests::store_suite::{NEWS, Opened, dtab};
use namerd::store::NamespaceState;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// A real system with a store on it.
pub(crate) trait System {
    fn open(&self) -> Result<Opened>;
    fn kill(&mut self) -> impl Future<Output = Result<()>>;
    fn start_again(&mut self) -> impl Future<Output = Result<()>>;
}

/// Nobody sees a known dtab go, what was acknowledged is there afterwards, and followers are up to date without being
/// opened again.
pub(crate) async fn lose_and_empty_nothing(mut system: impl System) -> Result<()> {
    let (writer, follower) = (system.open()?, system.open()?);
    writer.store.create("live", dtab(0)).await?;
    follower.wait_dtab("live", &dtab(0)).await?;
    let (gone, _guard) = losses(&follower);
    let mut n = 0;
    for round in 0..3 {
        let mut acknowledged = None;
        for _ in 0..10 {
            n += 1;
            acknowledged = Some((n, writer.store.put("live", dtab(n)).await?));
        }
        system.kill().await?;
        let refused = writer.store.put("live", dtab(1_000 + round)).await;
        ensure!(refused.is_err(), "acknowledged by nobody");
        let status = follower.store.status();
        let told = status.wait_for(|status| !status.connected && status.failure.is_some());
        timeout(NEWS, told).await.context("the loss is not told")?;
        system.start_again().await?;
        let (last, token) = acknowledged.context("ten were written")?;
        for opened in [&writer, &follower] {
            let status = opened.store.status();
            let back = status.wait_for(|status| status.connected && status.failure.is_none());
            timeout(NEWS, back)
                .await
                .context("the return is not told")?;
            ensure!(opened.wait_dtab("live", &dtab(last)).await? == token);
        }
    }
    n += 1;
    writer.store.put("live", dtab(n)).await?;
    follower.wait_dtab("live", &dtab(n)).await?;
    ensure!(gone.load(Ordering::Relaxed) == 0, "a known dtab went");
    Ok(())
}

/// Counts whether the namespace `live` is ever seen without a dtab.
fn losses(follower: &Opened) -> (Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let gone = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&gone);
    let cell = follower.store.observe("live");
    let task = tokio::spawn(async move {
        let lost = |state: &NamespaceState| !matches!(state, NamespaceState::Present(_));
        cell.wait_for(lost).await;
        counts.fetch_add(1, Ordering::Relaxed);
    });
    (gone, AbortOnDropHandle::new(task))
}
