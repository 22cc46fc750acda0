//! SPIFFE ids of nodes.

use std::fmt;
use std::str::FromStr;

use crate::CertificateNames;

/// `spiffe://TRUST-DOMAIN/node/NAME`: the only form of id that names a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    domain: String,
    node: String,
}

/// What is no id of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// Not of the form.
    #[error("`{}` is not spiffe://TRUST-DOMAIN/node/NAME", .0.escape_debug())]
    Form(String),
    /// SPIFFE 2.1: lower-case letters, digits, `.`, `-`, `_`, at most 255.
    #[error("`{}` is not a trust domain: lower-case letters, digits, `.`, `-` and `_`, at most 255", .0.escape_debug())]
    Domain(String),
    /// SPIFFE 2.2: letters, digits, `.`, `-`, `_`; Kubernetes allows 253.
    #[error("`{}` is not a node's name: letters, digits, `.`, `-` and `_`, at most 253, not `.` or `..`", .0.escape_debug())]
    Node(String),
}

/// SPIFFE ID specification, 2.1.
const DOMAIN_BYTES: usize = 255;
/// A DNS subdomain.
const NODE_BYTES: usize = 253;

impl NodeId {
    /// The id of a node.
    ///
    /// # Errors
    /// A trust domain or a name that cannot be one.
    pub fn new(domain: &str, node: &str) -> Result<Self, NodeIdError> {
        let is_mark = |b: u8| matches!(b, b'.' | b'-' | b'_');
        let is_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || is_mark(b);
        let is_node = |b: u8| b.is_ascii_alphanumeric() || is_mark(b);
        if !(1..=DOMAIN_BYTES).contains(&domain.len()) || !domain.bytes().all(is_domain) {
            return Err(NodeIdError::Domain(shortened(domain)));
        }
        let is_dots = matches!(node, "." | "..");
        if !(1..=NODE_BYTES).contains(&node.len()) || !node.bytes().all(is_node) || is_dots {
            return Err(NodeIdError::Node(shortened(node)));
        }
        Ok(Self {
            domain: domain.to_owned(),
            node: node.to_owned(),
        })
    }

    /// The one id of a node in a certificate; one with several SPIFFE ids names nobody (X509-SVID 2).
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(names: &CertificateNames) -> Result<Self, NodeIdError> {
        let mut ids = names.uris.iter().filter(|uri| is_spiffe(uri));
        match (ids.next(), ids.next()) {
            (Some(id), None) => id.parse(),
            _ => Err(NodeIdError::Form(shortened(&names.uris.join(" ")))),
        }
    }

    /// The trust domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }
}

fn is_spiffe(uri: &str) -> bool {
    let scheme = uri.get(..9);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe://"))
}

/// Enough to recognise it in a message.
fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let rest = text.strip_prefix("spiffe://");
        let parts = rest.and_then(|rest| rest.split_once("/node/"));
        let Some((domain, node)) = parts else {
            return Err(NodeIdError::Form(shortened(text)));
        };
        Self::new(domain, node)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/node/{}", self.domain, self.node)
    }
}
