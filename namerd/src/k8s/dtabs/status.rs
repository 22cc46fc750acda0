//! Writes the `status` of objects, where the server permits it (control plane 12.3).
//!
//! The status depends on the object alone, so all replicas want the same; each waits a random moment and looks again
//! before it writes, and a write is of one version of the object. So one of them writes, the others find it done, and
//! nothing goes round in circles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::writes::{Said, Writer};
use crate::store::StoreError;

/// Longest wait before a write, so that replicas do not all write.
const SPREAD: Duration = Duration::from_secs(2);
/// Between two writes.
const PACE: Duration = Duration::from_millis(100);
/// A server that forbids it is asked again after this time.
const FORBIDDEN: Duration = Duration::from_secs(600);

/// Keeps the status of all objects true, for ever.
pub(super) async fn keep(writer: Writer, mut random: fastrand::Rng) {
    // Versions whose status cannot be written: name to version.
    let mut given_up: BTreeMap<String, Arc<str>> = BTreeMap::new();
    loop {
        writer.memory.changed.notified().await;
        sleep(SPREAD.mul_f64(random.f64())).await;
        let objects = writer.memory.without_status();
        given_up.retain(|name, _| objects.iter().any(|object| object.name == *name));
        for object in objects {
            if given_up.get(&object.name) == Some(&object.version) {
                continue;
            }
            match writer.status(&object, &object.wanted_status()).await {
                Ok(Said::Done(now)) => writer.memory.apply(*now),
                // Changed or gone in the meantime: the watch tells, and rings again.
                Ok(Said::Conflict | Said::Deleted(_)) => {}
                // Also what a definition without the sub-resource answers.
                Ok(Said::NotFound) => {
                    given_up.insert(object.name, object.version);
                }
                Err(StoreError::Forbidden(why)) => {
                    tracing::info!("the status of dtabs is not written: {why}");
                    sleep(FORBIDDEN).await;
                    writer.memory.changed.notify_one();
                    break;
                }
                Err(error) => {
                    tracing::warn!(name = object.name, %error, "cannot write the status of a dtab");
                    given_up.insert(object.name, object.version);
                }
            }
            sleep(PACE).await;
        }
    }
}
