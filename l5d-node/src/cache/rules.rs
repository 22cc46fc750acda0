//! The Ingress rules that one namerd serves (K8S-44): written by the control client, read by requests without a lock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use l5d_resolver::ingress::Table;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The last good table, and why there is no newer one.
#[derive(Debug)]
pub struct Rules {
    table: ArcSwapOption<Table>,
    error: Mutex<Option<Arc<str>>>,
    told: watch::Sender<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            table: ArcSwapOption::empty(),
            error: Mutex::default(),
            told: watch::Sender::new(0),
        }
    }
}

impl Rules {
    /// The last good table. `None`: none has come yet, so requests wait.
    pub fn table(&self) -> Option<Arc<Table>> {
        self.table.load_full()
    }

    /// Why namerd serves no rules, if it last said so.
    pub fn error(&self) -> Option<Arc<str>> {
        self.error.lock().clone()
    }

    /// A table has come, or the reason why none will; then the last good one stays.
    pub fn set(&self, told: Result<Table, Arc<str>>) {
        match told {
            Ok(table) => {
                self.table.store(Some(Arc::new(table)));
                *self.error.lock() = None;
            }
            Err(reason) => *self.error.lock() = Some(reason),
        }
        self.told.send_modify(|n| *n += 1);
    }

    /// Waits until there is a table or a reason why there is none, at most `timeout`. Cancel safe.
    pub async fn settled(&self, timeout: Duration) {
        let mut changes = self.told.subscribe();
        let told = async {
            while self.table.load().is_none() && self.error.lock().is_none() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _too_late = tokio::time::timeout(timeout, told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_the_first_table_only() {
        let rules = Arc::new(Rules::default());
        let limit = Duration::from_secs(10);
        let start = tokio::time::Instant::now();
        rules.settled(limit).await;
        assert_eq!(start.elapsed(), limit);
        let waiting = tokio::spawn({
            let rules = rules.clone();
            async move { rules.settled(limit).await }
        });
        tokio::task::yield_now().await;
        rules.set(Ok(Table::new([])));
        waiting.await.expect("it ends");
        assert!(start.elapsed() < limit * 2);
        rules.set(Err("off".into()));
        assert!(rules.table().is_some(), "the last good one stays");
        assert_eq!(rules.error().as_deref(), Some("off"));
    }
}
