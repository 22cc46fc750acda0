//! Keeps the mirror like etcd: everything once, then each change.
//!
//! ```text
//!   list at revision R -> replaces all -> watch from R + 1 -> changes, progress -> an end -> wait -> list again
//! ```
//!
//! Each beginning is a new list, so that whatever happened meanwhile (a compaction, a restore of etcd) is one case. The
//! watch is asked for its progress all the time; one that says nothing is given up.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use l5d_etcd::v3::event::EventType;
use l5d_etcd::v3::{Event, KeyValue, WatchResponse};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tonic::Status;

use super::EtcdStore;
use super::keys;
use crate::dial::Backoff;

/// Time between two questions about the progress of a watch.
const PROGRESS: Duration = Duration::from_secs(5);
/// A watch that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(15);

/// An etcd whose keys can be followed. Every call has a time limit.
pub(super) trait Watched: Send + Sync {
    /// An open watch.
    type Watch: Told;

    /// All keys from `key` to before `end`, with the revision that they are of.
    fn list(
        &self,
        key: Bytes,
        end: Bytes,
    ) -> impl Future<Output = Result<(i64, Vec<KeyValue>), Status>> + Send;

    /// Watches keys from `key` to before `end`, from this revision on.
    fn watch(
        &self,
        key: Bytes,
        end: Bytes,
        from: i64,
    ) -> impl Future<Output = Result<Self::Watch, Status>> + Send;
}

/// An open watch; it may be silent for ever.
pub(super) trait Told: Send + Sync {
    /// What etcd says next. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<WatchResponse, Status>> + Send;

    /// Asks how far the watch has come; the answer comes among the others.
    fn ask_progress(&self);
}

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
        self.follow_each(|| self.client()).await;
    }

    /// Follows for ever what `open` gives, which is called for each beginning.
    async fn follow_each<W: Watched>(&self, open: impl Fn() -> Arc<W>) {
        let mut backoff = Backoff::default();
        loop {
            let Err(end) = self.follow(&*open(), &mut backoff).await;
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

    async fn follow<W: Watched>(
        &self,
        client: &W,
        backoff: &mut Backoff,
    ) -> Result<Infallible, End> {
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
    watch: &mut impl Told,
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
