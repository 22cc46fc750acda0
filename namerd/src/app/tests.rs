//! A whole namerd in this process: started, asked, stopped.

use l5d_resolver::v1::ResolveRequest;
use l5d_resolver::v1::resolver_client::ResolverClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use super::*;

fn config(text: &str) -> Config {
    let (config, _) = Config::read("test", text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    config
}

const BOTH: &str = "
admin: {port: 0}
storage: {kind: io.l5d.inMemory, namespaces: {default: /svc => /$/inet/127.0.0.1/8080}}
interfaces:
- {kind: io.l5d.httpController, port: 0}
- {kind: io.l5d.mesh, port: 0}
";

async fn ask(addr: SocketAddr, method: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

async fn start(text: &str) -> Result<Running, StartError> {
    run(config(text), Vec::new(), Arc::new(NoLevels)).await
}

#[tokio::test]
async fn all_servers_listen_answer_and_end() {
    let namerd = start(BOTH).await.expect("starts");
    let line = namerd.addresses.to_string();
    assert!(
        line.starts_with("listening admin=127.0.0.1:") && line.contains(" io.l5d.mesh=127.0.0.1:")
    );
    let http = namerd.addresses.interfaces[0].1;
    let answer = ask(http, "GET", "/api/1/resolve/default?path=/svc/x").await;
    assert!(answer.contains("8080"), "{answer}");
    let mut watch = TcpStream::connect(http).await.expect("connects");
    let head = b"GET /api/1/dtabs?watch=true HTTP/1.1\r\nHost: x\r\n\r\n";
    watch.write_all(head).await.expect("writes");

    let admin = namerd.addresses.admin;
    assert!(
        ask(admin, "POST", "/admin/shutdown")
            .await
            .contains(" 200 ")
    );
    namerd.wait().await.expect("an orderly end");
    let mut rest = String::new();
    watch
        .read_to_string(&mut rest)
        .await
        .expect("reads to the end");
    assert!(
        rest.ends_with("\r\n0\r\n\r\n"),
        "the watch ends in order: {rest}"
    );
    for addr in [http, admin] {
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

#[tokio::test]
async fn calls_are_in_the_access_log_and_a_log_that_cannot_be_had_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let with = |path: &std::path::Path| {
        let keys = format!("io.l5d.mesh, h2AccessLog: '{}'", path.display());
        BOTH.replace("io.l5d.mesh", &keys)
    };
    let namerd = start(&with(&path)).await.expect("starts");
    let mesh = format!("http://{}", namerd.addresses.interfaces[1].1);
    let endpoint = Endpoint::from_shared(mesh).expect("an address");
    let mut client = ResolverClient::new(endpoint.connect().await.expect("connects"));
    let request = ResolveRequest {
        path: "bad".to_owned(),
        ..ResolveRequest::default()
    };
    client.resolve(request).await.expect_err("a bad path");
    drop(client);
    namerd.shutdown();
    namerd.wait().await.expect("an orderly end");
    let text = std::fs::read_to_string(&path).expect("a log");
    assert_eq!(text.lines().count(), 1, "{text}");
    let expected = "] \"POST /l5d.resolver.v1.Resolver/Resolve HTTP/2\" 200 - \"-\" \"tonic/";
    assert!(
        text.starts_with("127.0.0.1:") && text.contains(expected),
        "{text}"
    );

    let error = start(&with(&folder.path().join("none/log"))).await;
    let error = error.expect_err("no such folder").to_string();
    assert!(
        error.starts_with("interfaces[1]: the access log "),
        "{error}"
    );
}

#[tokio::test]
async fn a_taken_port_stops_the_start_with_who_and_where() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let text = BOTH.replace(
        "io.l5d.mesh, port: 0",
        &format!("io.l5d.mesh, port: {port}"),
    );
    let error = start(&text)
        .await
        .expect_err("the port is taken")
        .to_string();
    let want = format!("interfaces[1] (io.l5d.mesh) cannot listen on 127.0.0.1:{port}: ");
    assert!(error.starts_with(&want), "{error}");
}

#[tokio::test]
async fn what_cannot_be_built_is_named_before_anything_listens() {
    let namers = "namers:\n- {kind: io.l5d.fs, rootDir: /, prefix: /x, transformers: [{kind: io.l5d.const, path: /$/nil}]}\n";
    Core::check(&config(&format!("{BOTH}{namers}"))).expect("can be built");
    let gone = tempfile::tempdir().expect("a directory");
    let root = gone.path().display();
    let config = config(&format!(
        "{BOTH}namers: [{{kind: io.l5d.fs, rootDir: '{root}'}}]"
    ));
    drop(gone);
    let error = Core::check(&config).expect_err("it is gone").to_string();
    assert!(
        error.starts_with("namers[0] (io.l5d.fs): cannot read the directory"),
        "{error}"
    );
}

#[tokio::test]
async fn the_death_of_a_vital_part_ends_the_process_with_an_error() {
    let config = config(BOTH);
    let tracker = TaskTracker::new();
    let sources = CancellationToken::new();
    let core = Core::start(&config, &tracker, &sources).expect("builds");
    tracker.close();
    let stop = CancellationToken::new();
    let pages = doors::pages(&config, Vec::new(), &core, Arc::new(NoLevels), stop.clone());
    let mut vital = JoinSet::new();
    vital.spawn(async { panic!("a bug") });
    let life = Life {
        vital,
        interfaces: Interfaces::start(&config, &core).expect("listens"),
        admin: AdminThread::start(&config.admin.server, &core.gates, pages)
            .await
            .expect("listens"),
        sources,
        tracker,
        thread: SourceThread::start().expect("a thread"),
    };
    let died = life.live(stop.clone(), Duration::from_secs(10)).await;
    assert!(died.expect_err("it died").to_string().contains("panic"));
    assert!(stop.is_cancelled());
}

/// The page asks nobody who they are, so it is no way around a controller that does.
#[tokio::test]
async fn the_page_writes_only_where_anybody_may_write() {
    assert!(!doors::is_read_only(&config(BOTH)));
    let asking = BOTH.replace(
        "io.l5d.httpController, port: 0",
        "io.l5d.httpController, port: 0, auth: {writes: token, host: localhost, port: 8001}",
    );
    assert!(doors::is_read_only(&config(&asking)));
    let closed = BOTH.replace(
        "admin: {port: 0}",
        "admin: {port: 0, security: {readOnly: true}}",
    );
    assert!(doors::is_read_only(&config(&closed)));
}
