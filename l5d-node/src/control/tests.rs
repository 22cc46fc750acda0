//! When the follower connects where: scripted replicas, a paused clock.

mod outage;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use l5d_naming::Dtab;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::dial::{Connection, DialError, Dialer, Downs};
use super::follower::Follower;
use super::plan::Plan;
use super::session::tests::replica::{Replica, bound, down, id, path, tree};
use crate::cache::{Contact, FollowSet, Name, StreamState};
use crate::config::{ClientTls, Identity, read};

/// The network as a test sees it.
struct Script {
    hosts: Mutex<HashMap<String, Option<Vec<SocketAddr>>>>,
    /// Addresses that refuse connections.
    refusing: Mutex<Vec<SocketAddr>>,
    dials: Mutex<Vec<(Instant, SocketAddr)>>,
    streams: mpsc::Sender<Peer>,
}

/// A replica's end of one stream.
struct Peer {
    addr: SocketAddr,
    ups: mpsc::Receiver<v1::Up>,
    downs: mpsc::Sender<Result<v1::Down, Status>>,
    hello: Option<v1::Hello>,
}

impl Dialer for Script {
    fn lookup(&self, host: String, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = self.hosts.lock().get(&host).cloned().flatten();
        async move { found.ok_or_else(|| io::Error::other("no such host")) }.boxed()
    }

    fn connect(
        &self,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Box<dyn Connection>, DialError>> {
        self.dials.lock().push((Instant::now(), addr));
        let is_refused = self.refusing.lock().contains(&addr);
        let streams = self.streams.clone();
        async move {
            let message = "refused".to_owned();
            match is_refused {
                true => Err(DialError::Connect { addr, message }),
                false => Ok(Box::new(Wire { addr, streams }) as Box<dyn Connection>),
            }
        }
        .boxed()
    }
}

struct Wire {
    addr: SocketAddr,
    streams: mpsc::Sender<Peer>,
}

impl Connection for Wire {
    fn follow(
        self: Box<Self>,
        ups: mpsc::Receiver<v1::Up>,
    ) -> BoxFuture<'static, Result<Downs, Status>> {
        async move {
            let (downs, rest) = mpsc::channel(64);
            let peer = Peer {
                addr: self.addr,
                ups,
                downs,
                hello: None,
            };
            self.streams
                .send(peer)
                .await
                .map_err(|_| Status::unavailable("over"))?;
            Ok(ReceiverStream::new(rest).boxed())
        }
        .boxed()
    }

    fn certify(
        self: Box<Self>,
        _: v1::CertifyRequest,
    ) -> BoxFuture<'static, Result<v1::Certified, Status>> {
        async { Err(Status::unimplemented("not here")) }.boxed()
    }

    fn explain(
        self: Box<Self>,
        _: v1::ResolveRequest,
    ) -> BoxFuture<'static, Result<v1::Explained, Status>> {
        async { Err(Status::unimplemented("not here")) }.boxed()
    }
}

impl Peer {
    /// Takes in what has come and tells what there is to tell.
    async fn turn(&mut self, replica: &mut Replica) {
        sleep(Duration::from_millis(10)).await;
        while let Ok(up) = self.ups.try_recv() {
            if let Some(v1::up::Message::Hello(hello)) = &up.message {
                self.hello = Some(hello.clone());
            }
            if let Some(answer) = replica.take(up) {
                self.tell(answer).await;
            }
        }
        for down in replica.write() {
            self.tell(down).await;
        }
        sleep(Duration::from_millis(10)).await;
    }

    async fn tell(&self, down: v1::Down) {
        // The node may have left.
        let _ = self.downs.send(Ok(down)).await;
    }

    async fn end(self, status: Status) {
        let _ = self.downs.send(Err(status)).await;
    }
}

struct World {
    script: Arc<Script>,
    set: Arc<FollowSet>,
    streams: mpsc::Receiver<Peer>,
    start: Instant,
    _task: AbortOnDropHandle<()>,
}

fn addr(n: u8) -> SocketAddr {
    ([10, 1, 1, n], 4321).into()
}

impl World {
    /// A node that follows `namerd`, which has these addresses.
    fn new(addrs: &[SocketAddr]) -> Self {
        let config = read(
            "l5d.yml",
            "routers: [{protocol: http, servers: [{port: 0}], interpreter: {kind: io.l5d.mesh, dst: /$/inet/namerd/4321}}]",
        );
        let plan = Plan::all(&config.expect("it is right"), &Identity::default()).remove(0);
        let (sender, streams) = mpsc::channel(8);
        let script = Arc::new(Script {
            hosts: Mutex::new(HashMap::from([("namerd".to_owned(), Some(addrs.to_vec()))])),
            refusing: Mutex::default(),
            dials: Mutex::default(),
            streams: sender,
        });
        let set = plan.set.clone();
        let follower = Follower::new(plan, script.clone(), fastrand::Rng::with_seed(7));
        let task = tokio::spawn(follower.run(CancellationToken::new()));
        Self {
            script,
            set,
            streams,
            start: Instant::now(),
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn name(&self, index: usize) -> Arc<Name> {
        self.set.begin(0, path(index), Dtab::empty())
    }

    async fn stream(&mut self) -> Peer {
        self.streams.recv().await.expect("the node connects")
    }

    /// A stream on which all has been answered.
    async fn followed(&mut self, replica: &mut Replica) -> Peer {
        let mut peer = self.stream().await;
        peer.turn(replica).await;
        peer.turn(replica).await;
        peer
    }

    fn state(&self) -> StreamState {
        self.set.contact().state
    }
}

fn simple() -> Replica {
    let mut replica = Replica::new();
    replica.clusters[0] = bound(&[(80, 65_536)]);
    replica.trees[0] = Some(tree(&[0]));
    replica
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_is_made_at_once() {
    let mut world = World::new(&[addr(1)]);
    let name = world.name(0);
    let peer = world.followed(&mut simple()).await;
    assert!(world.start.elapsed() < Duration::from_millis(100));
    assert_eq!(world.state(), StreamState::Following);
    assert!(name.tree().is_some());
    let contact = world.set.contact();
    assert_eq!(contact.address, Some(addr(1)));
    assert_eq!(contact.to_string(), "namerd has not answered");
    assert!(
        peer.hello
            .is_some_and(|h| h.addresses.iter().any(|a| a[..] == [127, 0, 0, 1]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_leaves_the_last_good_state_and_resumes_within_seconds() {
    let mut world = World::new(&[addr(1)]);
    let name = world.name(0);
    let mut replica = simple();
    let peer = world.followed(&mut replica).await;
    let lost_at = Instant::now();
    peer.end(Status::unavailable("restart")).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.state(), StreamState::Disconnected);
    assert!(name.is_stale() && name.tree().is_some());
    let contact = world.set.contact().to_string();
    assert!(contact.starts_with("no namerd reachable since") && contact.contains("restart"));
    let mut peer = world.stream().await;
    assert!(
        lost_at.elapsed() <= Duration::from_secs(3),
        "uniform over 0 to 3 s"
    );
    let mut replica = replica.next_stream();
    peer.turn(&mut replica).await;
    assert_eq!(world.state(), StreamState::Following);
    assert!(!name.is_stale());
    assert_eq!(
        peer.hello.map(|h| h.held_clusters.len()),
        Some(2),
        "one pair is offered"
    );
}

#[tokio::test(start_paused = true)]
async fn goodbye_moves_without_a_gap() {
    let mut world = World::new(&[addr(1), addr(2)]);
    let name = world.name(0);
    let mut replica = simple();
    let mut old = world.followed(&mut replica).await;
    old.tell(down(Message::Goodbye(v1::Goodbye {
        within_ms: 2000,
        reason: "drain".to_owned(),
    })))
    .await;
    let mut new = world.stream().await;
    assert_ne!(new.addr, old.addr, "elsewhere");
    assert_eq!(world.state(), StreamState::Moving);
    // All keeps flowing on the old stream.
    replica.clusters[0] = bound(&[(81, 65_536)]);
    old.turn(&mut replica).await;
    let cell = world.set.clusters.cell(&id(0));
    assert_eq!(cell.state().replicas, bound(&[(81, 65_536)]));
    let mut next = replica.next_stream();
    next.clusters[0] = bound(&[(82, 65_536)]);
    new.turn(&mut next).await;
    assert_eq!(world.state(), StreamState::Following);
    assert_eq!(cell.state().replicas, bound(&[(82, 65_536)]));
    assert!(old.downs.is_closed(), "the first stream has ended");
    assert!(!name.is_stale() && name.tree().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_lost_while_moving_is_taken_over_at_once() {
    let mut world = World::new(&[addr(1), addr(2)]);
    let name = world.name(0);
    let mut replica = simple();
    let old = world.followed(&mut replica).await;
    old.tell(down(Message::Goodbye(v1::Goodbye::default())))
        .await;
    let mut new = world.stream().await;
    old.end(Status::unavailable("gone")).await;
    sleep(Duration::from_millis(1)).await;
    assert!(name.is_stale());
    new.turn(&mut replica.next_stream()).await;
    assert_eq!(world.state(), StreamState::Following);
    assert!(!name.is_stale());
}

#[tokio::test(start_paused = true)]
async fn res_14_silence_for_25_s_is_a_loss() {
    let mut world = World::new(&[addr(1)]);
    let peer = world.followed(&mut simple()).await;
    sleep(Duration::from_secs(24)).await;
    assert_eq!(world.state(), StreamState::Following);
    sleep(Duration::from_secs(1)).await;
    assert!(peer.downs.is_closed());
    world.stream().await;
}

#[tokio::test(start_paused = true)]
async fn every_address_is_tried_before_one_is_tried_again() {
    let mut world = World::new(&[addr(1), addr(2), addr(3)]);
    world.script.refusing.lock().extend([addr(1), addr(3)]);
    let peer = world.stream().await;
    assert_eq!(peer.addr, addr(2));
    let dials = world.script.dials.lock().len();
    assert!(dials <= 3, "{dials}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_worked_is_kept_when_lookups_fail() {
    let mut world = World::new(&[addr(1)]);
    let peer = world.followed(&mut simple()).await;
    world.script.hosts.lock().insert("namerd".to_owned(), None);
    sleep(Duration::from_secs(6)).await;
    peer.end(Status::unavailable("restart")).await;
    assert_eq!(world.stream().await.addr, addr(1));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_known_is_told() {
    let world = World::new(&[]);
    world.script.hosts.lock().clear();
    sleep(Duration::from_secs(1)).await;
    let contact: Contact = world.set.contact();
    let (_, error) = contact.errors.back().expect("an error").clone();
    assert_eq!(error, "no address of namerd:4321 is known: no such host");
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_waits_thirty_seconds() {
    let mut world = World::new(&[addr(1)]);
    world
        .stream()
        .await
        .end(Status::invalid_argument("no Hello"))
        .await;
    let failed_at = Instant::now();
    world.stream().await;
    let waited = failed_at.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn an_older_state_is_accepted_after_30_s_of_replicas_that_are_behind() {
    let mut world = World::new(&[addr(1)]);
    loop {
        let mut peer = world.stream().await;
        let elapsed = world.start.elapsed();
        sleep(Duration::from_millis(1)).await;
        let first = peer.ups.try_recv().ok().and_then(|up| up.message);
        let Some(v1::up::Message::Hello(hello)) = first else {
            panic!("Hello first");
        };
        if hello.accept_older {
            assert!(elapsed >= Duration::from_secs(30));
            break;
        }
        assert!(elapsed < Duration::from_secs(90));
        peer.end(Status::failed_precondition("behind")).await;
    }
}

/// F27: a replica that is behind waits 10 s before it says so. A node with a position waits for that, one without a
/// position has nothing to wait for.
#[tokio::test(start_paused = true)]
async fn f27_replicas_that_take_10_s_to_say_behind_are_accepted_after_30_s() {
    let mut world = World::new(&[addr(1), addr(2)]);
    let name = world.name(0);
    let mut replica = simple();
    let peer = world.followed(&mut replica).await;
    let mut heartbeat = replica.heartbeat();
    if let Some(Message::Heartbeat(beat)) = &mut heartbeat.message {
        let source = "k8s/endpointslices".to_owned();
        let sources = vec![v1::SourcePosition { source, rv: 900 }];
        beat.position = Some(v1::Position { sources });
    }
    peer.tell(heartbeat).await;
    sleep(Duration::from_millis(10)).await;
    peer.end(Status::unavailable("restart")).await;
    let lost_at = Instant::now();
    let accepted = loop {
        let mut peer = world.stream().await;
        sleep(Duration::from_millis(1)).await;
        let first = peer.ups.try_recv().ok().and_then(|up| up.message);
        let Some(v1::up::Message::Hello(hello)) = first else {
            panic!("Hello first");
        };
        assert!(hello.position.is_some_and(|p| !p.sources.is_empty()));
        if hello.accept_older {
            break peer;
        }
        sleep(Duration::from_secs(10)).await;
        assert!(!peer.downs.is_closed(), "the node waits for the answer");
        peer.end(Status::failed_precondition("behind")).await;
        assert!(name.tree().is_some() && name.is_stale(), "served meanwhile");
    };
    let waited = lost_at.elapsed();
    assert!(waited >= Duration::from_secs(40) && waited < Duration::from_secs(90));
    sleep(Duration::from_secs(11)).await;
    assert!(!accepted.downs.is_closed());
    sleep(Duration::from_secs(1)).await;
    assert!(accepted.downs.is_closed(), "12 s are the limit");
}

#[tokio::test(start_paused = true)]
async fn names_that_come_and_go_are_told_on_the_open_stream() {
    let mut world = World::new(&[addr(1)]);
    let mut replica = simple();
    let mut peer = world.followed(&mut replica).await;
    let name = world.name(0);
    peer.turn(&mut replica).await;
    assert!(name.tree().is_some());
    drop(name);
    peer.turn(&mut replica).await;
    assert!(world.set.names().is_empty());
    assert_eq!(world.set.contact().interests, 0);
    peer.tell(replica.heartbeat()).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(world.state(), StreamState::Following, "the digests agree");
}

#[tokio::test(start_paused = true)]
async fn routers_with_the_same_namerd_share_one_stream() {
    let text = "routers:\n\
        - {protocol: http, label: a, servers: [{port: 0}], interpreter: {kind: io.l5d.mesh, dst: /$/inet/h/1}}\n\
        - {protocol: http, label: b, servers: [{port: 0}], interpreter: {kind: io.l5d.mesh, dst: /$/inet/h/2}}\n\
        - {protocol: http, label: c, servers: [{port: 0}], interpreter: {kind: io.l5d.namerd, dst: /$/inet/h/9, resolverPort: 1}}\n";
    let config = read("l5d.yml", text).expect("it is right");
    let plans = Plan::all(&config, &Identity::default());
    assert_eq!(plans.len(), 2);
    let routers = |plan: &Plan| (0..3).filter(|i| plan.has_router(*i)).collect::<Vec<_>>();
    assert_eq!(routers(&plans[0]), [0, 2]);
    assert_eq!(routers(&plans[1]), [1]);
}

/// A stream has the Ingress rules of one class: routers with another one follow on a stream of their own.
#[tokio::test]
async fn ingress_rules_are_asked_for_by_class() {
    let router = |label: &str, identifier: &str| {
        format!(
            "- {{protocol: http, label: {label}, servers: [{{port: 0}}], interpreter: {{kind: io.l5d.mesh, dst: /$/inet/h/1}}{identifier}}}\n"
        )
    };
    let ingress = |class: &str| {
        format!(", identifier: {{kind: io.l5d.ingress, ingressClassAnnotation: {class}}}")
    };
    let text = [
        router("a", ""),
        router("b", ", identifier: {kind: io.l5d.ingress}"),
        router("c", &ingress("linkerd")),
        router("d", &ingress("other")),
    ];
    let text = format!("routers:\n{}", text.concat());
    let config = read("l5d.yml", &text).expect("it is right");
    let plans = Plan::all(&config, &Identity::default());
    let routers = |plan: &Plan| (0..4).filter(|i| plan.has_router(*i)).collect::<Vec<_>>();
    let wanted = |plan: &Plan| (routers(plan), plan.set.ingress_class().unwrap_or_default());
    let wanted: Vec<_> = plans.iter().map(wanted).collect();
    assert_eq!(
        wanted,
        [(vec![0, 1, 2], "linkerd".into()), (vec![3], "other".into())]
    );
}

#[tokio::test]
async fn the_default_interpreter_shows_what_the_command_line_says() {
    let text = "routers:\n\
        - {protocol: http, label: a, servers: [{port: 0}]}\n\
        - {protocol: http, label: b, servers: [{port: 0}], interpreter: {kind: io.l5d.mesh, dst: /$/inet/h/1}}\n";
    let config = read("l5d.yml", text).expect("it is right");
    let tls = ClientTls {
        common_name: Some("namerd".to_owned()),
        trust: vec!["ca.pem".into()],
        ..ClientTls::default()
    };
    let identity = Identity {
        namerd: vec![("h".to_owned(), 1)],
        namerd_tls: Some(tls.clone()),
        namerd_token_file: Some("token".into()),
        ..Identity::default()
    };
    let plans = Plan::all(&config, &identity);
    let shown = |plan: &Plan| (plan.tls.clone(), plan.token_file.clone());
    let [first, second] = &plans[..] else {
        panic!("two: the same namerd, and different proofs");
    };
    assert_eq!(shown(first), (Some(tls), Some("token".into())));
    assert_eq!(shown(second), (None, None));
}
