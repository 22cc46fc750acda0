//! Who somebody is, and what they may: nodes that follow, tools that ask, callers that write dtabs (`auth` of an interface).
//!
//! In come the names of a checked client certificate and the `authorization` of a request; out goes what they prove, or why
//! not. Tokens are checked by whoever is behind [`Reviews`], which is asked once for each token: what it has said holds
//! until the token's end, also while it is away. Must never: keep or log a token, or take a doubt for a yes.

mod callers;
mod nodes;
mod reviews;
mod tokens;
mod tools;

#[cfg(test)]
mod tests;

pub use callers::CallerGuard;
pub use nodes::{NodeGuard, Proven};
pub use reviews::{Access, Reviews, TokenUser, Unanswered, Verdict};

/// Why somebody is not let do what they want.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// They have not shown who they are.
    #[error("{0}")]
    Unproven(String),
    /// They have, and may not.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody can tell now; it may be tried again.
    #[error("{0}")]
    Unchecked(String),
}

/// The token of `authorization: Bearer TOKEN`.
fn bearer(authorization: Option<&[u8]>) -> Option<&str> {
    let text = std::str::from_utf8(authorization?).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
