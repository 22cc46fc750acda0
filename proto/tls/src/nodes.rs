//! TLS between nodes: both sides show a certificate with the SPIFFE id of a node and check the other's.
//!
//! A peer is believed if one of the roots has vouched for it and its only SPIFFE id is `spiffe://DOMAIN/node/NAME` of our own
//! trust domain. Whoever knows more (which node stands behind an address) says so with [`Expected`].

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::own::Own;
use crate::{CertificateNames, NodeId, TlsError, provider};

/// What a node is to others: its certificate and key, and whom it believes.
#[derive(Clone, Debug)]
pub struct Identity {
    id: NodeId,
    /// From when until when, in seconds of Unix time.
    validity: (i64, i64),
    key: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
}

/// Whom an outgoing connection must lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Any node of the trust domain.
    AnyNode,
    /// This one.
    Node(String),
    /// Nobody: whoever should know of a node there does not.
    NoNode,
}

/// A peer that is no node of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// It has no id of a node.
    #[error("the certificate names no node: {0}")]
    Nobody(#[from] crate::NodeIdError),
    /// Somebody else's node.
    #[error("{id} is not of the trust domain {domain}")]
    Domain {
        /// Who it is.
        id: NodeId,
        /// Ours.
        domain: String,
    },
    /// One of our nodes where none is known to be.
    #[error("{id} stands where namerd knows of no node")]
    Unnamed {
        /// Who it is.
        id: NodeId,
    },
    /// Another of our nodes.
    #[error("{id} is not the expected node {expected}")]
    Other {
        /// Who it is.
        id: NodeId,
        /// Who it should be.
        expected: String,
    },
}

/// Judges peers; see the module's head.
#[derive(Debug)]
struct Nodes {
    domain: String,
    expected: Expected,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// For clients.
    inner: Option<Arc<dyn ClientCertVerifier>>,
    is_required: bool,
}

// === impl Identity ===

impl Identity {
    /// Puts an identity together. `roots` are those of the trust domain, old and new ones while they change.
    ///
    /// # Errors
    /// A certificate that names no node or does not fit the key, or no roots.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        roots: RootCertStore,
    ) -> Result<Self, TlsError> {
        let unusable = |text: String| TlsError::Unusable(text);
        let Some(own) = chain.first() else {
            return Err(unusable("there is no certificate".to_owned()));
        };
        if roots.is_empty() {
            return Err(unusable("there is no root to trust".to_owned()));
        }
        let names = CertificateNames::of(own)
            .ok_or_else(|| unusable("the certificate does not parse".to_owned()))?;
        let id = NodeId::of(&names).map_err(|e| unusable(format!("the certificate: {e}")))?;
        let validity = crate::pem::validity(own, "the certificate".as_ref())?;
        let key = CertifiedKey::from_der(chain, key.clone_key(), &provider())
            .map_err(|e| unusable(format!("certificate and key: {e}")))?;
        Ok(Self {
            id,
            validity,
            key: Arc::new(key),
            roots: Arc::new(roots),
        })
    }

    /// Who we are.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// What others are shown.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        // One was checked to be there.
        &self.key.cert[0]
    }

    /// From when the certificate holds, in seconds of Unix time.
    pub fn not_before(&self) -> i64 {
        self.validity.0
    }

    /// Until when the certificate holds, in seconds of Unix time.
    pub fn not_after(&self) -> i64 {
        self.validity.1
    }

    /// For listeners that other nodes reach. Nobody is resumed: who is let in is checked each time.
    ///
    /// # Errors
    /// Roots that are none.
    pub fn server(&self, alpn: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let unusable = |e: Error| TlsError::Unusable(e.to_string());
        let provider = provider();
        let inner =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider.clone())
                .build()
                .map_err(|e| TlsError::Unusable(e.to_string()))?;
        let nodes = self.nodes(Expected::AnyNode, Some(inner));
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::new(nodes));
        let mut config = builder.with_cert_resolver(Arc::new(Own(self.key.clone())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For connections to other nodes.
    ///
    /// # Errors
    /// None in practice: a version that the library does not know.
    pub fn client(&self, expected: Expected, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let unusable = |e: Error| TlsError::Unusable(e.to_string());
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.nodes(expected, None)))
            .with_client_cert_resolver(Arc::new(Own(self.key.clone())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn nodes(&self, expected: Expected, inner: Option<Arc<dyn ClientCertVerifier>>) -> Nodes {
        Nodes {
            domain: self.id.domain().to_owned(),
            expected,
            roots: self.roots.clone(),
            provider: provider(),
            is_required: inner.is_some(),
            inner,
        }
    }
}

// === impl Nodes ===

impl Nodes {
    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let names = CertificateNames::of(certificate)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let judged = judge(&names, &self.domain, &self.expected);
        judged.map(drop).map_err(|stranger| {
            let other = OtherError(Arc::new(stranger));
            Error::InvalidCertificate(CertificateError::Other(other))
        })
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }
}

/// Which node a certificate with these names speaks for, seen from a node of `domain`.
///
/// # Errors
/// Why it is none of ours, or not the expected one.
pub fn judge(
    names: &CertificateNames,
    domain: &str,
    expected: &Expected,
) -> Result<NodeId, Stranger> {
    let id = NodeId::of(names)?;
    if id.domain() != domain {
        let domain = domain.to_owned();
        return Err(Stranger::Domain { id, domain });
    }
    match expected {
        Expected::Node(name) if !name.eq_ignore_ascii_case(id.node()) => {
            let expected = name.clone();
            Err(Stranger::Other { id, expected })
        }
        Expected::NoNode => Err(Stranger::Unnamed { id }),
        Expected::Node(_) | Expected::AnyNode => Ok(id),
    }
}

/// TLS 1.2 is not spoken between nodes.
fn never() -> Error {
    Error::General("TLS 1.2 is not spoken between nodes".to_owned())
}

impl ServerCertVerifier for Nodes {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let known = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, known)?;
        self.judge(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(never())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for Nodes {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Nodes have one certificate: hints would only tell strangers about us.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let inner = self.inner.as_ref().ok_or_else(never)?;
        let verified = inner.verify_client_cert(certificate, intermediates, now)?;
        self.judge(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(never())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
