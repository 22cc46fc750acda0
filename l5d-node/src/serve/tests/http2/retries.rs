//! Retries of streams: bodies that are kept, and those that are not; gRPC by its status (node-proxy 10.4, 13.7).

use super::*;
use crate::config::{Classifier, GrpcRetries, Router};
use crate::meter::table;

fn proxy(backend: SocketAddr, classifier: &Classifier, change: impl Fn(&mut Router)) -> Proxy {
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.service.base_mut().classifier = classifier.clone();
        change(r);
    });
    proxy.names.bind(0, "/svc/web", &[backend]);
    proxy
}

fn by_status(retryable: GrpcRetries) -> Classifier {
    Classifier::Grpc {
        retryable,
        successes: vec![0],
    }
}

/// Reads all that comes, and counts it; answers the first request with 500, or as gRPC with 14, the others well.
async fn failing_once(counts: Arc<Mutex<Vec<usize>>>) -> Server2 {
    Server2::start(move |request, mut respond| {
        let counts = counts.clone();
        async move {
            let path = request.uri().path().to_owned();
            let mut body = request.into_body();
            let mut n = 0;
            while let Some(Ok(bytes)) = body.data().await {
                n += bytes.len();
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            let is_first = {
                let mut counts = counts.lock();
                counts.push(n);
                counts.len() == 1
            };
            let response = Response::builder();
            let status = if is_first { "14" } else { "0" };
            match path.as_str() {
                "/only" => {
                    let response = response.header("grpc-status", status).body(()).unwrap();
                    respond.send_response(response, true).unwrap();
                }
                "/trailers" => {
                    let mut out = respond
                        .send_response(response.body(()).unwrap(), false)
                        .unwrap();
                    out.send_data("short".into(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().unwrap());
                    out.send_trailers(trailers).unwrap();
                }
                _ => {
                    let status = if is_first { 500 } else { 200 };
                    let response = response.status(status).body(()).unwrap();
                    respond.send_response(response, true).unwrap();
                }
            }
        }
    })
    .await
}

/// Sends `n` bytes in pieces, and reads the answer.
async fn upload(proxy: &Proxy, request: Request<()>, n: usize) -> Whole {
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, request, false).await;
    for piece in vec![b'x'; n].chunks(1000) {
        send(&mut out, Bytes::copy_from_slice(piece)).await.unwrap();
    }
    out.send_data(Bytes::new(), true).unwrap();
    read(response).await.unwrap()
}

#[tokio::test]
async fn a_body_is_repeated_whole_or_not_at_all() {
    for (n, seen, status) in [
        (0, vec![0, 0], 200),
        (10_000, vec![10_000, 10_000], 200),
        // More than `retryBufferSize.requestBytes`.
        (20_000, vec![20_000], 500),
        (300_000, vec![300_000], 500),
    ] {
        let counts = Arc::<Mutex<Vec<usize>>>::default();
        let backend = failing_once(counts.clone()).await;
        let proxy = proxy(backend.addr, &Classifier::RetryableAll5xx, |_| {});
        let whole = upload(&proxy, post("/"), n).await;
        assert_eq!(
            (whole.head.status.as_u16(), &*counts.lock()),
            (status, &seen),
            "{n}"
        );
    }
}

/// What was turned away goes to another endpoint only if nothing of it is lost.
#[tokio::test]
async fn a_long_body_that_was_turned_away_goes_nowhere_else() {
    let counts = Arc::<Mutex<Vec<usize>>>::default();
    let noted = counts.clone();
    let script = move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let counts = noted.clone();
        async move {
            let mut body = request.into_body();
            let mut n = 0;
            while let Some(Ok(bytes)) = body.data().await {
                n += bytes.len();
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            counts.lock().push(n);
            let response = Response::builder()
                .status(502)
                .header("l5d-retryable", "true");
            respond
                .send_response(response.body(()).unwrap(), true)
                .unwrap();
        }
    };
    let (a, b) = (
        Server2::start(script.clone()).await,
        Server2::start(script).await,
    );
    for (n, attempts) in [(300_000, 1), (1000, 2)] {
        counts.lock().clear();
        let proxy = h2_proxy(&[a.addr, b.addr]);
        // Only what is sent to another endpoint is looked at here.
        let whole = upload(&proxy, post("/"), n).await;
        assert_eq!(whole.head.status.as_u16(), 502);
        let counts = counts.lock();
        assert!(
            counts.len() >= attempts && (attempts > 1 || counts.len() == 1),
            "{counts:?}"
        );
        assert!(counts.iter().all(|seen| *seen == n), "{counts:?}");
    }
}

#[tokio::test]
async fn grpc_is_tried_again_by_its_status() {
    for (path, kind, attempts) in [
        ("/only", GrpcRetries::Default, 2),
        ("/trailers", GrpcRetries::Default, 2),
        ("/only", GrpcRetries::Never, 1),
        ("/trailers", GrpcRetries::Codes(vec![8]), 1),
        ("/trailers", GrpcRetries::Always, 2),
    ] {
        let counts = Arc::<Mutex<Vec<usize>>>::default();
        let backend = failing_once(counts.clone()).await;
        let proxy = proxy(backend.addr, &by_status(kind.clone()), |_| {});
        let whole = upload(&proxy, grpc(path), 100).await;
        assert_eq!(counts.lock().len(), attempts, "{path} {kind:?}");
        let expected = if attempts == 2 { "0" } else { "14" };
        let status = match path {
            "/only" => whole.head.headers["grpc-status"].clone(),
            _ => whole.trailers.unwrap()["grpc-status"].clone(),
        };
        assert_eq!(status, expected, "{path} {kind:?}");
        let view = proxy.stats().view().remove(0);
        let retries = view.services[0].reading.value(&table::RETRIES);
        assert_eq!(retries, attempts as u64 - 1);
    }
}

/// `streamIdleTimeoutMs` looks at both directions; `serverSession` ends a connection with GOAWAY, not its streams.
#[tokio::test]
async fn silent_streams_and_old_connections_end() {
    let backend = Server2::echo().await;
    let limit = Duration::from_millis(200);
    let idle = proxy(backend.addr, &Classifier::NonRetryable5xx, |r| {
        r.client.base_mut().stream_idle_timeout = Some(limit);
    });
    let peer = client(idle.addr).await;
    // On a slow machine nothing may have been heard for so long before the echo comes.
    loop {
        let (response, mut out) = open(&peer, post("/"), false).await;
        out.send_data("x".into(), false).unwrap();
        let Ok(response) = response.await else {
            continue;
        };
        let mut body = response.into_body();
        let is_first = match body.data().await.unwrap() {
            Ok(echo) => echo == "x",
            Err(_) => continue,
        };
        assert!(is_first);
        let end = body.data().await.unwrap().unwrap_err();
        assert_eq!(end.reason(), Some(h2::Reason::CANCEL));
        break;
    }

    let old = proxy(backend.addr, &Classifier::NonRetryable5xx, |r| {
        let server = &mut r.servers[0];
        server.session.life = Some(Duration::ZERO);
        server.h2.ping_interval = Duration::from_millis(20);
        server.h2.ping_timeout = Duration::from_secs(60);
    });
    let stream = TcpStream::connect(old.addr).await.unwrap();
    let (mut peer, connection) = h2::client::handshake(stream).await.unwrap();
    let (response, mut out) = peer.send_request(post("/"), false).unwrap();
    let connection = tokio::spawn(connection);
    let mut body = response.await.unwrap().into_body();
    // The stream outlives many ticks.
    tokio::time::timeout(limit, body.data()).await.unwrap_err();
    out.send_data("late".into(), true).unwrap();
    let mut late = Vec::new();
    while let Some(bytes) = body.data().await {
        late.extend_from_slice(&bytes.unwrap());
    }
    assert_eq!(late, b"late");
    connection.await.unwrap().unwrap();
}

/// REFUSED_STREAM means that nothing was done: the compliant classifier tries again on the same endpoint.
#[tokio::test]
async fn refused_streams_are_tried_again_by_the_compliant_classifier() {
    let n = Arc::new(AtomicU64::new(0));
    let seen = n.clone();
    let backend = Server2::start(move |_request, mut respond| {
        let n = seen.fetch_add(1, Ordering::Relaxed);
        async move {
            if n == 0 {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                return;
            }
            let response = Response::builder().header("grpc-status", "0");
            respond
                .send_response(response.body(()).unwrap(), true)
                .unwrap();
        }
    })
    .await;
    let proxy = proxy(backend.addr, &by_status(GrpcRetries::Compliant), |r| {
        // Not below the binding, so that the classifier is asked.
        r.client.base_mut().requeue_budget.min_per_sec = 0;
        r.client.base_mut().requeue_budget.percent = 0.0;
    });
    let whole = ask(&proxy, grpc("/x")).await.unwrap();
    assert_eq!(whole.head.headers["grpc-status"], "0");
    assert_eq!(n.load(Ordering::Relaxed), 2);
}
