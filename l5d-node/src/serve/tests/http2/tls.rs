//! HTTP/2 over TLS, chosen by ALPN, from clients and between nodes (node-proxy 8.8, 14).

use l5d_tls::ClientTls;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::Plaintext;
use crate::tls::pki::Pki;

/// Asks over TLS; `alpn`: what is offered.
async fn connect(
    addr: SocketAddr,
    tls: &ClientTls,
    alpn: &'static [&'static [u8]],
) -> std::io::Result<(SendRequest<Bytes>, Option<Vec<u8>>)> {
    let config = l5d_tls::client::read(tls, alpn).unwrap();
    let name = ServerName::try_from(tls.common_name.clone().unwrap()).unwrap();
    let tcp = TcpStream::connect(addr).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, tcp).await?;
    let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let shaken = h2::client::handshake(stream).await;
    let (send, connection) = shaken.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok((send, chosen))
}

/// Tells in the body what it was told of the client's certificate.
async fn telling() -> Server2 {
    Server2::start(|request, mut respond| async move {
        let told = request.headers().get("x-forwarded-client-cert");
        let told = told.map_or("none", |v| v.to_str().unwrap()).to_owned();
        let mut out = respond.send_response(Response::new(()), false).unwrap();
        out.send_data(told.into(), true).unwrap();
    })
    .await
}

#[tokio::test]
async fn an_h2_router_serves_over_tls_and_tells_of_certificates() {
    let pki = Pki::new();
    let app = telling().await;
    let proxy = |is_wanted| {
        let proxy = Proxy::with(|router| {
            router.protocol = Protocol::H2;
            let mut tls = pki.server(&router.label, &["proxy.example"]);
            tls.ca = Some(pki.path("ca"));
            router.servers[0].tls = Some(tls);
            router.client.base_mut().forward_client_cert = is_wanted;
        });
        proxy.names.bind(0, "/svc/web", &[app.addr]);
        proxy
    };
    let (with, without) = (proxy(true), proxy(false));
    let shown = ClientTls {
        client_auth: Some(pki.issue("me", &["me.example", "CN=me"])),
        ..pki.client("proxy.example")
    };
    let bare = pki.client("proxy.example");
    for (proxy, tls, is_told) in [
        (&with, &shown, true),
        (&with, &bare, false),
        (&without, &shown, false),
    ] {
        let (client, chosen) = connect(proxy.addr, tls, &[b"h2"]).await.unwrap();
        assert_eq!(chosen.as_deref(), Some(&b"h2"[..]));
        // The streams of a connection are told the same.
        for _ in 0..2 {
            let mut request = get("/");
            let forged = "forged".parse().unwrap();
            request
                .headers_mut()
                .insert("x-forwarded-client-cert", forged);
            let (response, _stream) = open(&client, request, true).await;
            let whole = read(response).await.unwrap();
            assert_eq!(whole.head.status, 200);
            let told = String::from_utf8(whole.body).unwrap();
            match is_told {
                true => assert!(
                    told.starts_with("Hash=")
                        && told.ends_with(";DNS=me.example;Subject=\"CN=me\""),
                    "{told}"
                ),
                false => assert_eq!(told, "none"),
            }
        }
    }
    // Who cannot speak HTTP/2 is told so by the handshake.
    let other = connect(with.addr, &bare, &[b"http/1.1"]).await;
    assert!(other.is_err());
}

#[tokio::test]
async fn http2_between_nodes_rides_on_their_mutual_tls() {
    let pki = Pki::new();
    let app = telling().await;
    let node = |name| {
        Proxy::as_node(Some(pki.node(name, Plaintext::Refused)), |router| {
            super::super::tls::localnode(router);
            router.protocol = Protocol::H2;
            router.client.base_mut().forward_client_cert = true;
        })
    };
    let (a, b) = (node("a"), node("b"));
    let id = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/io.l5d.k8s/default/h2/web";
    let cluster = a.names.cluster(id, addresses(&[b.incoming]));
    a.names.set(0, "/svc/web", "", super::leaf(&cluster, "/"));
    b.names.bind(1, "/svc/web", &[app.addr]);
    let client = client(a.addr).await;
    for _ in 0..3 {
        let (response, _stream) = open(&client, get("/"), true).await;
        let whole = read(response).await.unwrap();
        assert_eq!(whole.head.status, 200);
        let told = String::from_utf8(whole.body).unwrap();
        assert!(told.contains(";SAN=spiffe://test/node/a"), "{told}");
    }
    let own = b.tls.acceptor(1, 0).expect("the incoming listener");
    assert_eq!(own.counts().handshakes.load(Ordering::Relaxed), 1);
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}
