//! What the environment and the command line must say for a configuration (node-proxy 12.1, K8S-60).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{Config, Identity, Issuer};

/// Where the warm file is kept if nothing else is said and the folder is there.
const WARM_FOLDER: &str = "/var/lib/l5d-node";

/// Something that the environment or the command line lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A variable does not read.
    #[error("{variable} is {value:?}, which is not {expected}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A router needs to know which namerd to follow.
    #[error(
        "router {router} has the interpreter `default`: say which namerd to follow with --namerd HOST:PORT or \
         L5D_NAMERD, or give it an `interpreter` of kind io.l5d.mesh"
    )]
    NoNamerd {
        /// Its label.
        router: String,
    },
    /// A certificate says which node its owner is.
    #[error(
        "identity: namerd certifies a node by its name: set NODE_NAME from spec.nodeName in the pod's environment"
    )]
    Nameless,
    /// Nobody to ask for a certificate.
    #[error(
        "identity: say which namerd certifies with `dst`, or which one is followed with --namerd HOST:PORT or L5D_NAMERD"
    )]
    NoIssuer,
    /// A router keeps to its own node and does not know which.
    #[error(
        "router {router} has the transformer io.l5d.k8s.localnode: set {variable} from {field} in the pod's environment"
    )]
    NoNode {
        /// Its label.
        router: String,
        /// What is missing.
        variable: &'static str,
        /// Where a manifest takes it from.
        field: &'static str,
    },
}

impl Identity {
    /// Reads variables through `var`. What the command line says wins over `L5D_NAMERD` and `L5D_WARM_FILE`.
    ///
    /// # Errors
    /// A variable that does not read.
    pub fn read(
        var: impl Fn(&str) -> Option<String>,
        namerd: Option<String>,
        warm_file: Option<PathBuf>,
    ) -> Result<Self, IdentityError> {
        let var = |name| var(name).filter(|v| !v.is_empty());
        let pod_ip = var("POD_IP").map(|ip| {
            ip.trim()
                .parse::<IpAddr>()
                .map_err(|_| IdentityError::Variable {
                    variable: "POD_IP",
                    value: ip.clone(),
                    expected: "an IP address",
                })
        });
        let default = PathBuf::from(WARM_FOLDER).join("warm");
        let warm_file = warm_file
            .or_else(|| var("L5D_WARM_FILE").map(PathBuf::from))
            .or_else(|| is_writable(Path::new(WARM_FOLDER)).then_some(default));
        Ok(Self {
            node_name: var("NODE_NAME"),
            pod_ip: pod_ip.transpose()?,
            namerd: match namerd.or_else(|| var("L5D_NAMERD")) {
                Some(list) => addresses(&list)?,
                None => Vec::new(),
            },
            warm_file,
            ..Self::default()
        })
    }
}

impl Config {
    /// Whether the process knows enough of itself for this configuration. What it should know better comes as warnings.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn check_identity(&self, identity: &Identity) -> Result<Vec<String>, Vec<IdentityError>> {
        let mut missing = Vec::new();
        let mut warnings = Vec::new();
        let has_proof = identity.namerd_tls.is_some() || identity.namerd_token_file.is_some();
        if has_proof && self.routers.iter().all(|r| !r.interpreter.dst.is_empty()) {
            warnings.push(
                "--namerd-name, --namerd-token-file and the like have no effect: every router's interpreter names its namerd"
                    .to_owned(),
            );
        }
        if let Some(Issuer::Namerd { dst, .. }) = self.identity.as_ref().map(|own| &own.issuer) {
            if identity.node_name.is_none() {
                missing.push(IdentityError::Nameless);
            }
            let follows = self.routers.first().map(|r| &r.interpreter.dst);
            if dst.is_empty() && follows.is_none_or(Vec::is_empty) && identity.namerd.is_empty() {
                missing.push(IdentityError::NoIssuer);
            }
        }
        for router in &self.routers {
            let label = &router.label;
            if router.interpreter.dst.is_empty() && identity.namerd.is_empty() {
                missing.push(IdentityError::NoNamerd {
                    router: label.clone(),
                });
            }
            let mut local = router
                .interpreter
                .transformers
                .iter()
                .filter(|t| t.kind == "io.l5d.k8s.localnode");
            let Some(first) = local.next() else { continue };
            let by_name = first.host_network || local.any(|t| t.host_network);
            if by_name && identity.node_name.is_none() {
                missing.push(IdentityError::NoNode {
                    router: label.clone(),
                    variable: "NODE_NAME",
                    field: "spec.nodeName",
                });
            }
            if !by_name && identity.pod_ip.is_none() {
                missing.push(IdentityError::NoNode {
                    router: label.clone(),
                    variable: "POD_IP",
                    field: "status.podIP",
                });
            }
            if !by_name && identity.node_name.is_none() {
                warnings.push(format!(
                    "router {label} keeps to its node, and NODE_NAME is not set: namerd guesses the node from POD_IP"
                ));
            }
        }
        if missing.is_empty() {
            Ok(warnings)
        } else {
            Err(missing)
        }
    }
}

/// `HOST:PORT[,...]`; an IPv6 host in square brackets.
fn addresses(list: &str) -> Result<Vec<(String, u16)>, IdentityError> {
    let address = |text: &str| {
        let (host, port) = text.trim().rsplit_once(':')?;
        let is_bare = |h: &str| !h.contains(':');
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner,
            None => Some(host).filter(|h| is_bare(h))?,
        };
        let port = port.parse().ok().filter(|p| *p != 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    };
    let wrong = || IdentityError::Variable {
        variable: "--namerd or L5D_NAMERD",
        value: list.to_owned(),
        expected: "HOST:PORT[,HOST:PORT...]",
    };
    list.split(',')
        .map(|text| address(text).ok_or_else(wrong))
        .collect()
}

fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let is_writable = folder.is_dir() && std::fs::write(&probe, b"").is_ok();
    if is_writable {
        let _ = std::fs::remove_file(&probe);
    }
    is_writable
}
