//! The task of a stream: greeting, gathering, stalling, leaving. The clock is paused.

use std::future::poll_fn;

use futures_util::stream;
use l5d_resolver::v1::down::Message;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// A stream driven by its task; the test is the node.
struct Driven {
    ups: mpsc::Sender<Result<v1::Up, End>>,
    chunks: mpsc::Receiver<Bytes>,
    task: JoinHandle<End>,
    doors: Doors,
}

/// Sends as the HTTP/2 library does: asks for bytes when there is room for one chunk.
async fn send(mut bytes: Chunks, out: mpsc::Sender<Bytes>) {
    while let Ok(room) = out.reserve().await {
        let chunk = tokio::select! {
            chunk = poll_fn(|cx| bytes.poll_next(cx)) => chunk,
            () = out.closed() => return,
        };
        match chunk {
            Some(chunk) => room.send(chunk),
            None => return,
        }
    }
}

impl Driven {
    fn new(world: &World, ready: bool) -> Self {
        let (ups, heard) = mpsc::channel(16);
        let (out, chunks) = mpsc::channel(1);
        let doors = Doors {
            limits: Arc::clone(world.hub.limits()),
            ready: Cell::new(ready),
            leaving: CancellationToken::new(),
            closed: CancellationToken::new(),
            goodbye: Duration::from_secs(5),
            aged: CancellationToken::new(),
        };
        let heard = Box::pin(stream::unfold(heard, |mut heard| async {
            Some((heard.recv().await?, heard))
        }));
        let hub = Arc::clone(&world.hub);
        let claim = async { Ok(Box::new(|_: &str| Ok(())) as Claim) };
        let (serving, bytes) = follow(hub, doors.clone(), "peer".to_owned(), claim, heard);
        let task = tokio::spawn(serving);
        tokio::spawn(send(bytes, out));
        Self {
            ups,
            chunks,
            task,
            doors,
        }
    }

    async fn say(&self, message: up::Message) {
        self.ups.send(Ok(up(message))).await.unwrap();
    }

    async fn begin(world: &World) -> Self {
        let mut driven = Self::new(world, true);
        driven.say(up::Message::Hello(hello())).await;
        assert!(matches!(driven.next().await[..], [Message::Welcome(_)]));
        driven
    }

    async fn want(&self, id: u32, path: &str) {
        let interests = vec![interest(id, path)];
        self.say(up::Message::Want(v1::Want { interests })).await;
    }

    async fn next(&mut self) -> Vec<Message> {
        let chunk = self.chunks.recv().await.expect("a chunk");
        let all = messages(&chunk).into_iter();
        all.filter_map(|down| down.message).collect()
    }

    async fn end(self) -> End {
        self.task.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn res_9_k8s_150_an_idle_sender_writes_a_change_without_waiting() {
    let world = World::new(&["web"]);
    world.set("web", many(10));
    let mut driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    driven.next().await;
    let before = Instant::now();
    for n in 11..20 {
        world.set("web", many(n));
        assert!(matches!(driven.next().await[..], [Message::Delta(_)]));
    }
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn res_9_k8s_150_under_load_changes_are_gathered_for_the_gap() {
    let world = World::new(&["web"]);
    world.set("web", many(100));
    let second = Duration::from_secs(1);
    while world.hub.gap().now() < Duration::from_millis(100) {
        world.hub.gap().observe(second, second, 1);
    }
    let mut driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    driven.next().await;
    let written = Instant::now();
    for n in 1..=5 {
        world.set("web", many(100 + n));
        tokio::task::yield_now().await;
    }
    assert!(matches!(driven.next().await[..], [Message::Delta(_)]));
    let waited = written.elapsed();
    // The timer of the runtime counts in milliseconds.
    assert!(waited >= Duration::from_millis(99) && waited <= Duration::from_millis(101));
}

#[tokio::test(start_paused = true)]
async fn k8s_146_a_session_that_takes_nothing_for_30_seconds_is_ended() {
    let world = World::new(&["web"]);
    world.set("web", many(30_000));
    let driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    let begun = Instant::now();
    // Nothing is read.
    let Driven {
        task, chunks, ups, ..
    } = driven;
    assert_eq!(task.await.unwrap(), End::Stalled(Duration::from_secs(30)));
    assert!(begun.elapsed() < Duration::from_secs(31));
    drop((chunks, ups));
    assert_eq!(world.hub.metrics().ended_stalled.get(), 1);
    assert!(world.hub.registry().is_empty());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_every_ten_seconds() {
    let world = World::new(&["web"]);
    let mut driven = Driven::begin(&world).await;
    for _ in 0..3 {
        let before = Instant::now();
        assert!(matches!(driven.next().await[..], [Message::Heartbeat(_)]));
        let waited = before.elapsed();
        assert!(waited >= Duration::from_millis(9_900) && waited < Duration::from_secs(11));
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_says_goodbye_goes_on_and_ends() {
    let world = World::new(&["web"]);
    world.set("web", many(10));
    let mut driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    driven.next().await;
    driven.doors.leaving.cancel();
    let [Message::Goodbye(goodbye)] = &driven.next().await[..] else {
        panic!("goodbye comes");
    };
    assert_eq!(goodbye.within_ms, 5_000);
    world.set("web", many(11));
    assert!(matches!(driven.next().await[..], [Message::Delta(_)]));
    driven.doors.closed.cancel();
    assert_eq!(driven.end().await, End::Leaving);
}

#[tokio::test(start_paused = true)]
async fn streams_are_refused_before_ready_and_without_hello() {
    let world = World::new(&["web"]);
    // K8S-129.
    assert_eq!(Driven::new(&world, false).end().await, End::NotReady);
    let silent = Driven::new(&world, true);
    assert!(matches!(silent.end().await, End::Fault(_)));
    let rude = Driven::new(&world, true);
    rude.want(1, "/svc/web").await;
    assert!(matches!(rude.end().await, End::Fault(_)));
    let gone = Driven::new(&world, true);
    let Driven {
        ups, task, chunks, ..
    } = gone;
    drop(ups);
    assert_eq!(task.await.unwrap(), End::Closed);
    drop(chunks);
    let metrics = world.hub.metrics();
    assert_eq!(metrics.ended_fault.get(), 2);
    assert_eq!(metrics.ended_unavailable.get(), 1);
    assert_eq!(metrics.opened.get(), 0);
}

/// A source whose version a test moves.
#[derive(Default)]
struct Moving(Mutex<u64>);

impl Sources for Moving {
    fn served(&self) -> Positions {
        self.seen()
    }

    fn seen(&self) -> Positions {
        [("k8s/endpointslices".to_owned(), *self.0.lock())].into()
    }

    fn ages(&self) -> Vec<(String, Duration)> {
        vec![("k8s/endpointslices".to_owned(), Duration::from_secs(1))]
    }
}

fn seen(rv: u64, accept_older: bool) -> v1::Hello {
    let source = |source: &str, rv| v1::SourcePosition {
        source: source.to_owned(),
        rv,
    };
    v1::Hello {
        position: Some(v1::Position {
            // A source that is not known here cannot be caught up with.
            sources: vec![source("k8s/endpointslices", rv), source("store/other", 9)],
        }),
        accept_older,
        ..hello()
    }
}

#[tokio::test(start_paused = true)]
async fn f27_a_replica_that_is_behind_waits_ten_seconds_and_refuses() {
    let sources = Arc::new(Moving::default());
    *sources.0.lock() = 7;
    let world = World::with_sources(&["web"], Limits::default(), Arc::clone(&sources) as _);

    let begun = Instant::now();
    let behind = Driven::new(&world, true);
    behind.say(up::Message::Hello(seen(8, false))).await;
    let end = behind.end().await;
    assert!(
        matches!(&end, End::Behind(how) if how.contains("is at 7 here")),
        "{end:?}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(10));

    let mut catching_up = Driven::new(&world, true);
    catching_up.say(up::Message::Hello(seen(8, false))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    *sources.0.lock() = 8;
    assert!(matches!(
        catching_up.next().await[..],
        [Message::Welcome(_)]
    ));

    let mut older = Driven::new(&world, true);
    older.say(up::Message::Hello(seen(9, true))).await;
    let [Message::Welcome(welcome)] = &older.next().await[..] else {
        panic!("accepted");
    };
    assert_eq!(welcome.position.as_ref().unwrap().sources[0].rv, 8);
}

#[tokio::test(start_paused = true)]
async fn res_5_a_reader_that_stops_costs_one_chunk_and_then_gets_the_newest() {
    let world = World::new(&["web"]);
    world.set("web", many(100));
    let mut driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    driven.next().await;
    // One change is under way, fifty more happen while nobody reads.
    for n in 1..=51 {
        world.set("web", many(100 + n));
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    let first = driven.next().await;
    let second = driven.next().await;
    assert!(matches!(first[..], [Message::Delta(_)]));
    let [Message::Delta(newest)] = &second[..] else {
        panic!("one message: {second:?}");
    };
    assert_eq!(newest.put4.len(), 50 * 6);
}

#[tokio::test(start_paused = true)]
async fn res_14_a_stream_that_is_dropped_frees_its_session_and_is_counted() {
    let world = World::new(&["web"]);
    let mut driven = Driven::begin(&world).await;
    driven.want(1, "/svc/web").await;
    driven.next().await;
    assert_eq!(world.hub.followed(), (1, 1));
    driven.task.abort();
    assert!(driven.task.await.unwrap_err().is_cancelled());
    assert_eq!(world.hub.followed(), (0, 0));
    assert!(world.hub.registry().is_empty());
    assert_eq!(world.hub.metrics().ended_closed.get(), 1);
}
