//! From PEM files to a TLS configuration.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::Alpn;
use crate::config::{ServerTls, TlsVersion};

/// Why TLS cannot be served. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not have what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key are not of one pair.
    #[error("the key in {} is not the one of the certificate in {}", key.display(), cert.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The chosen suites and versions exclude each other.
    #[error("no cipher suite of `ciphers` can be used with `protocols`: {0}")]
    Choice(rustls::Error),
}

/// More than any chain or bundle needs.
const MOST_BYTES: u64 = 4 << 20;

/// The contents of the files of one `tls` block, as they were at one moment.
pub(super) struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    intermediates: Option<Vec<u8>>,
    ca: Option<Vec<u8>>,
}

/// Tells contents apart without keeping them.
pub(super) type Print = [u8; 32];

// === impl Files ===

impl Files {
    /// Reads all of them. Blocks.
    pub(super) fn read(tls: &ServerTls) -> Result<Self, TlsError> {
        let optional = |path: &Option<PathBuf>| path.as_deref().map(read).transpose();
        Ok(Self {
            cert: read(&tls.cert)?,
            key: read(&tls.key)?,
            intermediates: optional(&tls.intermediates)?,
            ca: optional(&tls.ca)?,
        })
    }

    pub(super) fn print(&self) -> Print {
        let none = Vec::new();
        let mut hash = Sha256::new();
        for part in [
            &self.cert,
            &self.key,
            self.intermediates.as_ref().unwrap_or(&none),
            self.ca.as_ref().unwrap_or(&none),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The configuration, and when the certificate ends, in seconds of Unix time.
    pub(super) fn config(
        &self,
        tls: &ServerTls,
        alpn: Alpn,
    ) -> Result<(Arc<ServerConfig>, i64), TlsError> {
        let mut chain = certificates(&self.cert, &tls.cert)?;
        if let (Some(bytes), Some(path)) = (&self.intermediates, &tls.intermediates) {
            chain.extend(certificates(bytes, path)?);
        }
        let not_after = not_after(&chain[0], &tls.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Content {
            path: tls.key.clone(),
            reason: "no private key in it: a key in PEM is wanted, PKCS#8, PKCS#1 or SEC1, not encrypted".to_owned(),
        })?;
        let provider = Arc::new(provider(tls));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(tls))
            .map_err(TlsError::Choice)?;
        let builder = match (&self.ca, &tls.ca) {
            (Some(bytes), Some(path)) => {
                let roots = Arc::new(roots(bytes, path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match tls.require_client_auth {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                let built = verifier.build().map_err(|e| TlsError::Content {
                    path: path.clone(),
                    reason: e.to_string(),
                })?;
                builder.with_client_cert_verifier(built)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| unusable(e, tls))?;
        config.alpn_protocols = alpn.protocols();
        Ok((Arc::new(config), not_after))
    }
}

fn unusable(error: rustls::Error, tls: &ServerTls) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Pair {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        },
        other => TlsError::Content {
            path: tls.key.clone(),
            reason: other.to_string(),
        },
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    let mut file = file.take(MOST_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// At least one certificate.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Content {
        path: path.to_owned(),
        reason,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| wrong(format!("not PEM: {e}")))?;
    match found.is_empty() {
        true => Err(wrong("no certificate in it".to_owned())),
        false => Ok(found),
    }
}

fn roots(pem: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (i, certificate) in certificates(pem, path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|e| TlsError::Content {
            path: path.to_owned(),
            reason: format!("certificate {} cannot be an authority: {e}", i + 1),
        })?;
    }
    Ok(roots)
}

fn not_after(certificate: &CertificateDer<'_>, path: &Path) -> Result<i64, TlsError> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|e| TlsError::Content {
            path: path.to_owned(),
            reason: format!("the certificate does not parse: {e}"),
        })?;
    Ok(parsed.validity().not_after.timestamp())
}

fn versions(tls: &ServerTls) -> Vec<&'static SupportedProtocolVersion> {
    let version = |version: &TlsVersion| match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    };
    match tls.protocols.as_slice() {
        [] => rustls::ALL_VERSIONS.to_vec(),
        some => some.iter().map(version).collect(),
    }
}

/// The process's cryptography with the chosen suites, in the chosen order.
fn provider(tls: &ServerTls) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.ciphers.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let named = |name: &&str| all.iter().copied().find(|s| iana_name(s.suite()) == **name);
        provider.cipher_suites = tls.ciphers.iter().filter_map(named).collect();
    }
    provider
}

/// The library puts the version into the names of TLS 1.3.
fn iana_name(suite: rustls::CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CIPHERS;

    #[test]
    fn every_suite_of_the_configuration_exists() {
        let all = aws_lc_rs::default_provider().cipher_suites;
        let mut names: Vec<_> = all.iter().map(|s| iana_name(s.suite())).collect();
        let mut known = CIPHERS.to_vec();
        names.sort();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
