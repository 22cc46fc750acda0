//! Stores over TLS: the server is checked, a client certificate is shown, a name that does not fit stops it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::etcd::RealEtcd;
use l5d_tests::real::Binaries;
use l5d_tests::store_suite::{NEWS, Opened, dtab};
use namerd::config::{Config, Storage};
use namerd::etcd::EtcdStore;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// An authority with one certificate for the server `etcd.test` and one for a client, as files.
struct Papers(TempDir);

impl Papers {
    fn new() -> Result<Self> {
        let papers = Self(TempDir::new()?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key)?;
        fs::write(papers.file("ca.crt"), authority.pem())?;
        let issuer = Issuer::new(params, key);
        for name in ["etcd.test", "client"] {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(vec![name.to_owned()])?;
            let certificate = certificate.signed_by(&key, &issuer)?;
            fs::write(papers.file(&format!("{name}.crt")), certificate.pem())?;
            fs::write(papers.file(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(papers)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Takes TLS connections with a client certificate of the authority, and passes their content on.
    async fn front(&self, to: SocketAddr) -> Result<(SocketAddr, AbortOnDropHandle<()>)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.crt"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let certificate = CertificateDer::from_pem_file(self.file("etcd.test.crt"))?;
        let key = PrivateKeyDer::from_pem_file(self.file("etcd.test.key"))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients.build()?)
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let serve = async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let mut inner = acceptor.accept(tcp).await.ok()?;
                    let mut outer = TcpStream::connect(to).await.ok()?;
                    copy_bidirectional(&mut inner, &mut outer).await.ok()
                });
            }
        };
        Ok((addr, AbortOnDropHandle::new(tokio::spawn(serve))))
    }

    fn store(&self, at: SocketAddr, name: &str, more: &str) -> Result<Opened> {
        let text = format!(
            "storage: {{kind: io.l5d.etcd, host: {}, port: {}, tls: {{commonName: {name}, trustCertsBundle: {}{more}}}}}\ninterfaces: [{{kind: io.l5d.mesh}}]",
            at.ip(),
            at.port(),
            self.file("ca.crt").display(),
        );
        let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
        let Storage::Etcd(storage) = config.storage else {
            unreachable!("as written above")
        };
        let store = EtcdStore::new(&storage)?;
        let run = Arc::clone(&store).run();
        Ok(Opened::new(store, Some(run)))
    }
}

async fn failure(opened: &Opened) -> Result<String> {
    let status = opened.store.status();
    let failed = status.wait_for(|status| status.failure.is_some());
    let failed = timeout(NEWS, failed).await.context("no failure")?;
    Ok(failed.1.failure.as_deref().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_reached_over_tls_only_by_those_who_fit() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let etcd = RealEtcd::start(&binaries).await?;
    let papers = Papers::new()?;
    let (front, _front) = papers.front(etcd.addr()).await?;
    let shows = format!(
        ", clientAuth: {{certPath: {}, keyPath: {}}}",
        papers.file("client.crt").display(),
        papers.file("client.key").display(),
    );
    let good = papers.store(front, "etcd.test", &shows)?;
    let first = good.wait("a", |state| {
        !matches!(state, namerd::store::NamespaceState::Pending)
    });
    first.await?;
    good.store.create("a", dtab(1)).await?;
    good.wait_dtab("a", &dtab(1)).await?;

    let wrong = failure(&papers.store(front, "other.test", &shows)?).await?;
    ensure!(wrong.contains("not valid for name"), "{wrong}");
    let shown = failure(&papers.store(front, "etcd.test", "")?).await?;
    ensure!(!shown.is_empty());
    let missing = papers.store(
        front,
        "etcd.test",
        ", clientAuth: {certPath: /no, keyPath: /no}",
    );
    let missing = missing.err().context("a missing file stops the start")?;
    ensure!(missing.to_string().contains("cannot read /no"), "{missing}");
    Ok(())
}
