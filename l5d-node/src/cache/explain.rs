//! Questions that namerd answers once, for people: every step of a name.

use std::fmt;

use futures_util::future::BoxFuture;
use l5d_naming::{Dtab, Path};
use l5d_resolver::v1;

/// Explains names as a router binds them.
pub trait Explain: fmt::Debug + Send + Sync {
    /// Every step of this path, with `local` as the override of the request; `router` by index in the configuration. Asks
    /// namerd, within a limit of time. Cancel safe.
    fn explain(
        &self,
        router: usize,
        path: &Path,
        local: &Dtab,
    ) -> BoxFuture<'static, Result<v1::Explained, Unexplained>>;
}

/// There is no explanation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// The router is none of the configuration's.
    #[error("no namerd is followed for this router")]
    Router,
    /// No namerd answers.
    #[error("no namerd reachable: {0}")]
    Unreachable(String),
    /// Namerd does not accept the question.
    #[error("namerd does not take this: {0}")]
    Invalid(String),
    /// Namerd does not let this node ask.
    #[error("namerd refuses: {0}")]
    Refused(String),
    /// The answer did not come in time.
    #[error("namerd has no answer in time: {0}")]
    Late(String),
    /// The name cannot be explained.
    #[error("{0}")]
    Failed(String),
}
