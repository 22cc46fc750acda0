//! Ingress rules: from objects as Kubernetes has them to one table, in the order in which rules count (Kubernetes 3).
//!
//! In come objects (from [`crate::k8s`]), out goes a cell with the newest table. A rule that cannot be served is left out,
//! counted and logged once; it never hides others.

mod compile;
mod live;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use compile::Skip;
pub use live::{IngressKind, Ingresses};

use super::services::ObjectName;

/// One Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Which one.
    pub name: ObjectName,
    /// When it was created, in seconds of Unix time; 0 if it does not say.
    pub created: i64,
    /// `spec.ingressClassName`, else the annotation `kubernetes.io/ingress.class`.
    pub class: Option<Arc<str>>,
    /// `spec.defaultBackend`.
    pub default: Option<Backend>,
    /// `spec.rules[].http.paths[]`, in order.
    pub paths: Vec<IngressPath>,
}

/// One path of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPath {
    /// The rule's host; empty: any.
    pub host: Arc<str>,
    /// How the path is to be read.
    pub kind: PathKind,
    /// The path; may be empty.
    pub path: Arc<str>,
    /// Where requests go.
    pub backend: Backend,
}

/// `pathType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// `Exact`.
    Exact,
    /// `Prefix`.
    Prefix,
    /// `ImplementationSpecific`: a regular expression, as in Linkerd 1.x.
    Expression,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service of the Ingress's namespace, and its port, number or name.
    Service(Arc<str>, Arc<str>),
    /// Anything else, which is not served.
    Other,
}

/// Which Ingresses are ours (K8S-40, Kubernetes 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Those of this class.
    pub class: Arc<str>,
    /// And those without a class. Otherwise they are ours only while the IngressClass of this name is the default one.
    pub unclassed: bool,
}
