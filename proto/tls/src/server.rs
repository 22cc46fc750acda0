//! From settings and files to the TLS of a server.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::client::unfit;
use crate::{Files, ServerTls, TlsError, TlsVersion, pem};

/// What a server speaks.
#[derive(Clone, Debug)]
pub struct Served {
    /// For the next handshakes.
    pub config: Arc<ServerConfig>,
    /// When the certificate ends, in seconds of Unix time.
    pub not_after: i64,
}

/// What is spoken with clients. `files`: the contents of [`ServerTls::files`]. `alpn`: on the wire, the preferred one first.
/// Sessions are resumed only where no client is asked for a certificate: what is resumed is not checked again.
///
/// # Errors
/// Files that do not have what they should, or choices that exclude each other.
pub fn config(tls: &ServerTls, files: &Files, alpn: &[&[u8]]) -> Result<Served, TlsError> {
    let mut chain = pem::certificates(files.get(&tls.cert), &tls.cert)?;
    if let Some(path) = &tls.intermediates {
        chain.extend(pem::certificates(files.get(path), path)?);
    }
    let (_, not_after) = pem::validity(&chain[0], &tls.cert)?;
    let key = pem::key(files.get(&tls.key), &tls.key)?;
    let provider = Arc::new(chosen_provider(tls));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&TlsVersion::chosen(&tls.protocols))
        .map_err(TlsError::Choice)?;
    let clients = tls.ca.as_ref();
    let clients = clients.map(|path| clients_of(tls, files.get(path), path, provider));
    let builder = match clients.transpose()? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|e| unfit(e, &tls.cert, &tls.key))?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match tls.ca {
        Some(_) => config.send_tls13_tickets = 0,
        // The client keeps the session, sealed: the server needs no memory for it, and its threads share no table.
        None => {
            config.send_tls13_tickets = 1;
            config.ticketer = Ticketer::new().map_err(|e| TlsError::Unusable(e.to_string()))?;
        }
    }
    Ok(Served {
        config: Arc::new(config),
        not_after,
    })
}

fn clients_of(
    tls: &ServerTls,
    pem: &[u8],
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    pem::add_roots(&mut roots, pem, path)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match tls.require_client_auth {
        true => verifier,
        false => verifier.allow_unauthenticated(),
    };
    let built = verifier.build();
    built.map_err(|e| TlsError::content(path, e.to_string()))
}

/// The process's cryptography with the chosen suites, in the chosen order.
fn chosen_provider(tls: &ServerTls) -> CryptoProvider {
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
    use crate::CIPHERS;

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
