//! Names of files and choices; nothing is opened here.

use std::path::{Path, PathBuf};

/// TLS of a server. The files are PEM; they are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// `certPath`: the certificate; further ones after it are sent with it.
    pub cert: PathBuf,
    /// `keyPath`: its key, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// `intermediateCertsPath`: sent after the certificate.
    pub intermediates: Option<PathBuf>,
    /// `caCertPath`: who may vouch for clients. Clients are asked for a certificate if it is given.
    pub ca: Option<PathBuf>,
    /// `requireClientAuth`: clients without a valid certificate are refused.
    pub require_client_auth: bool,
    /// `ciphers`: names of [`CIPHERS`]; empty: all of them.
    pub ciphers: Vec<&'static str>,
    /// `protocols`; empty: both.
    pub protocols: Vec<TlsVersion>,
}

/// How a server is checked, and as whom we appear to it (node-proxy 14.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// `commonName`: the name that the certificate must have, and that is asked for; `None`: that of the host.
    pub common_name: Option<String>,
    /// `disableValidation`: the certificate is not checked.
    pub is_unchecked: bool,
    /// `trustCertsBundle` or `trustCerts`: files of authorities to trust; empty: those of the system.
    pub trust: Vec<PathBuf>,
    /// `clientAuth`: the certificate that is shown, if one is.
    pub client_auth: Option<ClientAuth>,
    /// `protocols`; empty: both.
    pub protocols: Vec<TlsVersion>,
}

/// A client certificate, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAuth {
    /// `certPath`: the certificate.
    pub certificate: PathBuf,
    /// `keyPath`: its key.
    pub key: PathBuf,
    /// `intermediateCertsPath`: certificates between it and the authority.
    pub intermediates: Option<PathBuf>,
}

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// `TLSv1.2`.
    V1_2,
    /// `TLSv1.3`.
    V1_3,
}

/// Every cipher suite that is spoken, by its name in the registry of IANA, which is the name that 1.x used.
pub const CIPHERS: [&str; 9] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

impl ServerTls {
    /// All files that these settings name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.cert, &self.key].into_iter();
        own.chain(&self.intermediates)
            .chain(&self.ca)
            .map(PathBuf::as_path)
    }
}

impl ClientTls {
    /// All files that these settings name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let auth = self.client_auth.iter();
        let auth = auth.flat_map(|auth| {
            let own = [&auth.certificate, &auth.key].into_iter();
            own.chain(&auth.intermediates)
        });
        self.trust.iter().chain(auth).map(PathBuf::as_path)
    }
}

impl TlsVersion {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }

    /// The chosen ones, or all.
    pub(crate) fn chosen(
        versions: &[TlsVersion],
    ) -> Vec<&'static rustls::SupportedProtocolVersion> {
        let version = |version: &TlsVersion| match version {
            TlsVersion::V1_2 => &rustls::version::TLS12,
            TlsVersion::V1_3 => &rustls::version::TLS13,
        };
        match versions {
            [] => rustls::ALL_VERSIONS.to_vec(),
            some => some.iter().map(version).collect(),
        }
    }
}
