//! grpc-web, as a browser speaks it: HTTP/1.1, the status in the body, and pages of other origins.

use std::time::Duration;

use l5d_resolver::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Port, ask};
use crate::api::Offer;
use crate::config::MeshOptions;
use crate::stream::tests::{World, many};

/// One request of HTTP/1.1 and the head and body of its answer.
async fn http1(port: &Port, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(port.addr).await.unwrap();
    let head = format!(
        "{head}\r\nhost: namerd\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer[end + 4..].to_vec())
}

/// Pieces of a chunked body, together.
fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = chunks.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&chunks[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&chunks[line + 2..line + 2 + size]);
        chunks = &chunks[line + 4 + size..];
    }
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut frame).unwrap();
    frame
}

const WEB: &str =
    "POST /l5d.resolver.v1.Resolver/Resolve HTTP/1.1\r\ncontent-type: application/grpc-web+proto";

/// What a browser does: a call over HTTP/1.1, its status in the body.
#[tokio::test]
async fn a_browser_calls_by_grpc_web() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", many(2));
    let (head, body) = http1(&port, WEB, &framed(&ask("/svc/web"))).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.contains("content-type: application/grpc-web+proto"),
        "{head}"
    );
    assert!(!head.contains("access-control"), "no other pages: {head}");
    let body = whole(&body);
    let len = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    let resolved: v1::Resolved = prost::Message::decode(&body[5..5 + len]).unwrap();
    assert_eq!((body[0], resolved.clusters.len()), (0, 1));
    let trailers = &body[5 + len..];
    assert_eq!(trailers[0], 0x80);
    let trailers = String::from_utf8_lossy(&trailers[5..]).into_owned();
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    // An error of the old API, which comes in two frames otherwise.
    let old = "POST /io.linkerd.mesh.Interpreter/GetBoundTree HTTP/1.1\r\ncontent-type: application/grpc-web";
    let (head, body) = http1(&port, old, &[0; 5]).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body = String::from_utf8_lossy(&whole(&body)).into_owned();
    assert!(body.contains("grpc-status:3"), "{body}");
    // HTTP/1.1 is for nothing else.
    let (head, _) = http1(&port, "GET / HTTP/1.1", &[]).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    port.stop().await;
}

#[tokio::test]
async fn pages_of_named_origins_may_call() {
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /l5d.resolver.v1.Resolver/Resolve HTTP/1.1\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: x-grpc-web"
        )
    };
    let options = MeshOptions {
        grpc_web_origins: vec!["https://tools.example".to_owned()],
        ..MeshOptions::default()
    };
    let grace = Duration::from_secs(2);
    let port = Port::offering(World::new(&["web"]), grace, Offer::Mesh(options)).await;
    let (head, _) = http1(&port, &preflight("https://tools.example"), &[]).await;
    let allowed = "access-control-allow-origin: https://tools.example";
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains(allowed),
        "{head}"
    );
    let call = format!("{WEB}\r\norigin: https://tools.example");
    let (head, _) = http1(&port, &call, &framed(&ask("/svc/web"))).await;
    assert!(
        head.contains(allowed) && head.contains("access-control-expose-headers"),
        "{head}"
    );
    let (head, _) = http1(&port, &preflight("https://evil.example"), &[]).await;
    assert!(!head.contains("allow-origin"), "{head}");
    port.stop().await;
    let port = Port::new(&["web"]).await;
    let (head, _) = http1(&port, &preflight("https://tools.example"), &[]).await;
    assert!(
        head.starts_with("HTTP/1.1 400") && !head.contains("access-control"),
        "{head}"
    );
    port.stop().await;
}
