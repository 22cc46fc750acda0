//! What following costs, in counts that do not depend on the machine: watches, frames, encodings, evaluations
//! (architecture 7, K8S-80, K8S-152, RES-4).

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::future::try_join_all;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::control::{ControlPlane, daemonset, localnode};
use l5d_tests::double::{Double, Kind, Verb};
use l5d_tests::follower::Follower;
use l5d_tests::objects::{Pod, Port};
use namerd::store::services::{Existence, Kind as Watched, PortRef};
use tonic::transport::{Channel, Endpoint};

const INCOMING: u16 = 4141;
const KINDS: [Kind; 3] = [Kind::EndpointSlice, Kind::Service, Kind::Node];
const OUTGOING_WORLD: &str = "l5d/#/io.l5d.k8s/default/http/world";

/// The double with `world` and its gateways on two nodes, and a control plane that serves.
struct Ground {
    cluster: Cluster,
    control: ControlPlane,
    addr: SocketAddr,
    world: Workload,
}

impl Ground {
    async fn new() -> Result<Self> {
        let cluster = Cluster::double()?;
        let gateways = [Port::new("incoming", INCOMING, INCOMING)];
        let pods = vec![pod(1, 1), pod(2, 1)];
        Workload::create(&cluster, "linkerd", "l5d", &gateways, pods).await?;
        let http = [Port::new("http", 80, 8080)];
        let pods = vec![pod(1, 11), pod(2, 11)];
        let world = Workload::create(&cluster, "default", "world", &http, pods).await?;
        for node in ["node-1", "node-2"] {
            cluster.node(node, Some("zone-1")).await?;
        }
        let control = ControlPlane::start(&cluster)?;
        let addr = control.serve()?;
        control.ready().await;
        Ok(Self {
            cluster,
            control,
            addr,
            world,
        })
    }

    fn double(&self) -> &Double {
        match self.cluster.backing() {
            Backing::Double(double) => double,
            Backing::Real(_) => unreachable!("built on the double"),
        }
    }

    /// A connection of its own, as each node has.
    async fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://{}", self.addr))?
            .connect()
            .await?)
    }

    /// A node with the two usual routers, following `world` through both, that has its first answers.
    async fn node(&self, n: u8) -> Result<Follower> {
        let routers = [
            ("outgoing", vec![daemonset("linkerd")], vec!["/svc/world"]),
            ("incoming", vec![localnode()], vec!["/svc/world"]),
        ];
        let node = Follower::start(self.channel().await?, &format!("node-{n}"), &routers).await?;
        node.until_answered(2).await;
        node.until_addresses(OUTGOING_WORLD, &[at(1, 1, INCOMING), at(2, 1, INCOMING)])
            .await;
        Ok(node)
    }

    fn assert_three_watches(&self) {
        let traffic = self.double().traffic();
        for kind in KINDS {
            assert_eq!(traffic.open_watches(kind), 1, "{kind:?}");
            assert!(traffic.requests(kind, Verb::List) <= 1, "{kind:?}");
        }
        assert_eq!(traffic.all_open_watches(), 3);
    }
}

fn pod(node: u8, n: u8) -> Pod {
    Pod::new(
        format!("pod-{node}-{n}"),
        [10, 1, node, n],
        format!("node-{node}"),
    )
}

fn at(node: u8, n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 1, node, n], port))
}

fn local(node: u8) -> String {
    format!("localnode/node-{node}/#/io.l5d.k8s/default/http/world")
}

/// K8S-80, K8S-152: three watches for one node and for two hundred, and no request of any other kind.
#[tokio::test]
async fn k8s_80_watches_do_not_grow_with_nodes() -> Result<()> {
    let on = Ground::new().await?;
    let _first = on.node(1).await?;
    on.assert_three_watches();
    let requests = on.double().traffic().seen().len();
    let _more = try_join_all((1..200).map(|n| on.node(n))).await?;
    assert_eq!(on.control.hub.metrics().sessions.get(), 200);
    on.assert_three_watches();
    assert_eq!(on.double().traffic().seen().len(), requests);
    Ok(())
}

/// K8S-105, K8S-107: what the watches ask for.
#[tokio::test]
async fn k8s_105_watches_ask_for_no_more_than_they_need() -> Result<()> {
    let on = Ground::new().await?;
    let seen = on.double().traffic().seen();
    let reads = |kind| {
        let seen = seen.iter();
        seen.filter(move |s| s.kind == kind && matches!(s.verb, Verb::List | Verb::Watch))
    };
    assert!(reads(Kind::EndpointSlice).all(|s| {
        s.query
            .contains("labelSelector=kubernetes.io%2Fservice-name")
    }));
    assert!(reads(Kind::Node).all(|s| s.accept.contains("as=PartialObjectMetadata")));
    assert_eq!(reads(Kind::Namespace).count(), 0);
    Ok(())
}

/// K8S-33: after the first lists any name is answered from memory, whether it exists or not.
#[tokio::test]
async fn k8s_33_a_first_lookup_asks_the_api_server_nothing() -> Result<()> {
    let on = Ground::new().await?;
    let traffic = on.double().traffic();
    traffic.wait(|now| now.all_open_watches() == 3).await;
    let requests = traffic.seen().len();
    for port in ["http", "80"] {
        let path = format!("/#/io.l5d.k8s/default/{port}/world");
        let plain = on.control.ask(&path, &[], None)?;
        let local = on.control.ask(&path, &[localnode()], Some("node-1"))?;
        let outgoing = on.control.ask(&path, &[daemonset("linkerd")], None)?;
        let all = [plain.now(), local.now(), outgoing.now()];
        assert_eq!(all.map(|seen| seen.len()), [2, 1, 2]);
    }
    let path = "/#/io.l5d.k8s/default/http/moon";
    assert!(on.control.ask(path, &[], None)?.now().is_neg());
    assert_eq!(traffic.seen().len(), requests);
    on.assert_three_watches();
    Ok(())
}

/// RES-4, K8S-145: a version is encoded once, however many follow, and an unrelated change costs nothing.
#[tokio::test]
async fn res_4_one_encoding_a_version_for_two_hundred_nodes() -> Result<()> {
    let mut on = Ground::new().await?;
    let nodes = try_join_all((1..=200).map(|n| on.node(n))).await?;
    let first = &nodes[0];
    first.until_addresses(&local(1), &[at(1, 11, 8080)]).await;
    let metrics = on.control.hub.metrics();
    let (encodings, evaluations) = (metrics.encodings.get(), on.control.binder.evaluations());
    // The gateway of a third node: the outgoing set changes once, for all.
    let ports = [Port::new("incoming", INCOMING, INCOMING)];
    let gateways = [pod(1, 1), pod(2, 1), pod(3, 1)];
    on.cluster
        .slice("linkerd", "l5d", "l5d-0000", &ports, &gateways)
        .await?;
    assert_eq!(
        metrics.encodings.get(),
        encodings,
        "no pod of world is there yet"
    );
    on.world.add(&on.cluster, pod(3, 11)).await?;
    let wanted = [at(1, 1, INCOMING), at(2, 1, INCOMING), at(3, 1, INCOMING)];
    for node in &nodes {
        node.until_addresses(OUTGOING_WORLD, &wanted).await;
    }
    nodes[2]
        .until_addresses(&local(3), &[at(3, 11, 8080)])
        .await;
    // One for the outgoing set, one for the incoming set of node 3.
    assert_eq!(metrics.encodings.get() - encodings, 2);
    assert_eq!(on.control.binder.evaluations(), evaluations);
    Ok(())
}

/// Architecture 7: a pod changes, and exactly one node hears of it.
#[tokio::test]
async fn a_pod_change_is_told_to_its_node_only() -> Result<()> {
    let mut on = Ground::new().await?;
    let follow = async |n: u8| {
        let routers = [("incoming", vec![localnode()], vec!["/svc/world"])];
        Follower::start(on.channel().await?, &format!("node-{n}"), &routers).await
    };
    let (one, two) = (follow(1).await?, follow(2).await?);
    one.until_addresses(&local(1), &[at(1, 11, 8080)]).await;
    two.until_addresses(&local(2), &[at(2, 11, 8080)]).await;
    let (heard, evaluations) = (one.frames(), on.control.binder.evaluations());
    for n in 12..20 {
        on.world.add(&on.cluster, pod(2, n)).await?;
    }
    let pods: Vec<_> = (11..20).map(|n| at(2, n, 8080)).collect();
    two.until_addresses(&local(2), &pods).await;
    // A later change on node 1 is the next thing that it hears: nothing was under way.
    assert_eq!(one.frames(), heard);
    on.world.add(&on.cluster, pod(1, 12)).await?;
    one.until_addresses(&local(1), &[at(1, 11, 8080), at(1, 12, 8080)])
        .await;
    assert_eq!(one.frames(), heard + 1);
    assert_eq!(on.control.binder.evaluations(), evaluations);
    Ok(())
}

/// Dependency tracking: what a name did not read does not evaluate it again.
#[tokio::test]
async fn an_unrelated_change_evaluates_and_tells_nothing() -> Result<()> {
    let on = Ground::new().await?;
    let node = on.node(1).await?;
    node.until_addresses(&local(1), &[at(1, 11, 8080)]).await;
    let metrics = on.control.hub.metrics();
    let counts = || {
        (
            node.frames(),
            metrics.encodings.get(),
            on.control.binder.evaluations(),
        )
    };
    let before = counts();
    let known = on
        .control
        .services
        .port("default", PortRef::parse("http"), "moon", None);
    let http = [Port::new("http", 80, 8080)];
    let mut moon =
        Workload::create(&on.cluster, "default", "moon", &http, vec![pod(1, 21)]).await?;
    known
        .existence
        .wait_for(|now| *now == Existence::Present)
        .await;
    moon.delete(&on.cluster).await?;
    known
        .existence
        .wait_for(|now| *now == Existence::Absent)
        .await;
    on.cluster.node("node-9", None).await?;
    let newest = on.double().store().version();
    let nodes = on.control.services.newest(Watched::Nodes);
    nodes.wait_for(|version| *version >= newest).await;
    assert_eq!(counts(), before);
    Ok(())
}
