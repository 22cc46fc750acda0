//! What is told of requests: the access log and sampled requests (node-proxy 15.5 to 15.7).

use std::path::Path as File;

use super::*;
use crate::config::{AccessLog, Telemeter};

const LOGGED: &str =
    "POST /a?b=c HTTP/1.1\r\nHost: web\r\nUser-Agent: say \"hi\"\r\nContent-Length: 0\r\n\r\n";

fn logged(folder: &File, is_json: bool) -> Proxy {
    Proxy::with(|router| {
        let path = folder.join(format!("{}.log", router.label));
        router.access_log = Some(AccessLog {
            file: l5d_accesslog::Settings::new(path),
            is_json,
        });
    })
}

/// The log's lines, once the proxy has ended.
async fn lines(mut proxy: Proxy, folder: &File) -> Vec<String> {
    proxy.stop.cancel();
    proxy.servers.take().unwrap().join().await;
    proxy.tellers.writers.clear();
    let text = std::fs::read_to_string(folder.join("outgoing.log")).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn some_requests(proxy: &Proxy, app: &Backend) {
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    proxy.names.set(
        0,
        "/svc/none",
        "",
        NameState::Bound(Arc::new(NameTree::Neg)),
    );
    proxy.ask(LOGGED).await;
    proxy.ask("GET / HTTP/1.1\r\nHost: none\r\n\r\n").await;
    let bad = "GET / HTTP/1.1\r\nHost: web\r\nl5d-dtab: /x\r\n\r\n";
    assert!(proxy.ask(bad).await.line().contains("400"));
    proxy.ask("nonsense\r\n\r\n").await;
}

#[tokio::test]
async fn each_request_is_one_line_failures_included() {
    let app = Backend::answering(|_| ok("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = logged(folder.path(), false);
    some_requests(&proxy, &app).await;
    let lines = lines(proxy, folder.path()).await;
    let ends = [
        r#"] "POST /a?b=c HTTP/1.1" 200 5 "-" "say \"hi\"""#,
        r#"] "GET / HTTP/1.1" 502 - "-" "-""#,
        r#"] "GET / HTTP/1.1" 400 - "-" "-""#,
        r#"] "- - HTTP/1.1" 400 - "-" "-""#,
    ];
    assert_eq!(lines.len(), ends.len(), "{lines:#?}");
    for ((line, end), begin) in lines.iter().zip(ends).zip(["web", "none", "web", "-"]) {
        assert!(line.ends_with(end), "{line}\n{end}");
        assert!(
            line.starts_with(&format!("{begin} 127.0.0.1 - - [")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn json_lines_say_where_a_request_went() {
    let app = Backend::answering(|_| ok("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = logged(folder.path(), true);
    some_requests(&proxy, &app).await;
    let lines = lines(proxy, folder.path()).await;
    let read = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let [good, none, bad, nonsense] = &lines.iter().map(read).collect::<Vec<_>>()[..] else {
        panic!("{lines:#?}");
    };
    assert_eq!(good["service"], "/svc/web");
    assert_eq!(good["bound"], "/#/test/svc/web");
    assert_eq!(good["endpoint"], app.addr.to_string());
    assert_eq!(
        (&good["status"], &good["attempts"]),
        (&200.into(), &1.into())
    );
    assert_eq!(good["length"], 5);
    assert_eq!(
        (&none["failure"], &none["service"]),
        (&"no_binding".into(), &"/svc/none".into())
    );
    assert_eq!(
        (&bad["failure"], bad.get("service")),
        (&"override".into(), None)
    );
    assert_eq!(
        (&nonsense["failure"], nonsense.get("method")),
        (&"malformed".into(), None)
    );
}

#[tokio::test]
async fn sampled_requests_are_told_with_their_attempts() {
    let app = Backend::answering(|_| ok("hello")).await;
    let dead = ports::nobody();
    let telemetry = vec![Telemeter::RecentRequests {
        sample_rate: 0.0,
        capacity: 10,
    }];
    let proxy = Proxy::telling(telemetry);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    proxy.names.bind(0, "/svc/dead", &[dead]);
    proxy.ask("GET /quiet HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let sampled =
        |host: &str| format!("GET /told HTTP/1.1\r\nHost: {host}\r\nl5d-sample: 1.0\r\n\r\n");
    let sent = proxy.ask(&sampled("web")).await;
    proxy.ask(&sampled("dead")).await;
    let traces = proxy.tellers.traces.clone().unwrap();
    let (end, telling) = (CancellationToken::new(), traces.clone());
    let run = tokio::spawn({
        let end = end.clone();
        async move { telling.run(end).await }
    });
    while traces.recent().len() < 2 {
        tokio::task::yield_now().await;
    }
    end.cancel();
    run.await.unwrap();
    let recent = traces.recent();
    assert_eq!(recent.len(), 2, "what is not sampled is not told");
    let (failed, good) = (&recent[0], &recent[1]);
    assert_eq!(
        (good.target(), good.status, good.service.as_str()),
        (&b"/told"[..], 200, "/svc/web")
    );
    let ids = good.ids.unwrap();
    let attempt = &good.attempts[0];
    assert_eq!((attempt.addr, attempt.status), (app.addr, 200));
    assert!(attempt.span != ids.span && attempt.ended >= attempt.began);
    assert!(sent.line().contains("200"));
    assert_eq!(
        (failed.status, failed.failure),
        (502, Some("connect_failed"))
    );
    assert_eq!(failed.attempts[0].error, Some("connect_failed"));
}
