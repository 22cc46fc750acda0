//! A whole namerd in this process, and servers that answer wrongly.

use std::sync::Arc;

use l5d_tests::double::Double;
use l5d_tests::pki::Authority;
use namerd::app::{NoLevels, Running};
use namerd::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::CheckArgs;
use super::super::outcome::Status;
use super::{args, outcomes, shown, unwell};
use crate::check::Shown;
use crate::settings::Settings;
use crate::tls::TlsFiles;

async fn start(namers: &str) -> Running {
    let memory = "{kind: io.l5d.inMemory, namespaces: {default: '/svc => /a', other: ''}}";
    start_with(memory, namers).await
}

async fn start_with(storage: &str, namers: &str) -> Running {
    let text = format!(
        "admin: {{port: 0}}\nstorage: {storage}\nnamers: {namers}\ninterfaces:\n- {{kind: io.l5d.httpController, port: 0}}\n- {{kind: io.l5d.mesh, port: 0}}\n"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None).expect("a configuration");
    let running = namerd::app::run(config, Vec::new(), Arc::new(NoLevels));
    running.await.expect("namerd starts")
}

fn of(namerd: &Running) -> CheckArgs {
    CheckArgs {
        no_cluster: true,
        namerd: Some(namerd.addresses.interfaces[1].1.to_string()),
        controller: Some(namerd.addresses.interfaces[0].1.to_string()),
        admin: Some(namerd.addresses.admin.to_string()),
        ..args()
    }
}

/// A server that gives each path its answer, whatever the request; its address.
async fn canned(
    date: &'static str,
    answers: &'static [(&'static str, &'static str, &'static str)],
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let Ok(n) = stream.read(&mut head).await else {
                continue;
            };
            let head = String::from_utf8_lossy(&head[..n]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(p, ..)| *p == path);
            let (status, body) = found.map_or(("404 Not Found", ""), |(_, s, b)| (s, b));
            let text = format!(
                "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // A client that has gone wants no answer.
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    addr.to_string()
}

#[tokio::test]
async fn a_namerd_without_nodes_is_well() {
    let namerd = start("[]").await;
    let found = outcomes(&of(&namerd)).await;
    assert_eq!(
        unwell(&found),
        [("nodes", "all".to_owned(), Status::Warn)],
        "{}",
        found.table()
    );
    let checks: Vec<&str> = found.0.iter().map(|o| o.check).collect();
    let all = [
        "api-server",
        "namerd-says",
        "namerd-admin",
        "version",
        "namerd-http",
        "namerd-grpc",
        "clock",
        "nodes",
    ];
    assert!(all.iter().all(|c| checks.contains(c)), "{checks:?}");
    let http = found
        .0
        .iter()
        .find(|o| o.check == "namerd-http")
        .expect("checked");
    assert_eq!(http.seen, "2 dtab namespaces");
    assert!(!found.has_failed());
}

#[tokio::test]
async fn a_namerd_that_waits_for_its_cluster_is_not_ready() {
    let double = Double::start([127, 0, 0, 1].into()).expect("a double");
    double.refuse();
    let api = double.addr();
    let namerd = start(&format!(
        "[{{kind: io.l5d.k8s, host: {}, port: {}, startupJitter: 0}}]",
        api.ip(),
        api.port()
    ))
    .await;
    let found = outcomes(&of(&namerd)).await;
    let bad: Vec<&str> = unwell(&found).iter().map(|(c, ..)| *c).collect();
    assert!(bad.contains(&"namerd-admin"), "{}", found.table());
    assert!(bad.contains(&"namerd-grpc"), "{}", found.table());
    let grpc = found
        .0
        .iter()
        .find(|o| o.check == "namerd-grpc")
        .expect("checked");
    assert_eq!(grpc.seen, "NOT_SERVING");
}

#[tokio::test]
async fn ports_that_are_closed_or_somebody_elses_fail_alone() {
    let namerd = start("[]").await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound").to_string()
    };
    let mut args = of(&namerd);
    args.admin = Some(closed.clone());
    let found = outcomes(&args).await;
    assert_eq!(
        unwell(&found)[0],
        ("namerd-admin", closed, Status::Fail),
        "{}",
        found.table()
    );
    let hint = found
        .0
        .iter()
        .find(|o| o.status == Status::Fail)
        .and_then(|o| o.hint.clone());
    assert!(hint.is_some_and(|h| h.contains("0.0.0.0")));

    let mut args = of(&namerd);
    args.namerd = args.controller.clone();
    let found = outcomes(&args).await;
    let bad: Vec<_> = found
        .0
        .iter()
        .filter(|o| o.status == Status::Fail)
        .map(|o| o.check)
        .collect();
    assert_eq!(bad, ["namerd-grpc"], "{}", found.table());
}

#[tokio::test]
async fn a_dtab_that_cannot_be_read_and_a_wrong_clock_are_told() {
    let namerd = start("[]").await;
    let controller = canned(
        "Fri, 27 Nov 2020 18:00:00 GMT",
        &[
            ("/api/1/dtabs", "200 OK", r#"["good","bad"]"#),
            ("/api/1/dtabs/good", "200 OK", "[]"),
            (
                "/api/1/dtabs/bad",
                "500 Internal Server Error",
                "entry 1: label expected",
            ),
        ],
    );
    let mut args = of(&namerd);
    args.controller = Some(controller.await);
    let found = outcomes(&args).await;
    let failed: Vec<_> = found
        .0
        .iter()
        .filter(|o| o.status == Status::Fail)
        .collect();
    let subjects: Vec<_> = failed
        .iter()
        .map(|o| (o.check, o.subject.as_str()))
        .collect();
    assert_eq!(
        subjects,
        [("clock", "namerd"), ("dtab", "bad")],
        "{}",
        found.table()
    );
    assert!(failed[1].seen.contains("label expected"));
}

#[tokio::test]
async fn an_old_api_server_is_told() {
    let server = canned(
        "Fri, 27 Nov 2020 18:00:00 GMT",
        &[(
            "/version",
            "200 OK",
            r#"{"major":"1","minor":"29+","gitVersion":"v1.29.3"}"#,
        )],
    );
    let args = CheckArgs {
        server: Some(format!("http://{}", server.await)),
        ..args()
    };
    let found = outcomes(&args).await;
    let version = found
        .0
        .iter()
        .find(|o| o.check == "api-server")
        .expect("checked");
    assert_eq!(
        (version.status, version.seen.as_str()),
        (Status::Fail, "version v1.29.3")
    );
    assert!(version.hint.as_deref().is_some_and(|h| h.contains("1.33")));
}

#[tokio::test]
async fn files_say_what_is_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("namerd.yml");
    let certificate = folder.path().join("tls.crt");
    let issued = l5d_tests::pki::Authority::new("l5d").and_then(|a| a.issue(&["namerd"]));
    std::fs::write(&certificate, issued.expect("a certificate").certificate).expect("written");
    let text = format!(
        "storage: {{kind: io.l5d.etcd}}\nnamers:\n- kind: io.l5d.k8s\n  transformers:\n  - {{kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: 4141}}\n\
         interfaces:\n- kind: io.l5d.mesh\n  port: 14321\n  tls: {{certPath: {}, keyPath: /nowhere}}\n- kind: io.l5d.httpController\nadmin: {{port: 19991}}\n",
        certificate.display()
    );
    std::fs::write(&file, text).expect("written");
    let mut facts = super::super::facts::Facts::default();
    facts.read(&file).expect("a configuration");
    assert_eq!(
        facts.gateways,
        ["linkerd/l5d/4141".parse().expect("a gateway")]
    );
    assert_eq!(
        (facts.mesh, facts.http, facts.admin),
        (Some(14321), Some(4180), Some(19991))
    );
    assert_eq!(facts.dtab_namespace("default"), None);
    let args = CheckArgs {
        no_cluster: true,
        config: vec![file],
        ..args()
    };
    let found = outcomes(&args).await;
    let judged = found
        .0
        .iter()
        .find(|o| o.check == "certificate")
        .expect("judged");
    assert_eq!(judged.status, Status::Ok, "{}", found.table());
}

/// A port with TLS is asked over TLS, and its certificate is judged.
#[tokio::test]
async fn ports_with_tls_are_asked_and_their_certificates_judged() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let issued = l5d_tests::pki::Authority::new("l5d").and_then(|a| a.issue(&["localhost"]));
    let issued = issued.expect("a certificate");
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = vec![0; 4096];
            // The first connection only looks.
            let Ok(1..) = stream.read(&mut head).await else {
                continue;
            };
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let namerd = start("[]").await;
    let mut args = of(&namerd);
    args.controller = Some(addr.clone());
    let found = outcomes(&args).await;
    let of = |check: &str| {
        found
            .0
            .iter()
            .find(|o| o.check == check && o.subject == addr)
    };
    assert_eq!(
        of("certificate").map(|o| o.status),
        Some(Status::Ok),
        "{}",
        found.table()
    );
    assert_eq!(
        of("namerd-http").map(|o| o.status),
        Some(Status::Ok),
        "{}",
        found.table()
    );
}

/// A stored dtab that cannot be read is told by namerd, and the others are well.
#[tokio::test]
async fn what_namerd_itself_finds_wrong_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("good"), "/svc => /a").expect("written");
    std::fs::write(folder.path().join("bad"), "/svc =").expect("written");
    let namerd = start_with(
        &format!("{{kind: io.l5d.fs, rootDir: {}}}", folder.path().display()),
        "[]",
    )
    .await;
    let args = of(&namerd);
    // Its store looks at the files in rounds.
    for _ in 0..200 {
        let found = outcomes(&args).await;
        let said = found
            .0
            .iter()
            .find(|o| o.check == "namerd-says" && o.subject == "namespaces");
        if let Some(said) = said {
            assert_eq!(said.status, Status::Fail, "{}", found.table());
            assert!(said.seen.contains("bad"), "{}", found.table());
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("namerd did not tell: {}", outcomes(&args).await.table());
}

/// What all commands show is shown by `check` too: a certificate to whoever asks for one, a token only to those that are
/// trusted with it.
#[tokio::test]
async fn a_namerd_that_keeps_people_out_is_shown_certificate_and_token() {
    let double = Double::start([127, 0, 0, 1].into()).expect("starts");
    double.reviews().add("jane", "namerd", "jane", None);
    let (api, port) = (double.addr().ip(), double.addr().port());
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("mesh").expect("an authority");
    let write = |names: &[&str], file| {
        let issued = authority.issue(names).expect("issued");
        issued.write(folder.path(), file).expect("written")
    };
    let (cert, key) = write(&["127.0.0.1"], "server");
    let client = write(&["tool"], "client");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let tls = format!(
        "tls: {{certPath: {}, keyPath: {}, caCertPath: {}}}",
        cert.display(),
        key.display(),
        ca.display()
    );
    let start = |auth: &str| {
        let text = format!(
            "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory}}\ninterfaces:\n\
             - {{kind: io.l5d.httpController, port: 0}}\n- {{kind: io.l5d.mesh, port: 0, {tls}, auth: {{{auth}}}}}\n"
        );
        let (config, _) = Config::read("namerd.yml", &text, &|_| None).expect("a configuration");
        namerd::app::run(config, Vec::new(), Arc::new(NoLevels))
    };
    let settings = |token: Option<&str>, files: TlsFiles| Settings {
        base_url: String::new(),
        resolvers: Vec::new(),
        namespace: "default".to_owned(),
        token: token.map(str::to_owned),
        tls: files,
        output: crate::output::Output {
            format: None,
            headers: true,
        },
    };
    let trusting = TlsFiles {
        ca: Some(ca),
        ..TlsFiles::default()
    };
    let with_certificate = TlsFiles {
        cert: Some(client.0),
        key: Some(client.1),
        ..TlsFiles::default()
    };
    let nobody = TlsFiles::default();
    let by_token = format!("nodes: serviceAccount, host: {api}, port: {port}");
    let by_certificate = "nodes: certificate";
    for (auth, settings, nodes, is_kept) in [
        (
            by_certificate,
            settings(None, with_certificate),
            Status::Warn,
            false,
        ),
        (
            by_certificate,
            settings(None, nobody.clone()),
            Status::Skip,
            false,
        ),
        (
            &by_token,
            settings(Some("jane"), trusting.clone()),
            Status::Warn,
            false,
        ),
        (
            &by_token,
            settings(Some("jane"), nobody),
            Status::Skip,
            true,
        ),
        (
            &by_token,
            settings(Some("joe"), trusting),
            Status::Skip,
            false,
        ),
    ] {
        let namerd = start(auth).await.expect("namerd starts");
        let shows = Shown::new(&settings).expect("can be shown");
        let found = shown(&of(&namerd), shows).await;
        let one = |check: &str| found.0.iter().find(|o| o.check == check);
        let table = found.table();
        assert_eq!(
            one("nodes").map(|o| o.status),
            Some(nodes),
            "{auth}: {table}"
        );
        assert_eq!(one("token").is_some(), is_kept, "{auth}: {table}");
        namerd.shutdown();
        namerd.wait().await.expect("an orderly end");
    }
}
