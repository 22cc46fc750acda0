//! From a `tls` block to a handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{ClientAuth, ClientTls};

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// A file.
    #[error("cannot read {what} from {}: {reason}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No authority to trust.
    #[error("there is no certificate of an authority to trust: name a file in `trustCertsBundle`")]
    NoRoots,
    /// A certificate and a key that do not fit, or a name that is none.
    #[error("the certificate or name cannot be used: {0}")]
    Unusable(String),
}

/// TLS as configured.
pub(super) struct Tls {
    config: ClientTls,
    /// Made of the files when they could last be read.
    good: Mutex<Arc<ClientConfig>>,
}

/// Checks nothing but signatures: `disableValidation`.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl Tls {
    pub(super) fn new(config: &ClientTls) -> Result<Self, DialError> {
        if let Some(name) = &config.common_name {
            server_name(name)?;
        }
        Ok(Self {
            good: Mutex::new(Arc::new(client_config(config)?)),
            config: config.clone(),
        })
    }

    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
        alpn: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = self.config.common_name.as_deref().unwrap_or(host);
        let name = server_name(name).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
    }

    /// Of the files as they are now, or as they were when they were last good.
    fn config(&self) -> ClientConfig {
        match client_config(&self.config) {
            Ok(config) => {
                *self.good.lock() = Arc::new(config.clone());
                config
            }
            Err(error) => {
                tracing::error!(%error, "certificates cannot be read again; the last good ones are used");
                ClientConfig::clone(&self.good.lock())
            }
        }
    }
}

fn client_config(config: &ClientTls) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |e: rustls::Error| DialError::Unusable(e.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = if config.common_name.is_some() {
        builder.with_root_certificates(roots(&config.trust)?)
    } else {
        let unchecked = Arc::new(Unchecked(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(unchecked)
    };
    match &config.client_auth {
        None => Ok(builder.with_no_client_auth()),
        Some(auth) => {
            let (chain, key) = own(auth)?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)
        }
    }
}

fn roots(files: &[PathBuf]) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    if files.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for file in files {
        for certificate in certificates(file)? {
            let added = roots.add(certificate);
            added.map_err(|e| wrong("certificates of authorities", file, &e))?;
        }
    }
    if roots.is_empty() {
        return Err(DialError::NoRoots);
    }
    Ok(roots)
}

fn own(
    auth: &ClientAuth,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), DialError> {
    let mut chain = certificates(&auth.certificate)?;
    if let Some(file) = &auth.intermediates {
        chain.extend(certificates(file)?);
    }
    let key = PrivateKeyDer::from_pem_file(&auth.key);
    Ok((
        chain,
        key.map_err(|e| wrong("a private key", &auth.key, &e))?,
    ))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let failed = |e| wrong("certificates", file, &e);
    let read = CertificateDer::pem_file_iter(file).map_err(failed)?;
    let all: Vec<_> = read.collect::<Result<_, _>>().map_err(failed)?;
    if all.is_empty() {
        return Err(wrong("certificates", file, &"it has none"));
    }
    Ok(all)
}

fn wrong(what: &'static str, path: &Path, reason: &impl ToString) -> DialError {
    DialError::File {
        what,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(name.to_owned()).map_err(|e| DialError::Unusable(format!("{name}: {e}")))
}

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
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
