//! What many followers, big services, slow readers and storms cost, in counts (kubernetes 9 and 11, resolver API 8).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use l5d_resolver::v1;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::up;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::control::{ControlPlane, localnode};
use l5d_tests::double::{Double, Kind, Verb};
use l5d_tests::follower::Follower;
use l5d_tests::objects::{Pod, Port, SLICE_ENDPOINTS};
use l5d_tests::real::NAMERD;
use namerd::store::services::Kind as Watched;
use namerd::stream::Limits;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const KINDS: [Kind; 3] = [Kind::EndpointSlice, Kind::Service, Kind::Node];

/// The double and a control plane on it that serves.
struct Ground {
    cluster: Cluster,
    control: ControlPlane,
    addr: SocketAddr,
}

impl Ground {
    async fn new(limits: Limits) -> Result<Self> {
        let cluster = Cluster::double()?;
        cluster.namespace("default").await?;
        let control = ControlPlane::start_with(&cluster, NAMERD, limits)?;
        let addr = control.serve()?;
        control.ready().await;
        Ok(Self {
            cluster,
            control,
            addr,
        })
    }

    fn double(&self) -> &Double {
        match self.cluster.backing() {
            Backing::Double(double) => double,
            Backing::Real(_) => unreachable!("built on the double"),
        }
    }

    async fn service(&self, name: &str, pods: Vec<Pod>) -> Result<Workload> {
        let http = [Port::new("http", 80, 8080)];
        Workload::create(&self.cluster, "default", name, &http, pods).await
    }

    /// A connection of its own, with a window of so many bytes.
    async fn channel(&self, window: u32) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr))?
            .initial_stream_window_size(window)
            .initial_connection_window_size(window.max(64 << 10));
        Ok(endpoint.connect().await?)
    }

    /// A node that follows these paths through a router without transformers.
    async fn node(&self, node: &str, window: u32, paths: &[&str]) -> Result<Follower> {
        let routers = [("outgoing", Vec::new(), paths.to_vec())];
        let follower = Follower::start(self.channel(window).await?, node, &routers).await?;
        follower.until_answered(paths.len()).await;
        Ok(follower)
    }

    /// Complete lists of a kind so far, streamed or in pages.
    fn lists(&self, kind: Kind) -> usize {
        let seen = self.double().traffic().seen();
        let is_list = |query: &str| {
            query.contains("sendInitialEvents")
                || query.contains("limit=") && !query.contains("continue=")
        };
        seen.iter()
            .filter(|s| s.kind == kind && matches!(s.verb, Verb::List | Verb::Watch))
            .filter(|s| is_list(&s.query))
            .count()
    }
}

const WINDOW: u32 = 64 << 10;

fn pod(n: usize) -> Pod {
    let ip = [10, 1, (n / 200) as u8, (n % 200) as u8 + 1];
    Pod::new(format!("pod-{n}"), ip, format!("node-{}", n % 500))
}

fn addresses(pods: &[Pod]) -> Vec<SocketAddr> {
    let mut all: Vec<_> = pods.iter().map(|p| SocketAddr::new(p.ip, 8080)).collect();
    all.sort();
    all
}

fn id(service: &str) -> String {
    format!("/#/io.l5d.k8s/default/http/{service}")
}

/// K8S-152: 500 nodes are three watches, and an API server that was gone is asked for at most one list a kind.
#[tokio::test]
async fn k8s_152_an_api_server_that_was_gone_is_listed_once_for_500_nodes() -> Result<()> {
    let mut on = Ground::new(Limits::default()).await?;
    let mut world = on.service("world", vec![pod(1), pod(2)]).await?;
    let nodes = (0..500).map(|n| format!("node-{n}")).collect::<Vec<_>>();
    let nodes = nodes.iter().map(|n| on.node(n, WINDOW, &["/svc/world"]));
    let nodes = try_join_all(nodes).await?;
    assert_eq!(on.double().traffic().all_open_watches(), 3);
    let before = KINDS.map(|kind| on.lists(kind));
    let frames: u64 = nodes.iter().map(Follower::frames).sum();

    on.cluster.stop_api().await?;
    // Long enough that every watch has failed to come back at least once.
    let failed = || {
        let mut kinds = Watched::ALL.into_iter();
        kinds.all(|kind| on.control.services.status(kind).last_error.is_some())
    };
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !failed() {
            tokio::task::yield_now().await;
        }
    });
    patience.await?;
    assert_eq!(nodes.iter().map(Follower::frames).sum::<u64>(), frames);

    on.cluster.start_api().await?;
    world.add(&on.cluster, pod(3)).await?;
    let wanted = addresses(world.pods());
    for node in &nodes {
        node.until_addresses(&id("world"), &wanted).await;
    }
    let traffic = on.double().traffic();
    traffic.wait(|now| now.all_open_watches() == 3).await;
    for (kind, before) in KINDS.into_iter().zip(before) {
        assert!(on.lists(kind) <= before + 1, "{kind:?}");
        assert_eq!(traffic.open_watches(kind), 1, "{kind:?}");
    }
    Ok(())
}

/// F15: one pod of a service of 20,000 endpoints in 200 slices is one small delta.
#[tokio::test]
async fn f15_one_pod_of_a_service_of_20_000_is_one_small_delta() -> Result<()> {
    let on = Ground::new(Limits::default()).await?;
    let pods: Vec<_> = (0..20_000).map(pod).collect();
    let mut big = on.service("big", pods).await?;
    let node = on.node("node-1", WINDOW, &["/svc/big"]).await?;
    node.until_addresses(&id("big"), &addresses(big.pods()))
        .await;
    let metrics = on.control.hub.metrics();
    let before = (node.frames(), metrics.bytes.get(), metrics.encodings.get());
    // The last slice is written alone: the others are as they were.
    let last = big.pods().len() - SLICE_ENDPOINTS;
    let mut pods = big.pods()[last..].to_vec();
    pods.push(pod(20_000));
    let http = [Port::new("http", 80, 8080)];
    on.cluster
        .slice("default", "big", "big-0199", &http, &pods)
        .await?;
    let mut wanted = addresses(big.pods());
    wanted.push(SocketAddr::new(pod(20_000).ip, 8080));
    wanted.sort();
    node.until_addresses(&id("big"), &wanted).await;
    let after = (node.frames(), metrics.bytes.get(), metrics.encodings.get());
    assert_eq!((after.0 - before.0, after.2 - before.2), (1, 1));
    // Heartbeats may have come between; the state itself has 120,000 bytes.
    assert!(after.1 - before.1 < 1_000, "{} bytes", after.1 - before.1);
    big.delete(&on.cluster).await
}

/// F16: while all slices of a service are replaced, no set that is published has fewer endpoints than the API showed.
#[tokio::test]
async fn f16_a_rollout_of_all_slices_never_shows_fewer_than_the_api() -> Result<()> {
    let on = Ground::new(Limits::default()).await?;
    let http = [Port::new("http", 80, 8080)];
    let old: Vec<_> = (0..2_000).map(pod).collect();
    let big = on.service("big", old.clone()).await?;
    let node = on.node("node-1", WINDOW, &["/svc/big"]).await?;
    let asked = on.control.ask("/svc/big", &[], None)?;
    let seen = asked.until(|seen| seen.len() == 2_000).await;
    assert_eq!(seen.len(), big.pods().len());
    let record = asked.record();
    let new: Vec<_> = (2_000..4_000).map(pod).collect();
    for (at, pods) in new.chunks(SLICE_ENDPOINTS).enumerate() {
        let (fresh, stale) = (format!("big-new-{at:04}"), format!("big-{at:04}"));
        on.cluster
            .slice("default", "big", &fresh, &http, pods)
            .await?;
        let kind = Kind::EndpointSlice;
        on.cluster.delete(kind, "default", &stale).await?;
    }
    node.until_addresses(&id("big"), &addresses(&new)).await;
    let sizes: Vec<_> = record.seen().iter().map(|seen| seen.len()).collect();
    assert!(sizes.iter().all(|size| *size >= 2_000), "{sizes:?}");
    Ok(())
}

/// F32, RES-5: a reader that stops during 1,000 changes costs a window and a chunk, delays nobody, and ends where all are.
#[tokio::test]
async fn f32_a_slow_reader_costs_constant_memory_and_ends_at_the_final_state() -> Result<()> {
    const SERVICES: usize = 20;
    const ROUNDS: usize = 50;
    // It would be ended for taking nothing at all (K8S-146), if the machine is slow.
    let limits = Limits {
        stall: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let on = Ground::new(limits).await?;
    let names: Vec<_> = (0..SERVICES).map(|n| format!("s{n}")).collect();
    let paths: Vec<_> = names.iter().map(|n| format!("/svc/{n}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let mut services = Vec::new();
    for (n, name) in names.iter().enumerate() {
        services.push(on.service(name, vec![pod(n)]).await?);
    }
    let quick = on.node("quick", WINDOW, &paths).await?;
    let slow = on.node("slow", 1 << 10, &paths).await?;
    let told = |node: &str| {
        let list = on.control.hub.registry().list(Some(node));
        list.first().expect("it is connected").bytes
    };
    for node in [&quick, &slow] {
        for (name, service) in names.iter().zip(&services) {
            node.until_addresses(&id(name), &addresses(service.pods()))
                .await;
        }
    }
    slow.read(false);
    let (before, heard) = (told("slow"), slow.frames());
    let quick_heard = quick.frames();
    for round in 1..=ROUNDS {
        for (n, service) in services.iter_mut().enumerate() {
            service.add(&on.cluster, pod(round * SERVICES + n)).await?;
            let wanted = addresses(service.pods());
            quick.until_addresses(&id(&names[n]), &wanted).await;
        }
    }
    let told_one_by_one = (quick.frames() - quick_heard) as usize;
    assert_eq!(told_one_by_one, SERVICES * ROUNDS);
    // The window, one message that was being read, one chunk behind it; 1,000 changes are 48,000 bytes.
    let under_way = told("slow") - before;
    assert!(under_way < 8_000, "{under_way} bytes");

    slow.read(true);
    for (name, service) in names.iter().zip(&services) {
        slow.until_addresses(&id(name), &addresses(service.pods()))
            .await;
    }
    let skipped = SERVICES * ROUNDS - (slow.frames() - heard) as usize;
    assert!(
        skipped > SERVICES * ROUNDS / 2,
        "only {skipped} were skipped"
    );
    Ok(())
}

/// F33, K8S-153: of more nodes than fit, those that do not are turned away with the time to wait, and those that are
/// there go on.
#[tokio::test]
async fn f33_a_storm_is_shed_with_retry_hints_and_harms_nobody() -> Result<()> {
    const ROOM: usize = 50;
    let limits = Limits {
        sessions: ROOM,
        ..Limits::default()
    };
    let on = Ground::new(limits).await?;
    let mut world = on.service("world", vec![pod(1)]).await?;
    let settled = on.node("settled", WINDOW, &["/svc/world"]).await?;
    let storm = join_all((0..200).map(|n| on.knock(n))).await;
    world.add(&on.cluster, pod(2)).await?;
    settled
        .until_addresses(&id("world"), &addresses(world.pods()))
        .await;
    let mut open = Vec::new();
    let mut shed = 0;
    for answer in storm {
        match answer? {
            Ok(stream) => open.push(stream),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                let wait = status.metadata().get("grpc-retry-pushback-ms");
                let wait = wait.and_then(|wait| wait.to_str().ok()?.parse::<u32>().ok());
                assert!(wait.is_some_and(|wait| wait > 0), "{status}");
                shed += 1;
            }
        }
    }
    // A session that is turned away takes part for a moment, so that a few more may be.
    assert!(open.len() < ROOM && open.len() + shed == 200);
    assert_eq!(on.control.hub.metrics().ended_limit.get(), shed as u64);
    assert_eq!(on.control.hub.registry().len(), open.len() + 1);
    // There is room again when others leave.
    drop(open);
    while on.control.hub.registry().len() > 1 {
        tokio::task::yield_now().await;
    }
    let late = on.node("late", WINDOW, &["/svc/world"]).await?;
    late.until_addresses(&id("world"), &addresses(world.pods()))
        .await;
    Ok(())
}

/// A stream with its way up, which keeps it open; or why there is none.
type Knocked = Result<(mpsc::Sender<v1::Up>, tonic::Streaming<v1::Down>), tonic::Status>;

impl Ground {
    /// Says hello and waits for what comes first.
    async fn knock(&self, n: usize) -> Result<Knocked> {
        let hello = v1::Hello {
            node: format!("storm-{n}"),
            ..v1::Hello::default()
        };
        let hello = v1::Up {
            message: Some(up::Message::Hello(hello)),
        };
        let (up, ups) = mpsc::channel(1);
        up.send(hello).await?;
        let ups = ReceiverStream::new(ups);
        let mut client = ResolverClient::new(self.channel(WINDOW).await?);
        let mut down = match client.follow(ups).await {
            Ok(down) => down.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        Ok(match down.message().await {
            Ok(_) => Ok((up, down)),
            Err(status) => Err(status),
        })
    }
}

/// RES-13, architecture 7: of 100 nodes one hears of its pod through the incoming route.
#[tokio::test]
async fn res_13_of_a_hundred_nodes_one_hears_of_its_pod() -> Result<()> {
    let on = Ground::new(Limits::default()).await?;
    let mut world = on.service("world", (0..100).map(pod).collect()).await?;
    // Namerd has heard of all of them before the nodes ask.
    let first = on.node("first", WINDOW, &["/svc/world"]).await?;
    let all = addresses(world.pods());
    first.until_addresses(&id("world"), &all).await;
    let follow = async |n: usize| {
        let routers = [("incoming", vec![localnode()], vec!["/svc/world"])];
        let channel = on.channel(WINDOW).await?;
        let node = Follower::start(channel, &format!("node-{n}"), &routers).await?;
        node.until_answered(1).await;
        Ok::<_, anyhow::Error>(node)
    };
    let nodes = try_join_all((0..100).map(follow)).await?;
    let before: Vec<_> = nodes.iter().map(Follower::frames).collect();
    // Pod 507 is the second one of node 7.
    world.add(&on.cluster, pod(507)).await?;
    let wanted = addresses(&[pod(7), pod(507)]);
    let local = "localnode/node-7/#/io.l5d.k8s/default/http/world";
    nodes[7].until_addresses(local, &wanted).await;
    let heard = nodes.iter().map(Follower::frames).zip(before);
    let heard: Vec<_> = heard.map(|(now, before)| now - before).collect();
    assert_eq!((heard.iter().sum::<u64>(), heard[7]), (1, 1));
    Ok(())
}
