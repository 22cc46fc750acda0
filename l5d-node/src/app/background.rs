//! What goes on beside the requests, on the control thread: following, letting idle names go, keeping the warm file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, select_all};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::warm::{Scope, Snapshot, snapshot};
use crate::cache::{FollowSet, Table};
use crate::control::{self, Certifying, Plan};
use crate::tls::Tls;

/// How often idle names are looked for.
const EXPIRY_GAP: Duration = Duration::from_secs(5);
/// From a change to its writing, so that what belongs together is written together.
const SETTLE_TIME: Duration = Duration::from_secs(1);
/// Between two writings.
const WRITE_GAP: Duration = Duration::from_secs(10);

/// What keeps TLS fresh.
pub(super) struct Secure {
    pub(super) tls: Arc<Tls>,
    pub(super) certifying: Option<Certifying>,
}

/// Runs until `end`; the last thing that it does is to write the warm file.
pub(super) async fn run(
    plans: Vec<Plan>,
    table: Arc<Table>,
    namerds: Vec<Arc<FollowSet>>,
    scope: Scope,
    warm_file: Option<PathBuf>,
    secure: Secure,
    end: CancellationToken,
) {
    let tasks = TaskTracker::new();
    // The last warm file is written before the streams end: what they confirm is not stale then.
    let end_streams = CancellationToken::new();
    for plan in plans {
        tasks.spawn(control::follow(plan, end_streams.clone()));
    }
    if let Some(certifying) = secure.certifying {
        tasks.spawn(certifying.run(end_streams.clone()));
    }
    let expiring = expire(&table);
    let warming = keep_warm(&table, &namerds, &scope, warm_file.as_deref(), &end);
    tokio::select! {
        () = expiring => {}
        () = warming => {}
        () = secure.tls.keep_fresh() => {}
    }
    end_streams.cancel();
    tasks.close();
    tasks.wait().await;
}

async fn expire(table: &Table) {
    let mut ticks = interval(EXPIRY_GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        table.expire();
    }
}

/// Writes 1 s after a change, then at most once in 10 s, and at the end. Without a file it only waits for the end.
async fn keep_warm(
    table: &Arc<Table>,
    namerds: &[Arc<FollowSet>],
    scope: &Scope,
    file: Option<&Path>,
    end: &CancellationToken,
) {
    let Some(file) = file else {
        return end.cancelled().await;
    };
    let mut last: Option<Snapshot> = None;
    let mut wait = SETTLE_TIME;
    loop {
        let changed = select_all(namerds.iter().map(|set| set.touched().boxed()));
        let is_end = tokio::select! {
            () = end.cancelled() => true,
            _ = changed => tokio::select! {
                () = end.cancelled() => true,
                () = sleep(wait) => false,
            },
        };
        let now = snapshot(table, scope);
        let is_new = last.as_ref().is_none_or(|last| !now.is_same(last));
        // At the end the times count too.
        if is_new || is_end {
            write(&now, file).await;
            last = Some(now);
            wait = WRITE_GAP;
        } else {
            wait = SETTLE_TIME;
        }
        if is_end {
            return;
        }
    }
}

async fn write(snapshot: &Snapshot, file: &Path) {
    let (snapshot, to) = (snapshot.clone(), file.to_owned());
    let written = tokio::task::spawn_blocking(move || snapshot.write(&to)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(file = %file.display(), %error, "the warm file cannot be written");
        }
        Err(error) => tracing::error!(%error, "writing the warm file failed"),
    }
}
