//! Shared connections to endpoints: how many, how they end (node-proxy 10, 10.2, 10.3).

use super::*;
use crate::config::SessionLimits;
use crate::meter::table;

#[tokio::test]
async fn streams_share_a_connection() {
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let mut open_streams = Vec::new();
    for _ in 0..100 {
        open_streams.push(open(&client, post("/"), false).await);
    }
    for (response, mut out) in open_streams {
        out.send_data("x".into(), true).unwrap();
        assert_eq!(read(response).await.unwrap().body, b"x");
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_full_connection_gets_a_companion() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(10);
    let backend = Server2::with(builder, echo).await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    // The limit is known once a response has come.
    let (response, _out) = open(&client, get("/"), true).await;
    read(response).await.unwrap();
    let mut talking = Vec::new();
    for _ in 0..35 {
        let (response, out) = open(&client, post("/"), false).await;
        talking.push((response.await.unwrap().into_body(), out));
    }
    let connections = backend.connections.load(Ordering::Relaxed);
    assert!((4..=8).contains(&connections), "{connections}");
    for (mut body, mut out) in talking {
        out.send_data("x".into(), true).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "x");
    }
}

#[tokio::test]
async fn more_than_all_connections_have_room_for_wait() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let backend = Server2::with(builder, echo).await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let (response, _out) = open(&client, get("/"), true).await;
    read(response).await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (response, _out) = open(&client, get("/"), true).await;
        asked.spawn(async move { read(response).await.unwrap().head.status });
    }
    while let Some(status) = asked.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert!(backend.connections.load(Ordering::Relaxed) <= 8);
}

#[tokio::test]
async fn goaway_loses_nothing() {
    // Each connection takes five streams and says goodbye: some streams are above its last one.
    let listener = ports::listen();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(async move {
                // Held until the proxy has closed: a socket that closes with bytes unread would take the goodbye back.
                let stream = stream.into_std().unwrap();
                let mut held = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
                let stream = TcpStream::from_std(stream).unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut streams = tokio::task::JoinSet::new();
                for n in 1.. {
                    let Some(Ok((request, respond))) = connection.accept().await else {
                        break;
                    };
                    streams.spawn(echo(request, respond));
                    if n == 5 {
                        connection.graceful_shutdown();
                    }
                }
                drop(connection);
                let mut rest = Vec::new();
                let _ = held.read_to_end(&mut rest).await;
            });
        }
    });
    // Each round of 50 takes at most ten connections, so that a request is refused nine times at most: within what one request
    // may be sent again, and the budget has enough for the 225 refusals of a round.
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.client.base_mut().requeue_budget.min_per_sec = 1000;
    });
    proxy.names.bind(0, "/svc/web", &[addr]);
    let client = client(proxy.addr).await;
    for round in 0..4 {
        let mut asked = tokio::task::JoinSet::new();
        for i in 0..50 {
            let text = format!("{round}.{i}");
            let (response, mut out) = open(&client, post("/"), false).await;
            out.send_data(text.clone().into(), true).unwrap();
            // What has come is read, or the client's codec takes it for a flood.
            tokio::task::yield_now().await;
            asked.spawn(async move { (text, read(response).await) });
        }
        while let Some(done) = asked.join_next().await {
            let (text, whole) = done.unwrap();
            assert_eq!(whole.unwrap().body, text.as_bytes());
        }
    }
    served.abort();
}

#[tokio::test]
async fn a_dead_connection_is_replaced() {
    let backend = Server2::echo().await;
    let addr = backend.addr;
    let proxy = h2_proxy(&[addr]);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, post("/"), false).await;
    let mut body = response.await.unwrap().into_body();
    out.send_data("x".into(), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "x");
    backend.kill().await;
    // The response has begun: it cannot be ended.
    let e = body.data().await.unwrap().unwrap_err();
    assert_eq!(e.reason(), Some(h2::Reason::CANCEL));
    let another = Server2::echo().await;
    proxy.names.bind(0, "/svc/web", &[another.addr]);
    let whole = ask(&proxy, get("/")).await.unwrap();
    assert_eq!(whole.head.status, 200);
}

#[tokio::test]
async fn a_silent_endpoint_is_found_out() {
    // Takes a request and then never says anything, not even to PING.
    let backend = Backend::scripted(|mut peer| async move {
        settle(&mut peer).await;
        let mut sink = [0; 4096];
        while peer.stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        let mut all = crate::config::ClientSettings::default();
        // Long enough for the request to leave first, however slow the machine.
        all.h2.ping_interval = Duration::from_secs(1);
        all.h2.ping_timeout = Duration::from_millis(50);
        r.client = crate::config::Settings::all(all);
    });
    proxy.names.bind(0, "/svc/web", &[backend.addr]);
    let whole = ask(&proxy, post("/")).await.unwrap();
    assert_eq!(whole.head.status, 502);
    let text = String::from_utf8(whole.body).unwrap();
    assert!(text.contains("was lost before the response"), "{text}");
}

/// `clientSession` holds for shared connections: an old one takes no more streams, an idle one is closed.
#[tokio::test]
async fn shared_connections_have_their_time() {
    let backend = Server2::echo().await;
    let with = |session| {
        let proxy = Proxy::with(|r| {
            r.protocol = Protocol::H2;
            r.client.base_mut().session = session;
        });
        proxy.names.bind(0, "/svc/web", &[backend.addr]);
        proxy
    };
    let old = with(SessionLimits {
        life: Some(Duration::ZERO),
        ..SessionLimits::default()
    });
    let client = client(old.addr).await;
    let (response, mut out) = open(&client, post("/"), false).await;
    let mut body = response.await.unwrap().into_body();
    for n in 2..=4 {
        let (response, _out) = open(&client, get("/"), true).await;
        read(response).await.unwrap();
        assert_eq!(backend.connections.load(Ordering::Relaxed), n);
    }
    // What is open on the first one goes on.
    out.send_data("late".into(), true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "late");

    let idle = with(SessionLimits {
        idle: Some(Duration::from_millis(1)),
        ..SessionLimits::default()
    });
    ask(&idle, get("/")).await.unwrap();
    // The sweep comes every two seconds.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while idle.stats().view()[0].clients[0]
        .reading
        .value(&table::CONNECTIONS)
        > 0
    {
        assert!(tokio::time::Instant::now() < deadline, "it is still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
