//! A peer that is gone without a word, on a paused clock: bytes stop, nothing is closed.

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, copy_bidirectional, duplex};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::super::accept::{Peer, serve_connection};
use super::super::serve::routes;
use super::*;
use crate::bind::IDLE_TIME;
use crate::stream::Doors;

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

/// A connection of namerd over this socket; ends when namerd gives it up.
fn accept(
    world: &World,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> JoinHandle<()> {
    let ready = Cell::new(true);
    let api = Port::api(world, &ready, Duration::ZERO);
    let doors = Doors {
        limits: Arc::clone(&api.limits),
        ready,
        leaving: CancellationToken::new(),
        closed: CancellationToken::new(),
        goodbye: Duration::ZERO,
        aged: CancellationToken::new(),
    };
    let offer = Offer::Mesh(MeshOptions::default());
    let (_, answers) = routes(&api, &doors, &offer).unwrap();
    let peer = Peer {
        addr: ([10, 0, 0, 1], 1).into(),
        client: None,
        abort: CancellationToken::new(),
        aged: CancellationToken::new(),
    };
    tokio::spawn(async move {
        let tasks = TaskTracker::new();
        let closing = CancellationToken::new();
        let serving = serve_connection(
            socket,
            peer,
            None,
            answers,
            tasks.clone(),
            closing,
            Duration::ZERO,
        );
        serving.await;
        tasks.close();
        tasks.wait().await;
    })
}

async fn connect(socket: DuplexStream) -> Channel {
    let mut socket = Some(TokioIo::new(socket));
    let connector = tower::service_fn(move |_| {
        let socket = socket.take();
        std::future::ready(socket.ok_or_else(|| std::io::Error::other("one connection")))
    });
    let endpoint = Endpoint::from_static("http://namerd");
    endpoint.connect_with_connector(connector).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn res_14_a_node_gone_without_a_word_is_noticed_and_what_it_followed_is_freed() {
    let world = World::new(&["web"]);
    world.set("web", many(3));
    let cut = CancellationToken::new();
    let (near, far) = network(cut.clone());
    let connection = accept(&world, far);
    let mut follower = Follower::over(connect(near).await).await;
    follower.say(up::Message::Hello(hello())).await;
    follower.want(1, "/svc/web").await;
    while !matches!(follower.next().await, Message::Answer(_)) {}
    assert_eq!(world.hub.followed(), (1, 1));
    assert_eq!(world.hub.binder().bindings().len(), 1);
    // A node that says nothing but is there is kept: it answers pings.
    tokio::time::sleep(Duration::from_secs(95)).await;
    assert!(!connection.is_finished());

    cut.cancel();
    let begun = Instant::now();
    let noticed = timeout(Duration::from_secs(31), connection).await;
    noticed.expect("noticed in time").unwrap();
    assert!(
        begun.elapsed() <= Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert!(world.hub.registry().is_empty());
    assert_eq!(world.hub.followed(), (0, 0));
    // Kept for a while for whoever asks next, and then gone: the first round sees that nobody holds it.
    world.hub.binder().sweep();
    tokio::time::sleep(IDLE_TIME).await;
    world.hub.binder().sweep();
    assert!(world.hub.binder().bindings().is_empty());
    assert_eq!(world.hub.metrics().ended_closed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn res_14_a_client_that_never_says_a_word_is_noticed() {
    let world = World::new(&[]);
    let (_client, socket) = duplex(64 << 10);
    let begun = Instant::now();
    accept(&world, socket).await.unwrap();
    assert!(
        begun.elapsed() <= Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}
