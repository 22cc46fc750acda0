//! The table of Ingress rules, to a node that wants it and lists the feature (K8S-44, RES-15).
//!
//! A session keeps the hash of what it told last, no table and no queue: a node that reads slowly skips versions.

use std::sync::Arc;

use l5d_resolver::ingress::{FEATURE, Table};
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;

use super::Session;
use crate::store::{Cell, Dep as _, Subscription};
use crate::stream::hello::refusal;

/// The bell's number for the table; no cluster or tree comes to have it.
pub(super) const NUMBER: u32 = u32::MAX;

/// What a session follows.
pub(super) struct FollowedIngress {
    /// The table, or why there is none for this node.
    table: Result<Arc<Cell<Option<Table>>>, String>,
    _subscription: Option<Subscription>,
    /// Hash of what the node has.
    told: Option<u64>,
    /// Whether the node has heard of this table on this stream.
    is_confirmed: bool,
    /// Whether there may be something to tell.
    pub(super) is_due: bool,
}

impl Session {
    /// Begins to follow what the node wants.
    pub(super) fn want_ingress(&mut self, features: &[String], wish: Option<v1::IngressWish>) {
        let Some(wish) = wish.filter(|_| features.iter().any(|f| f == FEATURE)) else {
            return;
        };
        let table = self.hub.ingress_table(Some(&wish.class));
        let subscription = table
            .as_ref()
            .ok()
            .map(|table| table.listen(self.listener(), NUMBER.into()));
        self.ingress = Some(FollowedIngress {
            table,
            _subscription: subscription,
            told: wish.held,
            is_confirmed: false,
            is_due: true,
        });
    }

    /// Tells the newest table, if the node has another one.
    pub(super) fn tell_ingress(&mut self) {
        let Some(followed) = &mut self.ingress else {
            return;
        };
        followed.is_due = false;
        let table = match &followed.table {
            Ok(table) => table.value(),
            Err(reason) => {
                let error = Some(refusal(v1::Code::Invalid, reason));
                let ingress = v1::Ingress {
                    error,
                    ..v1::Ingress::default()
                };
                self.tell(Message::Ingress(ingress));
                return;
            }
        };
        // Not listed yet: what the node holds goes on (RES-6).
        let Some(table) = table else { return };
        let is_held = followed.told.replace(table.hash()) == Some(table.hash());
        let was_confirmed = std::mem::replace(&mut followed.is_confirmed, true);
        if !is_held {
            let frames = self.hub.ingress_frames.of(&table, self.hub.metrics());
            frames.iter().for_each(|frame| self.push(frame.clone()));
        } else if !was_confirmed {
            self.tell(Message::Ingress(v1::Ingress {
                hash: table.hash(),
                held: true,
                ..v1::Ingress::default()
            }));
        }
    }
}
