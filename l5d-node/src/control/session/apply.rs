//! Messages of namerd, one by one.

use std::sync::Arc;
use std::time::Duration;

use l5d_resolver::convert::{BadNode, read_path, tree_of};
use l5d_resolver::hash::{Digest, failed_tree_hash, pending_tree_hash};
use l5d_resolver::v1::down::Message;
use l5d_resolver::{gateways, v1};
use tokio::time::Instant;

use super::clusters::Outcome;
use super::trees::{State, hash_of};
use super::{Fault, Phase, SILENCE, Session, protocol};
use crate::cache::{Failure, Leaf, NameState};
use crate::control::position::Position;

impl Session {
    /// Takes in one message. After an error the stream must end; what was known stays in use.
    pub(crate) fn apply(&mut self, down: v1::Down, now: Instant) -> Result<(), Fault> {
        // A case that this release does not know is skipped (RES-15), but counts as applied.
        let Some(message) = down.message else {
            self.applied += 1;
            return Ok(());
        };
        self.check_order(&message)?;
        if !matches!(message, Message::Heartbeat(_)) {
            self.set.touch();
        }
        match message {
            Message::Welcome(welcome) => self.on_welcome(welcome, now),
            Message::Cluster(page) => self.on_cluster(page, now)?,
            Message::Delta(delta) => self.on_delta(&delta, now)?,
            Message::Tree(tree) => self.on_tree(tree, now)?,
            Message::Answer(answer) => self.on_answer(&answer)?,
            Message::Confirm(confirm) => self.on_confirm(&confirm)?,
            Message::Forget(forget) => self.on_forget(&forget),
            Message::Refuse(refuse) => self.on_refuse(refuse),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(heartbeat, now)?,
            Message::Ingress(page) => self.on_ingress(&page)?,
            Message::Gateways(page) => self.on_gateways(&page)?,
            Message::Goodbye(goodbye) => {
                self.goodbye = Some(Duration::from_millis(goodbye.within_ms.into()));
            }
        }
        self.applied += 1;
        self.counts.messages += 1;
        self.advance();
        Ok(())
    }

    fn check_order(&self, message: &Message) -> Result<(), Fault> {
        let is_welcome = matches!(message, Message::Welcome(_));
        if is_welcome != (self.phase == Phase::Greeting) {
            return Err(protocol("Welcome must come first and once"));
        }
        if self.clusters.awaits_page() && !matches!(message, Message::Cluster(_)) {
            return Err(protocol("the pages of a cluster were interrupted"));
        }
        Ok(())
    }

    fn on_welcome(&mut self, welcome: v1::Welcome, now: Instant) {
        self.phase = Phase::Resuming;
        self.deadline = now + SILENCE;
        self.replica = Some((welcome.replica, welcome.version));
        self.counts.streams += 1;
        let position = welcome.position.unwrap_or_default();
        if self.accepts_older {
            self.position = Position::default();
        }
        self.position.advance(&position);
        let tells = welcome.features.iter().any(|f| f == gateways::FEATURE);
        self.gateways = tells.then(|| self.gateways.take().unwrap_or_default());
        self.pass_gateways_on();
    }

    fn on_cluster(&mut self, page: v1::Cluster, now: Instant) -> Result<(), Fault> {
        let set = self.set.clone();
        let outcome = self.clusters.page(page, |id| set.clusters.cell(id))?;
        self.on_outcome(outcome, now);
        Ok(())
    }

    fn on_delta(&mut self, delta: &v1::Delta, now: Instant) -> Result<(), Fault> {
        let outcome = self.clusters.delta(delta)?;
        self.on_outcome(outcome, now);
        Ok(())
    }

    fn on_outcome(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Unknown => self.counts.unknown_numbers += 1,
            Outcome::Broken(number) => self.ask_again(number, now),
            Outcome::Good(number) => {
                self.refetched(number);
                if let Some(told) = self.clusters.get(number) {
                    self.position.advance_slices(told.at());
                }
                if self.is_hidden {
                    return;
                }
                self.clusters.write(number);
                for tree in self.trees.leading_to(number) {
                    self.deliver(tree, None);
                }
            }
        }
    }

    fn on_tree(&mut self, tree: v1::Tree, now: Instant) -> Result<(), Fault> {
        let number = tree.number;
        match self.read_tree(tree.state)? {
            Some((state, hash)) if hash == tree.hash => {
                self.trees.set(number, hash, state);
                self.refetched(number);
                self.deliver(number, None);
            }
            _ => {
                // The old content stays, but the digest follows what was told.
                let old = self.trees.get(number).map(|told| told.state.clone());
                self.trees
                    .set(number, tree.hash, old.unwrap_or(State::Broken));
                self.ask_again(number, now);
            }
        }
        Ok(())
    }

    /// The tree's content and its hash; `None` for a content that does not read.
    fn read_tree(&self, state: Option<v1::tree::State>) -> Result<Option<(State, u64)>, Fault> {
        let root = match state {
            None => return Ok(None),
            Some(v1::tree::State::Pending(_)) => {
                return Ok(Some((State::Pending, pending_tree_hash())));
            }
            Some(v1::tree::State::Failed(error)) => {
                return Ok(Some((State::Failed(failure(error)), failed_tree_hash())));
            }
            Some(v1::tree::State::Root(root)) => root,
        };
        let mut parts = Vec::new();
        let read = tree_of(&root, &mut |leaf| {
            let told = self.clusters.get(leaf.cluster);
            parts.push(leaf.cluster);
            Ok(Leaf {
                cluster: told.ok_or(BadNode::Cluster(leaf.cluster))?.cell.clone(),
                residual: read_path("residual", &leaf.residual)?,
            })
        });
        match read {
            Ok(tree) => {
                let hash = hash_of(&tree);
                Ok(Some((State::Bound(Arc::new(tree), parts.into()), hash)))
            }
            Err(e @ BadNode::Cluster(_)) => Err(protocol(e)),
            Err(BadNode::Unknown | BadNode::Weight(_) | BadNode::Text(_)) => Ok(None),
        }
    }

    fn on_answer(&mut self, answer: &v1::Answer) -> Result<(), Fault> {
        if answer.interests.len() != answer.trees.len() {
            return Err(protocol("an Answer's lists differ in length"));
        }
        for (interest, tree) in answer.interests.iter().zip(&answer.trees) {
            self.read(*interest, *tree);
        }
        Ok(())
    }

    /// From now on the interest reads the tree.
    fn read(&mut self, interest: u32, tree: u32) {
        let Some(entry) = self.interests.get_mut(&interest) else {
            self.dropped_held.remove(&interest);
            return;
        };
        if self.trees.get(tree).is_none() {
            self.counts.unknown_numbers += 1;
            return;
        }
        entry.held = None;
        if let Some(before) = entry.tree.replace(tree) {
            self.trees.leave(before, interest);
        }
        self.trees.join(tree, interest);
        self.unanswered.remove(&interest);
        self.deliver(tree, Some(interest));
    }

    fn on_confirm(&mut self, confirm: &v1::Confirm) -> Result<(), Fault> {
        let are_pairs = confirm.interests.len() == confirm.trees.len()
            && confirm.held.len() == confirm.clusters.len();
        if !are_pairs {
            return Err(protocol("a Confirm's lists differ in length"));
        }
        for (index, number) in confirm.held.iter().zip(&confirm.clusters) {
            let Some(held) = self.held.get(*index as usize) else {
                return Err(protocol(format!("Confirm of held cluster {index}")));
            };
            let (cell, replicas) = (held.cell.clone(), held.replicas.clone());
            self.clusters.confirm(*number, cell, replicas, held.hash);
            if !self.is_hidden {
                self.clusters.write(*number);
            }
        }
        for (interest, number) in confirm.interests.iter().zip(&confirm.trees) {
            // An interest that was dropped meanwhile: its tree was told all the same.
            let held = match self.interests.get(interest) {
                Some(entry) => entry.held.clone(),
                None => self.dropped_held.remove(interest),
            };
            if let (Some(held), None) = (held, self.trees.get(*number)) {
                let hash = hash_of(&held);
                self.trees.set(*number, hash, State::Bound(held, [].into()));
            }
            self.read(*interest, *number);
        }
        Ok(())
    }

    /// A table takes effect as a whole; one that does not read ends the stream, and the last good one stays (RES-8).
    fn on_ingress(&mut self, page: &v1::Ingress) -> Result<(), Fault> {
        if let Some(error) = &page.error {
            tracing::error!(
                error = error.message,
                "namerd serves no Ingress rules to this node"
            );
            self.set.set_ingress(Err(error.message.as_str().into()));
            return Ok(());
        }
        if page.held {
            return Ok(());
        }
        if let Some(table) = self.ingress.push(page).map_err(protocol)? {
            match self.is_hidden {
                true => self.hidden_ingress = Some(table),
                false => self.set.set_ingress(Ok(table)),
            }
        }
        Ok(())
    }

    /// Names take effect as a whole; what does not read ends the stream, and the last good ones stay (RES-8).
    fn on_gateways(&mut self, page: &v1::Gateways) -> Result<(), Fault> {
        let held = self.gateways.get_or_insert_default();
        if page.held {
            return match held.hash() == page.hash {
                true => Ok(()),
                false => Err(protocol("other names of nodes at gateways are held")),
            };
        }
        let whole = self.gateways_pages.push(held, page).map_err(protocol)?;
        if let Some(names) = whole {
            self.gateways = Some(names);
            self.pass_gateways_on();
        }
        Ok(())
    }

    pub(super) fn pass_gateways_on(&self) {
        if !self.is_hidden && self.set.wants_gateways() {
            self.set.set_gateways(self.gateways.clone());
        }
    }

    fn on_forget(&mut self, forget: &v1::Forget) {
        for number in &forget.numbers {
            self.refetch.remove(number);
            let is_known = self.clusters.forget(*number) | self.trees.forget(*number);
            if !is_known {
                self.counts.unknown_numbers += 1;
            }
        }
    }

    fn on_refuse(&mut self, refuse: v1::Refuse) {
        self.counts.refusals += 1;
        let error = refuse.error.unwrap_or_default();
        let Some(entry) = self.interests.get(&refuse.interest) else {
            return; // dropped meanwhile
        };
        let name = entry.name.upgrade();
        self.end_interest(refuse.interest);
        let Some(name) = name else { return };
        if let Some(id) = name.follow_id() {
            self.by_name.remove(&id);
        }
        tracing::warn!(name = %name.path, router = name.router, error = error.message, "namerd refused a name");
        let retry = Duration::from_millis(error.retry_ms.into());
        if self.is_hidden {
            self.hidden_refusals.push((name, failure(error), retry));
        } else {
            name.refuse(failure(error), retry);
        }
    }

    fn on_heartbeat(&mut self, heartbeat: v1::Heartbeat, now: Instant) -> Result<(), Fault> {
        self.deadline = now + SILENCE;
        if let Some(position) = &heartbeat.position {
            self.position.advance(position);
        }
        self.sources = heartbeat
            .sources
            .into_iter()
            .map(|s| (s.name, Duration::from_millis(s.age_ms)))
            .collect();
        let mut digest = Digest::default();
        self.clusters.add_to(&mut digest);
        self.trees.add_to(&mut digest);
        if digest.value() != heartbeat.digest {
            self.counts.digest_mismatches += 1;
            return Err(Fault::Digest);
        }
        Ok(())
    }

    /// Tells the names that read the tree (one of them, or all) what it is, unless a set is missing (RES-2).
    pub(super) fn deliver(&self, number: u32, only: Option<u32>) {
        if self.is_hidden {
            return;
        }
        let Some(told) = self.trees.get(number) else {
            return;
        };
        if let State::Bound(_, parts) = &told.state {
            let is_usable = |part: &u32| self.clusters.get(*part).is_none_or(|c| c.is_usable());
            if !parts.iter().all(is_usable) {
                return;
            }
        }
        let Some(state) = told.state.to_name_state() else {
            return;
        };
        let readers = told
            .readers
            .iter()
            .filter(|r| only.is_none_or(|o| o == **r));
        for reader in readers {
            let Some(name) = self.interests.get(reader).and_then(|i| i.name.upgrade()) else {
                continue;
            };
            if let NameState::Bound(tree) = &state {
                name.set_stale(false);
                if name.tree().is_some_and(|now| now == *tree) {
                    continue;
                }
            }
            name.set(state.clone());
        }
    }

    fn refetched(&mut self, number: u32) {
        if let Some(refetch) = self.refetch.get_mut(&number) {
            refetch.is_wanted = false;
        }
    }
}

fn failure(error: v1::Error) -> Failure {
    Failure {
        is_limit: error.code() == v1::Code::Limit,
        message: error.message.into(),
    }
}
