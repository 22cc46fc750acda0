//! `routers` (node-proxy 3, 7, 12): what a request is named by, and who binds the name.

use std::path::PathBuf;
use std::time::Duration;

use l5d_naming::{Dtab, Elem, Path, TransformerSpec};

use super::ClientTls;
use super::client::ClientSettings;
use super::server::Server;
use super::service::ServiceSettings;
use super::settings::Settings;

/// One router.
#[derive(Clone, Debug)]
pub struct Router {
    /// What its servers and its clients speak.
    pub protocol: Protocol,
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
    /// `client`, by bound id.
    pub client: Settings<ClientSettings>,
    /// `service`, by logical name.
    pub service: Settings<ServiceSettings>,
    /// Longest wait of a request for its name to bind.
    pub binding_timeout: Duration,
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
    /// `originator`: publishes the gauge `rt/<label>/originator`.
    pub is_originator: bool,
    /// `tracePropagator` (8.4)
    pub trace_propagator: TracePropagator,
    /// `httpAccessLog` or `h2AccessLog` with their companions (15.5).
    pub access_log: Option<AccessLog>,
    /// `allowConnect` (ours): CONNECT opens a tunnel instead of being answered 405 (7.9).
    pub allows_connect: bool,
    /// `viaPseudonym` (ours): our name in `Via` (8.6).
    pub via: String,
    /// `enforceDeadline` (ours): `l5d-ctx-deadline` ends a request instead of being only handed on (8.3).
    pub enforces_deadline: bool,
    /// `honorGrpcTimeout` (ours, on): `grpc-timeout` is an upper bound of the total timeout (8.3).
    pub honors_grpc_timeout: bool,
    /// `timeoutStatus` (ours): 503, or 504 (11.2).
    pub timeout_status: u16,
    /// `plainErrors` (ours, `h2`): failures of gRPC requests are answered as 1.x does (11.3).
    pub has_plain_errors: bool,
    /// `answerUnidentified` (ours, `h2`): 400 instead of a reset stream (11.3).
    pub answers_unidentified: bool,
}

/// What a router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http,
    /// HTTP/2, gRPC included.
    H2,
}

/// Request to path (node-proxy 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// `io.l5d.header.token`: one segment, the header's value as received.
    HeaderToken {
        /// As written; `Host` or `:authority` by default. Compared without regard to case.
        header: String,
        /// `lowerCase` (ours): the value is folded.
        folds_case: bool,
    },
    /// `io.l5d.header`: the header's value is a path.
    Header {
        /// `l5d-name` by default.
        header: String,
    },
    /// `io.l5d.header.path`: the first segments of the header's value.
    HeaderPath {
        /// `:path` by default.
        header: String,
        /// How many; `None`: all.
        segments: Option<usize>,
    },
    /// `io.l5d.methodAndHost`
    MethodAndHost {
        /// `httpUriInDst`: the segments of the URI's path follow.
        has_uri: bool,
    },
    /// `io.l5d.path`: the first segments of the URI's path.
    Path {
        /// How many.
        segments: usize,
        /// They are taken off the target that is sent on.
        consumes: bool,
    },
    /// `io.l5d.static`: always the same.
    Static {
        /// Behind the prefix.
        path: Path,
    },
    /// `io.l5d.ingress`: by the rules of Ingress objects, which namerd serves.
    Ingress(IngressRules),
}

/// Which Ingress objects count (7.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRules {
    /// Those of this namespace; `None`: all.
    pub namespace: Option<String>,
    /// `ingressClassAnnotation`
    pub class: String,
    /// Default backends are not used.
    pub ignores_default_backends: bool,
}

/// How the trace context travels (8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracePropagator {
    /// `io.l5d.default`: `l5d-ctx-trace`.
    L5d,
    /// `io.l5d.zipkin`: `x-b3-*`.
    Zipkin,
    /// `io.l5d.w3c` (ours): `traceparent` and `tracestate`, besides `l5d-ctx-trace`.
    W3c,
}

/// The access log (15.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where, and when a new file begins.
    pub file: l5d_accesslog::Settings,
    /// `accessLogFormat: json` (ours).
    pub is_json: bool,
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
    /// Names with their overrides, each with its tree and what that leads to: the levels "path", "tree" and "bound" in one.
    pub paths: usize,
    /// Bound ids.
    pub clients: usize,
    /// How long an unused entry stays.
    pub idle_ttl: Duration,
}

/// The longest wait between two attempts to reach a namerd (resolver API 6).
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Protocol {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::H2 => "h2",
        }
    }

    /// What names a request unless the file says otherwise.
    pub fn identifier(self) -> Identifier {
        let header = match self {
            Self::Http => "Host",
            Self::H2 => ":authority",
        };
        Identifier::HeaderToken {
            header: header.to_owned(),
            folds_case: false,
        }
    }
}

impl Default for Router {
    /// A router for `http` without servers, as the tables have it.
    fn default() -> Self {
        Self {
            protocol: Protocol::Http,
            label: "http".to_owned(),
            servers: Vec::new(),
            dtab: Dtab::empty(),
            dst_prefix: Path::from_elems(Elem::new("svc")),
            identifiers: vec![Protocol::Http.identifier()],
            interpreter: Interpreter::default(),
            client: Settings::default(),
            service: Settings::default(),
            binding_timeout: Duration::from_secs(10),
            max_headers_bytes: 8 << 10,
            max_initial_line_bytes: 4 << 10,
            stream_after_bytes: 5 << 10,
            max_err_response_bytes: 5120 << 10,
            cache: CacheLimits::default(),
            is_originator: false,
            trace_propagator: TracePropagator::L5d,
            access_log: None,
            allows_connect: false,
            via: "linkerd".to_owned(),
            enforces_deadline: false,
            honors_grpc_timeout: true,
            timeout_status: 503,
            has_plain_errors: false,
            answers_unidentified: false,
        }
    }
}

impl Default for Interpreter {
    /// Kind `default`.
    fn default() -> Self {
        Self {
            kind: "default".to_owned(),
            dst: Vec::new(),
            root: None,
            transformers: Vec::new(),
            retry_max: LONGEST_WAIT,
            tls: None,
            token_file: None,
        }
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            paths: 1000,
            clients: 1000,
            idle_ttl: Duration::from_secs(600),
        }
    }
}
