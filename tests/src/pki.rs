//! Certificates of an authority of the test's own, as PEM files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// Who signs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS#8.
    pub key: String,
}

// === impl Authority ===

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `ca.crt` and `ca.key` into a folder, for somebody else to sign with.
    pub fn write(&self, folder: &Path) -> Result<(PathBuf, PathBuf)> {
        let issued = Issued {
            certificate: self.pem(),
            key: self.issuer.key().serialize_pem(),
        };
        issued.write(folder, "ca")
    }

    /// A certificate for servers and clients. Names with `://` become URIs, the others DNS names or addresses; the first is
    /// the common name too.
    pub fn issue(&self, names: &[&str]) -> Result<Issued> {
        let (uris, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|n| n.contains("://"));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(others)?;
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A client that trusts this authority, shows a certificate or none, and asks for these protocols.
    pub fn client(&self, shown: Option<&Issued>, alpn: &[&str]) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match shown {
            Some(issued) => {
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
                let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes())?;
                builder.with_client_auth_cert(vec![chain], key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Each connection shakes hands in full, so that a test sees what is served now.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// A gRPC channel over TLS, connected.
pub async fn channel(addr: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel> {
    let connect = move |_| {
        let connector = TlsConnector::from(Arc::clone(&config));
        async move {
            let tcp = TcpStream::connect(addr).await?;
            let tls = connector.connect(ServerName::from(addr.ip()), tcp).await?;
            std::io::Result::Ok(TokioIo::new(tls))
        }
    };
    // The scheme speaks of what the library does by itself, which is nothing.
    let endpoint = Endpoint::try_from(format!("http://{addr}"))?;
    Ok(endpoint
        .connect_with_connector(tower::service_fn(connect))
        .await?)
}

// === impl Issued ===

impl Issued {
    /// Writes `NAME.crt` and `NAME.key` into a folder.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = folder.join(format!("{name}.crt"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&certificate, &self.certificate)?;
        std::fs::write(&key, &self.key)?;
        Ok((certificate, key))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
