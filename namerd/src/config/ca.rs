//! `ca`: the certificate authority of nodes (node-proxy 14.3, 17).
//!
//! ```yaml
//! ca:
//!   kind: io.l5d.k8s.secret    # made at the first start, shared by all replicas, replaced in time
//!   namespace: linkerd         # default
//!   name: namerd-ca            # default
//!   rootLifeDays: 365
//!   host: localhost            # API server, as for namers; left out in a pod: the cluster's own
//!   port: 8001
//!   trustDomain: cluster.local # nodes are spiffe://cluster.local/node/NAME
//!   lifeSecs: 86400            # of a node's certificate; renewed at two thirds
//! ```
//!
//! or `kind: io.l5d.files` with `certPath`, `keyPath` and, for others to trust besides, `caCertPath`.

use std::path::PathBuf;
use std::time::Duration;

use l5d_config::{Kinds, Section};

use super::kubernetes::api_server;
use super::{ApiServer, Env, Interface, NodeProof};

/// Who signs for nodes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaConfig {
    /// `trustDomain`
    pub domain: String,
    /// `lifeSecs`: of certificates.
    pub life: Duration,
    /// `kind` with its keys.
    pub source: CaSource,
}

/// Where the roots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaSource {
    /// `io.l5d.files`
    Files(CaFiles),
    /// `io.l5d.k8s.secret`
    Secret {
        /// The API server.
        api: ApiServer,
        /// The Kubernetes namespace.
        namespace: String,
        /// The Secret.
        name: String,
        /// Of roots that are made.
        root_life: Duration,
    },
}

/// An authority in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFiles {
    /// `certPath`: the certificate that signs.
    pub certificate: PathBuf,
    /// `keyPath`: its key.
    pub key: PathBuf,
    /// `caCertPath`: what nodes trust besides.
    pub trust: Option<PathBuf>,
}

const KINDS: Kinds = Kinds {
    what: "certificate authority",
    known: &["io.l5d.files", "io.l5d.k8s.secret"],
    others: &[],
};
/// Longer ones could as well be files.
const LIFE_SECS: std::ops::RangeInclusive<i64> = 600..=30 * 86_400;
const ROOT_DAYS: std::ops::RangeInclusive<i64> = 7..=3_650;

pub(super) fn read(top: &Section<'_>, interfaces: &[Interface], env: Env<'_>) -> Option<CaConfig> {
    let field = top.key("ca");
    if !field.is_present() {
        return None;
    }
    let mut section = field.section()?;
    let kind = section.kind(&KINDS)?;
    let life = section.key("lifeSecs").integer(LIFE_SECS);
    let domain = section.need("trustDomain");
    let (spot, domain) = (domain.spot(), domain.string().unwrap_or_default());
    if let Err(error) = l5d_tls::NodeId::new(&domain, "node")
        && !domain.is_empty()
    {
        section.reader().mistake(spot, error.to_string(), None);
    }
    let source = match kind {
        "io.l5d.files" => CaSource::Files(CaFiles {
            certificate: section.need("certPath").string().unwrap_or_default().into(),
            key: section.need("keyPath").string().unwrap_or_default().into(),
            trust: section.key("caCertPath").string().map(PathBuf::from),
        }),
        _ => CaSource::Secret {
            api: api_server(&section, env),
            namespace: section
                .key("namespace")
                .string()
                .unwrap_or("default".into()),
            name: section.key("name").string().unwrap_or("namerd-ca".into()),
            root_life: days(
                section
                    .key("rootLifeDays")
                    .integer(ROOT_DAYS)
                    .unwrap_or(365),
            ),
        },
    };
    let proves = |one: &Interface| one.nodes.proofs.contains(&NodeProof::ServiceAccount);
    if !interfaces.iter().any(proves) {
        let message = "ca: no interface of kind io.l5d.mesh has `auth: {nodes: serviceAccount}`, so no node can prove who it is";
        section.reader().warn(section.spot(), message, None);
    }
    let ca = CaConfig {
        domain,
        life: Duration::from_secs(life.unwrap_or(86_400).unsigned_abs()),
        source,
    };
    if let CaSource::Secret { root_life, .. } = &ca.source
        && *root_life < ca.life * 12
    {
        let message = "ca: rootLifeDays must be at least twelve times lifeSecs, so that a root is replaced in time";
        section.reader().mistake(section.spot(), message, None);
    }
    Some(ca)
}

fn days(days: i64) -> Duration {
    Duration::from_secs(days.unsigned_abs() * 86_400)
}
