//! Request to path (node-proxy 7): which segments stand behind the prefix of a router.
//!
//! A request is seen through [`RequestView`], the same for HTTP/1 and HTTP/2. Identifiers are tried in order: one that finds
//! no name hands on to the next, an error ends the chain. Nothing here allocates when a name is found, but for Ingress rules
//! that need the host in lower case.

mod ingress;
mod kinds;
mod segments;
#[cfg(test)]
mod tests;

use l5d_resolver::ingress::Table;

pub use segments::Segments;

use crate::config::Identifier;

/// What an identifier may see of a request, after the rewriting of node-proxy 7.9.
pub trait RequestView {
    /// As sent.
    fn method(&self) -> &[u8];
    /// The target without its query: begins with `/`, or is `*`.
    fn path(&self) -> &[u8];
    /// The query with its `?`; empty without one.
    fn query(&self) -> &[u8];
    /// `Host` or `:authority`, that of an absolute target first.
    fn host(&self) -> Option<&[u8]>;
    /// The first field of this name, which is compared without regard to case.
    fn field(&self, name: &str) -> Option<&[u8]>;
    /// Which HTTP.
    fn version(&self) -> HttpVersion;
}

/// Versions of HTTP that identifiers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// 1.0
    Http10,
    /// 1.1
    Http11,
    /// 2
    Http2,
}

/// A request with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identified {
    /// Bytes of the path that are not sent on. What is left begins with `/`, or one is put in front of it.
    pub consumed: usize,
}

/// A request without one: why (answered 400 whatever the reason).
pub type Unidentified = String;

/// What one identifier makes of a request.
enum Outcome {
    Found(Identified),
    /// The next one is tried.
    NotFound(Unidentified),
    /// None is.
    Error(Unidentified),
}

/// Names a request: `segments` are what follows the prefix. `rules`: those of Ingress objects, if they are followed.
///
/// # Errors
/// Why no identifier found a name: what the last one says, or the first error.
pub fn identify(
    identifiers: &[Identifier],
    rules: Option<&Table>,
    request: &impl RequestView,
    segments: &mut Segments,
) -> Result<Identified, Unidentified> {
    let mut reason = Unidentified::new();
    for identifier in identifiers {
        segments.clear();
        match kinds::try_one(identifier, rules, request, segments) {
            Outcome::Found(found) => return Ok(found),
            Outcome::NotFound(why) => reason = why,
            Outcome::Error(why) => return Err(why),
        }
    }
    Err(reason)
}

/// Whether one of these needs Ingress rules.
pub fn needs_rules(identifiers: &[Identifier]) -> bool {
    let is_ingress = |i: &Identifier| matches!(i, Identifier::Ingress(_));
    identifiers.iter().any(is_ingress)
}
