//! Dtab and path to a tree of clusters.
//!
//! [`Binder`] keeps one [`Binding`] for each distinct question, whoever asks, and evaluates it again only when something
//! that it has read has changed: the stored dtab, the existence of a name. Addresses are not read here: a leaf carries
//! its cluster's own cell. Transformers that a router sends along are applied to the leaves, shared by (id, list, class
//! of the caller).

mod base;
mod binder;
mod binding;
mod branches;
mod chain;
mod delegate;
pub mod dns;
mod interpreter;
mod listing;
mod namer;
pub mod namers;
mod outcome;
mod rules;
mod table;
mod transformed;
mod transformers;
mod walk;

#[cfg(test)]
mod tests;

pub use binder::{Binder, IDLE_TIME};
pub use binding::{BindError, BindKey, BindRefused, BindState, Binding, BoundCluster, BoundLeaf};
pub use delegate::{Delegation, DelegationKind, Rule, RuleSource};
pub use namer::{Answer, Found, Namer};
pub use transformers::Transformers;
