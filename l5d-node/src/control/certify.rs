//! This node's identity, as namerd gives it: asks for a certificate, renews it in time, keeps the last one while that fails.
//!
//! The key is made here for each certificate and never leaves the process. What is shown to namerd is what is shown when it
//! is followed: the token of a pod on this node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use l5d_resolver::v1;
use l5d_tls::nodes::Identity;
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::backoff::{Backoff, LONGEST};
use super::dial::{Candidates, Connection, Dialer, Network, dial};
use crate::config::{Config, Identity as Own, Issuer};
use crate::tls;

/// For one answer, connecting apart.
const ANSWER: Duration = Duration::from_secs(10);
/// The part of a certificate's life after which it is renewed, and the jitter around it, so that nodes that started at once
/// do not come at once.
const RENEW: f64 = 2.0 / 3.0;
const JITTER: f64 = 0.1;

/// Who is asked, and as whom.
pub struct Certifying {
    node: String,
    dst: Vec<(String, u16)>,
    dialer: Arc<dyn Dialer>,
    own: Arc<tls::Own>,
}

impl Certifying {
    /// `None`: the identity does not come from namerd.
    pub fn of(config: &Config, process: &Own, tls: &tls::Tls) -> Option<Self> {
        let Issuer::Namerd {
            dst,
            tls: client,
            token_file,
        } = &config.identity.as_ref()?.issuer
        else {
            return None;
        };
        let followed = &config.routers.first()?.interpreter;
        let (dst, client, token_file) = match (dst.is_empty(), followed.dst.is_empty()) {
            (false, _) => (dst, client, token_file),
            (true, false) => (&followed.dst, &followed.tls, &followed.token_file),
            (true, true) => (
                &process.namerd,
                &process.namerd_tls,
                &process.namerd_token_file,
            ),
        };
        Some(Self {
            node: process.node_name.clone().unwrap_or_default(),
            dst: dst.clone(),
            dialer: Arc::new(Network {
                tls: client.clone(),
                token_file: token_file.clone(),
            }),
            own: tls.own()?.clone(),
        })
    }

    /// Gets one, and renews it until cancelled. For one task of a runtime that has nothing to do with requests.
    pub async fn run(self, cancel: CancellationToken) {
        let mut rng = fastrand::Rng::new();
        let candidates = Candidates::new(self.dst.clone(), rng.fork());
        let candidates = Arc::new(Mutex::new(candidates));
        let dialer = self.dialer.clone();
        let mut backoff = Backoff::new(LONGEST, rng.fork());
        let (node, own) = (&self.node, &self.own);
        let keep = async {
            loop {
                let pause = match renew(&dialer, &candidates, node).await {
                    Ok(identity) => {
                        let pause = due(&identity, now(), rng.f64());
                        tracing::info!(id = %identity.id(), renewed_in = ?pause, "this node has an identity");
                        own.set(identity);
                        backoff.worked();
                        pause
                    }
                    Err(error) => {
                        own.failed();
                        let left = own.get().map(|old| old.not_after() - now());
                        tracing::error!(%error, seconds_left = left, "no certificate from namerd; the last one stays in use");
                        backoff.after_failure()
                    }
                };
                sleep(pause).await;
            }
        };
        cancel.run_until_cancelled(keep).await;
    }
}

impl std::fmt::Debug for Certifying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certifying")
            .field("node", &self.node)
            .field("dst", &self.dst)
            .finish_non_exhaustive()
    }
}

/// Asks the next replica.
async fn renew(
    dialer: &Arc<dyn Dialer>,
    candidates: &Arc<Mutex<Candidates>>,
    node: &str,
) -> Result<Identity, String> {
    let (key, request) = request().map_err(|e| format!("making a key: {e}"))?;
    let dialled = dial(dialer.clone(), candidates.clone(), None).await;
    let (addr, connection): (SocketAddr, Box<dyn Connection>) =
        dialled.map_err(|e| e.to_string())?;
    let asked = v1::CertifyRequest {
        node: node.to_owned(),
        request: request.into(),
    };
    let answer = timeout(ANSWER, connection.certify(asked)).await;
    let told = |status: Status| format!("{addr}: {:?}: {}", status.code(), status.message());
    let certified = answer
        .map_err(|_| format!("{addr}: no answer within {ANSWER:?}"))?
        .map_err(told)?;
    candidates.lock().worked(addr);
    let identity = identity(&certified, &key).map_err(|why| format!("{addr}: {why}"))?;
    match identity.id().node().eq_ignore_ascii_case(node) {
        true => Ok(identity),
        false => Err(format!(
            "{addr}: it certified {}, not {node}",
            identity.id()
        )),
    }
}

/// A new key, and the request that is signed with it. The name is namerd's to give.
fn request() -> Result<(KeyPair, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

fn identity(certified: &v1::Certified, key: &KeyPair) -> Result<Identity, String> {
    let der = |bytes: &bytes::Bytes| CertificateDer::from(bytes.to_vec());
    let mut roots = RootCertStore::empty();
    for root in &certified.roots {
        let added = roots.add(der(root));
        added.map_err(|e| format!("a root that is none: {e}"))?;
    }
    let chain = certified.chain.iter().map(der).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Identity::new(chain, &key, roots).map_err(|e| e.to_string())
}

/// How long until an identity is renewed. `random`: 0 to 1.
fn due(identity: &Identity, now: i64, random: f64) -> Duration {
    // Backdated: what counts is what is left.
    let left = identity.not_after().saturating_sub(now).max(0);
    let part = RENEW + JITTER * (random - 0.5);
    Duration::from_secs(left.unsigned_abs()).mul_f64(part)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use rcgen::{
        BasicConstraints, CertificateSigningRequestParams, CertifiedIssuer, IsCa, SanType,
    };
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::super::dial::{DialError, Downs};
    use super::*;

    /// A namerd that signs, or does not.
    struct Namerd {
        issuer: CertifiedIssuer<'static, KeyPair>,
        asked: AtomicU64,
        is_away: AtomicBool,
        /// Whom it certifies, whoever asks.
        node: &'static str,
    }

    #[derive(Clone)]
    struct Script(Arc<Namerd>);

    impl Dialer for Script {
        fn lookup(&self, _: String, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            async { Ok(vec![([10, 0, 0, 1], 4321).into()]) }.boxed()
        }

        fn connect(
            &self,
            addr: SocketAddr,
        ) -> BoxFuture<'static, Result<Box<dyn Connection>, DialError>> {
            let script = self.clone();
            async move {
                let message = "refused".to_owned();
                match script.0.is_away.load(Ordering::Relaxed) {
                    true => Err(DialError::Connect { addr, message }),
                    false => Ok(Box::new(script) as Box<dyn Connection>),
                }
            }
            .boxed()
        }
    }

    impl Connection for Script {
        fn follow(
            self: Box<Self>,
            _: mpsc::Receiver<v1::Up>,
        ) -> BoxFuture<'static, Result<Downs, Status>> {
            async { Err(Status::unimplemented("not here")) }.boxed()
        }

        fn certify(
            self: Box<Self>,
            asked: v1::CertifyRequest,
        ) -> BoxFuture<'static, Result<v1::Certified, Status>> {
            async move { Ok(self.0.sign(&asked)) }.boxed()
        }

        fn explain(
            self: Box<Self>,
            _: v1::ResolveRequest,
        ) -> BoxFuture<'static, Result<v1::Explained, Status>> {
            async { Err(Status::unimplemented("not here")) }.boxed()
        }
    }

    impl Namerd {
        fn new(node: &'static str) -> Arc<Self> {
            let mut params = CertificateParams::new(Vec::new()).expect("names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            Arc::new(Self {
                issuer: CertifiedIssuer::self_signed(params, key).expect("signed"),
                asked: AtomicU64::new(0),
                is_away: AtomicBool::new(false),
                node,
            })
        }

        fn sign(&self, asked: &v1::CertifyRequest) -> v1::Certified {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let der = asked.request.to_vec().into();
            let request = CertificateSigningRequestParams::from_der(&der).expect("a request");
            let mut params = CertificateParams::new(Vec::new()).expect("names");
            let id = format!("spiffe://test/node/{}", self.node);
            let id = id.try_into().expect("a URI");
            params.subject_alt_names = vec![SanType::URI(id)];
            params.not_after = (SystemTime::now() + Duration::from_secs(86_400)).into();
            let signed = params.signed_by(&request.public_key, &self.issuer);
            v1::Certified {
                chain: vec![signed.expect("signed").der().to_vec().into()],
                roots: vec![self.issuer.der().to_vec().into()],
                not_after: 0,
            }
        }
    }

    fn start(namerd: &Arc<Namerd>) -> (Arc<tls::Own>, CancellationToken) {
        let (own, end) = (tls::Own::new(), CancellationToken::new());
        let certifying = Certifying {
            node: "a".to_owned(),
            dst: vec![("namerd".to_owned(), 4321)],
            dialer: Arc::new(Script(namerd.clone())),
            own: own.clone(),
        };
        tokio::spawn(certifying.run(end.clone()));
        (own, end)
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_are_renewed_at_two_thirds_of_their_life() {
        let namerd = Namerd::new("a");
        let (own, end) = start(&namerd);
        let first = own.wait().await;
        assert_eq!(first.id().to_string(), "spiffe://test/node/a");
        let began = Instant::now();
        while own.counts().taken.load(Ordering::Relaxed) < 2 {
            sleep(Duration::from_secs(60)).await;
        }
        let hours = began.elapsed().as_secs_f64() / 3_600.0;
        assert!((14.0..18.0).contains(&hours), "{hours}");
        assert_eq!(namerd.asked.load(Ordering::Relaxed), 2);
        end.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_stays_while_renewing_fails() {
        let namerd = Namerd::new("a");
        let (own, end) = start(&namerd);
        let first = own.wait().await;
        namerd.is_away.store(true, Ordering::Relaxed);
        while own.counts().failed.load(Ordering::Relaxed) < 20 {
            sleep(Duration::from_secs(60)).await;
        }
        assert!(Arc::ptr_eq(&first, &own.get().expect("the first")));
        namerd.is_away.store(false, Ordering::Relaxed);
        while Arc::ptr_eq(&first, &own.get().expect("one of them")) {
            sleep(Duration::from_secs(60)).await;
        }
        end.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_of_another_node_is_not_taken() {
        let namerd = Namerd::new("b");
        let (own, end) = start(&namerd);
        while own.counts().failed.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_secs(60)).await;
        }
        assert!(own.get().is_none());
        end.cancel();
    }
}
