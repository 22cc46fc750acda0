//! Address sets to address sets (naming 6, Kubernetes 4).
//!
//! A leaf transformer turns a [`Cluster`] into another, whose cells are computed by the engine from the first one's and
//! from what the transformer names as further inputs (the gateways of a daemonset). `const` and `replace` change trees
//! and are carried out where names are bound.

use std::fmt;
use std::sync::Arc;

use l5d_naming::{Path, TransformerSpec};

use crate::store::{Caller, Cluster, Endpoints, Engine};

/// Where the pods of a DaemonSet's Service are found: gateways of the daemonset transformer.
pub trait Gateways: Send + Sync {
    /// The endpoints of `service` on `port` (name or number) in `namespace`, resolved by the rules of Kubernetes 2.
    fn gateways(&self, namespace: &str, port: &str, service: &str) -> Arc<dyn Endpoints>;
}

/// Which part of the caller a transformed set depends on; callers that agree in it share one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerClass {
    /// None.
    Anyone,
    /// Node name and pod address.
    Node,
    /// The list of its addresses.
    Addresses,
}

/// What a transformer does to a bound tree.
#[derive(Clone)]
pub enum Effect {
    /// Each leaf's endpoints.
    Leaves(Arc<dyn LeafTransformer>),
    /// The whole tree is replaced by the bound tree of this path, whatever it was.
    Const(Path),
    /// Each leaf is replaced by the bound tree of this path.
    Replace(Path),
}

/// A transformer that keeps the shape of trees.
pub trait LeafTransformer: Send + Sync {
    /// Which part of the caller it depends on.
    fn class(&self) -> CallerClass;
    /// The prefix of ids, `/%` included (Kubernetes 52, naming 6.2); may contain the caller's node or address.
    fn id_prefix(&self, caller: &Caller) -> Path;
    /// The transformed cluster. Its cells are computed once someone asks for them and as long as someone holds them.
    fn transform(&self, cluster: &Cluster, caller: &Caller) -> Cluster;
}

/// A transformer, checked and ready.
#[derive(Clone)]
pub struct Transformer {
    /// As configured.
    pub spec: TransformerSpec,
    /// `/%` and the prefix of a const or replace id; for leaf transformers see [`LeafTransformer::id_prefix`].
    pub prefix: Path,
    /// What it does.
    pub effect: Effect,
}

/// Builds transformers from what configurations say. Cheap to clone.
#[derive(Clone)]
pub struct Transforms {
    _engine: Engine,
    _gateways: Option<Arc<dyn Gateways>>,
}

impl Transforms {
    /// `gateways` is `None` where no Kubernetes API is configured: daemonset is then refused with a message saying so.
    pub fn new(engine: Engine, gateways: Option<Arc<dyn Gateways>>) -> Self {
        Self {
            _engine: engine,
            _gateways: gateways,
        }
    }

    /// Checks one spec. The error names the transformer's kind, the key and what is wrong.
    pub fn build(&self, _spec: &TransformerSpec) -> Result<Transformer, String> {
        unimplemented!()
    }
}

impl fmt::Debug for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transforms").finish_non_exhaustive()
    }
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transformer")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
