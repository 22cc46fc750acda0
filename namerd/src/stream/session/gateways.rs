//! Which node stands at which gateway, to a node that wants to know and lists the feature (RES-15).
//!
//! A session keeps the hash of what it told last, no names and no queue: a node that reads slowly skips versions.

use std::sync::Arc;

use l5d_resolver::gateways::{FEATURE, Gateways};
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;

use super::Session;
use crate::store::{Cell, Dep as _, Subscription};

/// The bell's number for the names; no cluster or tree comes to have it.
pub(super) const NUMBER: u32 = u32::MAX - 1;

/// What a session follows.
pub(super) struct FollowedGateways {
    names: Arc<Cell<Gateways>>,
    _subscription: Subscription,
    /// Hash of what the node has.
    told: Option<u64>,
    /// Whether the node has heard of names on this stream.
    is_confirmed: bool,
    /// Whether there may be something to tell.
    pub(super) is_due: bool,
}

impl Session {
    /// Begins to follow what the node wants.
    pub(super) fn want_gateways(&mut self, features: &[String], wish: Option<v1::GatewaysWish>) {
        let Some(wish) = wish.filter(|_| features.iter().any(|f| f == FEATURE)) else {
            return;
        };
        let Some(names) = self.hub.binder.gateways() else {
            return;
        };
        let subscription = names.listen(self.listener(), NUMBER.into());
        self.gateways = Some(FollowedGateways {
            names,
            _subscription: subscription,
            told: wish.held,
            is_confirmed: false,
            is_due: true,
        });
    }

    /// Tells the newest names, if the node has others.
    pub(super) fn tell_gateways(&mut self) {
        let Some(followed) = &mut self.gateways else {
            return;
        };
        followed.is_due = false;
        // Nobody has asked for a cluster with gateways yet: what the node holds goes on (RES-6).
        if !followed.is_confirmed && followed.names.get().1.is_empty() {
            return;
        }
        let frames = &self.hub.gateway_frames;
        let (hash, frames) = frames.catch_up(&followed.names, followed.told, self.hub.metrics());
        followed.told = Some(hash);
        let was_confirmed = std::mem::replace(&mut followed.is_confirmed, true);
        if frames.is_empty() && !was_confirmed {
            self.tell(Message::Gateways(v1::Gateways {
                hash,
                held: true,
                ..v1::Gateways::default()
            }));
        }
        frames.into_iter().for_each(|frame| self.push(frame));
    }
}
