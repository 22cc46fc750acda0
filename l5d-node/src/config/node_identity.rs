//! `identity`: who this process is among its peers (node-proxy 14.3, 17).
//!
//! ```yaml
//! identity:
//!   kind: io.l5d.namerd        # namerd signs a short-lived certificate, renewed in time
//!   dst: /$/inet/namerd/4321   # left out: as the first router follows it, its `tls` and `tokenFile` included
//!   tls: {commonName: namerd, trustCertsBundle: ca.pem}
//!   tokenFile: /var/run/secrets/tokens/namerd
//!   plaintext: refused         # or `allowed`, while a cluster changes over
//! ```
//!
//! or `kind: io.l5d.files` with `certPath`, `keyPath`, `intermediateCertsPath` and `caCertPath`.

use std::path::PathBuf;

use super::{ClientAuth, ClientTls};

/// With it, what travels between routers on two nodes is encrypted, and both ends prove that they are nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Who gives it.
    pub issuer: Issuer,
    /// What becomes of those who do not show one.
    pub plaintext: Plaintext,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// `kind: io.l5d.files`: files that something else renews.
    Files {
        /// The certificate, with a SPIFFE id of a node.
        certificate: ClientAuth,
        /// `caCertPath`: the authorities of all nodes.
        trust: PathBuf,
    },
    /// `kind: io.l5d.namerd`: namerd signs it.
    Namerd {
        /// `dst`: who signs; empty: the namerd of the first router, with what is shown to it.
        dst: Vec<(String, u16)>,
        /// `tls` to it.
        tls: Option<ClientTls>,
        /// `tokenFile`: a bound service-account token.
        token_file: Option<PathBuf>,
    },
}

/// `plaintext`: whether peers without an identity are spoken with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    /// `refused`: only nodes that prove themselves come in, and only such are sent to.
    #[default]
    Refused,
    /// `allowed`: clear text is taken too, and sent to those who do not speak TLS. For the time of a change only: who can
    /// alter packets can make a connection fall back.
    Allowed,
}
