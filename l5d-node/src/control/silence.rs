//! A namerd that is gone without a word, on a paused clock: bytes stop, nothing is closed (RES-14).

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::dial::{Channel, Connection as _, Downs, endpoint};

/// A network between two ends that carries bytes until it is cut; then it keeps both ends open and says nothing.
fn network(cut: CancellationToken) -> (DuplexStream, DuplexStream) {
    let (near, mut here) = duplex(64 << 10);
    let (mut there, far) = duplex(64 << 10);
    tokio::spawn(async move {
        cut.run_until_cancelled(copy_bidirectional(&mut here, &mut there))
            .await;
        std::future::pending::<()>().await;
    });
    (near, far)
}

/// Answers pings, and the one request with a head and nothing more.
async fn quiet_namerd(socket: DuplexStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(socket).await?;
    let mut open = Vec::new();
    while let Some(request) = connection.accept().await {
        let (_, mut answer) = request?;
        let head = http::Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .expect("a response");
        open.push(answer.send_response(head, false)?);
    }
    Ok(())
}

async fn follow(socket: DuplexStream) -> Downs {
    let mut socket = Some(TokioIo::new(socket));
    let connector = tower::service_fn(move |_| {
        let socket = socket.take();
        std::future::ready(socket.ok_or_else(|| io::Error::other("one connection")))
    });
    let endpoint = endpoint(([10, 0, 0, 1], 4321).into()).expect("an address");
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = Box::new(Channel::over(channel.expect("connects")));
    let (ups, messages) = mpsc::channel(1);
    let downs = channel.follow(messages).await.expect("a stream");
    // The node's side stays open as long as somebody reads.
    downs
        .chain(futures_util::stream::poll_fn(move |_| {
            let _ = &ups;
            std::task::Poll::Ready(None)
        }))
        .boxed()
}

#[tokio::test(start_paused = true)]
async fn res_14_a_namerd_gone_without_a_word_is_noticed_within_30_s_and_a_quiet_one_is_kept() {
    let cut = CancellationToken::new();
    let (near, far) = network(cut.clone());
    tokio::spawn(quiet_namerd(far));
    let mut downs = follow(near).await;
    // It answers pings, so that it is there.
    let nothing = timeout(Duration::from_secs(95), downs.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");

    cut.cancel();
    let begun = Instant::now();
    let noticed = timeout(Duration::from_secs(31), downs.next()).await;
    let ended = noticed
        .expect("noticed in time")
        .expect("an end with a status");
    assert!(ended.is_err(), "{ended:?}");
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(30), "{took:?}");
    assert!(
        took >= Duration::from_secs(10),
        "a ping has its time: {took:?}"
    );
}
