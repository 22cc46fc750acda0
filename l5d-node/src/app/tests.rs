//! The whole node in this process, beside a scripted namerd on the resolver API and a backend on loopback.

mod delegator;

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use l5d_naming::{ClusterId, Elem, Endpoint, EndpointSet, Path, Replicas};
use l5d_resolver::hash::{Digest, cluster_hash, tree_hash};
use l5d_resolver::page::pages;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::resolver_server::{Resolver, ResolverServer};
use l5d_resolver::v1::up::Message as Up;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::config::read;

/// Binds every path to one cluster.
#[derive(Clone)]
struct Namerd {
    replicas: watch::Receiver<Replicas>,
    /// What nodes sent first.
    hellos: mpsc::Sender<v1::Hello>,
}

type Downs = Pin<Box<dyn Stream<Item = Result<v1::Down, Status>> + Send>>;
type Nothing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Resolver for Namerd {
    type FollowStream = Downs;
    type WatchStream = Nothing<v1::Resolved>;
    type NodesStream = Nothing<v1::NodeSession>;
    type IngressesStream = Nothing<v1::Ingress>;

    async fn follow(&self, request: Request<Streaming<v1::Up>>) -> Result<Response<Downs>, Status> {
        let (downs, rest) = mpsc::channel(16);
        tokio::spawn(self.clone().session(request.into_inner(), downs));
        Ok(Response::new(ReceiverStream::new(rest).map(Ok).boxed()))
    }

    async fn resolve(
        &self,
        _: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::Resolved>, Status> {
        Err(Status::unimplemented("scripted"))
    }

    async fn watch(
        &self,
        _: Request<v1::ResolveRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("scripted"))
    }

    async fn explain(
        &self,
        question: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::Explained>, Status> {
        if question.get_ref().path == "/svc/never" {
            std::future::pending().await
        }
        delegator::told(question.get_ref()).map(Response::new)
    }

    async fn nodes(
        &self,
        _: Request<v1::NodesRequest>,
    ) -> Result<Response<Self::NodesStream>, Status> {
        Err(Status::unimplemented("scripted"))
    }

    async fn ingresses(
        &self,
        _: Request<v1::IngressesRequest>,
    ) -> Result<Response<Self::IngressesStream>, Status> {
        Err(Status::unimplemented("scripted"))
    }

    async fn certify(
        &self,
        _: tonic::Request<v1::CertifyRequest>,
    ) -> Result<tonic::Response<v1::Certified>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl Namerd {
    async fn session(
        mut self,
        mut ups: Streaming<v1::Up>,
        downs: mpsc::Sender<v1::Down>,
    ) -> Option<()> {
        let id = ClusterId(path("cluster"));
        let bound = l5d_naming::NameTree::Leaf(l5d_naming::BoundName {
            id: id.clone(),
            residual: Path::root(),
        });
        let mut is_told = false;
        loop {
            let mut messages = Vec::new();
            tokio::select! {
                up = ups.next() => match up?.ok()?.message? {
                    Up::Hello(hello) => {
                        let _ = self.hellos.try_send(hello);
                        messages.push(Message::Welcome(v1::Welcome {
                            replica: "scripted".to_owned(),
                            ..v1::Welcome::default()
                        }));
                    }
                    Up::Want(want) if !want.interests.is_empty() => {
                        if !is_told {
                            is_told = true;
                            messages.extend(self.full(&id));
                            let leaf = v1::Leaf { cluster: 1, residual: "/".to_owned(), id: String::new() };
                            let root = v1::Node { node: Some(v1::node::Node::Leaf(leaf)) };
                            messages.push(Message::Tree(v1::Tree {
                                number: 2,
                                hash: tree_hash(&bound),
                                state: Some(v1::tree::State::Root(root)),
                            }));
                        }
                        messages.push(Message::Answer(v1::Answer {
                            trees: vec![2; want.interests.len()],
                            interests: want.interests.iter().map(|i| i.id).collect(),
                        }));
                        let mut digest = Digest::default();
                        digest.add(1, cluster_hash(&self.replicas.borrow()));
                        digest.add(2, tree_hash(&bound));
                        messages.push(Message::Heartbeat(v1::Heartbeat {
                            digest: digest.value(),
                            ..v1::Heartbeat::default()
                        }));
                    }
                    _ => {}
                },
                changed = self.replicas.changed() => {
                    changed.ok()?;
                    if is_told {
                        messages.extend(self.full(&id));
                    }
                }
            }
            for message in messages {
                downs
                    .send(v1::Down {
                        message: Some(message),
                    })
                    .await
                    .ok()?;
            }
        }
    }

    fn full(&mut self, id: &ClusterId) -> Vec<Message> {
        let replicas = self.replicas.borrow_and_update().clone();
        let hash = cluster_hash(&replicas);
        pages(1, id, &replicas, hash)
            .into_iter()
            .map(Message::Cluster)
            .collect()
    }
}

fn path(name: &str) -> Path {
    Path::from_elems(Elem::new(name))
}

/// A namerd that lives until the handle is dropped.
struct Served {
    addr: SocketAddr,
    replicas: watch::Sender<Replicas>,
    hellos: mpsc::Receiver<v1::Hello>,
    _task: AbortOnDropHandle<()>,
}

async fn namerd(backend: SocketAddr) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (replicas, following) = watch::channel(to(&[backend]));
    let (sender, hellos) = mpsc::channel(4);
    let service = ResolverServer::new(Namerd {
        replicas: following,
        hellos: sender,
    });
    let served = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let task = tokio::spawn(async move { served.await.expect("it serves") });
    Served {
        addr,
        replicas,
        hellos,
        _task: AbortOnDropHandle::new(task),
    }
}

fn to(addrs: &[SocketAddr]) -> Replicas {
    let endpoints = addrs.iter().map(|addr| Endpoint::new(*addr));
    Replicas::Bound(Arc::new(EndpointSet::new(endpoints)))
}

/// Answers every request with its name.
async fn backend(name: &'static str) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.is_ok_and(|n| n > 0) {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
                        name.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (addr, AbortOnDropHandle::new(task))
}

fn start(namerd: SocketAddr, warm_file: Option<&FilePath>) -> Running {
    let text =
        "admin: {port: 0}\nrouters: [{protocol: http, label: outgoing, servers: [{port: 0}]}]";
    let config = read("l5d.yml", text).expect("it is right");
    let identity = Identity {
        node_name: Some("n1".to_owned()),
        namerd: vec![(namerd.ip().to_string(), namerd.port())],
        warm_file: warm_file.map(FilePath::to_owned),
        ..Identity::default()
    };
    let options = Options {
        workers: Some(1),
        seed: Some(1),
        ..Options::default()
    };
    run(config, identity, options).expect("it starts")
}

async fn get(addr: SocketAddr, host: &str, target: &str) -> String {
    request(
        addr,
        &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
    .await
}

async fn request(addr: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(text.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    answer
}

#[tokio::test]
async fn a_request_goes_where_namerd_says_and_the_pages_show_it() {
    let (first, _keep) = backend("first").await;
    let mut namerd = namerd(first).await;
    let running = start(namerd.addr, None);
    let router = running.addresses[0][0];
    let answer = get(router, "web", "/").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("first"),
        "{answer}"
    );
    let hello = namerd.hellos.recv().await.expect("a Hello");
    assert_eq!((hello.node.as_str(), hello.routers.len()), ("n1", 1));

    // The answer may be here before the control thread has said that all is answered.
    while !get(running.admin, "admin", "/ready")
        .await
        .starts_with("HTTP/1.1 200")
    {}
    let state = get(running.admin, "admin", "/state.json").await;
    for part in [
        "\"following\"",
        "/svc/web",
        "\"scripted\"",
        &first.to_string(),
    ] {
        assert!(state.contains(part), "{part} in {state}");
    }
    let metrics = get(running.admin, "admin", "/metrics").await;
    let line = "rt:service:requests{rt=\"outgoing\", service=\"svc/web\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    let sizes = metrics
        .lines()
        .find(|l| l.starts_with("rt:client:loadbalancer:size{"));
    assert!(sizes.is_some_and(|l| l.ends_with(" 1")), "{metrics}");
    let clients = get(running.admin, "admin", "/client_state.json").await;
    assert!(
        clients.contains("\"cluster\":{\"addresses\":["),
        "{clients}"
    );
    let page = get(running.admin, "admin", "/state").await;
    assert!(page.contains("/svc/web"));
    running.join().await;
}

#[tokio::test]
async fn a_change_of_addresses_is_followed() {
    let (first, _first) = backend("first").await;
    let (second, _second) = backend("second").await;
    let namerd = namerd(first).await;
    let running = start(namerd.addr, None);
    assert!(
        get(running.addresses[0][0], "web", "/")
            .await
            .ends_with("first")
    );
    let follow = running.table.routers()[0].follow().clone();
    let cell = follow.clusters.cell(&ClusterId(path("cluster")));
    namerd.replicas.send_replace(to(&[second]));
    while cell.state().replicas != to(&[second]) {
        tokio::task::yield_now().await;
    }
    assert!(
        get(running.addresses[0][0], "web", "/")
            .await
            .ends_with("second")
    );
    running.join().await;
}

#[tokio::test]
async fn a_restart_without_namerd_serves_cached_names_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warm");
    let (first, _keep) = backend("first").await;
    let namerd = namerd(first).await;
    let running = start(namerd.addr, Some(&file));
    assert!(
        get(running.addresses[0][0], "web", "/")
            .await
            .ends_with("first")
    );
    running.join().await;
    drop(namerd);

    // Where nobody listens: the port that it had may be another test's by now.
    let running = start(([127, 0, 0, 1], 1).into(), Some(&file));
    let answer = get(running.addresses[0][0], "web", "/").await;
    assert!(answer.ends_with("first"), "{answer}");
    let ready = get(running.admin, "admin", "/ready").await;
    assert!(
        ready.starts_with("HTTP/1.1 200"),
        "a warm file is enough: {ready}"
    );
    let state = get(running.admin, "admin", "/state.json").await;
    assert!(state.contains("\"stale\": true"), "{state}");
    running.join().await;
}

#[tokio::test]
async fn without_namerd_it_is_not_ready_and_a_post_stops_it() {
    let running = start(([127, 0, 0, 1], 1).into(), None);
    let ready = get(running.admin, "admin", "/ready").await;
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("no namerd reachable"),
        "{ready}"
    );
    assert!(
        get(running.admin, "admin", "/live")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(running.admin, "admin", "/admin/shutdown")
            .await
            .starts_with("HTTP/1.1 405")
    );
    assert!(
        get(running.admin, "admin", "/none")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let post = "POST /admin/shutdown HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(
        request(running.admin, post)
            .await
            .starts_with("HTTP/1.1 200")
    );
    let waited = tokio::time::timeout(Duration::from_secs(60), running.stop_asked()).await;
    waited.expect("the stop was asked for");
    running.join().await;
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let config = read(
        "l5d.yml",
        "routers: [{protocol: http, servers: [{port: 0}]}]",
    );
    let error = run(
        config.expect("right"),
        Identity::default(),
        Options::default(),
    );
    assert!(
        error
            .expect_err("no namerd")
            .to_string()
            .contains("L5D_NAMERD")
    );
}

#[tokio::test]
async fn the_admin_server_speaks_tls_if_it_is_told_to() {
    let pki = crate::tls::pki::Pki::new();
    let tls = pki.server("admin", &["node.example"]);
    let text = format!(
        "admin: {{port: 0, tls: {{certPath: {}, keyPath: {}}}}}\nrouters: [{{protocol: http, servers: [{{port: 0}}]}}]",
        tls.cert.display(),
        tls.key.display()
    );
    let config = crate::config::read("l5d.yml", &text).expect("it is right");
    let identity = Identity {
        namerd: vec![("127.0.0.1".to_owned(), 1)],
        ..Identity::default()
    };
    let options = Options {
        workers: Some(1),
        seed: Some(1),
        ..Options::default()
    };
    let running = run(config, identity, options).expect("it starts");
    let request = "GET /admin/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let ask = |name: &str| {
        let (admin, tls) = (running.admin, pki.client(name));
        async move { crate::tls::pki::ask(admin, &tls, request).await }
    };
    let answer = ask("node.example").await.expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("pong"),
        "{answer}"
    );
    ask("other.example").await.expect_err("another name");
    running.join().await;
}
