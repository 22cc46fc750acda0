//! What the node asks for: interests begun, refused and ended.

use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{Dtab, Path};
use l5d_resolver::v1;
use tokio::time::Instant;

use super::{End, Session};
use crate::bind::{BindKey, Binding};
use crate::stream::hello::{Router, refusal};

/// One name that the node follows.
#[derive(Debug)]
pub(super) struct Interest {
    /// The number of the binding that answers it.
    pub(super) tree: u32,
    overridden: bool,
}

/// When to ask again after a limit that only others' leaving lifts.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Session {
    pub(super) fn want(&mut self, wanted: &v1::Interest, now: Instant) -> Result<(), End> {
        let id = wanted.id;
        if self.last_interest.is_some_and(|last| id <= last) {
            return Err(End::Fault(format!(
                "interest {id} came after {}: ids grow and are never used twice",
                self.last_interest.unwrap_or_default()
            )));
        }
        self.last_interest = Some(id);
        let Some(router) = self.routers.get(wanted.router as usize).cloned() else {
            return Err(End::Fault(format!(
                "interest {id}: there is no router {}; hello named {}",
                wanted.router,
                self.routers.len()
            )));
        };
        match router.and_then(|router| self.admit(wanted, router, now)) {
            Ok(binding) => self.begin_interest(wanted, &binding, now),
            Err(error) => {
                self.hub.metrics().refused(error.code());
                self.refusals.push_back(v1::Refuse {
                    interest: id,
                    error: Some(error),
                });
            }
        }
        Ok(())
    }

    fn admit(
        &mut self,
        wanted: &v1::Interest,
        router: Router,
        now: Instant,
    ) -> Result<Arc<Binding>, v1::Error> {
        let limits = Arc::clone(&self.limits);
        // The first `Want` brings what a resuming node uses already; what does not fit one message comes in the next ones.
        let is_resumed = wanted.held_tree.is_some() && self.resumable > 0;
        self.resumable -= u32::from(is_resumed);
        if self.wants > 1
            && !is_resumed
            && let Err(wait) = self.bucket.take(now)
        {
            let per_second = limits.wants_per_second;
            self.hub.refused_by("new_interests");
            return Err(limit(
                &format!("more than {per_second} new interests a second"),
                wait,
            ));
        }
        if self.interests.len() >= limits.interests as usize {
            let max = limits.interests;
            self.hub.refused_by("interests");
            return Err(limit(
                &format!("this node has its {max} interests"),
                ASK_AGAIN,
            ));
        }
        if !wanted.dtab.is_empty() && self.overrides >= limits.overrides {
            let max = limits.overrides;
            self.hub.refused_by("overrides");
            return Err(limit(
                &format!("this node has its {max} interests with an override dtab"),
                ASK_AGAIN,
            ));
        }
        self.short("the path", "path_bytes", &wanted.path, limits.path_bytes)?;
        let (dtab, max) = (&wanted.dtab, limits.override_bytes);
        self.short("the override dtab", "override_bytes", dtab, max)?;
        let invalid = |what: &str, why: &dyn std::fmt::Display| {
            refusal(v1::Code::Invalid, &format!("{what}: {why}"))
        };
        let key = BindKey {
            root: router.root,
            router: router.dtab,
            local: Dtab::parse(&wanted.dtab).map_err(|e| invalid("override dtab", &e))?,
            path: Path::parse(&wanted.path).map_err(|e| invalid("path", &e))?,
            transformers: router.transformers,
        };
        self.hub
            .binder
            .bind(&key, &self.caller)
            .map_err(|e| refusal(v1::Code::Router, &e.0))
    }

    /// Refuses a text that is over its limit, and counts that.
    fn short(&self, what: &str, limit: &str, text: &str, max: usize) -> Result<(), v1::Error> {
        if text.len() <= max {
            return Ok(());
        }
        self.hub.refused_by(limit);
        let message = format!("{what} is longer than {max} bytes");
        Err(refusal(v1::Code::Invalid, &message))
    }

    fn begin_interest(&mut self, wanted: &v1::Interest, binding: &Arc<Binding>, now: Instant) {
        let overridden = !wanted.dtab.is_empty();
        self.overrides += u32::from(overridden);
        self.interests.insert(
            wanted.id,
            Interest {
                tree: binding.number,
                overridden,
            },
        );
        if let Some(held) = wanted.held_tree {
            self.held_trees.insert(wanted.id, held);
        }
        let entry = &self.registered.entry;
        entry.follow(wanted.id, binding.number);
        self.ask_for_tree(wanted.id, wanted.held_tree, binding, now);
        self.show();
    }

    /// Ends an interest. One that is not there was refused, or dropped before.
    pub(super) fn drop_interest(&mut self, id: u32) {
        // It may stand in the rest of a `Want`, if that was not worked off.
        self.inbox.retain(|wanted| wanted.id != id);
        self.held_trees.remove(&id);
        let Some(interest) = self.interests.remove(&id) else {
            return;
        };
        self.overrides -= u32::from(interest.overridden);
        self.registered.entry.leave(id);
        self.leave_tree(interest.tree, id);
        self.show();
    }

    /// Tells a number in full again, at the cost of a new interest, so that a broken node cannot ask without end (RES-8).
    pub(super) fn refetch(&mut self, number: u32, now: Instant) {
        let known = self.clusters.contains_key(&number) || self.trees.contains_key(&number);
        if known && self.bucket.take(now).is_ok() {
            self.hub.metrics().refetches.add(1);
            self.again.insert(number);
        }
    }
}

fn limit(message: &str, wait: Duration) -> v1::Error {
    v1::Error {
        retry_ms: (wait.as_millis() as u32).max(1),
        ..refusal(v1::Code::Limit, message)
    }
}
