//! HTTP/2 routers, black box: clients and servers of the `h2` crate and raw frames on both sides (node-proxy 10, 11.3).

mod errors;
mod messages;
mod nodes;
mod numbers;
mod outside;
mod resets;
mod retries;
mod tls;
mod upstream;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;

use super::*;
use crate::config::Protocol;

/// A server in HTTP/2 that does what the test says.
pub(super) struct Server2 {
    pub(super) addr: SocketAddr,
    pub(super) connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Server2 {
    /// Runs `script` for each stream.
    pub(super) async fn start<F>(
        script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), script).await
    }

    pub(super) async fn with<F>(
        builder: h2::server::Builder,
        script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = ports::listen();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let (count, script) = (connections.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (builder, script) = (builder.clone(), script.clone());
                open.spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    let mut streams = tokio::task::JoinSet::new();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        streams.spawn(script(request, respond));
                    }
                });
            }
        });
        Self {
            addr,
            connections,
            task,
        }
    }

    /// Answers 200 and sends back what comes, trailers included.
    pub(super) async fn echo() -> Self {
        Self::start(echo).await
    }

    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = request.into_body();
    let mut out = respond.send_response(Response::new(()), false).unwrap();
    while let Some(Ok(bytes)) = body.data().await {
        let n = bytes.len();
        if send(&mut out, bytes).await.is_err() {
            return;
        }
        let _ = body.flow_control().release_capacity(n);
    }
    match body.trailers().await {
        Ok(Some(trailers)) => out.send_trailers(trailers).unwrap(),
        _ => drop(out.send_data(Bytes::new(), true)),
    }
}

/// Sends as the window allows.
pub(super) async fn send(out: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), ()> {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| out.poll_capacity(cx)).await;
        let room = room.ok_or(())?.map_err(drop)?;
        let part = bytes.split_to(room.min(bytes.len()));
        out.send_data(part, false).map_err(drop)?;
    }
    Ok(())
}

/// A proxy with two `h2` routers; `/svc/web` leads to `backends`.
pub(super) fn h2_proxy(backends: &[SocketAddr]) -> Proxy {
    let proxy = Proxy::with(|r| r.protocol = Protocol::H2);
    proxy.names.bind(0, "/svc/web", backends);
    proxy
}

pub(super) async fn client(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut builder = h2::client::Builder::new();
    // Many small answers may wait until a test reads them.
    builder.data_frame_budget(1 << 24);
    let (send, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(super) fn get(path: &str) -> Request<()> {
    let uri = format!("http://web{path}");
    Request::get(uri).body(()).unwrap()
}

pub(super) fn post(path: &str) -> Request<()> {
    let uri = format!("http://web{path}");
    Request::post(uri).body(()).unwrap()
}

pub(super) fn grpc(path: &str) -> Request<()> {
    let mut request = post(path);
    let kind = "application/grpc".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

/// Opens a stream as soon as the connection has room.
pub(super) async fn open(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = client.clone().ready().await.unwrap();
    ready.send_request(request, ends).unwrap()
}

/// A response read to its end.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) head: http::response::Parts,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

pub(super) async fn read(response: ResponseFuture) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        let _ = stream.flow_control().release_capacity(bytes.len());
        body.extend_from_slice(&bytes);
    }
    let trailers = stream.trailers().await?;
    Ok(Whole {
        head,
        body,
        trailers,
    })
}

/// A request without a body and its whole response.
pub(super) async fn ask(proxy: &Proxy, request: Request<()>) -> Result<Whole, h2::Error> {
    let client = client(proxy.addr).await;
    let (response, _stream) = open(&client, request, true).await;
    read(response).await
}

/// Reads the preface, and says that there are no limits.
pub(super) async fn settle(peer: &mut Peer) {
    peer.until("SM\r\n\r\n").await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    peer.stream.write_all(&settings).await.unwrap();
}

/// Reads frames up to and with one of this kind.
pub(super) async fn frame(peer: &mut Peer, kind: u8) -> Vec<u8> {
    loop {
        let header = peer.bytes(9).await;
        let len = usize::from(header[0]) << 16 | usize::from(header[1]) << 8;
        let payload = peer.bytes(len | usize::from(header[2])).await;
        if header[3] == kind {
            return payload;
        }
    }
}
