//! The configuration, checked: no option that has a default, all units typed, ranges checked.
//!
//! In: the text of the file ([`read`]) and what the process was told besides ([`Identity`], [`Config::check_identity`]).
//! Out: [`Config`], or every mistake at once with its place. Nothing else reads the environment. Keys that come later are
//! known by name and refused as "not supported yet"; unknown ones are refused with the nearest known one.

mod client_tls;
mod identity;
mod interpreter;
mod read;
mod router;
#[cfg(test)]
mod tests;

pub use identity::IdentityError;
pub use read::read;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{Dtab, Path, TransformerSpec};

pub use client_tls::{ClientAuth, ClientTls};

/// One process.
#[derive(Clone, Debug)]
pub struct Config {
    /// In the order of the file; named by their index on the wire and in the cache.
    pub routers: Vec<Arc<Router>>,
    /// The admin server.
    pub admin: Admin,
    /// One limit for the age of stale state from the warm file; `None`: the rules of node-proxy 12.6.
    pub max_stale: Option<Duration>,
    /// What the file said that has no effect, one line each, to be logged once.
    pub warnings: Vec<String>,
}

/// The admin server.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Longest drain on a stop request.
    pub shutdown_grace: Duration,
}

/// One router (protocol `http`).
#[derive(Clone, Debug)]
pub struct Router {
    /// Name in metrics, logs and pages; unique.
    pub label: String,
    /// Where it listens.
    pub servers: Vec<Server>,
    /// Base delegation table; sent to namerd with each interest's router.
    pub dtab: Dtab,
    /// In front of every identified name.
    pub dst_prefix: Path,
    /// Tried in order.
    pub identifiers: Vec<Identifier>,
    /// Who binds names.
    pub interpreter: Interpreter,
    /// Longest wait of a request for its name to bind.
    pub binding_timeout: Duration,
    /// From the start of the service layer to the response head, all retries included.
    pub total_timeout: Option<Duration>,
    /// Each attempt, to the response head.
    pub attempt_timeout: Option<Duration>,
    /// Longest connection set-up (node-proxy 13.10).
    pub connect_timeout: Duration,
    /// Sum of header bytes of one message.
    pub max_headers_bytes: usize,
    /// Request line or status line.
    pub max_initial_line_bytes: usize,
    /// Bodies of known length up to this are buffered whole.
    pub stream_after_bytes: usize,
    /// Limit for the bodies of error responses that we make.
    pub max_err_response_bytes: usize,
    /// Cache bounds.
    pub cache: CacheLimits,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where; port 0 asks the system for one.
    pub addr: SocketAddr,
    /// `<ip>/<port>` as configured, for metrics.
    pub label: String,
    /// Whether context from outside is removed (node-proxy 8.5).
    pub clear_context: bool,
    /// More `Via` elements than this are refused (node-proxy 8.6).
    pub max_call_depth: usize,
}

/// Request to path (node-proxy 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// `io.l5d.header.token`: one segment, the header's value as received.
    HeaderToken {
        /// As written; `Host` by default. Compared without regard to case.
        header: String,
    },
}

/// Who binds names, and how it is reached (node-proxy 12.1, 12.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// `io.l5d.mesh`, ...
    pub kind: String,
    /// Candidates; each is looked up again before a connection. Empty for kind `default`: those of the command line.
    pub dst: Vec<(String, u16)>,
    /// The dtab namespace; `None`: no stored dtab.
    pub root: Option<String>,
    /// Run by namerd.
    pub transformers: Vec<TransformerSpec>,
    /// Longest wait between two attempts to reach a namerd.
    pub retry_max: Duration,
    /// TLS to namerd; `None`: in clear text.
    pub tls: Option<ClientTls>,
    /// `tokenFile`: a file with the token that is shown to namerd, such as that of a projected service-account token.
    pub token_file: Option<PathBuf>,
}

/// Bounds of the caches (node-proxy 12.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Names with their overrides.
    pub paths: usize,
    /// Bound trees.
    pub trees: usize,
    /// Bound ids with residual.
    pub bounds: usize,
    /// Bound ids.
    pub clients: usize,
    /// How long an unused entry stays.
    pub idle_ttl: Duration,
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
