//! `tls` of a server (control plane 3.6): names of files and choices, nothing is opened here.

use std::path::PathBuf;

use l5d_config::{Field, Section};

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

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl TlsVersion {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }
}

pub(super) fn read(field: Field<'_>) -> Option<ServerTls> {
    let section = field.section()?;
    let file = |key| section.key(key).string().map(PathBuf::from);
    let cert = section.need("certPath").string();
    let key = section.need("keyPath").string();
    let require = section.key("requireClientAuth");
    let require_spot = require.spot();
    let tls = ServerTls {
        cert: cert.unwrap_or_default().into(),
        key: key.unwrap_or_default().into(),
        intermediates: file("intermediateCertsPath"),
        ca: file("caCertPath"),
        require_client_auth: require.boolean().unwrap_or(false),
        ciphers: ciphers(&section),
        protocols: protocols(&section),
    };
    if tls.require_client_auth && tls.ca.is_none() {
        let message =
            "requireClientAuth needs caCertPath, the authority that clients are checked against";
        section.reader().mistake(require_spot, message, None);
    }
    Some(tls)
}

/// Unknown suites are left out with a warning: lists of earlier days name suites that are not spoken any more.
fn ciphers(section: &Section<'_>) -> Vec<&'static str> {
    let field = section.key("ciphers");
    let spot = field.spot();
    let Some(items) = field.list() else {
        return Vec::new();
    };
    let mut known = Vec::new();
    for item in items {
        let spot = item.spot();
        let Some(name) = item.string() else { continue };
        match CIPHERS.into_iter().find(|cipher| *cipher == name) {
            Some(cipher) => known.push(cipher),
            None => {
                let message = format!(
                    "cipher suite `{}` is not spoken and is left out",
                    name.escape_debug()
                );
                let help = format!("suites: {}", CIPHERS.join(", "));
                section.reader().warn(spot, message, Some(help));
            }
        }
    }
    if known.is_empty() && section.reader().is_good() {
        let help = format!("suites: {}", CIPHERS.join(", "));
        section
            .reader()
            .mistake(spot, "ciphers has no suite that is spoken", Some(help));
    }
    known
}

fn protocols(section: &Section<'_>) -> Vec<TlsVersion> {
    let items = section.key("protocols").list().unwrap_or_default();
    let mut versions = Vec::new();
    for item in items {
        let spot = item.spot();
        let Some(name) = item.string() else { continue };
        let found = [TlsVersion::V1_2, TlsVersion::V1_3]
            .into_iter()
            .find(|v| v.name() == name);
        match found {
            Some(version) => versions.push(version),
            None => {
                let message = format!(
                    "protocol `{}` is not spoken: TLSv1.2 and TLSv1.3 are",
                    name.escape_debug()
                );
                section.reader().mistake(spot, message, None);
            }
        }
    }
    versions
}
