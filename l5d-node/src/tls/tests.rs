//! What is said of certificates, and when files are taken.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::pki::{Pki, ask};
use super::*;
use crate::config::Server;

fn config(servers: Vec<Server>) -> Config {
    let router = Router {
        servers,
        ..Router::default()
    };
    Config {
        routers: vec![Arc::new(router)],
        ..Config::default()
    }
}

#[test]
fn certificates_are_told_as_8_8_says() {
    let pki = Pki::new();
    let uri = "spiffe://test/node/a";
    let names = ["web.example", uri, "b.example", "CN=a, \"b\"\r\nc", "CN=d"];
    let auth = pki.issue("c", &names);
    let der = CertificateDer::from_pem_file(auth.certificate).expect("PEM");
    let told = forwarded_cert(&der);
    let (hash, rest) = told.split_once(';').expect("more than a hash");
    let hash = hash.strip_prefix("Hash=").expect("a hash");
    assert_eq!(hash.len(), 64);
    assert!(hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')));
    // One common name is kept for each kind of attribute by the maker of the certificate.
    assert_eq!(
        rest,
        format!("DNS=web.example;SAN={uri};DNS=b.example;Subject=\"CN=d\"")
    );
    let auth = pki.issue("e", &["CN=a, \"b\"\r\nc"]);
    let der = CertificateDer::from_pem_file(auth.certificate).expect("PEM");
    let told = forwarded_cert(&der);
    assert!(
        told.ends_with(r#";Subject="CN=a\, \22b\22\0D\0Ac""#),
        "{told}"
    );
}

#[tokio::test]
async fn files_are_taken_when_they_have_settled_and_kept_when_they_are_bad() {
    let pki = Pki::new();
    let server = Server {
        tls: Some(pki.server("s", &["one.example"])),
        ..Server::default()
    };
    let tls = Tls::new(&config(vec![server])).expect("good files");
    let acceptor = tls.acceptor(0, 0).expect("TLS").clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("an address");
    let serve = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                // The client asks for the end only.
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            }
        }
    });
    let is_served = async |name: &str| ask(addr, &pki.client(name), "x").await.is_ok();
    assert!(is_served("one.example").await);
    pki.issue("s", &["two.example"]);
    tls.look().await;
    assert!(is_served("one.example").await, "seen once");
    tls.look().await;
    assert!(is_served("two.example").await && !is_served("one.example").await);
    assert_eq!(tls.reloads(), [1, 0]);
    pki.write("s.crt", "no certificate");
    for _ in 0..3 {
        tls.look().await;
    }
    assert!(is_served("two.example").await, "the last good one");
    assert_eq!(tls.reloads(), [1, 1], "said once");
    serve.abort();
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let pki = Pki::new();
    let mut server = Server {
        tls: Some(pki.server("s", &["one.example"])),
        ..Server::default()
    };
    pki.issue("t", &["one.example"]);
    let tls = server.tls.as_mut().expect("TLS");
    tls.key = pki.path("t.key");
    let error = Tls::new(&config(vec![server])).expect_err("of two pairs");
    let told = error.to_string();
    assert!(
        told.contains("tls: the key in") && told.contains("t.key"),
        "{told}"
    );
}

#[test]
fn only_what_leads_to_nodes_uses_the_identity() {
    let pki = Pki::new();
    let config = Config {
        identity: Some(pki.node("a", Plaintext::Refused)),
        ..config(vec![Server::default()])
    };
    let tls = Tls::new(&config).expect("good files");
    let connector = |id: &str, client: &ClientSettings| {
        let id = Path::parse(id).expect("a path");
        let connector = tls.connector(&id, client, Protocol::Http);
        connector.map(|connector| connector.expected([10, 0, 0, 1].into()))
    };
    let to_nodes = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/io.l5d.k8s/default/http/web";
    let mut client = ClientSettings::default();
    assert_eq!(
        connector(to_nodes, &client).as_deref(),
        Some("spiffe://test/node/*")
    );
    assert_eq!(connector("/#/io.l5d.k8s/default/http/web", &client), None);
    client.tls = Some(ClientTls::default());
    let own = connector(to_nodes, &client);
    assert_eq!(own.as_deref(), Some("anybody"), "what is configured wins");
}

#[tokio::test]
async fn who_waits_for_an_identity_gets_it() {
    let own = Own::new();
    assert!(own.get().is_none());
    let waiting = tokio::spawn({
        let own = own.clone();
        async move { own.wait().await.id().to_string() }
    });
    tokio::task::yield_now().await;
    let pki = Pki::new();
    let auth = pki.issue("a", &["spiffe://test/node/a"]);
    let chain = vec![CertificateDer::from_pem_file(auth.certificate).expect("PEM")];
    let key = PrivateKeyDer::from_pem_file(auth.key).expect("PEM");
    let mut roots = rustls::RootCertStore::empty();
    l5d_tls::pem::add_roots(&mut roots, pki.ca().as_bytes(), "ca".as_ref()).expect("a root");
    own.set(l5d_tls::nodes::Identity::new(chain, &key, roots).expect("an identity"));
    assert_eq!(waiting.await.expect("ends"), "spiffe://test/node/a");
}

/// What a kept connection costs beside the socket itself, after a request and an answer of 20,000 bytes.
#[test]
fn an_idle_connection_holds_no_big_buffers() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const EACH: usize = 20_000;
    const CONNECTIONS: usize = 20;
    let pki = Pki::new();
    let server = Server {
        tls: Some(pki.server("s", &["one.example"])),
        ..Server::default()
    };
    let tls = Tls::new(&config(vec![server])).expect("good files");
    let acceptor = tls.acceptor(0, 0).expect("TLS").clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let client = l5d_tls::client::read(&pki.client("one.example"), &[]).expect("files");
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    // On a thread of its own, whose memory is not counted.
    let clients = std::thread::spawn(move || {
        let client = Arc::new(client);
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS {
            let name = "one.example".try_into().expect("a name");
            let session = rustls::ClientConnection::new(client.clone(), name).expect("a client");
            let socket = std::net::TcpStream::connect(addr).expect("connects");
            let mut stream = rustls::StreamOwned::new(session, socket);
            std::io::Write::write_all(&mut stream, &[7; EACH]).expect("writes");
            std::io::Read::read_exact(&mut stream, &mut [0; EACH]).expect("reads");
            kept.push(stream);
        }
        let _the_other_end_has_counted = finished.recv();
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    listener.set_nonblocking(true).expect("it can");
    let mut kept = Vec::with_capacity(CONNECTIONS);
    let measured = allocation_counter::measure(|| {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            for _ in 0..CONNECTIONS {
                let (tcp, _) = listener.accept().await.expect("accepts");
                let mut stream = acceptor.accept(tcp).await.expect("shakes hands");
                let mut body = vec![0; EACH];
                stream.read_exact(&mut body).await.expect("reads");
                stream.write_all(&body).await.expect("writes");
                stream.flush().await.expect("flushes");
                // As between two requests.
                assert!(stream.is_alive(), "nothing more has come");
                kept.push(stream);
            }
        });
    });
    let each = measured.bytes_current / CONNECTIONS as i64;
    println!("an idle TLS connection holds {each} bytes");
    assert!(each < 8 << 10, "{each} bytes");
    drop(finish);
    clients.join().expect("ends");
}
