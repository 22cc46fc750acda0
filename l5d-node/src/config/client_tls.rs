//! `tls` towards namerd and towards endpoints (node-proxy 14.2): names of files and choices, nothing is opened here.

use std::path::PathBuf;

use super::server::Certificate;

/// How a peer is checked, and as whom this process appears to it. Files are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The name that the certificate must have, and that is asked for. With captures already put in.
    pub common_name: Option<String>,
    /// `disableValidation`: the certificate is not checked.
    pub is_unchecked: bool,
    /// Authorities to trust; empty: those of the system.
    pub trust: Vec<PathBuf>,
    /// The certificate that is shown.
    pub client_auth: Option<ClientAuth>,
    /// `protocols`
    pub versions: TlsVersions,
    /// `identity: node` (ours): the peer is one of our nodes. It is checked by the authority of
    /// [`NodeIdentity`](super::NodeIdentity), which is shown to it in turn; `common_name` and `trust` are not looked at.
    pub is_node: bool,
    /// `peers` (ours): SPIFFE ids that the peer may have, `*` at the end for all that begin so; empty: any of the authority.
    pub peers: Vec<String>,
}

/// A client certificate, PEM.
pub type ClientAuth = Certificate;

/// Versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 only.
    Only12,
    /// 1.3 only.
    Only13,
}

/// `identity` at the top level (ours): who this process is among its peers (14.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeIdentity {
    /// `kind: io.l5d.files`: a certificate with a SPIFFE id, which something else renews.
    Files {
        /// The certificate.
        certificate: Certificate,
        /// `caCertPath`: the authority of all nodes.
        trust: PathBuf,
    },
    /// `kind: io.l5d.namerd`: a short-lived certificate that namerd signs, renewed in time.
    Namerd {
        /// `dst`: who signs; empty: the namerd of the first router.
        dst: Vec<(String, u16)>,
        /// `tls` to it; `None`: that of the first router.
        tls: Option<Box<ClientTls>>,
        /// `tokenFile`: a bound service-account token; `None`: that of the first router.
        token_file: Option<PathBuf>,
    },
}
