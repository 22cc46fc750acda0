//! Handshakes over real sockets with a real client, and what is read from files.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::{Server, ServerTls, SocketOptions, TlsVersion};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

fn issue(issuer: &Issuer, key: &KeyPair, uri: Option<&str>) -> String {
    let mut params = CertificateParams::new(vec!["namerd".to_owned()]).expect("names");
    if let Some(uri) = uri {
        let uri = uri.try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(uri));
    }
    params.signed_by(key, issuer).expect("signed").pem()
}

/// A folder with `crt`, `key` and `ca`.
struct Folder(TempDir, Issuer);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"), authority());
        folder.write("ca", &folder.1.pem());
        folder.renew();
        folder
    }

    fn renew(&self) {
        let key = KeyPair::generate().expect("a key");
        self.write("crt", &issue(&self.1, &key, None));
        self.write("key", &key.serialize_pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writes");
    }

    fn tls(&self) -> ServerTls {
        ServerTls {
            cert: self.path("crt"),
            key: self.path("key"),
            intermediates: None,
            ca: None,
            require_client_auth: false,
            ciphers: Vec::new(),
            protocols: Vec::new(),
        }
    }

    fn gate(&self, tls: ServerTls, alpn: Alpn) -> Result<std::sync::Arc<Gate>, TlsError> {
        let server = Server {
            addr: "127.0.0.1:0".parse().expect("an address"),
            socket: SocketOptions::default(),
            tls: Some(tls),
            limits: crate::config::ClientLimits::default(),
        };
        Gate::new(&server, alpn)
    }

    fn client(&self, alpn: &[&str], shown: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.1.der().clone()).expect("an authority");
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            Some(uri) => {
                let key = KeyPair::generate().expect("a key");
                let pem = issue(&self.1, &key, Some(uri));
                let chain = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
                let key = PrivatePkcs8KeyDer::from(key.serialize_der());
                builder
                    .with_client_auth_cert(vec![chain], PrivateKeyDer::Pkcs8(key))
                    .expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// One connection through a gate: what the server has of it, and whether the client got through with a round trip.
async fn connect(gate: &Gate, client: ClientConfig) -> (Result<Socket, Refused>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let client = async {
        let tcp = TcpStream::connect(addr).await?;
        let name = ServerName::try_from("namerd").expect("a name");
        let connector = TlsConnector::from(std::sync::Arc::new(client));
        let mut stream = connector.connect(name, tcp).await?;
        stream.write_all(b"x").await?;
        stream.read_u8().await
    };
    let server = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut entered = gate.enter(stream).await;
        if let Ok(socket) = &mut entered
            && let Ok(byte) = socket.read_u8().await
        {
            socket.write_u8(byte).await.expect("writes");
            socket.flush().await.expect("flushes");
        }
        entered
    };
    let (entered, answer) = tokio::join!(server, client);
    (entered, answer.is_ok())
}

#[tokio::test]
async fn a_client_shakes_hands_and_only_the_offered_protocol_is_taken() {
    let folder = Folder::new();
    let gate = folder.gate(folder.tls(), Alpn::H2).expect("a gate");
    let (entered, answered) = connect(&gate, folder.client(&["h2", "http/1.1"], None)).await;
    assert!(answered && entered.expect("let in").is_tls());
    let (entered, answered) = connect(&gate, folder.client(&["http/1.1"], None)).await;
    assert!(!answered && entered.is_err());
    assert_eq!(
        gate.counts().handshakes(),
        [("ok", 1), ("failed", 1), ("timeout", 0)]
    );
    assert!(gate.not_after().is_some());
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_its_names_are_known() {
    let folder = Folder::new();
    let mut tls = folder.tls();
    tls.ca = Some(folder.path("ca"));
    let id = "spiffe://cluster.local/node/node-1";
    let optional = folder.gate(tls.clone(), Alpn::H2).expect("a gate");
    let (entered, answered) = connect(&optional, folder.client(&["h2"], None)).await;
    assert!(answered && entered.expect("let in").client().is_none());
    let (entered, _) = connect(&optional, folder.client(&["h2"], Some(id))).await;
    let names = entered.expect("let in").client().expect("names");
    assert_eq!(
        (names.uris, names.dns),
        (vec![id.to_owned()], vec!["namerd".to_owned()])
    );
    // Of an authority that is not trusted.
    let other = Folder::new();
    let mut stranger = other.client(&["h2"], Some(id));
    let resolver = std::mem::replace(
        &mut stranger.client_auth_cert_resolver,
        folder.client(&["h2"], None).client_auth_cert_resolver,
    );
    let mut config = folder.client(&["h2"], None);
    config.client_auth_cert_resolver = resolver;
    let (entered, answered) = connect(&optional, config).await;
    assert!(!answered && entered.is_err());
    tls.require_client_auth = true;
    let required = folder.gate(tls, Alpn::H2).expect("a gate");
    let (entered, answered) = connect(&required, folder.client(&["h2"], None)).await;
    assert!(!answered && entered.is_err());
}

#[tokio::test]
async fn suites_and_versions_are_those_that_were_chosen() {
    let folder = Folder::new();
    let mut tls = folder.tls();
    tls.protocols = vec![TlsVersion::V1_2];
    tls.ciphers = vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];
    let gate = folder.gate(tls.clone(), Alpn::Http1).expect("a gate");
    let (entered, answered) = connect(&gate, folder.client(&[], None)).await;
    assert!(answered && entered.is_ok());
    tls.protocols = vec![TlsVersion::V1_3];
    let error = folder.gate(tls, Alpn::Http1).expect_err("nothing is left");
    assert!(error.to_string().contains("`ciphers`"), "{error}");
}

/// The contents of the innermost field of a PKCS#8 key, which is the older form of it: PKCS#1, or SEC1.
fn older(key: &KeyPair, label: &str) -> String {
    use base64::Engine as _;
    let der = key.serialize_der();
    let (_, outer) = x509_parser::der_parser::parse_der(&der).expect("DER");
    let inner = outer.as_sequence().expect("a sequence")[2]
        .as_slice()
        .expect("octets");
    let text = base64::engine::general_purpose::STANDARD.encode(inner);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

#[tokio::test]
async fn keys_of_all_three_forms_are_read() {
    let folder = Folder::new();
    let ec = KeyPair::generate().expect("a key");
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    for (key, label) in [(ec, "EC PRIVATE KEY"), (rsa, "RSA PRIVATE KEY")] {
        folder.write("crt", &issue(&folder.1, &key, None));
        for text in [key.serialize_pem(), older(&key, label)] {
            folder.write("key", &text);
            let gate = folder.gate(folder.tls(), Alpn::Http1).expect(label);
            assert!(connect(&gate, folder.client(&[], None)).await.1, "{label}");
        }
    }
}

fn refusal(folder: &Folder, tls: ServerTls) -> String {
    let error = folder.gate(tls, Alpn::H2).expect_err("refused");
    error.to_string()
}

#[test]
fn what_is_wrong_with_which_file_is_said() {
    let folder = Folder::new();
    let says = |tls: ServerTls, path: &Path, what: &str| {
        let message = refusal(&folder, tls);
        let path = path.display().to_string();
        assert!(
            message.contains(&path) && message.contains(what),
            "{message}"
        );
    };
    let with = |change: fn(&mut ServerTls, PathBuf), path: &Path| {
        let mut tls = folder.tls();
        change(&mut tls, path.to_owned());
        tls
    };
    let gone = folder.path("gone");
    says(with(|t, p| t.cert = p, &gone), &gone, "No such file");
    says(with(|t, p| t.ca = Some(p), &gone), &gone, "No such file");
    says(
        with(|t, p| t.key = p, folder.0.path()),
        folder.0.path(),
        "not a regular file",
    );
    let key = folder.path("key");
    says(with(|t, p| t.cert = p, &key), &key, "no certificate");
    let crt = folder.path("crt");
    says(with(|t, p| t.key = p, &crt), &crt, "no private key");
    let other = KeyPair::generate().expect("a key").serialize_pem();
    folder.write("other", &other);
    let other = folder.path("other");
    says(
        with(|t, p| t.key = p, &other),
        &other,
        "not the one of the certificate",
    );
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_given_up() {
    let folder = Folder::new();
    let gate = folder.gate(folder.tls(), Alpn::H2).expect("a gate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let _silent = std::net::TcpStream::connect(listener.local_addr().expect("an address"));
    let (stream, _) = listener.accept().await.expect("accepts");
    let refused = gate.enter(stream).await.expect_err("too late");
    assert!(matches!(refused, Refused::Late), "{refused}");
    assert_eq!(gate.counts().handshakes()[2], ("timeout", 1));
}

#[tokio::test]
async fn changed_files_are_taken_and_unusable_ones_are_not() {
    let folder = Folder::new();
    let mut tls = folder.tls();
    tls.ca = Some(folder.path("ca"));
    let gate = folder.gate(tls, Alpn::H2).expect("a gate");
    let mut looks = gate::Looks::new(&gate).expect("with TLS");
    let served = || gate.not_after().is_some();
    looks.look().await;
    assert_eq!(gate.counts().reloads(), [("ok", 0), ("failed", 0)]);
    // Half of a pair.
    let key = std::fs::read_to_string(folder.path("key")).expect("reads");
    folder.renew();
    let new_key = std::fs::read_to_string(folder.path("key")).expect("reads");
    folder.write("key", &key);
    for _ in 0..4 {
        looks.look().await;
    }
    assert_eq!(gate.counts().reloads(), [("ok", 0), ("failed", 1)]);
    assert!(served() && connect(&gate, folder.client(&["h2"], None)).await.1);
    folder.write("key", &new_key);
    looks.look().await;
    assert_eq!(
        gate.counts().reloads()[0],
        ("ok", 0),
        "not before it is settled"
    );
    looks.look().await;
    assert_eq!(gate.counts().reloads()[0], ("ok", 1));
    assert!(connect(&gate, folder.client(&["h2"], None)).await.1);
    // Another authority: clients of the one before are refused from now on.
    let id = "spiffe://x/node/a";
    assert!(connect(&gate, folder.client(&["h2"], Some(id))).await.1);
    folder.write("ca", &authority().pem());
    looks.look().await;
    looks.look().await;
    assert_eq!(gate.counts().reloads()[0], ("ok", 2));
    assert!(!connect(&gate, folder.client(&["h2"], Some(id))).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stands_still_fails_in_the_configured_time() {
    use std::time::Duration;
    use tokio::time::Instant;
    let options = SocketOptions {
        read_timeout: Some(Duration::from_millis(1_500)),
        write_timeout: Some(Duration::from_secs(7)),
        ..SocketOptions::default()
    };
    let (ours, _theirs) = tokio::io::duplex(16);
    let mut timed = timed::Timed::new(ours, &options);
    let begun = Instant::now();
    let error = timed.read_u8().await.expect_err("nothing comes");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_millis(), 1_500);
    let begun = Instant::now();
    let error = timed.write_all(&[0; 64]).await.expect_err("nobody reads");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), 7);
    let (ours, mut theirs) = tokio::io::duplex(16);
    let mut patient = timed::Timed::new(ours, &SocketOptions::default());
    let late = async {
        tokio::time::advance(Duration::from_secs(86_400)).await;
        theirs.write_u8(1).await.expect("writes");
    };
    assert_eq!(tokio::join!(patient.read_u8(), late).0.expect("came"), 1);
}
