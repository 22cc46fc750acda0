//! Roots over their life, what is signed and what is not, replicas that share a vault.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use l5d_tls::nodes::Identity;
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::issue::now;
use super::*;
use crate::auth::Proven;
use crate::config::CaFiles;

const DAY: i64 = 86_400;
const CERTIFICATE: Duration = Duration::from_secs(86_400);
const ROOT: Duration = Duration::from_secs(90 * 86_400);

/// What replicas share.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<Option<(Sealed, u64)>>,
    writes: Mutex<u64>,
}

#[async_trait]
impl Vault for Memory {
    async fn read(&self) -> Result<Option<(Sealed, Version)>, VaultError> {
        let kept = self.kept.lock().clone();
        Ok(kept.map(|(sealed, version)| (sealed, version.to_string())))
    }

    async fn write(&self, sealed: &Sealed, over: Option<&Version>) -> Result<(), VaultError> {
        let mut kept = self.kept.lock();
        let version = kept.as_ref().map(|(_, version)| version.to_string());
        if version.as_ref() != over {
            return Err(VaultError::Conflict);
        }
        let next = kept.as_ref().map_or(1, |(_, version)| version + 1);
        *kept = Some((sealed.clone(), next));
        *self.writes.lock() += 1;
        Ok(())
    }
}

fn request() -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    // The name is not taken over.
    let params = CertificateParams::new(vec!["somebody.else".to_owned()]).expect("names");
    let request = params.serialize_request(&key).expect("a request");
    (request.der().to_vec(), key)
}

fn is(node: &str) -> Proven {
    Proven::Nodes(vec![node.to_owned()])
}

fn ca() -> Arc<Ca> {
    let ca = Ca::new("mesh.local", CERTIFICATE);
    ca.set(Roots::create("mesh.local", ROOT, now()).expect("roots"));
    ca
}

/// What a node makes of an answer.
fn identity(certified: &Certified, key: &KeyPair) -> Result<Identity, l5d_tls::TlsError> {
    let chain = certified.chain.iter().cloned().map(CertificateDer::from);
    let mut roots = RootCertStore::empty();
    for root in &certified.roots {
        let root = CertificateDer::from(root.clone());
        roots.add(root).expect("a root");
    }
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Identity::new(chain.collect(), &key, roots)
}

#[test]
fn a_node_gets_what_it_has_proved_to_be() {
    let ca = ca();
    let (request, key) = request();
    let certified = ca
        .certify(&is("node-1"), "node-1", &request)
        .expect("signed");
    let identity = identity(&certified, &key).expect("an identity");
    assert_eq!(identity.id().to_string(), "spiffe://mesh.local/node/node-1");
    assert_eq!(identity.not_after(), certified.not_after);
    let lives = certified.not_after - now();
    assert!((DAY - 60..=DAY).contains(&lives), "{lives}");
    assert!(identity.not_before() <= now() - 290, "backdated");
    let der = CertificateDer::from(certified.chain[0].clone());
    let names = l5d_tls::CertificateNames::of(&der).expect("parses");
    assert!(names.dns.is_empty() && names.uris.len() == 1, "{names:?}");
}

#[test]
fn nobody_else_gets_anything() {
    let ca = ca();
    let (request, _) = request();
    let refused = |proven: &Proven, node: &str, request: &[u8]| {
        ca.certify(proven, node, request).expect_err("refused")
    };
    let unproven = refused(&Proven::Anybody, "node-1", &request);
    assert_eq!(unproven, NotCertified::Unproven);
    let other = refused(&is("node-2"), "node-1", &request);
    assert!(matches!(other, NotCertified::Forbidden(_)), "{other}");
    for node in ["", "a/b", "a%2fb", ".."] {
        let bad = refused(&is(node), node, &request);
        assert!(matches!(bad, NotCertified::Bad(_)), "{bad}");
    }
    let mut forged = request.clone();
    // The signature is the last thing.
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for request in [&b""[..], b"nonsense", &forged, &vec![0; 9 << 10]] {
        let bad = refused(&is("node-1"), "node-1", request);
        assert!(matches!(bad, NotCertified::Bad(_)), "{bad}");
    }
    let none = Ca::new("mesh.local", CERTIFICATE);
    let none = none.certify(&is("node-1"), "node-1", &request);
    assert_eq!(none, Err(NotCertified::NoRoot));
    assert_eq!(
        ca.counts()
            .refused
            .load(std::sync::atomic::Ordering::Relaxed),
        10
    );
}

#[test]
fn a_certificate_never_outlives_its_root() {
    let ca = Ca::new("mesh.local", CERTIFICATE);
    let life = Duration::from_secs(3_600);
    ca.set(Roots::create("mesh.local", life, now()).expect("roots"));
    let root = ca.roots().expect("roots").not_after();
    let certified = ca.certify(&is("a"), "a", &request().0).expect("signed");
    assert_eq!(certified.not_after, root);
}

#[test]
fn a_new_root_is_trusted_before_it_signs_and_the_old_one_after() {
    let start = now();
    let step = |roots: &Roots, at: i64| {
        let step = roots.step("mesh.local", CERTIFICATE, ROOT, at);
        step.expect("works")
    };
    let first = Roots::create("mesh.local", ROOT, start).expect("roots");
    assert_eq!(first.phase(), Phase::Steady);
    assert!(
        step(&first, start + 59 * DAY).is_none(),
        "in its first two thirds"
    );
    let announced = step(&first, start + 61 * DAY).expect("a third is left");
    assert_eq!(announced.phase(), Phase::Announced);
    assert_eq!(announced.sealed().signing, first.sealed().signing);
    assert_eq!(announced.trusted.len(), 2);
    assert!(
        step(&announced, start + 62 * DAY).is_none(),
        "not all know it"
    );
    let retiring = step(&announced, start + 63 * DAY).expect("two lives");
    assert_eq!(retiring.phase(), Phase::Retiring);
    assert_ne!(retiring.sealed().signing, first.sealed().signing);
    assert_eq!(retiring.trusted.len(), 2);
    assert!(
        step(&retiring, start + 64 * DAY).is_none(),
        "certificates of it live"
    );
    let steady = step(&retiring, start + 65 * DAY).expect("two lives");
    assert_eq!((steady.phase(), steady.trusted.len()), (Phase::Steady, 1));
    assert!(step(&steady, start + 66 * DAY).is_none());
    // What is kept reads back.
    for roots in [&first, &announced, &retiring, &steady] {
        let texts = roots.sealed().to_texts();
        let text = |name: &str| {
            let found = texts.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| text.clone())
        };
        assert_eq!(Sealed::of_texts(text).as_ref(), Ok(roots.sealed()));
        let trusted = text("ca.crt").expect("for others");
        assert_eq!(trusted.matches("BEGIN CERT").count(), roots.trusted.len());
    }
}

#[test]
fn certificates_of_before_and_after_a_step_believe_each_other() {
    let ca = ca();
    let (request, key) = request();
    let mut held = Vec::new();
    let mut at = now();
    for days in [0, 61, 2, 2] {
        at += days * DAY;
        let roots = ca.roots().expect("roots");
        let step = roots
            .step("mesh.local", CERTIFICATE, ROOT, at)
            .expect("works");
        if let Some(next) = step {
            ca.set(next);
        }
        held.push(ca.certify(&is("a"), "a", &request).expect("signed"));
    }
    assert_eq!(ca.roots().expect("roots").phase(), Phase::Steady);
    for pair in held.windows(2) {
        for (shown, trusting) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            // Whoever renewed just before still meets those who have just renewed.
            let mixed = Certified {
                roots: trusting.roots.clone(),
                ..shown.clone()
            };
            let identity = identity(&mixed, &key).expect("an identity");
            assert!(trusts(&mixed), "{:?}", identity.id());
        }
    }
    let mixed = Certified {
        roots: held[3].roots.clone(),
        ..held[0].clone()
    };
    assert!(!trusts(&mixed), "the old root is gone at last");
}

/// Whether a certificate's issuer is among the roots.
fn trusts(certified: &Certified) -> bool {
    let (_, own) = x509_parser::parse_x509_certificate(&certified.chain[0]).expect("parses");
    certified.roots.iter().any(|root| {
        let (_, root) = x509_parser::parse_x509_certificate(root).expect("parses");
        root.subject() == own.issuer()
    })
}

#[tokio::test]
async fn replicas_that_start_at_once_agree_on_one_root() {
    let vault = Arc::<Memory>::default();
    let cas: Vec<_> = (0..5).map(|_| Ca::new("mesh.local", CERTIFICATE)).collect();
    let mut keepers: Vec<_> = cas
        .iter()
        .map(|ca| Keeper::vault(ca, vault.clone(), ROOT))
        .collect();
    for _ in 0..3 {
        for turn in futures_util::future::join_all(keepers.iter_mut().map(Keeper::turn)).await {
            turn.expect("works");
        }
    }
    assert_eq!(*vault.writes.lock(), 1);
    let sealed = |ca: &Arc<Ca>| ca.roots().expect("roots").sealed().clone();
    assert!(cas.iter().all(|ca| sealed(ca) == sealed(&cas[0])));
    // One of them replaces, and all follow.
    let old = Roots::create("mesh.local", ROOT, now() - 80 * DAY).expect("roots");
    *vault.kept.lock() = Some((old.sealed().clone(), 7));
    for _ in 0..3 {
        for turn in futures_util::future::join_all(keepers.iter_mut().map(Keeper::turn)).await {
            turn.expect("works");
        }
    }
    assert_eq!(*vault.writes.lock(), 2, "one step, by one of them");
    let phase = |ca: &Arc<Ca>| ca.roots().expect("roots").phase();
    assert!(cas.iter().all(|ca| phase(ca) == Phase::Announced));
}

#[tokio::test]
async fn what_does_not_read_changes_nothing() {
    let vault = Arc::<Memory>::default();
    let ca = Ca::new("mesh.local", CERTIFICATE);
    let mut keeper = Keeper::vault(&ca, vault.clone(), ROOT);
    for _ in 0..2 {
        keeper.turn().await.expect("works");
    }
    let good = ca.roots().expect("roots").sealed().clone();
    let mut bad = good.clone();
    bad.signing.key = request().1.serialize_pem();
    *vault.kept.lock() = Some((bad, 9));
    let why = keeper.turn().await.expect_err("another's key");
    assert!(why.contains("another one's"), "{why}");
    assert_eq!(*ca.roots().expect("roots").sealed(), good);
}

#[tokio::test]
async fn files_are_an_authority_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let roots = || Roots::create("mesh.local", ROOT, now()).expect("roots");
    let put = |roots: &Roots, trusted: &str| {
        let signing = &roots.sealed().signing;
        CaFiles {
            certificate: write("crt", &signing.certificate),
            key: write("key", &signing.key),
            trust: Some(write("trust", trusted)),
        }
    };
    let (first, second) = (roots(), roots());
    let files = put(&first, &first.sealed().signing.certificate);
    let ca = Ca::new("mesh.local", CERTIFICATE);
    let mut keeper = Keeper::files(&ca, &files).expect("an authority");
    assert_eq!(ca.roots().expect("roots").trusted.len(), 1);
    let both = format!(
        "{}{}",
        first.sealed().signing.certificate,
        second.sealed().signing.certificate
    );
    put(&second, &both);
    for _ in 0..2 {
        keeper.turn().await.expect("works");
    }
    assert_eq!(ca.roots().expect("roots").trusted.len(), 2);
    let (request, key) = request();
    let certified = ca.certify(&is("a"), "a", &request).expect("signed");
    identity(&certified, &key).expect("an identity");
    write("key", "nonsense");
    keeper.turn().await.expect("seen once");
    keeper.turn().await.expect_err("no key");
    keeper.turn().await.expect("said once");
    ca.certify(&is("a"), "a", &request).expect("goes on");
}
