//! Handshakes in memory, each with one thing wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;

use crate::nodes::{Expected, Identity};
use crate::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// A certificate with these alternative names, and its key, both PEM.
fn issue(
    issuer: &Issuer,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let (uris, dns): (Vec<&str>, Vec<&str>) = names.iter().partition(|n| n.contains("://"));
    let dns: Vec<_> = dns.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(dns).expect("names");
    params.distinguished_name = DistinguishedName::new();
    for uri in uris {
        let uri = uri.try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(uri));
    }
    change(&mut params);
    (params.signed_by(&key, issuer).expect("signed").pem(), key)
}

fn is_past(params: &mut CertificateParams) {
    params.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
}

fn roots(of: &Issuer) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(of.der().clone()).expect("an authority");
    roots
}

fn identity(issuer: &Issuer, names: &[&str], trusts: &Issuer) -> Result<Identity, TlsError> {
    identity_with(issuer, names, trusts, |_| {})
}

fn identity_with(
    issuer: &Issuer,
    names: &[&str],
    trusts: &Issuer,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<Identity, TlsError> {
    let (pem, key) = issue(issuer, names, change);
    let chain = pem::certificates(pem.as_bytes(), "test".as_ref())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Identity::new(chain, &key, roots(trusts))
}

/// Runs a handshake to its end: what each side says, the server first.
fn shake(
    client: ClientConfig,
    name: &str,
    server: Arc<ServerConfig>,
) -> (Result<(), String>, Result<(), String>) {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(server).expect("a server");
    let (mut of_server, mut of_client) = (Ok(()), Ok(()));
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("to memory");
        }
        let mut wire = &wire[..];
        while !wire.is_empty() && of_server.is_ok() {
            server.read_tls(&mut wire).expect("from memory");
            of_server = server
                .process_new_packets()
                .map(drop)
                .map_err(|e| reason(&e));
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("to memory");
        }
        let mut wire = &wire[..];
        while !wire.is_empty() && of_client.is_ok() {
            client.read_tls(&mut wire).expect("from memory");
            of_client = client
                .process_new_packets()
                .map(drop)
                .map_err(|e| reason(&e));
        }
    }
    if of_server.is_ok() && server.is_handshaking() {
        of_server = Err("the client has given up".to_owned());
    }
    if of_client.is_ok() && client.is_handshaking() {
        of_client = Err("the server has given up".to_owned());
    }
    (of_server, of_client)
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    }

    fn server(&self, pair: &(String, KeyPair), ca: Option<&Issuer>) -> Arc<ServerConfig> {
        let tls = ServerTls {
            cert: self.write("server.crt", &pair.0),
            key: self.write("server.key", &pair.1.serialize_pem()),
            intermediates: None,
            ca: ca.map(|ca| self.write("clients", &ca.pem())),
            require_client_auth: ca.is_some(),
            ciphers: Vec::new(),
            protocols: Vec::new(),
        };
        let files = Files::read(tls.files()).expect("files");
        server::config(&tls, &files, &[b"h2"]).expect("good").config
    }

    fn client(&self, name: &str, ca: &Issuer) -> ClientTls {
        ClientTls {
            common_name: Some(name.to_owned()),
            trust: vec![self.write("ca", &ca.pem())],
            ..ClientTls::default()
        }
    }
}

fn told(tls: &ClientTls, name: &str, server: &Arc<ServerConfig>) -> Result<(), String> {
    let config = client::read(tls, &[b"h2"]).expect("good files");
    shake(config, name, server.clone()).1
}

#[test]
fn a_server_must_have_the_name_and_the_authority() {
    let (ca, other, folder) = (authority(), authority(), Folder::new());
    let server = folder.server(&issue(&ca, &["web.example"], |_| {}), None);
    let good = folder.client("web.example", &ca);
    assert_eq!(told(&good, "web.example", &server), Ok(()));
    let wrong = told(&folder.client("db.example", &ca), "db.example", &server);
    assert!(wrong.expect_err("the name").contains("db.example"));
    let wrong = told(
        &folder.client("web.example", &other),
        "web.example",
        &server,
    );
    assert!(wrong.expect_err("the root").contains("BadSignature"));
    let past = folder.server(&issue(&ca, &["web.example"], is_past), None);
    let wrong = told(&folder.client("web.example", &ca), "web.example", &past);
    assert!(wrong.expect_err("the time").contains("xpired"));
}

#[test]
fn a_common_name_counts_only_where_there_are_no_names() {
    let (ca, folder) = (authority(), Folder::new());
    let linkerd = |params: &mut CertificateParams| {
        params
            .distinguished_name
            .push(DnType::CommonName, "linkerd");
    };
    let bare = folder.server(&issue(&ca, &[], linkerd), None);
    assert_eq!(
        told(&folder.client("linkerd", &ca), "linkerd", &bare),
        Ok(())
    );
    told(&folder.client("other", &ca), "other", &bare).expect_err("another name");
    let named = folder.server(&issue(&ca, &["web.example"], linkerd), None);
    told(&folder.client("linkerd", &ca), "linkerd", &named).expect_err("it has names");
    let past = folder.server(
        &issue(&ca, &[], |params| {
            linkerd(params);
            is_past(params);
        }),
        None,
    );
    told(&folder.client("linkerd", &ca), "linkerd", &past).expect_err("it has ended");
}

#[test]
fn validation_is_off_only_where_it_is_said() {
    let (ca, folder) = (authority(), Folder::new());
    let server = folder.server(&issue(&ca, &["web.example"], |_| {}), None);
    let tls = ClientTls {
        is_unchecked: true,
        ..ClientTls::default()
    };
    assert_eq!(told(&tls, "anything", &server), Ok(()));
}

#[test]
fn clients_are_asked_for_certificates_of_the_authority() {
    let (ca, folder) = (authority(), Folder::new());
    let server = folder.server(&issue(&ca, &["web.example"], |_| {}), Some(&ca));
    let mut tls = folder.client("web.example", &ca);
    let shaken = |tls: &ClientTls| {
        let config = client::read(tls, &[]).expect("good files");
        shake(config, "web.example", server.clone()).0
    };
    shaken(&tls).expect_err("without a certificate");
    let (pem, key) = issue(&ca, &["me"], |_| {});
    tls.client_auth = Some(ClientAuth {
        certificate: folder.write("me.crt", &pem),
        key: folder.write("me.key", &key.serialize_pem()),
        intermediates: None,
    });
    assert_eq!(shaken(&tls), Ok(()));
    let (pem, _) = issue(&authority(), &["me"], |_| {});
    folder.write("me.crt", &pem);
    let wrong = client::read(&tls, &[]).expect_err("of two pairs");
    assert!(matches!(wrong, TlsError::Pair { .. }), "{wrong}");
}

const A: &str = "spiffe://mesh.local/node/a";
const B: &str = "spiffe://mesh.local/node/b";

fn meet(client: &Identity, expected: Expected, server: &Identity) -> [Result<(), String>; 2] {
    let client = client.client(expected, &[b"h2"]).expect("a client");
    let server = Arc::new(server.server(&[b"h2"]).expect("a server"));
    let (of_server, of_client) = shake(client, "10.0.0.1", server);
    [of_server, of_client]
}

#[test]
fn nodes_of_one_domain_believe_each_other() {
    let ca = authority();
    let [a, b] = [A, B].map(|id| identity(&ca, &[id], &ca).expect("an identity"));
    assert_eq!(a.id().node(), "a");
    assert_eq!(meet(&a, Expected::AnyNode, &b), [Ok(()), Ok(())]);
    let named = Expected::Node("b".to_owned());
    assert_eq!(meet(&a, named, &b), [Ok(()), Ok(())]);
    let [_, told] = meet(&a, Expected::Node("c".to_owned()), &b);
    assert!(
        told.expect_err("another node")
            .contains("not the expected node c")
    );
}

#[test]
fn strangers_are_refused_on_both_sides() {
    let (ca, other) = (authority(), authority());
    let ours = identity(&ca, &[A], &ca).expect("an identity");
    let strangers = [
        // Another root, although it believes ours.
        identity(&other, &[B], &ca),
        // Another trust domain under the same root.
        identity(&ca, &["spiffe://elsewhere/node/b"], &ca),
        // Over.
        identity_with(&ca, &[B], &ca, is_past),
    ];
    for stranger in strangers {
        let stranger = stranger.expect("an identity");
        let [by_us, _] = meet(&stranger, Expected::AnyNode, &ours);
        by_us.expect_err("as a client");
        let [_, by_us] = meet(&ours, Expected::AnyNode, &stranger);
        by_us.expect_err("as a server");
    }
}

#[test]
fn who_shows_no_node_certificate_is_refused() {
    let (ca, folder) = (authority(), Folder::new());
    let ours = identity(&ca, &[A], &ca).expect("an identity");
    let server = Arc::new(ours.server(&[]).expect("a server"));
    let mut tls = ClientTls {
        is_unchecked: true,
        ..ClientTls::default()
    };
    let bare = client::read(&tls, &[]).expect("a client");
    shake(bare, "x", server.clone())
        .0
        .expect_err("without a certificate");
    // Of the same root, but not a node's.
    for names in [
        &["pod.example"][..],
        &["spiffe://mesh.local/ns/a/sa/b"],
        &[A, B],
    ] {
        let (pem, key) = issue(&ca, names, |_| {});
        tls.client_auth = Some(ClientAuth {
            certificate: folder.write("crt", &pem),
            key: folder.write("key", &key.serialize_pem()),
            intermediates: None,
        });
        let shown = client::read(&tls, &[]).expect("a client");
        shake(shown, "x", server.clone()).0.expect_err("no node");
    }
}

#[test]
fn an_identity_needs_a_node_id_a_fitting_key_and_roots() {
    let ca = authority();
    identity(&ca, &["pod.example"], &ca).expect_err("no id");
    identity(&ca, &[A, B], &ca).expect_err("two ids");
    let (pem, _) = issue(&ca, &[A], |_| {});
    let chain = pem::certificates(pem.as_bytes(), "x".as_ref()).expect("one");
    let stranger = KeyPair::generate().expect("a key");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(stranger.serialize_der()));
    Identity::new(chain.clone(), &key, roots(&ca)).expect_err("another key");
    Identity::new(chain, &key, RootCertStore::empty()).expect_err("no roots");
}

#[test]
fn ids_are_read_strictly() {
    let id: NodeId = A.parse().expect("an id");
    assert_eq!((id.domain(), id.node()), ("mesh.local", "a"));
    assert_eq!(id.to_string(), A);
    for wrong in [
        "",
        "spiffe://mesh.local/node/",
        "spiffe:///node/a",
        "spiffe://mesh.local/node/a/b",
        "spiffe://mesh.local/node/..",
        "spiffe://mesh.local/node/a%2f",
        "spiffe://MESH.local/node/a",
        "spiffe://mesh.local:1/node/a",
        "https://mesh.local/node/a",
        "spiffe://mesh.local/ns/x/sa/y",
    ] {
        wrong.parse::<NodeId>().expect_err(wrong);
    }
}

#[test]
fn a_change_is_taken_once_it_has_settled() {
    let folder = Folder::new();
    let path = folder.write("f", "one");
    let look = || Files::read([path.as_path()]);
    let in_use = look().expect("reads").print();
    let mut settling = Settling::default();
    let mut see = |read| matches!(settling.see(read, &in_use), Seen::New(_));
    assert!(!see(look()), "as it is in use");
    folder.write("f", "two");
    assert!(!see(look()), "seen once");
    folder.write("f", "three");
    assert!(!see(look()), "changed again");
    assert!(see(look()), "settled");
    assert!(!see(look()), "said already");
    std::fs::remove_file(&path).expect("removes");
    assert!(!see(look()), "a gap");
    assert!(see(look()), "a failure is told too");
    assert!(!see(look()), "once");
    folder.write("f", "one");
    assert!(!see(look()), "back to what is in use");
}

#[test]
fn names_are_those_of_the_certificate() {
    let (pem, _) = issue(&authority(), &["WEB.example", A], |params| {
        params.distinguished_name.push(DnType::CommonName, "cn");
    });
    let der: Vec<CertificateDer<'_>> =
        pem::certificates(pem.as_bytes(), "x".as_ref()).expect("one");
    let names = CertificateNames::of(&der[0]).expect("parses");
    assert_eq!(names.uris, [A]);
    assert_eq!(names.dns, ["web.example"]);
    assert_eq!(names.common_name.as_deref(), Some("cn"));
    assert_eq!(CertificateNames::of(&vec![1, 2, 3].into()), None);
}
