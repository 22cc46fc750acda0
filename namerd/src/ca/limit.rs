//! How often one node gets a certificate.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// At once: a node that restarts again and again in its first minutes.
const BURST: f64 = 10.0;
/// In the long run.
const EVERY: Duration = Duration::from_secs(60);
/// Nodes that are remembered: four times those of a large cluster.
const NODES: usize = 20_000;

/// The shares of nodes.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<HashMap<String, (f64, Instant)>>);

impl Limit {
    /// `Err`: when to come again.
    pub(super) fn take(&self, node: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut nodes = self.0.lock();
        let full = EVERY.mul_f64(BURST);
        if nodes.len() >= NODES {
            nodes.retain(|_, (_, at)| now - *at < full);
        }
        if nodes.len() >= NODES && !nodes.contains_key(node) {
            return Err(EVERY);
        }
        let (tokens, at) = nodes.entry(node.to_owned()).or_insert((BURST, now));
        *tokens = (*tokens + (now - *at).as_secs_f64() / EVERY.as_secs_f64()).min(BURST);
        *at = now;
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(EVERY.mul_f64(1.0 - *tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_has_its_share_and_others_have_theirs() {
        let limit = Limit::default();
        for _ in 0..10 {
            assert_eq!(limit.take("a"), Ok(()));
        }
        let wait = limit.take("a").expect_err("too often");
        assert_eq!(limit.take("b"), Ok(()));
        tokio::time::advance(wait).await;
        assert_eq!(limit.take("a"), Ok(()));
        limit.take("a").expect_err("too often again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let limit = Limit::default();
        for n in 0..NODES {
            assert_eq!(limit.take(&n.to_string()), Ok(()));
        }
        limit.take("one more").expect_err("full");
        tokio::time::advance(EVERY.mul_f64(BURST)).await;
        assert_eq!(limit.take("one more"), Ok(()));
        assert_eq!(limit.0.lock().len(), 1);
    }
}
