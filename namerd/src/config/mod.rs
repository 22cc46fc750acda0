//! The configuration file: what it says, checked, with every default filled in (control plane 3).
//!
//! In comes the text of the file, out goes a [`Config`] that needs no further checks, or every mistake at once. Environment
//! variables are read here and nowhere else. Nothing is opened or contacted, except that directories which the file names
//! must exist.

mod auth;
mod ca;
mod check;
mod consul;
mod effective;
mod ingress;
mod interfaces;
mod kubernetes;
mod namers;
mod servers;
mod sessions;
mod storage;
mod telemetry;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use l5d_config::asked::Questions;
use l5d_config::{Mistake, Mistakes, Reader, Scalars};
use l5d_naming::{Dtab, Path, TransformerSpec};
use regex::Regex;

pub use auth::{CallerAuth, CallerProof, NodeAuth, NodeProof, TokenCheck};
pub use ca::{CaConfig, CaFiles, CaSource};
pub use consul::{Consistency, ConsulAccess, ConsulNaming, ConsulStorage, HealthStatus, Secret};
pub use interfaces::{DestinationOptions, InterfaceKind, MeshOptions, ThriftOptions};
pub use l5d_tls::{CIPHERS, ClientTls, ServerTls, TlsVersion};
pub use sessions::SessionLimits;
pub use telemetry::PrometheusPage;

/// Everything that namerd was told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The admin server.
    pub admin: Admin,
    /// Where dtabs live.
    pub storage: Storage,
    /// Service discovery, in order.
    pub namers: Vec<Namer>,
    /// Servers, in order; at least one.
    pub interfaces: Vec<Interface>,
    /// Further paths at which the admin server serves Prometheus metrics.
    pub prometheus: Vec<PrometheusPage>,
    /// Whether the admin server serves metrics for InfluxDB.
    pub influxdb: bool,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<Traces>,
    /// `ingress`: whose Ingress rules are served to nodes. `None`: nobody's, and none are watched.
    pub ingress: Option<IngressRules>,
    /// `ca`: who signs for nodes. `None`: nobody.
    pub ca: Option<CaConfig>,
    /// Where this process runs.
    pub own: Own,
}

/// `io.l5d.opentelemetry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector, `http://HOST:PORT`, OTLP over gRPC.
    pub endpoint: String,
    /// The share of traces that begin here and are recorded, 0 to 1; whoever calls with a trace decides for it.
    pub sample_rate: f64,
    /// What this process is called there.
    pub service_name: String,
}

/// Ingress rules for nodes that have `io.l5d.ingress` (Kubernetes 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRules {
    /// Which API server.
    pub api: ApiServer,
    /// The Kubernetes namespace; `None`: all.
    pub namespace: Option<String>,
    /// `class`: Ingresses of this class are served.
    pub class: String,
    /// `claimUnclassed`: also those without a class (K8S-40), whether or not the class is the cluster's default one.
    pub claim_unclassed: bool,
    /// Longest random wait before the first list (K8S-116).
    pub startup_jitter: Duration,
}

/// Where this process runs, as its environment says: what node-bound transformers mean to callers that name no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// `NODE_NAME`.
    pub node: Option<String>,
    /// `POD_IP`.
    pub pod_ip: Option<IpAddr>,
}

/// The admin server.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub server: Server,
    /// Longest time from a stop request to the process's exit.
    pub shutdown_grace: Duration,
    /// Which of its paths are served.
    pub security: Security,
}

/// Which admin paths are served (control plane 3.3).
#[derive(Clone, Debug)]
pub struct Security {
    /// Pages for people.
    pub ui: bool,
    /// What changes the process.
    pub control: bool,
    /// Everything else.
    pub diagnostics: bool,
    /// Served although their category is off.
    pub whitelist: Vec<Regex>,
    /// Never served.
    pub blacklist: Vec<Regex>,
    /// `readOnly`: the page shows dtabs and writes none.
    pub read_only: bool,
}

/// Where a server listens, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The address; port 0 asks the system for one.
    pub addr: SocketAddr,
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// TLS; `None`: in clear text.
    pub tls: Option<ServerTls>,
    /// `limits`: what clients get.
    pub limits: ClientLimits,
}

/// `limits` of a server: how much all clients together, and one address, may take.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientLimits {
    /// `connections`: of all clients at one time. Further ones are closed at once.
    pub connections: usize,
    /// `connectionsPerClient`: of one address. Half of all by default, since many nodes may stand behind one address, and
    /// nobody shall keep out all others.
    pub connections_per_client: usize,
    /// `requestsPerSecond`: of one address in the long run: HTTP, and calls of tools and of Linkerd 1.x and 2; one that
    /// begins a stream counts once. `Follow` is bounded by connections and by its own limits.
    pub requests_per_second: f64,
    /// `requestBurst`: of one address at once.
    pub request_burst: f64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            // 5,000 nodes, each with one, a second one while they move, and tools.
            connections: 10_000,
            connections_per_client: 5_000,
            requests_per_second: 1_000.0,
            request_burst: 2_000.0,
        }
    }
}

/// Options of a server's sockets (control plane 3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Small writes are sent at once.
    pub no_delay: bool,
    /// A port in time-wait can be taken.
    pub reuse_addr: bool,
    /// Another process may listen on the same port.
    pub reuse_port: bool,
    /// The system probes idle connections.
    pub keep_alive: bool,
    /// Connections waiting to be accepted; `None`: the system's default.
    pub backlog: Option<u32>,
    /// `readTimeoutMs`: a connection that sends nothing for so long is closed. `None`: never.
    pub read_timeout: Option<Duration>,
    /// `writeTimeoutMs`: a connection that takes nothing for so long, while something is to be written, is closed.
    pub write_timeout: Option<Duration>,
}

/// The dtab store.
#[derive(Clone, Debug)]
pub enum Storage {
    /// `io.l5d.inMemory` with these namespaces.
    InMemory(Vec<(String, Dtab)>),
    /// `io.l5d.etcd`.
    Etcd(EtcdStorage),
    /// `io.l5d.fs`.
    Files(FilesStorage),
    /// `io.l5d.consul`.
    Consul(ConsulStorage),
    /// `io.l5d.k8s`: custom resources of a Kubernetes API.
    K8s(K8sStorage),
    /// `io.l5d.k8s.configMap`: keys of a ConfigMap.
    ConfigMap(ConfigMapStorage),
}

/// Dtabs in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesStorage {
    /// Each file of this directory is a namespace.
    Folder(PathBuf),
    /// This file is the namespace `default`.
    One(PathBuf),
}

/// Dtabs in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdStorage {
    /// Members of the cluster, with ports; at least one.
    pub hosts: Vec<(String, u16)>,
    /// Keys are this, a slash and the namespace.
    pub path_prefix: String,
    /// TLS, if it is spoken.
    pub tls: Option<ClientTls>,
}

/// `storage` of kind `io.l5d.k8s.configMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapStorage {
    /// Which API server.
    pub api: ApiServer,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The ConfigMap.
    pub name: String,
    /// The key that is the namespace `default`. `None`: every key is a namespace.
    pub filename: Option<String>,
    /// Longest random wait before the first list (K8S-116).
    pub startup_jitter: Duration,
}

/// `storage` of kind `io.l5d.k8s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sStorage {
    /// Which API server.
    pub api: ApiServer,
    /// The Kubernetes namespace of the objects.
    pub namespace: String,
    /// `status`: whether the status of objects is written, where the server permits it.
    pub write_status: bool,
    /// Longest random wait before the first list (K8S-116).
    pub startup_jitter: Duration,
}

/// One namer.
#[derive(Clone, Debug)]
pub struct Namer {
    /// It answers under `/#` and this; never empty.
    pub prefix: Path,
    /// Applied to its answers, in order.
    pub transformers: Vec<TransformerSpec>,
    /// What it is.
    pub kind: NamerKind,
}

/// What a namer is.
#[derive(Clone, Debug, PartialEq)]
pub enum NamerKind {
    /// `io.l5d.fs`: files of this directory.
    Fs(PathBuf),
    /// `io.l5d.k8s`.
    K8s(K8sNamer),
    /// `io.l5d.k8s.ns`: the Kubernetes namespace of this process, from an environment variable.
    K8sNs(K8sNamer, String),
    /// `io.l5d.k8s.external`.
    K8sExternal(K8sNamer),
    /// `io.l5d.consul`.
    Consul(ConsulAccess, ConsulNaming),
    /// `io.l5d.dnssrv`.
    DnsSrv {
        /// Shortest time between two lookups of one name.
        refresh: Duration,
        /// The servers to ask; empty: those of the system.
        servers: Vec<SocketAddr>,
    },
    /// `io.l5d.rewrite`.
    Rewrite {
        /// What the path must look like.
        pattern: String,
        /// What becomes of it.
        name: String,
    },
}

/// What Kubernetes namers have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sNamer {
    /// Which API server.
    pub api: ApiServer,
    /// The label whose value is a further path element.
    pub label_selector: Option<String>,
    /// How that API server is watched; equal for all namers of one server.
    pub watch: WatchOptions,
}

/// A Kubernetes API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ApiServer {
    /// The one of the cluster this process runs in, with its service account.
    InCluster,
    /// Plain HTTP to this host and port, such as a `kubectl proxy`.
    Plain(String, u16),
}

/// How an API server is watched and what it says is read: keys of the namers `io.l5d.k8s` and `io.l5d.k8s.ns`. Namers of
/// one API server share one view of it, so they must agree in all of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// `namespaces`: Services and slices of these Kubernetes namespaces only, each watched on its own (K8S-81); sorted.
    /// `None`: of the whole cluster.
    pub namespaces: Option<Vec<String>>,
    /// `addressFamily`: `primary`, `ipv4` or `ipv6` (K8S-65).
    pub address_family: AddressFamily,
    /// `terminatingFallback`: where no endpoint is ready, those are used that still answer while they end (K8S-96).
    pub terminating_fallback: bool,
    /// `podCIDRFallback`: endpoints without a node name are on the node whose `podCIDRs` have their address (K8S-55).
    /// Whole Nodes are watched then instead of their metadata (K8S-82).
    pub pod_cidr_fallback: bool,
    /// `zoneHints`: what slices hint narrows what callers of a zone or node get (K8S-99).
    pub zone_hints: bool,
    /// `trafficPolicy`: `internalTrafficPolicy: Local` of Services holds (K8S-100).
    pub traffic_policy: bool,
    /// Longest random wait before the first lists (K8S-116).
    pub startup_jitter: Duration,
    /// When a first list that has not come is complained about (K8S-129).
    pub sync_timeout: Duration,
}

/// Which addresses of dual-stack services are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamily {
    /// Those of the Service's first family.
    #[default]
    Primary,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// One server that answers names.
#[derive(Clone, Debug)]
pub struct Interface {
    /// What it speaks.
    pub kind: InterfaceKind,
    /// Where it listens.
    pub server: Server,
    /// `io.l5d.mesh`: what nodes must show.
    pub nodes: NodeAuth,
    /// `io.l5d.httpController`: what callers must show.
    pub callers: CallerAuth,
    /// `maxConnectionAgeSecs` of `io.l5d.mesh`: connections are asked to move on after about this time, so that replicas
    /// that were added get their share. `None`: never.
    pub connection_age: Option<Duration>,
}

/// Where environment variables come from.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads and checks a configuration. `name` is what mistakes call the file. Also gives warnings.
    pub fn read(name: &str, text: &str, env: Env<'_>) -> Result<(Self, Vec<Mistake>), Mistakes> {
        Self::read_asking(name, text, env).map(|(config, warnings, _)| (config, warnings))
    }

    /// As [`Config::read`], with every key that the file was asked for, there or not.
    pub fn read_asking(
        name: &str,
        text: &str,
        env: Env<'_>,
    ) -> Result<(Self, Vec<Mistake>, Questions), Mistakes> {
        let reader = Reader::open(name, text, Scalars::Strict)?;
        let config = reader.top().map(|top| {
            let (interfaces, conflicts) = interfaces::interfaces(&top, env);
            let (admin, admin_claim) = servers::admin(&top);
            let telemetry = telemetry::read(&top);
            let config = Config {
                ca: ca::read(&top, &interfaces, env),
                storage: storage::read(&top, env),
                namers: namers::read(&top, env),
                prometheus: telemetry.prometheus,
                influxdb: telemetry.influxdb,
                traces: telemetry.traces,
                ingress: ingress::read(&top, env),
                own: Own {
                    node: env("NODE_NAME").filter(|name| !name.is_empty()),
                    pod_ip: env("POD_IP").and_then(|ip| ip.parse().ok()),
                },
                admin,
                interfaces,
            };
            check::server_conflicts(&reader, &conflicts, &admin_claim);
            config
        });
        let questions = reader.questions();
        let (config, warnings) = reader.finish(config)?;
        Ok((config, warnings, questions))
    }

    /// What is in force, defaults included, secrets left out: for the log and `/config.json`.
    pub fn effective(&self) -> serde_json::Value {
        effective::config(self)
    }
}

impl NamerKind {
    /// The configuration's kind.
    pub fn name(&self) -> &'static str {
        match self {
            NamerKind::Fs(_) => "io.l5d.fs",
            NamerKind::K8s(_) => "io.l5d.k8s",
            NamerKind::K8sNs(..) => "io.l5d.k8s.ns",
            NamerKind::K8sExternal(_) => "io.l5d.k8s.external",
            NamerKind::Consul(..) => "io.l5d.consul",
            NamerKind::DnsSrv { .. } => "io.l5d.dnssrv",
            NamerKind::Rewrite { .. } => "io.l5d.rewrite",
        }
    }

    /// The Kubernetes part, if it has one.
    pub fn k8s(&self) -> Option<&K8sNamer> {
        match self {
            NamerKind::K8s(k8s) | NamerKind::K8sNs(k8s, _) | NamerKind::K8sExternal(k8s) => {
                Some(k8s)
            }
            NamerKind::Fs(_)
            | NamerKind::Consul(..)
            | NamerKind::DnsSrv { .. }
            | NamerKind::Rewrite { .. } => None,
        }
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            no_delay: true,
            reuse_addr: true,
            reuse_port: false,
            keep_alive: false,
            backlog: None,
            read_timeout: None,
            write_timeout: None,
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            ui: true,
            control: true,
            diagnostics: true,
            whitelist: Vec::new(),
            blacklist: Vec::new(),
            read_only: false,
        }
    }
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            namespaces: None,
            address_family: AddressFamily::Primary,
            terminating_fallback: true,
            pod_cidr_fallback: false,
            zone_hints: false,
            traffic_policy: false,
            startup_jitter: Duration::from_secs(2),
            sync_timeout: Duration::from_secs(60),
        }
    }
}

impl AddressFamily {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            AddressFamily::Primary => "primary",
            AddressFamily::Ipv4 => "ipv4",
            AddressFamily::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiServer::InCluster => f.write_str("in-cluster"),
            ApiServer::Plain(host, port) => write!(f, "http://{host}:{port}"),
        }
    }
}
