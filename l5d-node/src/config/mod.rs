//! The configuration, checked: no option that has a default, all units typed, ranges checked.
//!
//! In: the text of the file ([`read`]) and what the process was told besides ([`Identity`], [`Config::check_identity`]).
//! Out: [`Config`], or every mistake at once with its place. Nothing else reads the environment. Unknown keys are refused with
//! the nearest known one, old ones without effect load with one warning. [`effective`] shows what a file comes to.
//!
//! Types stand here, one file for each part; how they are read in `read`, how they are shown in `effective`. All keys of
//! node-proxy 2 to 6, and these, which 1.x does not have:
//!
//! | where | key | default | meaning |
//! |---|---|---|---|
//! | top | `identity` | none | who this process is among its peers ([`NodeIdentity`]) |
//! | top | `maxStaleSecs` | rules of 12.6 | age limit of what the warm file says |
//! | router | `allowConnect` | false | CONNECT opens tunnels |
//! | router | `viaPseudonym` | `linkerd` | our name in `Via` |
//! | router | `enforceDeadline` | false | `l5d-ctx-deadline` ends requests |
//! | router | `honorGrpcTimeout` | true | so does `grpc-timeout` |
//! | router | `timeoutStatus` | 503 | or 504 |
//! | router | `accessLogFormat` | `text` | or `json` |
//! | router, `h2` | `plainErrors`, `answerUnidentified` | false | failures as 1.x answers them; 400 instead of a reset |
//! | identifier `io.l5d.header.token` | `lowerCase` | false | folds the value |
//! | interpreter | `tokenFile`, `resolverPort`, a list as `dst` | | how namerd is reached |
//! | server, client | `initialConnectionWindowBytes` | 1 MiB | HTTP/2 |
//! | server, client | `pingIntervalMs`, `pingTimeoutMs` | 10 s, 3 s | HTTP/2 peers that are silent |
//! | service | `retries.maxPerRequest` | 25 | bound of retries |
//! | client | `connectTimeoutMs`, `streamIdleTimeoutMs` | 1 s, none | limits of connections and streams |
//! | client | `queue.capacity`, `queue.timeoutMs` | 10,000, 3 s | what waits for an endpoint |
//! | client | `loadBalancer.panicThreshold`, `.warmUpMs` | 0, 0 | with few endpoints up; for new ones |
//! | client | `nodeHttp2` | true | requests between our proxies share HTTP/2 connections |
//! | telemeter `io.l5d.prometheus` | `histograms` | false | modern histograms |
//! | telemeter `io.l5d.opentelemetry` | `endpoint`, `sampleRate`, `headers`, `resource` | | spans to a collector |

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
pub use read::{read, read_asking};

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
