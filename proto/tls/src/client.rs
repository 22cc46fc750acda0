//! From settings and files to the TLS of a client.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;

use crate::check::{Named, Unchecked};
use crate::own::Own;
use crate::{ClientAuth, ClientTls, Files, TlsError, TlsVersion, pem, provider};

/// What the files of some settings say. Many configurations can be made of it without reading them again.
#[derive(Clone, Debug)]
pub struct Material {
    /// Empty where nobody is checked.
    roots: Arc<RootCertStore>,
    shown: Option<Arc<CertifiedKey>>,
    not_after: Option<i64>,
}

impl Material {
    /// `files`: the contents of [`ClientTls::files`]. Blocks where the authorities of the system are read.
    ///
    /// # Errors
    /// Files that do not have what they should.
    pub fn new(tls: &ClientTls, files: &Files) -> Result<Self, TlsError> {
        let roots = match tls.is_unchecked {
            true => RootCertStore::empty(),
            false => roots(tls, files)?,
        };
        let mut material = Self {
            roots: Arc::new(roots),
            shown: None,
            not_after: None,
        };
        if let Some(auth) = &tls.client_auth {
            let chain = chain(auth, files)?;
            material.not_after = Some(pem::validity(&chain[0], &auth.certificate)?.1);
            let key = pem::key(files.get(&auth.key), &auth.key)?;
            let shown = CertifiedKey::from_der(chain, key, &provider());
            let shown = shown.map_err(|e| unfit(e, &auth.certificate, &auth.key))?;
            material.shown = Some(Arc::new(shown));
        }
        Ok(material)
    }

    /// When the certificate that is shown ends, in seconds of Unix time.
    pub fn not_after(&self) -> Option<i64> {
        self.not_after
    }

    /// What is spoken with a server. `tls`: as in [`Material::new`], but for the name. `alpn`: on the wire, the preferred one
    /// first.
    ///
    /// # Errors
    /// No roots.
    pub fn config(&self, tls: &ClientTls, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&TlsVersion::chosen(&tls.protocols))
            .map_err(|e| TlsError::Unusable(e.to_string()))?;
        let verifier: Arc<dyn ServerCertVerifier> = if tls.is_unchecked {
            Arc::new(Unchecked::new(provider))
        } else {
            let name = tls.common_name.as_deref().unwrap_or_default();
            Arc::new(Named::new(self.roots.clone(), provider, name)?)
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder.with_client_cert_resolver(Arc::new(Own(shown.clone()))),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_sni = tls.common_name.is_some() || !tls.is_unchecked;
        Ok(config)
    }
}

/// What is spoken with a server, of the files as they are now. Blocks.
///
/// # Errors
/// Files that cannot be read, or do not have what they should.
pub fn read(tls: &ClientTls, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
    let files = Files::read(tls.files())?;
    Material::new(tls, &files)?.config(tls, alpn)
}

/// The name that is asked for: `commonName`, or the host as it is dialled. An address is not sent to the server.
///
/// # Errors
/// Neither a DNS name nor an address.
pub fn server_name(tls: &ClientTls, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = tls.common_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|e| TlsError::Name {
        name: name.to_owned(),
        reason: e.to_string(),
    })
}

fn roots(tls: &ClientTls, files: &Files) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if tls.trust.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for file in &tls.trust {
        pem::add_roots(&mut roots, files.get(file), file)?;
    }
    match roots.is_empty() {
        true => Err(TlsError::NoRoots),
        false => Ok(roots),
    }
}

fn chain(
    auth: &ClientAuth,
    files: &Files,
) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, TlsError> {
    let mut chain = pem::certificates(files.get(&auth.certificate), &auth.certificate)?;
    if let Some(file) = &auth.intermediates {
        chain.extend(pem::certificates(files.get(file), file)?);
    }
    Ok(chain)
}

pub(crate) fn unfit(error: rustls::Error, cert: &Path, key: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        other => TlsError::content(key, other.to_string()),
    }
}
