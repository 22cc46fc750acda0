//! Implementations that are not ours: h2spec (RFC 9113 case by case) against the listener, and gRPC's own, `grpcio`, through two
//! hops. `cargo xtask cluster` obtains both; without them these tests say so, and fail where they are required.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::*;
use crate::config::Identifier;

const H2SPEC: &str = "h2spec-v2.2.1";
const PYTHON: &str = "grpcio-1.85.3/bin/python";

/// A program in the cache folder, unless it is missing and not required.
fn program(name: &str) -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    let path = cache.unwrap_or_default().join("l5d/bin").join(name);
    if path.is_file() {
        return Some(path);
    }
    let is_required = std::env::var_os("L5D_REQUIRE_CLUSTER").is_some_and(|set| set == "1");
    let message = format!("{} is missing; `cargo xtask test` makes it", path.display());
    assert!(!is_required, "{message}");
    eprintln!("skipped: {message}");
    None
}

/// Two `h2` routers whose requests all have the name `/svc/it`.
fn one_name() -> Proxy {
    Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.identifiers = vec![Identifier::Static {
            path: Path::parse("/it").unwrap(),
        }];
    })
}

#[tokio::test]
async fn h2spec_finds_nothing() {
    let Some(h2spec) = program(H2SPEC) else {
        return;
    };
    let backend = Server2::start(|request, mut respond| async move {
        if request.method() == http::Method::HEAD {
            drop(respond.send_response(Response::new(()), true));
            return;
        }
        let mut body = request.into_body();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
        }
        if let Ok(mut out) = respond.send_response(Response::new(()), false) {
            let _ = send(&mut out, "hello".into()).await;
            let _ = out.send_data(Bytes::new(), true);
        }
    })
    .await;
    let proxy = one_name();
    proxy.names.bind(0, "/svc/it", &[backend.addr]);
    let port = proxy.addr.port().to_string();
    let mut run = Command::new(h2spec);
    run.args(["--strict", "--timeout", "120", "--port", &port])
        .kill_on_drop(true);
    let output = run.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    // Not because nothing was run.
    assert!(text.contains(" passed, 0 skipped, 0 failed"), "{text}");
}

#[tokio::test]
async fn grpc_passes_two_hops() {
    let Some(python) = program(PYTHON) else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/tests/http2/talk.py");
    let mut server = Command::new(&python);
    server.args([script, "server"]).stdout(Stdio::piped());
    let mut server = server.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().expect("the server's port");
    let addr = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let proxy = one_name();
    proxy.names.bind(0, "/svc/it", &[proxy.incoming]);
    proxy.names.bind(1, "/svc/it", &[addr]);
    let mut client = Command::new(&python);
    let at = proxy.addr.port().to_string();
    client.args([script, "client", &at]).kill_on_drop(true);
    let output = client.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}");
    assert_eq!(said.matches("ok ").count(), 12, "{said}");
}
