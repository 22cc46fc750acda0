//! The network between namerd and what it learns from is away for minutes: no packet of the API server or of etcd arrives at
//! either replica, none of theirs arrives there, and nobody is told.
//!
//! One replica is cut off all the time, the other for the second half: writes go on through it, so that the first one's view
//! is wrong for long. What must hold: everybody is told how old the view is (K8S-129, K8S-130), the last known sets are
//! served, and after the cut everybody soon has what is there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::cable::Cable;
use tokio::time::{Instant, sleep};

use crate::Scene;
use crate::ground::PATIENCE;

/// How long the first replica is cut off, in seconds, if another time than two minutes is wanted; at least 40.
const SECONDS: &str = "L5D_CUT_SECONDS";
/// A source that said nothing for so long is not one that has nothing to say: pods change all the time, and etcd tells of
/// its progress every five seconds.
const OLD: Duration = Duration::from_secs(12);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

impl Scene {
    pub(crate) async fn play_minutes(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        self.settle().await.context("before the cut")?;
        let seconds = std::env::var(SECONDS).ok().and_then(|s| s.parse().ok());
        let half = Duration::from_secs(seconds.unwrap_or(120).max(40)) / 2;
        let first = random.usize(0..2);
        let (before, began) = (self.acknowledged(), Instant::now());
        self.silence(first);
        self.until_store_is(first, false).await?;
        sleep(half.saturating_sub(began.elapsed())).await;
        let meanwhile = self.acknowledged() - before;
        ensure!(meanwhile > 0, "nobody wrote through the other replica");

        let second = Instant::now();
        self.silence(1 - first);
        self.until_store_is(1 - first, false).await?;
        self.until_told(|age| age > OLD).await?;
        for n in [0, 1] {
            let is_ready = self.ground.is_namerd_ready(n).await;
            ensure!(is_ready, "K8S-129: not ready without its sources");
        }
        sleep(half.saturating_sub(second.elapsed())).await;
        let sources: Vec<_> = self.nodes.iter().map(|node| node.sources()).collect();
        println!("at the end of the cut nodes are told {sources:?}");

        let (lasted, over) = (began.elapsed(), Instant::now());
        self.cables(first).for_each(Cable::mend);
        self.cables(1 - first)
            .for_each(Cable::mend_with_new_connections);
        for n in [0, 1] {
            self.until_store_is(n, true).await?;
        }
        self.until_told(|age| age < OLD).await?;
        let told = over.elapsed();
        self.settle().await.context("after the cut")?;
        println!(
            "{lasted:.0?} without a packet, {meanwhile} writes meanwhile; told to be over {told:.1?} later, all was right {:.1?} later",
            over.elapsed()
        );
        self.sum_up(10).await
    }

    fn cables(&self, n: usize) -> impl Iterator<Item = &Cable> {
        self.ground.namerds[n].cables()
    }

    fn silence(&self, n: usize) {
        self.cables(n).for_each(Cable::silence);
    }

    fn acknowledged(&self) -> usize {
        let counts = self.namespaces.iter();
        counts.map(|n| n.ledger.lock().acknowledged()).sum()
    }

    /// Waits until a replica says of its store that it is connected, or not.
    async fn until_store_is(&self, n: usize, connected: bool) -> Result<()> {
        let began = Instant::now();
        while self.ground.is_store_connected(n).await? != connected {
            ensure!(
                began.elapsed() < PATIENCE,
                "replica {n} does not say that its store is connected: {connected}"
            );
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until every node was told such ages of slices and of the store.
    async fn until_told(&self, is: impl Fn(Duration) -> bool) -> Result<()> {
        let began = Instant::now();
        let wanted = |(name, age): &(String, Duration)| {
            let counts = name.ends_with("/endpointslices") || name.starts_with("store/");
            counts.then(|| is(*age))
        };
        for node in &self.nodes {
            loop {
                let sources = node.sources();
                let told: Vec<_> = sources.iter().filter_map(wanted).collect();
                if told.len() == 2 && told.iter().all(|is| *is) {
                    break;
                }
                ensure!(began.elapsed() < PATIENCE, "nodes are told {sources:?}");
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}
