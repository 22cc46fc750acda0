//! The admin server of a whole process, over sockets (node-proxy 2.4, 15.8).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::read;

fn start(more: &str) -> Running {
    let text = format!(
        "routers: [{{protocol: http, label: out, servers: [{{port: 0}}], interpreter: {{kind: io.l5d.mesh, dst: /$/inet/127.0.0.1/1, \
         root: /web}}}}]\n{more}"
    );
    let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
    let options = Options {
        workers: Some(1),
        seed: Some(1),
        ..Options::default()
    };
    run(config, Identity::default(), options).expect("it starts")
}

async fn ask(addr: SocketAddr, line: &str, fields: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let text = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(text.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.unwrap_or_default())
}

async fn get(running: &Running, path: &str) -> (u16, String) {
    ask(running.admin, &format!("GET {path}"), "").await
}

#[tokio::test]
async fn what_is_shown_follows_the_configuration() {
    let running = start(
        "admin:\n  port: 0\n  security: {diagnosticsEnabled: false, pathWhitelist: ['^/admin/ping$', '^/numbers$'], \
         pathBlacklist: ['^/config']}\n\
         telemetry: [{kind: io.l5d.prometheus, path: /numbers, prefix: my_, histograms: true}]",
    );
    assert_eq!(get(&running, "/admin/ping").await, (200, "pong".to_owned()));
    for path in ["/metrics", "/config.json", "/admin/server_info"] {
        assert_eq!(get(&running, path).await.0, 404, "{path}");
    }
    let (status, numbers) = get(&running, "/numbers").await;
    assert_eq!(status, 200);
    assert!(numbers.contains("my_rt:server:requests{rt=\"out\""));
    assert!(numbers.contains("my_l5d_request_duration_seconds_bucket{rt=\"out\""));
    let (_, index) = get(&running, "/requests").await;
    assert!(index.contains("io.l5d.recentRequests"), "{index}");
    running.join().await;
}

#[tokio::test]
async fn every_path_of_the_index_answers() {
    let running = start("admin: {port: 0}");
    let (_, index) = get(&running, "/admin").await;
    assert!(index.lines().count() > 15, "{index}");
    for path in index.lines() {
        let (status, body) = get(&running, path).await;
        let expected = match path {
            "/ready" => 503,
            "/admin/shutdown" => 405,
            "/admin/tracing" => 404,
            // The parameter `path` is missing.
            "/delegator.json" => 400,
            _ => 200,
        };
        assert_eq!(status, expected, "{path}: {body}");
        if path.ends_with(".json") && status == 200 {
            let read: Result<serde_json::Value, _> = serde_json::from_str(&body);
            assert!(read.is_ok(), "{path}: {body}");
        }
    }
    let (status, names) = get(&running, "/out/interpreter_state/io.l5d.mesh/web.json").await;
    assert!(status == 200 && names.contains("\"names\""), "{names}");
    assert_eq!(
        get(&running, "/out/interpreter_state/io.l5d.mesh/x.json")
            .await
            .0,
        404
    );
    for (path, says) in [
        ("/admin/threads", "ps -T"),
        ("/admin/pprof/heap", "perf record"),
        ("/admin/nothing", "/admin lists all"),
    ] {
        let (status, body) = get(&running, path).await;
        assert!(status == 404 && body.contains(says), "{path}: {body}");
    }
    assert_eq!(get(&running, "/admin/metrics.json?q=rt/none").await.0, 404);
    let (_, tree) = get(&running, "/admin/metrics.json?tree=true&q=rt/out/server").await;
    assert!(tree.starts_with("{\"rt\":{\"out\":{\"server\""), "{tree}");
    running.join().await;
}

#[tokio::test]
async fn what_changes_something_is_asked_by_our_own_pages_only() {
    let running =
        start("admin: {port: 0}\ntelemetry: [{kind: io.l5d.recentRequests, sampleRate: 1.0}]");
    let admin = running.admin;
    let foreign = "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n";
    assert_eq!(ask(admin, "POST /admin/shutdown", foreign).await.0, 403);
    let (status, why) = ask(
        admin,
        "POST /logging.json?logger=root&level=debug",
        "Content-Length: 0\r\n",
    )
    .await;
    assert!(status == 400 && why.contains("the process around"), "{why}");
    let (status, why) = ask(admin, "POST /logging.json", "Content-Length: 0\r\n").await;
    assert!(status == 400 && why.contains("`level`"), "{why}");
    assert_eq!(get(&running, "/admin/tracing").await.1, "Tracing is on\n");
    assert_eq!(
        get(&running, "/admin/tracing?enable=false").await.1,
        "Tracing is off\n"
    );
    assert_eq!(get(&running, "/admin/tracing?enable=x").await.0, 400);
    get(&running, "/admin/tracing?enable=true").await;
    // Nothing binds: the request fails, and is told.
    let bad = ask(
        running.addresses[0][0],
        "GET /x?secret",
        "l5d-dtab: bad\r\n",
    )
    .await;
    assert_eq!(bad.0, 400);
    let recent = loop {
        let (_, body) = ask(admin, "GET /requests", "Accept: application/json\r\n").await;
        let recent: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        if recent.as_array().is_some_and(|all| !all.is_empty()) {
            break recent;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&recent[0]["failure"], &recent[0]["status"]),
        (&"override".into(), &400.into())
    );
    let (_, table) = get(&running, "/requests").await;
    assert!(
        table.contains("Concrete Name") && !table.contains("secret"),
        "{table}"
    );
    assert_eq!(
        ask(admin, "POST /admin/shutdown", "Content-Length: 0\r\n")
            .await
            .0,
        200
    );
    running.stop_asked().await;
    running.join().await;
}
