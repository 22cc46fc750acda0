//! Keeps the mirror like etcd: everything once, then each change.
//!
//! ```text
//!   list at revision R -> replaces all -> watch from R + 1 -> changes, progress -> an end -> wait -> list again
//! ```
//!
//! Each beginning is a new list, so that whatever happened meanwhile (a compaction, a restore of etcd) is one case. The
//! watch is asked for its progress all the time; one that says nothing is given up.

use std::sync::Arc;
use std::time::Duration;

use l5d_etcd::v3::event::EventType;
use l5d_etcd::v3::{Event, WatchResponse};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tonic::Status;

use super::EtcdStore;
use super::client::Watch;
use super::keys;
use crate::dial::Backoff;

/// Time between two questions about the progress of a watch.
const PROGRESS: Duration = Duration::from_secs(5);
/// A watch that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(15);

/// Why a watch has ended.
enum End {
    /// etcd keeps the wanted revisions no longer: nothing is wrong.
    Compacted,
    /// Anything else.
    Failed(String),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        End::Failed(super::describe(&status))
    }
}

impl EtcdStore {
    /// Follows for ever. Cancel safe.
    pub async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let Err(end) = self.follow(&mut backoff).await;
            match end {
                End::Compacted => tracing::info!("etcd has compacted what was watched; listing"),
                End::Failed(reason) => {
                    tracing::warn!(
                        reason,
                        "etcd is not followed; the last known dtabs are served"
                    );
                    self.mirror.table().fail(reason);
                    self.renew();
                }
            }
            sleep(backoff.wait()).await;
        }
    }

    async fn follow(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, End> {
        let client = self.client();
        let (first, end) = self.keys.range();
        // What is known when the list is asked for cannot be newer than the list, if etcd is the one that it was.
        let newest = self.mirror.newest();
        let (at, all) = client.list(first.clone(), end.clone()).await?;
        if unsigned(at) < newest {
            tracing::error!(
                at,
                newest,
                "etcd has gone back in time; its dtabs of now are served"
            );
            self.mirror.forget_order();
        }
        let all = all.iter().filter_map(|kv| {
            let name = self.namespace(&kv.key)?;
            Some((name.to_owned(), unsigned(kv.mod_revision), keys::read(kv)))
        });
        self.mirror.replace(unsigned(at), all);
        self.mirror.reached(unsigned(at));
        let mut watch = client.watch(first, end, at + 1).await?;
        let mut progress = interval(PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = next(&mut watch, &mut progress).await?;
            self.take(&said)?;
            backoff.reset();
        }
    }

    /// One message of the watch.
    fn take(&self, said: &WatchResponse) -> Result<(), End> {
        if said.compact_revision != 0 {
            return Err(End::Compacted);
        }
        if said.canceled {
            return Err(End::Failed(format!("watch ended: {}", said.cancel_reason)));
        }
        for event in &said.events {
            self.take_event(event);
        }
        // The revision in the head of a message with events may be ahead of these events; without, it is how far all has
        // been told, unless it is the first message.
        let last = said.events.last().and_then(|event| event.kv.as_ref());
        let reached = match last {
            Some(kv) => Some(kv.mod_revision),
            None if said.created => None,
            None => said.header.as_ref().map(|header| header.revision),
        };
        if let Some(reached) = reached {
            self.mirror.reached(unsigned(reached));
        }
        Ok(())
    }

    fn take_event(&self, event: &Event) {
        let Some(kv) = &event.kv else { return };
        let Some(name) = self.namespace(&kv.key) else {
            return;
        };
        let at = unsigned(kv.mod_revision);
        match event.r#type() {
            EventType::Put => self.mirror.set(name, at, keys::read(kv)),
            EventType::Delete => self.mirror.remove(name, at),
        }
    }

    fn namespace<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        let name = self.keys.namespace(key);
        if name.is_none() {
            let key = String::from_utf8_lossy(key);
            tracing::warn!(%key, "this key in etcd cannot be the name of a dtab namespace; left out");
        }
        name
    }
}

async fn next(
    watch: &mut Watch,
    progress: &mut tokio::time::Interval,
) -> Result<WatchResponse, End> {
    let said = async {
        loop {
            tokio::select! {
                said = watch.next() => return said,
                _ = progress.tick() => watch.ask_progress(),
            }
        }
    };
    match timeout(SILENCE, said).await {
        Ok(said) => Ok(said?),
        Err(_) => {
            let limit = SILENCE.as_secs();
            Err(End::Failed(format!("the watch said nothing for {limit} s")))
        }
    }
}

/// etcd's revisions are never negative.
fn unsigned(revision: i64) -> u64 {
    revision.unsigned_abs()
}
