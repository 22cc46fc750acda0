//! Who somebody is, with their certificate as the witness.

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// The names of a checked certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// URIs among the alternative names, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// DNS names among the alternative names, in lower case.
    pub dns: Vec<String>,
    /// The subject's common name. Nothing but logs and explicit lists of names should rely on it.
    pub common_name: Option<String>,
    /// When the certificate ends, in seconds since 1970; `None`: nobody has said.
    pub not_after: Option<i64>,
}

impl CertificateNames {
    /// The names of a certificate; `None` if it does not parse.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let mut names = Self {
            common_name: parsed
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            not_after: Some(parsed.validity().not_after.timestamp()),
            ..Self::default()
        };
        let alternative = parsed.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|e| &e.value.general_names) {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
                _ => {}
            }
        }
        Some(names)
    }
}
