//! The roots: which one signs, which ones are trusted, and what comes next. Pure.
//!
//! ```text
//!   steady --a third of its life is left--> announced --2 certificate lives--> retiring --2 certificate lives--> steady
//!   trusted: old                             old, new                           new, old                          new
//!   signs:   old                             old                                new                               new
//! ```
//! Whoever renews at two thirds of a certificate's life has the new roots after one life at the latest; the other is for
//! those who were late.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::vault::Sealed;

/// Certificates hold from this long before they are signed, for clocks that are late.
pub(super) const BACKDATED: Duration = Duration::from_secs(300);

/// What is wrong with a root.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// It does not read or cannot sign.
    #[error("{what}: {reason}")]
    Unusable {
        /// Which part.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// Where a replacement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One root.
    Steady,
    /// The next one is trusted and does not sign yet.
    Announced,
    /// The last one is trusted and does not sign any more.
    Retiring,
}

/// A certificate with its key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// All roots at one time.
pub struct Roots {
    pub(super) sealed: Sealed,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) trusted: Vec<CertificateDer<'static>>,
    /// Of the one that signs, in seconds of Unix time.
    pub(super) validity: (i64, i64),
}

// === impl Roots ===

impl Roots {
    /// Reads what is kept.
    ///
    /// # Errors
    /// What does not read, or is no authority.
    pub fn open(sealed: Sealed) -> Result<Self, CaError> {
        let signing = &sealed.signing;
        let key = KeyPair::from_pem(&signing.key).map_err(|e| unusable("the key", &e))?;
        let own = certificate("the certificate", &signing.certificate)?;
        let validity = authority("the certificate", &own, Some(&key))?;
        let issuer = Issuer::from_ca_cert_der(&own, key);
        let issuer = issuer.map_err(|e| unusable("the certificate", &e))?;
        let mut trusted = vec![own];
        let others = sealed.next.iter().map(|next| &next.certificate);
        for other in others.chain(&sealed.previous) {
            let other = certificate("a further root", other)?;
            authority("a further root", &other, None)?;
            trusted.push(other);
        }
        Ok(Self {
            issuer,
            trusted,
            validity,
            sealed,
        })
    }

    /// New ones, for the first start.
    ///
    /// # Errors
    /// The cryptography does not work.
    pub fn create(domain: &str, life: Duration, now: i64) -> Result<Self, CaError> {
        Self::open(Sealed {
            signing: make(domain, life, now)?,
            next: None,
            previous: Vec::new(),
            since: now,
        })
    }

    /// What is kept.
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// Where a replacement stands.
    pub fn phase(&self) -> Phase {
        match (&self.sealed.next, self.sealed.previous.is_empty()) {
            (Some(_), _) => Phase::Announced,
            (None, false) => Phase::Retiring,
            (None, true) => Phase::Steady,
        }
    }

    /// How many are trusted.
    pub fn trusted(&self) -> usize {
        self.trusted.len()
    }

    /// Until when the root that signs holds, in seconds of Unix time.
    pub fn not_after(&self) -> i64 {
        self.validity.1
    }

    /// The roots after the next step, if it is due. `certificate`: the life of certificates, `life`: that of roots.
    ///
    /// # Errors
    /// The cryptography does not work.
    pub fn step(
        &self,
        domain: &str,
        certificate: Duration,
        life: Duration,
        now: i64,
    ) -> Result<Option<Self>, CaError> {
        let is_settled = now >= self.sealed.since.saturating_add(2 * seconds(certificate));
        let (from, until) = self.validity;
        let left = until.saturating_sub(now);
        let sealed = match self.phase() {
            Phase::Steady if left < (until - from) / 3 => Sealed {
                next: Some(make(domain, life, now)?),
                since: now,
                ..self.sealed.clone()
            },
            Phase::Announced if is_settled => Sealed {
                signing: self
                    .sealed
                    .next
                    .clone()
                    .unwrap_or_else(|| self.sealed.signing.clone()),
                next: None,
                previous: vec![self.sealed.signing.certificate.clone()],
                since: now,
            },
            Phase::Retiring if is_settled => Sealed {
                previous: Vec::new(),
                since: now,
                ..self.sealed.clone()
            },
            _ => return Ok(None),
        };
        Self::open(sealed).map(Some)
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roots")
            .field("phase", &self.phase())
            .field("trusted", &self.trusted.len())
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// A new root.
fn make(domain: &str, life: Duration, now: i64) -> Result<Pair, CaError> {
    let failed = |e: rcgen::Error| unusable("a new root", &e);
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    // Different for each, so that who has two of them can tell them apart by name.
    let name = format!("l5d {domain} {:016x}", fastrand::u64(..));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = moment(now - seconds(BACKDATED)).into();
    params.not_after = moment(now.saturating_add(seconds(life))).into();
    let key = KeyPair::generate().map_err(failed)?;
    let signed = params.self_signed(&key).map_err(failed)?;
    Ok(Pair {
        certificate: signed.pem(),
        key: key.serialize_pem(),
    })
}

fn certificate(what: &'static str, pem: &str) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| unusable(what, &e))
}

/// When it holds; it must be an authority, and of this key.
fn authority(
    what: &'static str,
    certificate: &CertificateDer<'_>,
    key: Option<&KeyPair>,
) -> Result<(i64, i64), CaError> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|e| unusable(what, &e))?;
    if !parsed.is_ca() {
        return Err(unusable(what, &"it is no authority (basicConstraints CA)"));
    }
    let is_other = |key: &KeyPair| parsed.public_key().raw != key.subject_public_key_info();
    if key.is_some_and(is_other) {
        return Err(unusable(what, &"the key is another one's"));
    }
    let validity = parsed.validity();
    Ok((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

pub(super) fn unusable(what: &'static str, reason: &impl ToString) -> CaError {
    CaError::Unusable {
        what,
        reason: reason.to_string(),
    }
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A point of Unix time; what is absurd is the year 9999.
pub(super) fn moment(seconds: i64) -> SystemTime {
    const LAST: i64 = 253_370_764_800;
    UNIX_EPOCH + Duration::from_secs(seconds.clamp(0, LAST).unsigned_abs())
}
