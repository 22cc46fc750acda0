//! Identities of nodes: signed by namerd for those who prove to be that node, kept by all replicas in one Secret of the real
//! API server, and used between two node proxies without a word about it in any service's settings.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use l5d_node::app::{Options, Running as Node};
use l5d_node::config::Identity;
use l5d_resolver::v1;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_tests::app::App;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::control::{ControlPlane, api_address};
use l5d_tests::objects::{Pod, Port};
use l5d_tests::pki::Authority;
use l5d_tests::real::ADMIN;
use namerd::app::{NoLevels, Running, run};
use namerd::auth::NodeGuard;
use namerd::ca::{Ca, Keeper};
use namerd::config::{Config, NodeAuth, NodeProof, TokenCheck};
use namerd::k8s::SecretVault;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status};

const PATIENCE: Duration = Duration::from_secs(90);

async fn post(client: &ApiClient, path: &str, object: &Value) -> Result<Value> {
    client
        .send(Method::POST, path, &[], Some(object))
        .await?
        .ok()
}

/// A service account, a node with a pod of it, and a token that is bound to that pod.
async fn token_on(client: &ApiClient, node: &str) -> Result<String> {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
    post(client, "/api/v1/nodes", &object).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "l5d"},
        "spec": {
            "nodeName": node, "serviceAccountName": "l5d",
            "containers": [{"name": "l5d", "image": "l5d"}],
        },
    });
    post(client, "/api/v1/namespaces/mesh/pods", &pod).await?;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": ["namerd"], "expirationSeconds": 3600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "l5d"},
        },
    });
    let path = "/api/v1/namespaces/mesh/serviceaccounts/l5d/token";
    let answer = post(client, path, &request).await?;
    let token = answer["status"]["token"].as_str();
    Ok(token.context("a token")?.to_owned())
}

async fn certify(
    addr: SocketAddr,
    node: &str,
    token: Option<&str>,
) -> Result<Result<v1::Certified, Status>> {
    let endpoint = tonic::transport::Endpoint::try_from(format!("http://{addr}"))?;
    let mut client = ResolverClient::new(endpoint.connect().await?);
    let key = KeyPair::generate()?;
    let asked = CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    let mut request = Request::new(v1::CertifyRequest {
        node: node.to_owned(),
        request: asked.der().to_vec().into(),
    });
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(client
        .certify(request)
        .await
        .map(tonic::Response::into_inner))
}

/// Lets namerd keep its roots in this Secret, as its Role in a cluster does.
async fn allow_secret(client: &ApiClient) -> Result<()> {
    let api = "/apis/rbac.authorization.k8s.io/v1/namespaces/mesh";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "namerd-ca"},
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["namerd-ca"], "verbs": ["get", "update"]},
        ],
    });
    post(client, &format!("{api}/roles"), &role).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "namerd-ca"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "namerd-ca"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "linkerd", "name": "namerd"}],
    });
    post(client, &format!("{api}/rolebindings"), &binding).await?;
    Ok(())
}

#[tokio::test]
async fn replicas_share_a_root_in_a_real_secret_and_certify_by_real_tokens() -> Result<()> {
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
    let token = token_on(&client, "node-1").await?;
    allow_secret(&client).await?;

    // Three replicas start at once, without a Secret.
    let (day, year) = (
        Duration::from_secs(86_400),
        Duration::from_secs(365 * 86_400),
    );
    let mut replicas = Vec::new();
    let mut keepers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let ca = Ca::new("mesh.local", day);
        let vault = SecretVault::new(api_address(&cluster)?, "mesh", "namerd-ca")?;
        keepers.spawn(Keeper::vault(&ca, Arc::new(vault), year).run());
        replicas.push(ca);
    }
    let begun = Instant::now();
    while replicas.iter().any(|ca| ca.roots().is_none()) {
        assert!(begun.elapsed() < PATIENCE, "{replicas:?}");
        sleep(Duration::from_millis(20)).await;
    }
    let kept = |ca: &Arc<Ca>| ca.roots().map(|roots| roots.sealed().clone());
    assert!(replicas.iter().all(|ca| kept(ca) == kept(&replicas[0])));
    let secret = client
        .get("/api/v1/namespaces/mesh/secrets/namerd-ca")
        .await?
        .ok()?;
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert!(secret["data"]["ca.crt"].is_string());

    let control = ControlPlane::start(&cluster)?;
    control.ready().await;
    let wanted = NodeAuth {
        proofs: vec![NodeProof::ServiceAccount],
        tokens: TokenCheck {
            audiences: vec!["namerd".to_owned()],
            ..TokenCheck::default()
        },
        ..NodeAuth::default()
    };
    let guard = Arc::new(NodeGuard::new(&wanted, Some(control.reviews(&cluster)?)));
    let mut roots = Vec::new();
    for ca in &replicas {
        let addr = control.serve_certifying(guard.clone(), Some(ca.clone()))?;
        let certified = certify(addr, "node-1", Some(&token)).await??;
        roots.push(certified.roots);
        for (node, token, expected) in [
            ("node-2", Some(token.as_str()), Code::PermissionDenied),
            ("node-1", Some("rubbish"), Code::Unauthenticated),
            ("node-1", None, Code::Unauthenticated),
        ] {
            let refused = certify(addr, node, token).await?;
            let code = refused.err().map(|status| status.code());
            assert_eq!(code, Some(expected), "{node} {token:?}");
        }
    }
    assert!(roots.iter().all(|of| *of == roots[0] && of.len() == 1));
    // Where nobody has to prove anything, nobody is certified.
    let open = control.serve_certifying(NodeGuard::open(), Some(replicas[0].clone()))?;
    let refused = certify(open, "node-1", Some(&token)).await?;
    let code = refused.err().map(|status| status.code());
    assert_eq!(code, Some(Code::FailedPrecondition));
    keepers.shutdown().await;
    Ok(())
}

async fn namerd(folder: &std::path::Path, api: SocketAddr) -> Result<Running> {
    let authority = Authority::new("mesh")?;
    let (cert, key) = authority.write(folder)?;
    let text = format!(
        "admin: {{port: 0}}\n\
         storage: {{kind: io.l5d.inMemory, namespaces: {{default: /svc => /#/io.l5d.k8s/default/http}}}}\n\
         namers: [{{kind: io.l5d.k8s, host: {ip}, port: {port}}}]\n\
         ca: {{kind: io.l5d.files, certPath: {cert}, keyPath: {key}, trustDomain: mesh.local}}\n\
         interfaces: [{{kind: io.l5d.mesh, port: 0, auth: {{nodes: serviceAccount, host: {ip}, port: {port}}}}}]",
        ip = api.ip(),
        port = api.port(),
        cert = cert.display(),
        key = key.display(),
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

/// A node proxy with an address of its own on the loopback interface.
struct Host {
    name: String,
    ip: IpAddr,
}

impl Host {
    fn new(n: u8) -> Self {
        Self {
            name: format!("node-{n}"),
            ip: [127, 0, 77, n].into(),
        }
    }

    fn start(
        &self,
        namerd: SocketAddr,
        incoming: u16,
        folder: &std::path::Path,
        identity: &str,
    ) -> Result<Node> {
        let (ip, name) = (self.ip, &self.name);
        let interpreter = format!(
            "kind: io.l5d.mesh, root: /default, dst: /$/inet/{}/{}, tokenFile: {}",
            namerd.ip(),
            namerd.port(),
            folder.join(name).display()
        );
        let text = format!(
            "admin: {{port: 0}}\n{identity}\nrouters:\n\
             - {{protocol: http, label: outgoing, servers: [{{ip: {ip}, port: 0}}], interpreter: {{{interpreter}, \
             transformers: [{{kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: incoming}}]}}}}\n\
             - {{protocol: http, label: incoming, servers: [{{ip: {ip}, port: {incoming}}}], interpreter: {{{interpreter}, \
             transformers: [{{kind: io.l5d.k8s.localnode}}]}}}}\n"
        );
        let config = l5d_node::config::read("l5d.yml", &text)?;
        let identity = Identity {
            node_name: Some(name.clone()),
            pod_ip: Some(ip),
            ..Identity::default()
        };
        let options = Options {
            workers: Some(1),
            seed: Some(1),
            ..Options::default()
        };
        Ok(l5d_node::app::run(config, identity, options)?)
    }
}

/// What comes back for a request to the service `web`, until the end.
async fn ask(addr: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut all = Vec::new();
    // A connection that is refused may be reset.
    let _ = stream.read_to_end(&mut all).await;
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// A port that is free at all of these addresses.
fn free_port(hosts: &[Host]) -> Result<u16> {
    for _ in 0..100 {
        let first = std::net::TcpListener::bind((hosts[0].ip, 0))?;
        let port = first.local_addr()?.port();
        let mut others = hosts[1..].iter();
        if others.all(|host| std::net::TcpListener::bind((host.ip, port)).is_ok()) {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free at all addresses")
}

const IDENTITY: &str = "identity: {kind: io.l5d.namerd}";

#[tokio::test]
async fn what_travels_between_nodes_is_encrypted_without_work_for_any_service() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let hosts = [Host::new(1), Host::new(2)];
    let account = "system:serviceaccount:linkerd:l5d";
    for host in &hosts {
        let token = format!("token-of-{}", host.name);
        let reviews = double.reviews();
        reviews.add(&token, "namerd", account, Some(&host.name));
        std::fs::write(folder.path().join(&host.name), token)?;
        cluster.node(&host.name, None).await?;
    }
    let incoming = free_port(&hosts)?;
    let pods = hosts
        .iter()
        .map(|host| Pod::new(format!("l5d-{}", host.name), host.ip, &host.name));
    let ports = [Port::new("incoming", incoming, incoming)];
    Workload::create(&cluster, "linkerd", "l5d", &ports, pods.collect()).await?;
    let app = App {
        pod: "web-1".to_owned(),
        node: "node-2".to_owned(),
        text: "hello from web".to_owned(),
        target: None,
    };
    let app = app.start(([127, 0, 77, 20], 0).into()).await?;
    let ports = [Port::new("http", 80, app.addr.port())];
    let pod = Pod::new("web-1", app.addr.ip(), "node-2");
    Workload::create(&cluster, "default", "web", &ports, vec![pod]).await?;

    let namerd = namerd(folder.path(), double.addr()).await?;
    let mesh = namerd.addresses.interfaces[0].1;
    let [one, two] = &hosts;
    let first = one.start(mesh, incoming, folder.path(), IDENTITY)?;
    let second = two.start(mesh, incoming, folder.path(), IDENTITY)?;
    let begun = Instant::now();
    loop {
        let answer = ask(first.addresses[0][0]).await?;
        if answer.contains("hello from web") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..20 {
        assert!(ask(first.addresses[0][0]).await?.contains("hello from web"));
    }
    // Clear text is not let in.
    let answer = ask(SocketAddr::new(two.ip, incoming)).await?;
    assert!(!answer.starts_with("HTTP"), "{answer}");
    // Nor is a node that nobody has certified.
    let served = app.served();
    first.join().await;
    let stranger = one.start(mesh, incoming, folder.path(), "")?;
    let begun = Instant::now();
    loop {
        let answer = ask(stranger.addresses[0][0]).await?;
        assert!(!answer.contains("hello from web"), "{answer}");
        // It knows the address, and does not get through.
        if answer.starts_with("HTTP/1.1 502") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.served(), served);
    let metrics = ApiClient::plain(namerd.addresses.admin)
        .get("/metrics")
        .await?;
    let metrics = String::from_utf8(metrics.body.to_vec())?;
    let signed = "namerd_ca_requests_total{result=\"signed\"} 2";
    assert!(metrics.contains(signed), "{metrics}");
    stranger.join().await;
    second.join().await;
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}
