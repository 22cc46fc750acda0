//! What an operator should look at, worst first.

use std::time::Duration;

use l5d_naming::Replicas;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Admin;
use crate::bind::BindState;
use crate::store::services::Kind;

/// A watch that has said nothing for so long is stale: bookmarks come every minute (kubernetes.md 7).
const WATCH_AGE: Duration = Duration::from_secs(180);
/// A node that has been working by less than it was told for so long is slow.
const STALE: Duration = Duration::from_secs(5);
/// Examples in a message.
const EXAMPLES: usize = 3;

/// How bad.
#[derive(Clone, Copy)]
enum Level {
    Bad,
    Warn,
}

#[derive(Default)]
struct Problems(Vec<Value>);

impl Problems {
    /// `place` is the part of the page that says more.
    fn add(&mut self, level: Level, place: &str, text: impl Into<String>) {
        let level = match level {
            Level::Bad => "bad",
            Level::Warn => "warn",
        };
        let text: String = text.into();
        self.0
            .push(json!({"level": level, "place": place, "text": text}));
    }
}

/// All of them now.
pub(super) fn of(admin: &Admin) -> Value {
    let mut problems = Problems::default();
    if !admin.ready.value() {
        let missing = super::state::missing(admin).join("; ");
        let text = format!("Not ready, first answers are missing: {missing}");
        problems.add(Level::Bad, "sources", text);
    }
    store(&mut problems, admin);
    watches(&mut problems, admin);
    bindings(&mut problems, admin);
    let sessions = admin.hub.registry().list(None);
    let slow = sessions.iter().filter(|s| s.stale > STALE);
    let slow: Vec<String> = slow.map(|s| s.node.clone()).collect();
    let what = "node is more than 5 s behind";
    several(&mut problems, Level::Warn, "nodes", what, &slow);
    for warning in &admin.warnings {
        problems.add(Level::Warn, "sources", format!("Configuration: {warning}"));
    }
    problems.0.into()
}

fn store(problems: &mut Problems, admin: &Admin) {
    let status = admin.store.status().get();
    let status = &status.1;
    if !status.connected {
        let why = status
            .failure
            .as_deref()
            .unwrap_or("it has not answered yet");
        let text = format!(
            "The dtab store {} does not answer; what was good last is served: {why}",
            admin.store.kind()
        );
        problems.add(Level::Bad, "sources", text);
    }
    let unreadable: Vec<String> = status
        .unreadable
        .iter()
        .map(|(n, why)| format!("{n} ({why})"))
        .collect();
    let what = "stored dtab cannot be read";
    several(problems, Level::Bad, "namespaces", what, &unreadable);
}

fn watches(problems: &mut Problems, admin: &Admin) {
    let now = Instant::now();
    for cluster in &admin.clusters {
        for kind in Kind::ALL {
            let status = cluster.services.status(kind);
            let (source, api) = (kind.source(), &cluster.api);
            let age = status.age(now);
            if status.synced && age.is_some_and(|age| age > WATCH_AGE) {
                let seconds = age.unwrap_or_default().as_secs();
                let text = format!(
                    "The watch of {source} at {api} is stale: nothing came for {seconds} s"
                );
                problems.add(Level::Bad, "sources", text);
            }
            if status.stale_objects > 0 {
                let n = status.stale_objects;
                let text = format!(
                    "{n} objects of {source} at {api} are stale: their last version could not be read"
                );
                problems.add(Level::Warn, "sources", text);
            }
        }
    }
}

fn bindings(problems: &mut Problems, admin: &Admin) {
    let (mut failed, mut pending, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for binding in admin.binder.bindings() {
        let path = &binding.key.path;
        match &binding.state.get().1 {
            BindState::Failed(e) => failed.push(format!("{path} ({})", e.message())),
            BindState::Pending => pending.push(path.to_string()),
            BindState::Tree(tree) => tree.for_each_leaf(&mut |leaf| {
                let id = &leaf.cluster.id;
                match &leaf.cluster.replicas.get().1 {
                    Replicas::Pending => pending.push(id.to_string()),
                    Replicas::Failed(why) => failed.push(format!("{id} ({why})")),
                    Replicas::Bound(set) if set.is_empty() => empty.push(id.to_string()),
                    Replicas::Neg | Replicas::Bound(_) => {}
                }
            }),
        }
    }
    let place = "names";
    for (level, what, mut names) in [
        (Level::Bad, "name cannot be bound", failed),
        (Level::Warn, "name is pending", pending),
        (Level::Warn, "bound name has no endpoints", empty),
    ] {
        names.sort();
        names.dedup();
        several(problems, level, place, what, &names);
    }
}

fn several(problems: &mut Problems, level: Level, place: &str, what: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let examples = names[..names.len().min(EXAMPLES)].join(", ");
    let more = match names.len() > EXAMPLES {
        true => ", ...",
        false => "",
    };
    problems.add(
        level,
        place,
        format!("{} × {what}: {examples}{more}", names.len()),
    );
}
