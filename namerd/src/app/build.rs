//! From the configuration to a binder and what stands behind it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gates::Gates;
use super::guards::{self, Guard};
use super::namers::Builder;
use super::sources::Clusters;
use super::stores;
use crate::bind::Binder;
use crate::bind::dns::Hosts;
use crate::bind::namers::{BadRewrite, System};
use crate::ca::{Ca, CaError, Keeper};
use crate::config::{self, AddressFamily, ApiServer, CaSource, Config};
use crate::dial::DialError;
use crate::k8s::{
    Address, IngressSource, K8sError, K8sSource, Kubernetes, SecretVault, follow_ingresses,
};
use crate::meter::Meter;
use crate::store::ingress::{Claim, Ingresses};
use crate::store::services::{FamilyChoice, Policy, Services};
use crate::store::{Caller, Cell, DtabStore, Engine, MeteredStore};
use crate::stream::{Hub, Limits};
use crate::tls::TlsError;
use crate::transform::{Gateways, Transforms};
use crate::web::Requests;

/// Something that the configuration names cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A directory.
    #[error("namers[{index}] (io.l5d.fs): cannot read the directory: {source}")]
    Directory {
        /// Which namer.
        index: usize,
        /// Why.
        source: io::Error,
    },
    /// A pattern.
    #[error("namers[{index}] (io.l5d.rewrite): {source}")]
    Rewrite {
        /// Which namer.
        index: usize,
        /// Why.
        source: BadRewrite,
    },
    /// A transformer.
    #[error("namers[{index}]: {reason}")]
    Transformer {
        /// Which namer.
        index: usize,
        /// Which transformer and why.
        reason: String,
    },
    /// A server's certificates.
    #[error("{who}: tls: {source}")]
    Tls {
        /// Which server.
        who: String,
        /// Which file and why.
        source: TlsError,
    },
    /// TLS to a namer's source.
    #[error("namers[{index}].tls: {source}")]
    NamerTls {
        /// Which namer.
        index: usize,
        /// Which file and why.
        source: DialError,
    },
    /// TLS to the dtab store.
    #[error("storage.tls: {0}")]
    StorageTls(DialError),
    /// The roots of the certificate authority.
    #[error("ca: {0}")]
    Ca(CaError),
    /// A Kubernetes API.
    #[error("the Kubernetes API {api}: {source}")]
    Kubernetes {
        /// Which one.
        api: ApiServer,
        /// Why.
        source: K8sError,
    },
}

/// What answers names. Cheap to clone.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) store: Arc<dyn DtabStore>,
    pub(super) transforms: Transforms,
    pub(super) binder: Binder,
    pub(super) hub: Arc<Hub>,
    /// Each watched API server with its model, in the order of the namers.
    pub(super) clusters: Vec<(ApiServer, Services)>,
    /// Counters of the HTTP controllers.
    pub(super) requests: Arc<Requests>,
    /// Counters that modules share.
    pub(super) meter: Arc<Meter>,
    /// True once every source has answered; never false again (K8S-129).
    pub(super) ready: Arc<Cell<bool>>,
    /// What connections of each server go through first.
    pub(super) gates: Gates,
    /// Who signs for nodes.
    pub(super) ca: Option<Arc<Ca>>,
    /// What each interface wants to be shown, in the order of the configuration.
    pub(super) guards: Vec<Guard>,
}

/// What keeps a part like the source behind it, until it is dropped.
pub(super) type Follower = BoxFuture<'static, ()>;

impl Core {
    /// Builds everything and begins to watch.
    pub(super) fn start(
        config: &Config,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, BuildError> {
        let (core, followers) = Self::build(config, |source| {
            Kubernetes::start(source, tracker, stop).map(|k| k.services)
        })?;
        for follower in followers {
            tracker.spawn(stop.clone().run_until_cancelled_owned(follower));
        }
        Ok(core)
    }

    /// Builds all that can be built without a network, to see that it can be.
    pub(super) fn check(config: &Config) -> Result<(), BuildError> {
        Self::build(config, |_| Ok(Services::new(Policy::default()))).map(drop)
    }

    fn build(
        config: &Config,
        mut watch: impl FnMut(K8sSource) -> Result<Services, K8sError>,
    ) -> Result<(Self, Vec<Follower>), BuildError> {
        let mut followers = Vec::new();
        let meter = Arc::<Meter>::default();
        let store = stores::build(&config.storage, &mut followers)?;
        let store: Arc<dyn DtabStore> = MeteredStore::new(store, Arc::clone(&meter));
        let engine = Engine::new();
        let hosts = Hosts::system();
        let system = System::new(engine.clone(), hosts.clone());
        let mut clusters = Vec::new();
        for source in sources(config) {
            let (api, source) = source;
            let services = watch(source).map_err(|source| BuildError::Kubernetes {
                api: api.clone(),
                source,
            })?;
            clusters.push((api, services));
        }
        let gateways = clusters
            .first()
            .map(|(_, services)| Arc::new(services.clone()) as Arc<dyn Gateways>);
        let transforms = Transforms::new(engine.clone(), gateways).with_own(own(&config.own));
        let namers = Builder {
            engine: &engine,
            hosts: &hosts,
            system: &system,
            transforms: &transforms,
            meter: &meter,
            clusters: clusters.iter().cloned().collect(),
        }
        .namers(&config.namers, &mut followers)?;
        let binder = Binder::with_system(
            engine.clone(),
            Arc::clone(&store),
            namers,
            transforms.clone(),
            system,
        );
        let ca = authority(config, &mut followers)?;
        let models = clusters.iter().map(|(_, services)| services.clone());
        let ingresses = ingresses(config, &mut followers)?;
        let hub = Hub::with_ingresses(
            binder.clone(),
            Arc::new(Clusters::new(models, &*store, ingresses.clone())),
            Limits::default(),
            Arc::clone(&meter),
            ingresses,
        );
        let core = Self {
            gates: Gates::build(config)?,
            guards: guards::build(config)?,
            ca,
            engine,
            store,
            transforms,
            binder,
            hub,
            clusters,
            requests: Arc::default(),
            meter,
            ready: Cell::new(false),
        };
        Ok((core, followers))
    }

    /// Becomes ready when every source has answered once.
    pub(super) async fn watch_readiness(self) {
        for (_, services) in &self.clusters {
            services.ready().wait_for(|ready| *ready).await;
        }
        self.store.list().wait_for(Option::is_some).await;
        self.ready.set(true);
        tracing::info!("ready: every source has answered");
    }
}

/// The Ingress rules, if they are configured, and what keeps them like the API server.
fn ingresses(
    config: &Config,
    followers: &mut Vec<Follower>,
) -> Result<Option<Ingresses>, BuildError> {
    let Some(rules) = &config.ingress else {
        return Ok(None);
    };
    let claim = Claim {
        class: rules.class.as_str().into(),
        unclassed: rules.claim_unclassed,
    };
    let ingresses = Ingresses::new(rules.api.to_string(), claim);
    let source = IngressSource {
        address: address(&rules.api),
        namespace: rules.namespace.clone(),
        startup_jitter: rules.startup_jitter,
    };
    let follower =
        follow_ingresses(&source, &ingresses).map_err(|source| BuildError::Kubernetes {
            api: rules.api.clone(),
            source,
        })?;
    followers.push(Box::pin(follower));
    Ok(Some(ingresses))
}

/// Who signs for nodes, if it is configured, and what keeps the roots.
fn authority(
    config: &Config,
    followers: &mut Vec<Follower>,
) -> Result<Option<Arc<Ca>>, BuildError> {
    let Some(wanted) = &config.ca else {
        return Ok(None);
    };
    let ca = Ca::new(&wanted.domain, wanted.life);
    let keeper = match &wanted.source {
        CaSource::Files(files) => Keeper::files(&ca, files).map_err(BuildError::Ca)?,
        CaSource::Secret {
            api,
            namespace,
            name,
            root_life,
        } => {
            let vault = SecretVault::new(address(api), namespace, name);
            let vault = vault.map_err(|source| BuildError::Kubernetes {
                api: api.clone(),
                source,
            })?;
            Keeper::vault(&ca, Arc::new(vault), *root_life)
        }
    };
    followers.push(Box::pin(keeper.run()));
    Ok(Some(ca))
}

/// One source for each API server that namers name, with the labels that any of them asks for.
fn sources(config: &Config) -> Vec<(ApiServer, K8sSource)> {
    let mut sources: Vec<(ApiServer, K8sSource)> = Vec::new();
    for namer in config.namers.iter().filter_map(|n| n.kind.k8s()) {
        let known = sources.iter_mut().find(|(api, _)| *api == namer.api);
        let source = match known {
            Some((_, source)) => source,
            None => {
                let address = address(&namer.api);
                let watch = &namer.watch;
                let source = K8sSource {
                    namespaces: watch.namespaces.clone().unwrap_or_default(),
                    startup_jitter: watch.startup_jitter,
                    sync_timeout: watch.sync_timeout,
                    policy: policy(watch),
                    ..K8sSource::new(address)
                };
                &mut sources.push_mut((namer.api.clone(), source)).1
            }
        };
        if let Some(label) = &namer.label_selector
            && !source.label_keys.contains(label)
        {
            source.label_keys.push(label.clone());
        }
    }
    sources
}

/// Where an API server is.
pub(super) fn address(api: &ApiServer) -> Address {
    match api {
        ApiServer::InCluster => Address::InCluster,
        ApiServer::Plain(host, port) => Address::Plain {
            host: host.clone(),
            port: *port,
        },
    }
}

/// The rules that the configuration chooses.
fn policy(watch: &config::WatchOptions) -> Policy {
    Policy {
        family: match watch.address_family {
            AddressFamily::Primary => FamilyChoice::Primary,
            AddressFamily::Ipv4 => FamilyChoice::V4,
            AddressFamily::Ipv6 => FamilyChoice::V6,
        },
        terminating_fallback: watch.terminating_fallback,
        pod_cidrs: watch.pod_cidr_fallback,
        zone_hints: watch.zone_hints,
        traffic_policy: watch.traffic_policy,
        ..Policy::default()
    }
}

/// This process as a caller.
fn own(own: &config::Own) -> Caller {
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut addresses: Vec<IpAddr> = loopback.into_iter().chain(own.pod_ip).collect();
    addresses.sort();
    addresses.dedup();
    Caller {
        node: own.node.as_deref().map(Into::into),
        pod_ip: own.pod_ip,
        addresses: addresses.into(),
    }
}
