//! Certificates for nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use l5d_tls::NodeId;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose,
    IsCa, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
    SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;

use super::limit::Limit;
use super::roots::{BACKDATED, Roots, moment, seconds};
use crate::auth::Proven;

/// Longest signing request, in bytes.
const REQUEST_BYTES: usize = 8 << 10;

/// Signs for nodes. Shared by all interfaces of a process.
#[derive(Debug)]
pub struct Ca {
    domain: String,
    life: Duration,
    roots: ArcSwapOption<Roots>,
    limit: Limit,
    counts: CaCounts,
}

/// What has happened.
#[derive(Debug, Default)]
pub struct CaCounts {
    /// Certificates signed.
    pub signed: AtomicU64,
    /// Requests refused, for whatever reason.
    pub refused: AtomicU64,
    /// Roots taken into use.
    pub rotated: AtomicU64,
    /// Failures to read, replace or keep roots.
    pub failed: AtomicU64,
}

/// A certificate and what goes with it, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The node's certificate; the root is not among them.
    pub chain: Vec<Vec<u8>>,
    /// All roots to trust.
    pub roots: Vec<Vec<u8>>,
    /// When the certificate ends, in seconds of Unix time.
    pub not_after: i64,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCertified {
    /// Nothing was proved.
    #[error(
        "this interface lets anybody follow as any node, so it certifies nobody: set `auth.nodes` to serviceAccount"
    )]
    Unproven,
    /// Something else was proved.
    #[error("{0}")]
    Forbidden(String),
    /// What was asked for cannot be signed.
    #[error("{0}")]
    Bad(String),
    /// Too often.
    #[error("this node has asked for too many certificates")]
    TooOften(Duration),
    /// There are no roots yet.
    #[error("the authority has no root yet")]
    NoRoot,
}

impl Ca {
    /// Without roots yet.
    pub fn new(domain: &str, life: Duration) -> Arc<Self> {
        Arc::new(Self {
            domain: domain.to_owned(),
            life,
            roots: ArcSwapOption::empty(),
            limit: Limit::default(),
            counts: CaCounts::default(),
        })
    }

    /// The trust domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The life of certificates.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// The roots in use.
    pub fn roots(&self) -> Option<Arc<Roots>> {
        self.roots.load_full()
    }

    /// Uses these roots from now on.
    pub fn set(&self, roots: Roots) {
        self.roots.store(Some(Arc::new(roots)));
        self.counts.rotated.fetch_add(1, Ordering::Relaxed);
    }

    /// What has happened.
    pub fn counts(&self) -> &CaCounts {
        &self.counts
    }

    /// Signs for a node that has proved to be it. `request`: PKCS#10, DER; nothing but the key is taken from it.
    ///
    /// # Errors
    /// Why not.
    pub fn certify(
        &self,
        proven: &Proven,
        node: &str,
        request: &[u8],
    ) -> Result<Certified, NotCertified> {
        let signed = self.sign(proven, node, request, now());
        match &signed {
            Ok(certified) => {
                self.counts.signed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(node, not_after = certified.not_after, "certified");
            }
            Err(why) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                let node: String = node.chars().take(253).collect();
                tracing::warn!(node = %node.escape_debug(), %why, "not certified");
            }
        }
        signed
    }

    fn sign(
        &self,
        proven: &Proven,
        node: &str,
        request: &[u8],
        now: i64,
    ) -> Result<Certified, NotCertified> {
        let Proven::Nodes(names) = proven else {
            return Err(NotCertified::Unproven);
        };
        let allowed = proven.allows(node);
        allowed.map_err(|denied| NotCertified::Forbidden(denied.to_string()))?;
        // As it was proved, whatever case it was asked for in.
        let same = |name: &&String| name.eq_ignore_ascii_case(node);
        let node = names.iter().find(same).map_or(node, String::as_str);
        let bad = |what: &str, e: &dyn std::fmt::Display| NotCertified::Bad(format!("{what}: {e}"));
        let id = NodeId::new(&self.domain, node).map_err(|e| bad("node", &e))?;
        self.limit.take(node).map_err(NotCertified::TooOften)?;
        let key = key(request)?;
        let roots = self.roots.load_full().ok_or(NotCertified::NoRoot)?;
        let not_after = now
            .saturating_add(seconds(self.life))
            .min(roots.not_after());
        if not_after <= now {
            return Err(NotCertified::NoRoot);
        }
        let params = params(&id, now, not_after).map_err(|e| bad("certificate", &e))?;
        let signed = params.signed_by(&key.public_key, &roots.issuer);
        let signed = signed.map_err(|e| bad("certificate", &e))?;
        Ok(Certified {
            chain: vec![signed.der().to_vec()],
            roots: roots.trusted.iter().map(|root| root.to_vec()).collect(),
            not_after,
        })
    }
}

fn params(id: &NodeId, now: i64, not_after: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from(
        fastrand::u128(1..).to_be_bytes().to_vec(),
    ));
    params.not_before = moment(now - seconds(BACKDATED)).into();
    params.not_after = moment(not_after).into();
    Ok(params)
}

/// The key of a signing request, which its owner has signed with it.
fn key(request: &[u8]) -> Result<CertificateSigningRequestParams, NotCertified> {
    let bad = |why: String| NotCertified::Bad(format!("signing request: {why}"));
    if request.len() > REQUEST_BYTES {
        return Err(bad(format!("longer than {REQUEST_BYTES} bytes")));
    }
    let der = CertificateSigningRequestDer::from(request);
    let request = CertificateSigningRequestParams::from_der(&der);
    let request = request.map_err(|e| bad(e.to_string()))?;
    let known = [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ];
    match known.contains(&request.public_key.algorithm()) {
        true => Ok(request),
        false => Err(bad(
            "a key on the curve P-256, P-384 or Ed25519 is wanted".to_owned()
        )),
    }
}

/// In seconds of Unix time.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, seconds)
}
