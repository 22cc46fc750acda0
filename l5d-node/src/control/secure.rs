//! TLS to namerd, and the token that is shown to it. Files are read for each connection, so that what was replaced is used
//! from the next one on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{ClientTls, TlsVersions};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecureError {
    /// It cannot be read, or is not what it should be.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// The system has no authorities.
    #[error("the system trusts no authority: name a file in `trustCertsBundle`")]
    NoRoots,
    /// What was read does not fit together.
    #[error("{0}")]
    Unusable(String),
}

/// Shakes hands with whoever is at the other end.
pub(crate) async fn handshake(
    tls: &ClientTls,
    addr: std::net::SocketAddr,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let of = tls.clone();
    let config = tokio::task::spawn_blocking(move || client_config(&of)).await;
    let config = config
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    let name = match &tls.common_name {
        Some(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        None => ServerName::from(addr.ip()),
    };
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// The token in a file.
pub(crate) fn token(path: &Path) -> Result<String, SecureError> {
    let text = std::fs::read_to_string(path).map_err(|e| wrong(path, &e))?;
    let token = text.trim();
    match token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Err(wrong(path, &"it has no token")),
        false => Ok(token.to_owned()),
    }
}

fn client_config(tls: &ClientTls) -> Result<ClientConfig, SecureError> {
    let unusable = |e: rustls::Error| SecureError::Unusable(e.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(tls))
        .map_err(unusable)?;
    let verifier: Arc<dyn ServerCertVerifier> = if tls.is_unchecked {
        Arc::new(Unchecked(provider))
    } else {
        let roots = Arc::new(roots(&tls.trust)?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let inner = inner.map_err(|e| SecureError::Unusable(e.to_string()))?;
        let common_name = tls.common_name.clone().unwrap_or_default();
        Arc::new(Named { inner, common_name })
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.client_auth {
        None => builder.with_no_client_auth(),
        Some(auth) => {
            let mut chain = certificates(&auth.certificate)?;
            if let Some(file) = &auth.intermediates {
                chain.extend(certificates(file)?);
            }
            let key = PrivateKeyDer::from_pem_file(&auth.key).map_err(|e| wrong(&auth.key, &e))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(unusable)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

static ONLY_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(tls: &ClientTls) -> &'static [&'static SupportedProtocolVersion] {
    match tls.versions {
        TlsVersions::Only12 => ONLY_1_2,
        TlsVersions::Only13 => ONLY_1_3,
        TlsVersions::Both => rustls::ALL_VERSIONS,
    }
}

fn roots(files: &[PathBuf]) -> Result<RootCertStore, SecureError> {
    let mut roots = RootCertStore::empty();
    if files.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for file in files {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|e| wrong(file, &e))?;
        }
    }
    match roots.is_empty() {
        true => Err(SecureError::NoRoots),
        false => Ok(roots),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SecureError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|e| wrong(file, &e))?;
    let all = read
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(file, &e))?;
    match all.is_empty() {
        true => Err(wrong(file, &"no certificate in it")),
        false => Ok(all),
    }
}

fn wrong(path: &Path, reason: &impl ToString) -> SecureError {
    SecureError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Names as they should be; besides, certificates of old that have nothing but a common name (node-proxy 14.2).
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    common_name: String,
}

impl Named {
    fn is_only_common_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return false;
        };
        let has_names = !matches!(parsed.subject_alternative_name(), Ok(None));
        let mut names = parsed.subject().iter_common_name();
        !has_names && names.any(|name| name.as_str().is_ok_and(|name| name == self.common_name))
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .inner
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // The name is looked at last: everything else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.is_only_common_name(certificate) => {
                tracing::warn!(
                    name = self.common_name,
                    "namerd's certificate has a common name only; give it a DNS name"
                );
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Checks nothing but signatures: `disableValidation`.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
