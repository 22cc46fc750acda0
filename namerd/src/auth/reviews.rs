//! Who checks tokens and rights.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

/// The owner of a token, as the API server knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUser {
    /// Such as `system:serviceaccount:linkerd:l5d`.
    pub name: String,
    /// Its unique id.
    pub uid: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// What else is known; for bound tokens pod and node.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Something that somebody wants to do to dtabs of `l5d.io`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// As Kubernetes calls it: `create`, `update`, `delete`, `get`, `list`.
    pub verb: &'static str,
    /// The dtab's name; `None`: any.
    pub name: Option<String>,
}

/// What was said of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good.
    User(TokenUser),
    /// It is not, and why.
    No(String),
}

/// Nobody could tell, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub String);

/// The Kubernetes API's reviews, or a script.
#[async_trait]
pub trait Reviews: fmt::Debug + Send + Sync {
    /// Whose token this is, made for one of the audiences; none: for the API server itself.
    async fn token(&self, token: &str, audiences: &[String]) -> Result<Verdict, Unanswered>;
    /// Whether the user may do this; if not, why.
    async fn access(
        &self,
        user: &TokenUser,
        access: &Access,
    ) -> Result<Result<(), String>, Unanswered>;
}

/// Set by the API server on bound tokens of pods that have been given a node.
const NODE_CLAIM: &str = "authentication.kubernetes.io/node-name";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

impl TokenUser {
    /// The node that the token is bound to through its pod.
    pub fn node(&self) -> Option<&str> {
        match self.extra.get(NODE_CLAIM)?.as_slice() {
            [node] if !node.is_empty() => Some(node),
            _ => None,
        }
    }

    /// `namespace/name`, if it is a service account.
    pub fn service_account(&self) -> Option<String> {
        let account = self.name.strip_prefix(ACCOUNT_PREFIX)?;
        let (namespace, name) = account.split_once(':')?;
        Some(format!("{namespace}/{name}"))
    }
}
