//! Who may follow as which node, and who may write dtabs: over real sockets, with certificates, with the real API server's
//! tokens, and with the double's (resolver API 7).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::{self, down, up};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::control::ControlPlane;
use l5d_tests::pki::{Authority, channel};
use l5d_tests::real::ADMIN;
use namerd::app::{NoLevels, Running, run};
use namerd::auth::NodeGuard;
use namerd::config::{Config, NodeAuth, NodeProof, TokenCheck};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// An open stream, after its welcome.
type Open = (tokio::sync::mpsc::Sender<v1::Up>, Streaming<v1::Down>);

/// Follows as a node, with a token or none.
async fn follow(channel: Channel, node: &str, token: Option<&str>) -> Result<Open, Status> {
    let (ups, messages) = tokio::sync::mpsc::channel(4);
    let hello = v1::Hello {
        node: node.to_owned(),
        ..v1::Hello::default()
    };
    let message = Some(up::Message::Hello(hello));
    ups.send(v1::Up { message }).await.expect("room");
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut request = Request::new(messages);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
    }
    let mut downs = ResolverClient::new(channel)
        .follow(request)
        .await?
        .into_inner();
    let first = downs.next().await.expect("a message or an end")?;
    assert!(
        matches!(first.message, Some(down::Message::Welcome(_))),
        "{first:?}"
    );
    Ok((ups, downs))
}

async fn code(channel: Channel, node: &str, token: Option<&str>) -> Code {
    match follow(channel, node, token).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

async fn plain(addr: SocketAddr) -> Result<Channel> {
    let endpoint = tonic::transport::Endpoint::try_from(format!("http://{addr}"))?;
    Ok(endpoint.connect().await?)
}

async fn start(interfaces: &str) -> Result<Running> {
    let text = format!(
        "admin: {{port: 0}}\nstorage:\n  kind: io.l5d.inMemory\n  namespaces: {{default: '/a => /b'}}\ninterfaces:\n{interfaces}"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

#[tokio::test]
async fn a_node_follows_only_as_the_one_in_its_certificate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("mesh")?;
    let (cert, key) = authority
        .issue(&["127.0.0.1"])?
        .write(folder.path(), "server")?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let tls = format!(
        "tls: {{certPath: {}, keyPath: {}, caCertPath: {}}}",
        cert.display(),
        key.display(),
        ca.display()
    );
    let namerd = start(&format!(
        "- {{kind: io.l5d.mesh, port: 0, {tls}, auth: {{nodes: certificate, trustDomain: c.l}}}}\n\
         - {{kind: io.l5d.httpController, port: 0, {tls}, auth: {{writes: certificate, clients: [deployer]}}}}\n"
    ))
    .await?;
    let [(_, mesh), (_, http)] = namerd.addresses.interfaces[..] else {
        unreachable!("two interfaces")
    };
    let node = authority.issue(&["spiffe://c.l/node/node-1"])?;
    let other = authority.issue(&["spiffe://other/node/node-1", "node-1"])?;
    for (shown, name, expected) in [
        (Some(&node), "node-1", Code::Ok),
        (Some(&node), "node-2", Code::PermissionDenied),
        (Some(&node), "", Code::PermissionDenied),
        (Some(&other), "node-1", Code::Unauthenticated),
        (None, "node-1", Code::Unauthenticated),
    ] {
        let channel = channel(mesh, authority.client(shown, &["h2"])?).await?;
        assert_eq!(
            code(channel, name, None).await,
            expected,
            "{name} {shown:?}"
        );
    }
    let metrics = ApiClient::plain(namerd.addresses.admin)
        .get("/metrics")
        .await?;
    let metrics = String::from_utf8(metrics.body.to_vec())?;
    let denied = metrics
        .lines()
        .find(|line| line.contains(r#"reason="denied""#));
    assert!(
        denied.is_some_and(|line| line.ends_with(" 4")),
        "{denied:?}"
    );

    let deployer = authority.issue(&["deployer"])?;
    for (shown, expected) in [(Some(&deployer), 204), (Some(&node), 403), (None, 401)] {
        let client = ApiClient::over(http, authority.client(shown, &["http/1.1"])?);
        let path = "/api/1/dtabs/default";
        let body = json!([{"prefix": "/x", "dst": "/y"}]);
        let answer = client.send(Method::PUT, path, &[], Some(&body)).await?;
        assert_eq!(answer.status.as_u16(), expected, "{answer:?}");
        assert_eq!(client.get(path).await?.status, 200);
    }
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

fn tokens(accounts: &[&str]) -> NodeAuth {
    NodeAuth {
        proofs: vec![NodeProof::ServiceAccount],
        service_accounts: accounts.iter().map(|&name| name.to_owned()).collect(),
        tokens: TokenCheck {
            audiences: vec!["namerd".to_owned()],
            ..TokenCheck::default()
        },
        ..NodeAuth::default()
    }
}

#[tokio::test]
async fn tokens_of_the_double_name_nodes_and_outlive_it() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let account = "system:serviceaccount:linkerd:l5d";
    double
        .reviews()
        .add("one", "namerd", account, Some("node-1"));
    double
        .reviews()
        .add("elsewhere", "api", account, Some("node-1"));
    double
        .reviews()
        .add("new", "namerd", account, Some("node-1"));
    let (api, port) = (double.addr().ip(), double.addr().port());
    let namerd = start(&format!(
        "- {{kind: io.l5d.mesh, port: 0, auth: {{nodes: serviceAccount, host: {api}, port: {port}}}}}\n\
         - {{kind: io.l5d.httpController, port: 0, auth: {{writes: token, host: {api}, port: {port}}}}}\n"
    ))
    .await?;
    let [(_, mesh), (_, http)] = namerd.addresses.interfaces[..] else {
        unreachable!("two interfaces")
    };
    for (node, token, expected) in [
        ("node-2", Some("one"), Code::PermissionDenied),
        ("node-1", Some("elsewhere"), Code::Unauthenticated),
        ("node-1", None, Code::Unauthenticated),
    ] {
        assert_eq!(code(plain(mesh).await?, node, token).await, expected);
    }
    let open = follow(plain(mesh).await?, "node-1", Some("one")).await?;

    double.reviews().add("writer", "api", "jane", None);
    double.reviews().allow("jane", "update");
    let client = ApiClient::plain(http).with_token("writer");
    let put = |client: &ApiClient, method| {
        let client = client.clone();
        async move {
            let body = json!([{"prefix": "/x", "dst": "/y"}]);
            let answer = client
                .send(method, "/api/1/dtabs/default", &[], Some(&body))
                .await?;
            anyhow::Ok(answer.status.as_u16())
        }
    };
    assert_eq!(put(&client, Method::PUT).await?, 204);
    assert_eq!(put(&client, Method::DELETE).await?, 403);
    assert_eq!(put(&ApiClient::plain(http), Method::PUT).await?, 401);
    assert_eq!(
        ApiClient::plain(http)
            .get("/api/1/dtabs/default")
            .await?
            .status,
        200
    );

    // The API server is away: what is open goes on, what was checked is believed, what was not can be tried again.
    double.refuse();
    let again = follow(plain(mesh).await?, "node-1", Some("one")).await?;
    assert_eq!(
        code(plain(mesh).await?, "node-1", Some("new")).await,
        Code::Unavailable
    );
    let (_ups, mut downs) = open;
    let beat = tokio::time::timeout(Duration::from_secs(60), downs.next()).await?;
    let beat = beat.context("still open")??;
    assert!(
        matches!(beat.message, Some(down::Message::Heartbeat(_))),
        "{beat:?}"
    );
    drop(again);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// What a call without a body is answered: its headers, and its trailers, which are a frame of their own.
async fn raw(addr: SocketAddr, method: &str) -> Result<(http::HeaderMap, http::HeaderMap)> {
    let socket = tokio::net::TcpStream::connect(addr).await?;
    let (client, connection) = h2::client::handshake(socket).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://namerd/{method}"))
        .header("content-type", "application/grpc+proto")
        .body(())?;
    let mut client = client.ready().await?;
    let (response, _) = client.send_request(request, true)?;
    let (head, mut body) = response.await?.into_parts();
    while body.data().await.is_some() {}
    let trailers = body.trailers().await?.unwrap_or_default();
    connection.abort();
    Ok((head.headers, trailers))
}

fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn code_of<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

/// What each kind of call comes to: of a tool, of Linkerd 1.x, of health.
async fn asked(channel: Channel, token: Option<&str>) -> [Code; 5] {
    let ask = v1::ResolveRequest {
        root: "default".to_owned(),
        path: "/svc/x".to_owned(),
        ..v1::ResolveRequest::default()
    };
    let path = |text: &str| {
        let elems = text.split('/').skip(1).map(|elem| elem.as_bytes().to_vec());
        Some(l5d_mesh::v1::Path {
            elems: elems.map(Into::into).collect(),
        })
    };
    let bind = l5d_mesh::v1::BindReq {
        root: path("/default"),
        name: path("/svc/x"),
        dtab: None,
    };
    let nodes = v1::NodesRequest::default();
    let health = tonic_health::pb::HealthCheckRequest::default();
    let mut tools = ResolverClient::new(channel.clone());
    let mut old = l5d_mesh::v1::interpreter_client::InterpreterClient::new(channel.clone());
    let mut well = tonic_health::pb::health_client::HealthClient::new(channel);
    [
        code_of(tools.resolve(with_token(ask.clone(), token)).await),
        code_of(tools.watch(with_token(ask, token)).await),
        code_of(tools.nodes(with_token(nodes, token)).await),
        code_of(old.get_bound_tree(with_token(bind, token)).await),
        code_of(well.check(health).await),
    ]
}

const LET_IN: [Code; 5] = [Code::Ok; 5];
const KEPT_OUT: [Code; 5] = [
    Code::Unauthenticated,
    Code::Unauthenticated,
    Code::Unauthenticated,
    Code::Unauthenticated,
    Code::Ok,
];

/// Where nodes must prove their names, others must prove some name before they are told names and addresses.
#[tokio::test]
async fn who_asks_for_names_shows_some_token() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    double.reviews().add("jane", "namerd", "jane", None);
    double.reviews().add("elsewhere", "api", "jane", None);
    let (api, port) = (double.addr().ip(), double.addr().port());
    let auth = format!("nodes: serviceAccount, host: {api}, port: {port}");
    let namerd = start(&format!(
        "- {{kind: io.l5d.mesh, port: 0, auth: {{{auth}}}}}\n- {{kind: io.l5d.mesh, port: 0, auth: {{{auth}, tools: none}}}}\n"
    ))
    .await?;
    let [(_, mesh), (_, open)] = namerd.addresses.interfaces[..] else {
        unreachable!("two interfaces")
    };
    for (token, expected) in [
        (None, KEPT_OUT),
        (Some("elsewhere"), KEPT_OUT),
        (Some("jane"), LET_IN),
    ] {
        assert_eq!(
            asked(plain(mesh).await?, token).await,
            expected,
            "{token:?}"
        );
    }
    assert_eq!(asked(plain(open).await?, None).await, LET_IN);
    assert_eq!(
        code(plain(open).await?, "node-1", None).await,
        Code::Unauthenticated
    );

    // Linkerd 1.x reads the status from a frame of its own; tools from either.
    let (head, trailers) = raw(mesh, "io.linkerd.mesh.Interpreter/StreamBoundTree").await?;
    assert!(!head.contains_key("grpc-status"), "{head:?}");
    assert_eq!(head["content-type"], "application/grpc+proto");
    assert_eq!(trailers["grpc-status"], "16");
    let said = trailers["grpc-message"].to_str()?;
    assert!(said.contains("auth.tools"), "{said}");
    let (head, _) = raw(mesh, "l5d.resolver.v1.Resolver/Resolve").await?;
    assert_eq!(head["grpc-status"], "16");
    let (head, _) = raw(mesh, "l5d.resolver.v1.Resolver/MadeUp").await?;
    assert_eq!(head["grpc-status"], "16");

    // Nobody can tell: it may be tried again.
    double.reviews().add("joe", "namerd", "joe", None);
    double.refuse();
    let codes = asked(plain(mesh).await?, Some("joe")).await;
    assert_eq!((codes[0], codes[3]), (Code::Unavailable, Code::Unavailable));
    assert_eq!(asked(plain(mesh).await?, Some("jane")).await, LET_IN);
    let metrics = ApiClient::plain(namerd.addresses.admin)
        .get("/metrics")
        .await?;
    let metrics = String::from_utf8(metrics.body.to_vec())?;
    let counted = "namerd_api_grpc_calls_total{method=\"other\",code=\"Unauthenticated\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

#[tokio::test]
async fn who_asks_for_names_shows_some_certificate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("mesh")?;
    let (cert, key) = authority
        .issue(&["127.0.0.1"])?
        .write(folder.path(), "server")?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let namerd = start(&format!(
        "- {{kind: io.l5d.mesh, port: 0, auth: {{nodes: certificate, trustDomain: c.l}}, \
         tls: {{certPath: {}, keyPath: {}, caCertPath: {}}}}}\n",
        cert.display(),
        key.display(),
        ca.display()
    ))
    .await?;
    let mesh = namerd.addresses.interfaces[0].1;
    let tool = authority.issue(&["tool"])?;
    for (shown, expected) in [(Some(&tool), LET_IN), (None, KEPT_OUT)] {
        let channel = channel(mesh, authority.client(shown, &["h2"])?).await?;
        assert_eq!(asked(channel, None).await, expected, "{shown:?}");
    }
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

async fn post(client: &ApiClient, path: &str, object: &Value) -> Result<Value> {
    client
        .send(Method::POST, path, &[], Some(object))
        .await?
        .ok()
}

/// A token of the service account, bound to a pod, for one audience.
async fn bound_token(client: &ApiClient, pod: &str, audience: &str) -> Result<String> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": [audience], "expirationSeconds": 3600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod},
        },
    });
    let path = "/api/v1/namespaces/mesh/serviceaccounts/l5d/token";
    let answer = post(client, path, &request).await?;
    Ok(answer["status"]["token"]
        .as_str()
        .context("a token")?
        .to_owned())
}

async fn real_pod(client: &ApiClient, node: &str) -> Result<String> {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
    post(client, "/api/v1/nodes", &object).await?;
    let name = format!("l5d-{node}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node, "serviceAccountName": "l5d",
            "containers": [{"name": "l5d", "image": "l5d"}],
        },
    });
    post(client, "/api/v1/namespaces/mesh/pods", &pod).await?;
    Ok(name)
}

#[tokio::test]
async fn tokens_of_the_real_api_server_name_the_node_of_their_pod() -> Result<()> {
    let Some(cluster) = Cluster::real(&[]).await? else {
        return Ok(());
    };
    let Backing::Real(real) = cluster.backing() else {
        unreachable!("built on the real one")
    };
    let client = real.client(ADMIN)?;
    cluster.namespace("mesh").await?;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "l5d"}});
    post(&client, "/api/v1/namespaces/mesh/serviceaccounts", &account).await?;
    let pod = real_pod(&client, "node-1").await?;
    let token = bound_token(&client, &pod, "namerd").await?;
    let elsewhere = bound_token(&client, &pod, "elsewhere").await?;

    let control = ControlPlane::start(&cluster)?;
    control.ready().await;
    let reviews = control.reviews(&cluster)?;
    let guard = |accounts: &[&str]| {
        let guard = NodeGuard::new(&tokens(accounts), Some(Arc::clone(&reviews)));
        control.serve_guarded(Arc::new(guard))
    };
    let ours = guard(&["mesh/l5d"])?;
    let others = guard(&["default/l5d"])?;
    for (addr, node, token, expected) in [
        (ours, "node-1", Some(token.as_str()), Code::Ok),
        (ours, "node-2", Some(token.as_str()), Code::PermissionDenied),
        (
            ours,
            "node-1",
            Some(elsewhere.as_str()),
            Code::Unauthenticated,
        ),
        (ours, "node-1", Some("rubbish"), Code::Unauthenticated),
        (ours, "node-1", None, Code::Unauthenticated),
        (
            others,
            "node-1",
            Some(token.as_str()),
            Code::PermissionDenied,
        ),
    ] {
        assert_eq!(
            code(plain(addr).await?, node, token).await,
            expected,
            "{node} {token:?}"
        );
    }
    Ok(())
}
