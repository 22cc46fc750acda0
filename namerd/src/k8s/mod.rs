//! Watches the API server and writes the model of services; the only importer of kube.
//!
//! Three watches, cluster wide, whatever the number of nodes and names (K8S-80): EndpointSlices, Services, Nodes (their
//! metadata); where they are configured, also Ingresses and IngressClasses. Each is one task with one state machine (K8S-110): list, then follow; resume where it was cut; list anew
//! only when history is gone. What was listed last serves until a new list is complete (K8S-111). We list and follow
//! ourselves instead of through kube's watcher, which fails a whole list for one bad object, tries a version for ever
//! that the server will not take, and reconnects without a pause after clean ends.
//! Must never: empty the model because the server is unwell, or touch Pods, Secrets
//! (but the one of the certificate authority, where it is configured) or the old `/watch/` paths.

mod configmap;
mod decode;
mod dtabs;
mod failure;
mod ingress;
mod lines;
mod list;
mod pace;
mod review;
mod secret;
mod sink;
mod target;
mod transport;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use review::Reviewer;
pub use secret::SecretVault;

use self::decode::Keep;
use self::sink::ServicesSink;
use self::transport::{ApiServer, Transport};
use self::watch::ApiWatch;
use crate::store::services::{Kind, Policy, Services};

pub use self::configmap::{ConfigMapDtabs, ConfigMapSource};
pub use self::dtabs::{DtabSource, K8sDtabs, crd};
pub use self::ingress::{IngressSource, follow_ingresses};

/// Where the API server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As the pod's environment and service account say.
    InCluster,
    /// Plain HTTP, as to a `kubectl proxy`.
    Plain {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Anywhere.
    Url {
        /// `http://` or `https://`.
        url: String,
        /// File with a bearer token, read again as it changes.
        token_file: Option<PathBuf>,
        /// File with the authorities to trust, read again as it changes.
        ca_file: Option<PathBuf>,
    },
}

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct K8sSource {
    /// The API server.
    pub address: Address,
    /// Kubernetes namespaces whose slices and Services are watched, each on its own (K8S-81). None: the whole cluster, with
    /// one watch a kind.
    pub namespaces: Vec<String>,
    /// Label keys that lookups may ask for (`labelSelector`); no other labels are kept.
    pub label_keys: Vec<String>,
    /// First lists wait a random time up to this, so that replicas spread (K8S-116).
    pub startup_jitter: Duration,
    /// When to say which kinds have not been listed yet (K8S-129). Only the log depends on it.
    pub sync_timeout: Duration,
    /// What may be configured of the rules.
    pub policy: Policy,
}

/// Why the API server cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum K8sError {
    /// Not in a pod, or without a service account.
    #[error("no API server: give host and port, or run in a pod with a service account: {0}")]
    InCluster(String),
    /// Host and port, or URL.
    #[error("the API server's address is not a URL: {0}")]
    Address(String),
    /// TLS files.
    #[error("the API server's client cannot be built: {0}")]
    Client(String),
}

/// The watched cluster. Its tasks end when the token is cancelled.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The model; [`Services::ready`] tells when every kind has been listed once.
    pub services: Services,
}

impl K8sSource {
    /// The defaults for this address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            namespaces: Vec::new(),
            label_keys: Vec::new(),
            startup_jitter: Duration::from_secs(2),
            sync_timeout: Duration::from_secs(60),
            policy: Policy::default(),
        }
    }

    fn keep(&self) -> Keep {
        Keep {
            labels: self.label_keys.clone(),
            hints: self.policy.zone_hints,
        }
    }
}

impl Kubernetes {
    /// Begins to watch. The server need not be there yet.
    pub fn start(
        source: K8sSource,
        tracker: &TaskTracker,
        token: &CancellationToken,
    ) -> Result<Self, K8sError> {
        // A client each: a connection that is given up is not to be shared (K8S-117).
        let address = source.address.clone();
        Self::watch(source, tracker, token, || {
            Ok(Arc::new(ApiServer::new(address.clone())?))
        })
    }

    fn watch(
        source: K8sSource,
        tracker: &TaskTracker,
        token: &CancellationToken,
        connect: impl Fn() -> Result<Arc<dyn Transport>, K8sError>,
    ) -> Result<Self, K8sError> {
        let (keep, whole_nodes) = (source.keep(), source.policy.pod_cidrs);
        let services = Services::of(source.policy, &source.namespaces);
        let mut watches = Vec::new();
        for (kind, namespace) in services.watches() {
            let sink =
                ServicesSink::new(kind, namespace, services.clone(), keep.clone(), whole_nodes);
            let random = fastrand::Rng::new();
            watches.push(ApiWatch::new(
                sink,
                connect()?,
                source.startup_jitter,
                random,
            ));
        }
        for watch in watches {
            let token = token.clone();
            tracker.spawn(async move {
                token.run_until_cancelled(watch.run()).await;
            });
        }
        tracker.spawn(services.clone().run(token.clone()));
        let (waiting, token, timeout) = (services.clone(), token.clone(), source.sync_timeout);
        tracker.spawn(async move {
            let told = tell_what_is_missing(waiting, timeout);
            token.run_until_cancelled(told).await;
        });
        Ok(Self { services })
    }
}

/// Says which kinds hold up readiness (K8S-129).
async fn tell_what_is_missing(services: Services, timeout: Duration) {
    let ready = services.ready();
    let known = ready.wait_for(|ready| *ready);
    if tokio::time::timeout(timeout, known).await.is_ok() {
        return;
    }
    for kind in Kind::ALL {
        let status = services.status(kind);
        if !status.synced {
            let error = status
                .last_error
                .map(|(_, error)| error)
                .unwrap_or_default();
            tracing::error!(
                source = kind.source(), state = status.state.name(), %error,
                "not listed yet: not ready; check the API server's address and namerd's ClusterRole"
            );
        }
    }
    let since = Instant::now();
    ready.wait_for(|ready| *ready).await;
    tracing::info!(late = ?since.elapsed(), "every kind has been listed");
}
