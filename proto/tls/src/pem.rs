//! What stands in PEM: certificates, keys, authorities. `path` is for the error only.

use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// At least one certificate.
///
/// # Errors
/// What is no PEM, or has no certificate.
pub fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| TlsError::content(path, format!("not PEM: {e}")))?;
    match found.is_empty() {
        true => Err(TlsError::content(path, "no certificate in it")),
        false => Ok(found),
    }
}

/// The key.
///
/// # Errors
/// What has none, or an encrypted one.
pub fn key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let reason =
            "no private key in it: a key in PEM is wanted, PKCS#8, PKCS#1 or SEC1, not encrypted";
        TlsError::content(path, reason)
    })
}

/// Adds authorities, at least one.
///
/// # Errors
/// What has none, or one that cannot be an authority.
pub fn add_roots(roots: &mut RootCertStore, pem: &[u8], path: &Path) -> Result<(), TlsError> {
    for (i, certificate) in certificates(pem, path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|e| {
            let reason = format!("certificate {} cannot be an authority: {e}", i + 1);
            TlsError::content(path, reason)
        })?;
    }
    Ok(())
}

/// From when until when a certificate holds, in seconds of Unix time.
///
/// # Errors
/// What does not parse.
pub fn validity(certificate: &CertificateDer<'_>, path: &Path) -> Result<(i64, i64), TlsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|e| TlsError::content(path, format!("the certificate does not parse: {e}")))?;
    let validity = parsed.validity();
    Ok((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}
