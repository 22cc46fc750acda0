//! The certificate authority of nodes: who proves to be a node gets a short-lived certificate that says so.
//!
//! In come signing requests with a proof that [`crate::auth`] has checked; out go certificates with the SPIFFE id of the node
//! and the roots to trust. Roots live in files or in a [`Vault`] that all replicas share, where they are made at the first
//! start and replaced in time: a new root is trusted by all before the first certificate is signed with it, and an old one
//! until the last of its certificates has ended ([`roots`]). Must never: take a name from a signing request, sign for somebody
//! who has not proved to be that node, or log a key.

mod files;
mod issue;
mod keeper;
mod limit;
mod roots;
#[cfg(test)]
mod tests;
mod vault;

pub use issue::{Ca, CaCounts, Certified, NotCertified};
pub use keeper::Keeper;
pub use roots::{CaError, Phase, Roots};
pub use vault::{Sealed, Vault, VaultError, Version};
