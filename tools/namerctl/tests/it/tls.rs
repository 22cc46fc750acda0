//! TLS to both doors: a server's certificate from a private authority, and a client that has to show one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::ctl::{Ctl, Namerd};

/// TLS in front of a port.
struct Front {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    async fn start(config: Arc<ServerConfig>, behind: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(config);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // What fails here the client tells.
                    let mut near = acceptor.accept(stream).await?;
                    let mut far = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Ok(Self { at, task })
    }
}

/// Writes `ca.pem`, `client.pem` and `client.key` into the folder; the server is `namerd.test` and wants a client of the
/// same authority.
fn authority(ctl: &Ctl) -> Result<Arc<ServerConfig>> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let signed = |name: &str| -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok((params.signed_by(&key, &ca)?.pem(), key.serialize_pem()))
    };
    let (client, client_key) = signed("client.test")?;
    let (server, server_key) = signed("namerd.test")?;
    for (name, text) in [
        ("ca.pem", ca.pem()),
        ("client.pem", client),
        ("client.key", client_key),
    ] {
        ctl.file(name, &text)?;
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(server.as_bytes())?],
            PrivateKeyDer::from_pem_slice(server_key.as_bytes())?,
        )?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_doors_are_reached_over_tls_with_a_client_certificate() -> Result<()> {
    let namerd = Namerd::start("/svc => /$/inet/127.0.0.1", "").await?;
    let ctl = Ctl::ours()?;
    let config = authority(&ctl)?;
    let http = Front::start(Arc::clone(&config), namerd.http).await?;
    let resolver = Front::start(config, namerd.resolver).await?;
    let ctl = ctl
        .env("NAMERCTL_BASE_URL", &format!("https://{}", http.at))
        .env("NAMERCTL_RESOLVER", &format!("https://{}", resolver.at));

    // Paths in a file begin where it is.
    let whole =
        "tls-ca: ca.pem\ntls-cert: client.pem\ntls-key: client.key\ntls-server-name: namerd.test\n";
    ctl.file(".namerctl.yaml", whole)?;
    assert_eq!(ctl.run("dtab list").await?.ok(), "default\n");
    assert_eq!(
        ctl.run("resolve /svc/80 -o name").await?.ok(),
        "127.0.0.1:80\n"
    );
    let wrong = ctl
        .run("dtab list --tls-server-name other.test")
        .await?
        .failed();
    assert!(
        wrong.starts_with("Error: no TLS with 127.0.0.1:"),
        "{wrong}"
    );
    let wrong = ctl
        .run("resolve /svc/80 --tls-server-name other.test")
        .await?
        .failed();
    assert!(
        wrong.starts_with("Error: no TLS with 127.0.0.1:"),
        "{wrong}"
    );

    ctl.file(
        ".namerctl.yaml",
        "tls-ca: ca.pem\ntls-server-name: namerd.test\n",
    )?;
    for words in ["dtab list", "resolve /svc/80"] {
        let nobody = ctl.run(words).await?.failed();
        assert!(nobody.starts_with("Error: "), "{words}: {nobody}");
    }
    let alone = ctl.run("dtab list --tls-cert client.pem").await?.failed();
    assert_eq!(alone, "Error: --tls-cert and --tls-key belong together\n");
    ctl.file(".namerctl.yaml", "tls-server-name: namerd.test\n")?;
    let stranger = ctl.run("dtab list").await?.failed();
    assert!(stranger.starts_with("Error: "), "{stranger}");
    Ok(())
}
