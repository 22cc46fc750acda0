//! Streams that end before their end (node-proxy 10.1, traps 15 to 17).

use h2::Reason;
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_clients_reset_reaches_the_endpoint_with_its_code() {
    let (tell, mut told) = mpsc::channel(1);
    let backend = Server2::start(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let answers = request.uri().path() == "/answered";
            let reset = if answers {
                let mut out = respond.send_response(Response::new(()), false).unwrap();
                std::future::poll_fn(|cx| out.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await
            };
            tell.send(reset.unwrap()).await.unwrap();
        }
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
        let (response, mut out) = open(&client, post("/answered"), false).await;
        let response = response.await.unwrap();
        out.send_reset(reason);
        assert_eq!(told.recv().await, Some(reason));
        drop(response);
    }
    let (response, mut out) = open(&client, post("/silent"), false).await;
    out.send_data("x".into(), false).unwrap();
    // The endpoint has the request when its window is used: no response tells so.
    while backend.connections.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    out.send_reset(Reason::ENHANCE_YOUR_CALM);
    drop(response);
    let told = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
    // A stream that the proxy had not opened yet is opened by nobody.
    assert!(
        matches!(told, Ok(Some(Reason::ENHANCE_YOUR_CALM)) | Err(_)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_client_that_is_gone_cancels() {
    let (tell, mut told) = mpsc::channel(1);
    let backend = Server2::start(move |_, mut respond| {
        let tell = tell.clone();
        async move {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            let reset = std::future::poll_fn(|cx| out.poll_reset(cx)).await;
            tell.send(reset.unwrap()).await.unwrap();
        }
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let stream = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut send, connection) = h2::client::handshake::<_>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let (response, _out) = send.send_request(post("/"), false).unwrap();
    drop(response.await.unwrap());
    connection.abort();
    assert_eq!(told.recv().await, Some(Reason::CANCEL));
}

#[tokio::test]
async fn an_endpoints_reset_reaches_the_client_with_its_code() {
    let backend = Server2::start(|request, mut respond| async move {
        let code: u32 = request.uri().path()[2..].parse().unwrap();
        if request.uri().path().starts_with("/b") {
            respond.send_reset(code.into());
        } else {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data("part".into(), false).unwrap();
            out.send_reset(code.into());
        }
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    for code in [1, 2, 5, 8, 11, 4711] {
        for place in ["b", "a"] {
            let path = format!("/{place}{code}");
            let (response, _out) = open(&client, post(&path), false).await;
            let e = read(response).await.unwrap_err();
            assert!(e.is_reset() && e.is_remote(), "{path}: {e}");
            assert_eq!(e.reason(), Some(code.into()), "{path}");
        }
    }
}

#[tokio::test]
async fn no_error_after_a_whole_response_is_no_error() {
    let backend = Server2::start(|_request, mut respond| async move {
        let response = Response::builder().status(413).body(()).unwrap();
        let mut out = respond.send_response(response, false).unwrap();
        out.send_data("enough".into(), true).unwrap();
        // Dropped with the request unread: the codec resets with NO_ERROR.
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, post("/"), false).await;
    out.send_data(vec![0; 1000].into(), false).unwrap();
    let whole = read(response).await.unwrap();
    assert_eq!(
        (whole.head.status.as_u16(), &whole.body[..]),
        (413, &b"enough"[..])
    );
    let reset = std::future::poll_fn(|cx| out.poll_reset(cx)).await.unwrap();
    assert_eq!(reset, Reason::NO_ERROR);
}

#[tokio::test]
async fn a_refused_stream_goes_elsewhere_with_its_body() {
    let refusing = Server2::start(|request, mut respond| async move {
        let mut body = request.into_body();
        // After it has read some.
        let _ = body.data().await;
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[refusing.addr, backend.addr]);
    let client = client(proxy.addr).await;
    for i in 0..20 {
        let (response, mut out) = open(&client, post("/"), false).await;
        out.send_data(format!("message {i}").into(), false).unwrap();
        out.send_data("!".into(), true).unwrap();
        let whole = read(response).await.unwrap();
        assert_eq!(whole.body, format!("message {i}!").as_bytes());
    }
    assert!(refusing.connections.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_refused_stream_of_which_too_much_is_gone_is_refused() {
    let refusing = Server2::start(|request, mut respond| async move {
        let mut body = request.into_body();
        let mut read = 0;
        while read < 100 << 10 {
            let n = body.data().await.unwrap().unwrap().len();
            read += n;
            body.flow_control().release_capacity(n).unwrap();
        }
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let proxy = h2_proxy(&[refusing.addr]);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, post("/"), false).await;
    let _ = send(&mut out, vec![0; 200 << 10].into()).await;
    let e = read(response).await.unwrap_err();
    assert_eq!(e.reason(), Some(Reason::REFUSED_STREAM));
}

#[tokio::test]
async fn resets_without_end_end_the_connection() {
    let backend = Server2::start(|request, respond| async move {
        let _kept = (request, respond);
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let stream = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut send, connection) = h2::client::handshake::<_>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..20_000 {
        let Ok(ready) = send.ready().await else {
            break;
        };
        send = ready;
        let Ok((_, mut out)) = send.send_request(post("/"), false) else {
            break;
        };
        out.send_reset(Reason::CANCEL);
        drop(out);
        tokio::task::yield_now().await;
    }
    let e = connection.await.unwrap().unwrap_err();
    assert_eq!(e.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{e}");
}
