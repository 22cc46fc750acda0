//! The configuration, checked: no option that has a default, all units typed, ranges checked.
//!
//! In: the text of the file ([`read`]) and what the process was told besides ([`Identity`], [`Config::check_identity`]).
//! Out: [`Config`], or every mistake at once with its place. Nothing else reads the environment. Keys that come later are
//! known by name and refused as "not supported yet"; unknown ones are refused with the nearest known one.

mod admin;
mod client;
mod effective;
mod identity;
mod node_identity;
mod pattern;
mod read;
mod router;
mod server;
mod service;
mod settings;
mod telemetry;
#[cfg(test)]
mod tests;

pub use effective::effective;
pub use identity::IdentityError;
pub use read::read;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use admin::{Admin, PageKind, Security};
pub use client::{
    AccrualPolicy, BalancerKind, ClientKeys, ClientSettings, FailureAccrual, LoadBalancer, Pool,
    Queue,
};
pub use l5d_tls::{ClientAuth, ClientTls, ServerTls, TlsVersion};
pub use node_identity::{Issuer, NodeIdentity, Plaintext};
pub use pattern::{Captures, Pattern, PatternError};
pub use router::{
    AccessLog, CacheLimits, Identifier, IngressRules, Interpreter, Protocol, Router,
    TracePropagator,
};
pub use server::{Forwarded, H2Settings, Labeler, Server, SessionLimits, SocketOptions};
pub use service::{Backoff, Budget, Classifier, GrpcRetries, ServiceKeys, ServiceSettings};
pub use settings::{Entry, Layer, Settings};
pub use telemetry::Telemeter;

/// One process.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// In the order of the file; named by their index on the wire and in the cache.
    pub routers: Vec<Arc<Router>>,
    /// The admin server.
    pub admin: Admin,
    /// `telemetry`, in the order of the file.
    pub telemetry: Vec<Telemeter>,
    /// `identity` (ours): who this process is among its peers.
    pub identity: Option<NodeIdentity>,
    /// One limit for the age of stale state from the warm file; `None`: the rules of node-proxy 12.6.
    pub max_stale: Option<Duration>,
    /// What the file said that has no effect, one line each, to be logged once.
    pub warnings: Vec<String>,
}

/// What the environment and the command line say; nothing else reads them.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// `NODE_NAME`.
    pub node_name: Option<String>,
    /// `POD_IP`.
    pub pod_ip: Option<std::net::IpAddr>,
    /// `--namerd` or `L5D_NAMERD`.
    pub namerd: Vec<(String, u16)>,
    /// `--namerd-name` and its companions: how those are checked, and as whom this node appears to them.
    pub namerd_tls: Option<ClientTls>,
    /// `--namerd-token-file`: a file with the token that is shown to them.
    pub namerd_token_file: Option<PathBuf>,
    /// `--warm-file` or `L5D_WARM_FILE`, or the default folder if it can be written.
    pub warm_file: Option<PathBuf>,
}
