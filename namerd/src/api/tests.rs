//! The gRPC port over real sockets, with the generated client, as any tool would use it.

mod silence;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{Endpoint as Address, Replicas};
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::up;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1 as reflection;
use tonic_types::StatusExt;

use super::{Api, Offer, serve_as};
use crate::auth::NodeGuard;
use crate::config::MeshOptions;
use crate::config::SocketOptions;
use crate::store::Cell;
use crate::stream::Limits;
use crate::stream::tests::{Stands, World, hello, interest, many, set_of, up};
use crate::tls::Gate;

pub(super) struct Port {
    pub(super) world: World,
    pub(super) addr: SocketAddr,
    ready: Arc<Cell<bool>>,
    pub(super) stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Port {
    pub(super) async fn new(names: &[&str]) -> Self {
        Self::with(World::new(names), Duration::from_secs(2)).await
    }

    async fn with(world: World, grace: Duration) -> Self {
        let offer = Offer::Mesh(MeshOptions::default());
        Self::offering(world, grace, offer).await
    }

    pub(super) async fn offering(world: World, grace: Duration, offer: Offer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let ready = Cell::new(true);
        let api = Self::api(&world, &ready, grace);
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_as(listener, api, offer, stop.clone()));
        Self {
            world,
            addr,
            ready,
            stop,
            server,
        }
    }

    fn api(world: &World, ready: &Arc<Cell<bool>>, grace: Duration) -> Api {
        Api {
            ca: None,
            hub: Arc::clone(&world.hub),
            limits: Arc::clone(world.hub.limits()),
            ready: Arc::clone(ready),
            grace,
            connections: 8,
            gate: Gate::plain(SocketOptions::default()),
            nodes: NodeGuard::open(),
            connection_age: None,
            access_log: None,
            meter: Arc::default(),
        }
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::try_from(format!("http://{}", self.addr)).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn client(&self) -> ResolverClient<Channel> {
        ResolverClient::new(self.channel().await)
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
    }
}

/// The node's end of a stream.
struct Follower {
    ups: mpsc::Sender<v1::Up>,
    downs: Streaming<v1::Down>,
}

impl Follower {
    async fn new(port: &Port) -> Self {
        Self::over(port.channel().await).await
    }

    async fn over(channel: Channel) -> Self {
        let (ups, out) = mpsc::channel(16);
        let stream = ReceiverStream::new(out);
        let downs = ResolverClient::new(channel).follow(stream).await.unwrap();
        let downs = downs.into_inner();
        Self { ups, downs }
    }

    async fn say(&self, message: up::Message) {
        self.ups.send(up(message)).await.unwrap();
    }

    async fn want(&self, id: u32, path: &str) {
        let interests = vec![interest(id, path)];
        self.say(up::Message::Want(v1::Want { interests })).await;
    }

    async fn next(&mut self) -> Message {
        let down = self.downs.message().await.unwrap().expect("a message");
        down.message.expect("a known message")
    }

    /// The status that the stream ends with.
    async fn end(mut self) -> Code {
        loop {
            match self.downs.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    }
}

fn ask(path: &str) -> v1::ResolveRequest {
    v1::ResolveRequest {
        root: "default".to_owned(),
        path: path.to_owned(),
        ..v1::ResolveRequest::default()
    }
}

#[tokio::test]
async fn a_node_follows_a_name_over_a_socket() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", many(3));
    let mut follower = Follower::new(&port).await;
    follower.say(up::Message::Hello(hello())).await;
    let Message::Welcome(welcome) = follower.next().await else {
        panic!("welcome comes first");
    };
    assert_eq!(welcome.replica, port.world.hub.replica());
    assert_eq!(welcome.heartbeat_ms, 10_000);
    assert_eq!(welcome.limits.unwrap().interests, 10_000);
    follower.want(1, "/svc/web").await;
    assert!(matches!(follower.next().await, Message::Cluster(c) if c.put4.len() == 18));
    assert!(matches!(follower.next().await, Message::Tree(_)));
    assert!(matches!(follower.next().await, Message::Answer(_)));
    assert!(matches!(follower.next().await, Message::Heartbeat(_)));
    port.world.set("web", many(4));
    assert!(matches!(follower.next().await, Message::Delta(d) if d.put4.len() == 6));

    let nodes = port.client().await.nodes(v1::NodesRequest::default()).await;
    let mut nodes = nodes.unwrap().into_inner();
    let node = nodes.message().await.unwrap().unwrap();
    assert_eq!(
        (node.node.as_str(), node.interests, node.clusters),
        ("a", 1, 1)
    );
    assert!(node.peer.starts_with("127.0.0.1:") && node.bytes > 0);
    assert!(nodes.message().await.unwrap().is_none());

    // The node ends its half.
    let Follower { ups, mut downs } = follower;
    drop(ups);
    while downs.message().await.unwrap().is_some() {}
    assert!(port.world.hub.registry().is_empty());
    port.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_status_of_the_fault() {
    let limits = Limits {
        message_bytes: 1_000,
        ..Limits::default()
    };
    let world = World::with_limits(&["web"], limits);
    let port = Port::with(world, Duration::from_secs(2)).await;

    let rude = Follower::new(&port).await;
    rude.want(1, "/svc/web").await;
    assert_eq!(rude.end().await, Code::InvalidArgument);

    let big = Follower::new(&port).await;
    big.say(up::Message::Hello(hello())).await;
    big.want(1, &format!("/{}", "x".repeat(2_000))).await;
    assert_eq!(big.end().await, Code::ResourceExhausted);

    let huge = Follower::new(&port).await;
    let mut hello = hello();
    hello.version = "x".repeat(2 << 20);
    huge.say(up::Message::Hello(hello)).await;
    assert_eq!(huge.end().await, Code::ResourceExhausted);

    port.ready.set(false);
    let early = Follower::new(&port).await;
    assert_eq!(early.end().await, Code::Unavailable);
    port.stop().await;
}

#[tokio::test]
async fn tools_resolve_a_name_with_all_that_is_known_of_it() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", many(2));
    let mut client = port.client().await;
    let resolved = client
        .resolve(ask("/svc/web/x"))
        .await
        .unwrap()
        .into_inner();
    let Some(v1::node::Node::Leaf(leaf)) = resolved.tree.unwrap().node else {
        panic!("a leaf");
    };
    assert_eq!(
        (leaf.id.as_str(), leaf.residual.as_str()),
        ("/#/shelf/web", "/x")
    );
    let endpoint = &resolved.clusters[0].endpoints[1];
    assert_eq!(
        (endpoint.ip.as_str(), endpoint.port, endpoint.weight),
        ("10.0.0.1", 80, 1.0)
    );

    // No such name is an answer.
    let resolved = client.resolve(ask("/svc/none")).await.unwrap().into_inner();
    assert!(matches!(
        resolved.tree.unwrap().node,
        Some(v1::node::Node::Neg(_))
    ));
    let mut unknown = ask("/svc/web");
    unknown.root = "unknown".to_owned();
    let resolved = client.resolve(unknown).await.unwrap().into_inner();
    assert!(matches!(
        resolved.tree.unwrap().node,
        Some(v1::node::Node::Neg(_))
    ));
    port.stop().await;
}

#[tokio::test]
async fn bad_requests_of_tools_are_refused_with_line_and_column() {
    let port = Port::new(&["web"]).await;
    let mut client = port.client().await;
    let mut bad = ask("/svc/web");
    bad.dtab = "/a => /b ;\n/c = /d".to_owned();
    let status = client.resolve(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "dtab");
    let why = &details.field_violations[0].description;
    assert!(why.contains("line 2, column "), "{why}");

    let status = client.resolve(ask("svc")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut bad = ask("/svc/web");
    bad.transformers = vec![v1::Transformer {
        kind: "io.l5d.nothing".to_owned(),
        ..v1::Transformer::default()
    }];
    let status = client.resolve(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut bad = ask("/svc/web");
    bad.pod_ip = "nowhere".to_owned();
    assert_eq!(
        client.resolve(bad).await.unwrap_err().code(),
        Code::InvalidArgument
    );

    port.world.set("web", Replicas::Pending);
    let mut short = ask("/svc/web");
    short.wait_ms = 1;
    let status = client.resolve(short).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("/#/shelf/web"),
        "{}",
        status.message()
    );
    port.world.stands("web", Stands::Failed);
    let status = client.resolve(ask("/svc/web")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    port.stop().await;
}

#[tokio::test]
async fn watch_gives_every_state_and_no_equal_ones() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", many(1));
    let mut client = port.client().await;
    let mut states = client.watch(ask("/svc/web")).await.unwrap().into_inner();
    let mut count = async || {
        let state = states.message().await.unwrap().unwrap();
        state.clusters[0].endpoints.len()
    };
    assert_eq!(count().await, 1);
    // There and back again is not told; pending is not told either.
    port.world.set("web", many(2));
    port.world.set("web", many(1));
    port.world.set("web", Replicas::Pending);
    port.world.set("web", many(3));
    assert_eq!(count().await, 3);
    drop(states);
    port.stop().await;
}

#[tokio::test]
async fn explain_shows_every_step_and_which_were_taken() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", many(2));
    port.world.dtab("/svc => /#/shelf/none | /#/shelf");
    let mut request = ask("/svc/web");
    request.dtab = "/svc/other => /svc/web".to_owned();
    let explained = port
        .client()
        .await
        .explain(request)
        .await
        .unwrap()
        .into_inner();
    let steps = explained.steps.unwrap();
    assert_eq!(
        (steps.kind.as_str(), steps.path.as_str(), steps.taken),
        ("alt", "/svc/web", true)
    );
    let [none, web] = &steps.children[..] else {
        panic!("two alternatives: {steps:?}");
    };
    assert_eq!((none.kind.as_str(), none.taken), ("neg", false));
    assert!(none.why.contains("next alternative"), "{}", none.why);
    assert_eq!((web.kind.as_str(), web.taken), ("leaf", true));
    assert_eq!(
        (web.id.as_str(), web.why.as_str()),
        ("/#/shelf/web", "2 endpoints")
    );
    let rule = web.rule.as_ref().unwrap();
    assert_eq!(
        (rule.prefix.as_str(), rule.from(), rule.index),
        ("/svc", v1::rule::From::Store, 0)
    );
    assert_eq!(explained.result.unwrap().clusters[0].endpoints.len(), 2);
    port.stop().await;
}

#[tokio::test]
async fn a_delegation_has_the_addresses_of_every_leaf() {
    let port = Port::new(&["web", "other"]).await;
    port.world.set("web", many(2));
    port.world.set("other", many(1));
    port.world.dtab("/svc => /#/shelf | /#/shelf/other");
    let request = v1::ResolveRequest {
        delegation: true,
        ..ask("/svc/web")
    };
    let explained = port.client().await.explain(request).await;
    let explained = explained.unwrap().into_inner();
    assert!(explained.result.is_none());
    let steps = explained.steps.unwrap();
    let told = |step: &v1::Step| {
        step.cluster
            .as_ref()
            .map(|c| (c.state(), c.endpoints.len()))
    };
    let all: Vec<_> = steps.children.iter().map(told).collect();
    let bound = |n| Some((v1::State::Bound, n));
    assert_eq!((told(&steps), all), (None, vec![bound(2), bound(1)]));
    port.stop().await;
}

#[tokio::test]
async fn explain_says_which_endpoints_a_transformer_left_out() {
    let port = Port::new(&["web"]).await;
    let on = |node: &str, ip: u8| Address {
        node: Some(node.into()),
        ..Address::new(([10, 0, 0, ip], 80).into())
    };
    port.world.set("web", set_of([on("a", 1), on("b", 2)]));
    port.world.set_on("web", "a", set_of([on("a", 1)]));
    let request = v1::ResolveRequest {
        node: "a".to_owned(),
        pod_ip: "10.0.0.9".to_owned(),
        transformers: vec![v1::Transformer {
            kind: "io.l5d.k8s.localnode".to_owned(),
            host_network: true,
            ..v1::Transformer::default()
        }],
        ..ask("/svc/web")
    };
    let explained = port
        .client()
        .await
        .explain(request)
        .await
        .unwrap()
        .into_inner();
    let result = explained.result.unwrap();
    assert_eq!(result.clusters[0].endpoints.len(), 1);
    let [transformed] = &explained.transformed[..] else {
        panic!(
            "one transformer: {explained:?}",
            explained = explained.transformed
        );
    };
    assert_eq!((transformed.before, transformed.after), (2, 1));
    assert_eq!(transformed.removed[0].endpoint, "10.0.0.2:80");
    assert!(transformed.removed[0].reason.contains("on node b"));
    port.stop().await;
}

#[tokio::test]
async fn health_says_serving_only_when_ready() {
    // K8S-129.
    let port = Port::new(&["web"]).await;
    let mut client = HealthClient::new(port.channel().await);
    let service = "l5d.resolver.v1.Resolver".to_owned();
    let watch = client.watch(HealthCheckRequest { service }).await;
    let mut states = watch.unwrap().into_inner();
    let mut until = async |wanted: ServingStatus| {
        loop {
            let state = states.message().await.unwrap().expect("goes on");
            if state.status() == wanted {
                return;
            }
        }
    };
    until(ServingStatus::Serving).await;
    port.ready.set(false);
    until(ServingStatus::NotServing).await;
    port.ready.set(true);
    until(ServingStatus::Serving).await;
    port.stop.cancel();
    until(ServingStatus::NotServing).await;
    drop(states);
    drop(client);
    port.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    use reflection::server_reflection_client::ServerReflectionClient;
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;

    let port = Port::new(&[]).await;
    let mut client = ServerReflectionClient::new(port.channel().await);
    let request = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client.server_reflection_info(tokio_stream::once(request));
    let answer = answers.await.unwrap().into_inner().message().await;
    let answer = answer.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"l5d.resolver.v1.Resolver"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    drop(client);
    port.stop().await;
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_ends_streams_with_unavailable() {
    let world = World::new(&["web"]);
    let port = Port::with(world, Duration::from_millis(400)).await;
    let mut follower = Follower::new(&port).await;
    follower.say(up::Message::Hello(hello())).await;
    assert!(matches!(follower.next().await, Message::Welcome(_)));
    port.stop.cancel();
    let Message::Goodbye(goodbye) = follower.next().await else {
        panic!("goodbye");
    };
    assert_eq!(goodbye.within_ms, 200);
    assert_eq!(follower.end().await, Code::Unavailable);
    port.stop().await;
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let port = Port::new(&[]).await;
    let mut grpc = tonic::client::Grpc::new(port.channel().await);
    grpc.ready().await.unwrap();
    let path = "/l5d.resolver.v1.Resolver/Nothing".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<v1::Ack, v1::Ack>::default();
    let request = tonic::Request::new(v1::Ack::default());
    let answer = grpc.unary(request, path, codec).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    drop(grpc);
    port.stop().await;
}
