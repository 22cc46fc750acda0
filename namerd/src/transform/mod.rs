//! Address sets to address sets (naming 6, Kubernetes 4).
//!
//! A leaf transformer turns a [`Cluster`] into another, whose cells are computed by the engine from the first one's and
//! from what the transformer names as further inputs (the gateways of a daemonset). `const` and `replace` change trees
//! and are carried out where names are bound. Must never: read the environment, or make a set pending, negative or failed
//! that was one of the others before (K8S-50).

mod check;
mod daemonset;
mod derive;
mod filter;
mod gateways;
mod localnode;
mod locate;
mod port;
mod standing;
mod subnet;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use l5d_naming::{Path, TransformerSpec};

use self::gateways::GatewayIndexes;
pub use self::gateways::MissingGateways;
use crate::store::services::{PodCidrs, PortRef, Services};
use crate::store::{Caller, Cell, Cluster, Endpoints, Engine};

/// Where the pods of a DaemonSet's Service are found: gateways of the daemonset transformer.
pub trait Gateways: Send + Sync {
    /// The endpoints of `service` on `port` (name or number) in `namespace`, resolved by the rules of Kubernetes 2. All
    /// three are folded to lower case already.
    fn gateways(&self, namespace: &str, port: &str, service: &str) -> Arc<dyn Endpoints>;

    /// The node of the endpoint with this address, for proxies that do not know their node's name (K8S-60). `None`: the
    /// source cannot tell.
    fn node_of(&self, ip: IpAddr) -> Option<Arc<Cell<Option<Arc<str>>>>> {
        let _ = ip;
        None
    }

    /// Whose pods have which addresses, if that is to be looked at for endpoints without a node name (K8S-55).
    fn pod_cidrs(&self) -> Option<Arc<Cell<Arc<PodCidrs>>>> {
        None
    }
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
    engine: Engine,
    indexes: Option<Arc<GatewayIndexes>>,
    missing: Arc<MissingGateways>,
    own: Arc<Caller>,
}

// === impl Transforms ===

impl Transforms {
    /// `gateways` is `None` where no Kubernetes API is configured: daemonset is then refused with a message saying so.
    pub fn new(engine: Engine, gateways: Option<Arc<dyn Gateways>>) -> Self {
        let indexes = gateways.map(|g| Arc::new(GatewayIndexes::new(engine.clone(), g)));
        Self {
            engine,
            indexes,
            missing: Arc::default(),
            own: Arc::default(),
        }
    }

    /// Where this process itself runs: what localnode and localhost mean for calls that name no node (K8S-68).
    #[must_use]
    pub fn with_own(mut self, own: Caller) -> Self {
        self.own = Arc::new(own);
        self
    }

    /// How often endpoints had no gateway on their node, for metrics.
    pub fn missing_gateways(&self) -> Arc<MissingGateways> {
        Arc::clone(&self.missing)
    }

    /// Which node stands at which gateway, of those that somebody collapses onto; `None`: there is no Kubernetes API.
    pub fn gateways(&self) -> Option<Arc<Cell<l5d_resolver::gateways::Gateways>>> {
        Some(Arc::clone(self.indexes.as_ref()?.standing()))
    }

    /// Checks one spec. The error names the transformer's kind, the key and what is wrong.
    pub fn build(&self, spec: &TransformerSpec) -> Result<Transformer, String> {
        self.build_kind(spec)
            .map_err(|why| format!("transformer {}: {why}", spec.kind))
    }

    fn build_kind(&self, spec: &TransformerSpec) -> Result<Transformer, String> {
        let engine = self.engine.clone();
        let (default, effect) = match spec.kind.as_str() {
            "io.l5d.k8s.daemonset" => {
                let indexes = self.indexes.as_ref().ok_or(
                    "needs a Kubernetes API: configure a namer of kind io.l5d.k8s in namerd",
                )?;
                let default = daemonset::default_prefix(spec)?;
                let prefix = check::prefix(spec, &default)?;
                let daemonset =
                    daemonset::Daemonset::new(prefix, indexes, spec, Arc::clone(&self.missing))?;
                (default, leaves(daemonset))
            }
            "io.l5d.k8s.localnode" => {
                let localnode = localnode::Localnode {
                    engine,
                    prefix: check::configured_prefix(spec)?,
                    netmask: check::netmask(spec)?,
                    host_network: spec.host_network,
                    gateways: self.indexes.as_ref().map(|i| i.source()),
                    own: Arc::clone(&self.own),
                };
                (vec![spec.kind.as_str()], leaves(localnode))
            }
            "io.l5d.port" => {
                let default = vec![spec.kind.as_str(), spec.port.as_str()];
                let to = check::port_number(spec)?;
                let prefix = check::prefix(spec, &default)?;
                (default, leaves(port::Port { engine, prefix, to }))
            }
            "io.l5d.localhost" => {
                let default = vec![spec.kind.as_str()];
                let prefix = check::prefix(spec, &default)?;
                let own = Arc::clone(&self.own);
                let localhost = filter::Localhost {
                    engine,
                    prefix,
                    own,
                };
                (default, leaves(localhost))
            }
            "io.l5d.specificHost" => {
                let default = vec![spec.kind.as_str()];
                let host = check::host(spec)?;
                let prefix = check::prefix(spec, &default)?;
                let specific = filter::SpecificHost {
                    engine,
                    prefix,
                    host,
                };
                (default, leaves(specific))
            }
            "io.l5d.const" => (vec![spec.kind.as_str()], Effect::Const(check::path(spec)?)),
            "io.l5d.replace" => (
                vec![spec.kind.as_str()],
                Effect::Replace(check::path(spec)?),
            ),
            _ => return Err(check::unknown_kind()),
        };
        Ok(Transformer {
            spec: spec.clone(),
            prefix: check::prefix(spec, &default)?,
            effect,
        })
    }
}

fn leaves(transformer: impl LeafTransformer + 'static) -> Effect {
    Effect::Leaves(Arc::new(transformer))
}

/// Gateways of the cluster that is watched.
impl Gateways for Services {
    fn gateways(&self, namespace: &str, port: &str, service: &str) -> Arc<dyn Endpoints> {
        self.port(namespace, PortRef::parse(port), service, None)
    }

    fn node_of(&self, ip: IpAddr) -> Option<Arc<Cell<Option<Arc<str>>>>> {
        Some(Services::node_of(self, ip))
    }

    fn pod_cidrs(&self) -> Option<Arc<Cell<Arc<PodCidrs>>>> {
        Services::pod_cidrs(self)
    }
}

impl fmt::Debug for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transforms").finish_non_exhaustive()
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Leaves(_) => f.write_str("Leaves"),
            Effect::Const(path) => f.debug_tuple("Const").field(path).finish(),
            Effect::Replace(path) => f.debug_tuple("Replace").field(path).finish(),
        }
    }
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transformer")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
