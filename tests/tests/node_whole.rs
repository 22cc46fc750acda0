//! A whole namerd and a whole node on one API server: Ingress rules as requests meet them, and what the node's admin server
//! tells of a name (Kubernetes 3, node-proxy 7.8 and 15.8).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use l5d_node::config::Identity;
use l5d_tests::app::{self, App};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::double::Kind;
use l5d_tests::front::{Front, Rewrite};
use l5d_tests::objects::{Pod, Port};
use l5d_tests::real::NAMERD;
use namerd::app::NoLevels;
use namerd::config::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(180);

/// Two services behind Ingress rules, each with one pod, and those who lead to them.
struct World {
    cluster: Cluster,
    node: l5d_node::app::Running,
    _namerd: namerd::app::Running,
    _apps: Vec<app::Running>,
    _front: Option<Front>,
}

async fn namerd(api: SocketAddr) -> Result<namerd::app::Running> {
    let at = format!(
        "host: '{}', port: {}, startupJitter: 0",
        api.ip(),
        api.port()
    );
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory, namespaces: {{default: '/svc => /#/io.l5d.k8s'}}}}\n\
         namers: [{{kind: io.l5d.k8s, {at}}}]\ningress: {{{at}}}\ninterfaces: [{{kind: io.l5d.mesh, port: 0}}]\n"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(namerd::app::run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

fn node(mesh: SocketAddr) -> Result<l5d_node::app::Running> {
    let text = format!(
        "admin: {{port: 0}}\nrouters:\n- protocol: http\n  label: edge\n  servers: [{{port: 0}}]\n  \
         identifier: {{kind: io.l5d.ingress}}\n  \
         interpreter: {{kind: io.l5d.mesh, root: /default, dst: /$/inet/{}/{}}}\n",
        mesh.ip(),
        mesh.port()
    );
    let config = l5d_node::config::read("l5d.yml", &text)?;
    let options = l5d_node::app::Options {
        workers: Some(2),
        ..l5d_node::app::Options::default()
    };
    Ok(l5d_node::app::run(config, Identity::default(), options)?)
}

fn ingress(paths: &[(&str, &str)]) -> Value {
    let path = |(path, service): &(&str, &str)| {
        let backend = json!({"service": {"name": service, "port": {"name": "http"}}});
        json!({"path": path, "pathType": "Prefix", "backend": backend})
    };
    let paths: Vec<_> = paths.iter().map(path).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"ingressClassName": "linkerd", "rules": [{"host": "shop.example", "http": {"paths": paths}}]},
    })
}

impl World {
    /// On a cluster whose pods are listed in this network, which is 127.1 to those who ask.
    async fn start(cluster: Cluster, network: [u8; 2], front: Option<Front>) -> Result<Self> {
        cluster.namespace("default").await?;
        let mut apps = Vec::new();
        for (n, service) in [(1, "cart"), (2, "shop")] {
            let pod = format!("{service}-1");
            let app = App {
                pod: pod.clone(),
                node: "node-1".to_owned(),
                text: format!("from {service}"),
                target: None,
            };
            let app = app.start(([127, 1, 9, n], 0).into()).await?;
            let ports = [Port::new("http", 80, app.addr.port())];
            let pod = Pod::new(pod, [network[0], network[1], 9, n], "node-1");
            Workload::create(&cluster, "default", service, &ports, vec![pod]).await?;
            apps.push(app);
        }
        let both = ingress(&[("/cart", "cart"), ("/", "shop")]);
        cluster.apply(Kind::Ingress, &both).await?;
        let api = match (cluster.backing(), &front) {
            (_, Some(front)) => front.addr(),
            (Backing::Double(double), None) => double.addr(),
            (Backing::Real(real), None) => real.addr(),
        };
        let namerd = namerd(api).await?;
        Ok(Self {
            node: node(namerd.addresses.interfaces[0].1)?,
            cluster,
            _namerd: namerd,
            _apps: apps,
            _front: front,
        })
    }

    /// Status and body of an answer.
    async fn ask(&self, host: &str, target: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.node.addresses[0][0]).await?;
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).context("a status")?.parse()?;
        Ok((status, answer))
    }

    /// Asks until that is the answer.
    async fn until(&self, host: &str, target: &str, status: u16, says: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (now, answer) = self.ask(host, target).await?;
            if now == status && answer.contains(says) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{host}{target}: {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// K8S-40 to K8S-44: rules choose the service, and a change of them moves requests.
    async fn rules_lead_requests(&self) -> Result<()> {
        self.until("shop.example", "/cart/1?x", 200, "from cart")
            .await?;
        self.until("shop.example", "/carts", 200, "from shop")
            .await?;
        self.until("other.example", "/cart", 400, "no ingress rule matches")
            .await?;
        let one = ingress(&[("/cart", "shop")]);
        self.cluster.apply(Kind::Ingress, &one).await?;
        self.until("shop.example", "/cart/1?x", 200, "from shop")
            .await?;
        self.until("shop.example", "/", 400, "no ingress rule matches")
            .await
    }

    /// The steps of a name, as namerd takes them for this node, in the form of Linkerd 1.x.
    async fn a_name_is_explained(&self) -> Result<()> {
        let admin = ApiClient::plain(self.node.admin);
        let told = admin
            .get("/delegator.json?path=/svc/default/http/cart")
            .await?
            .ok()?;
        assert_eq!(
            (&told["type"], &told["path"]),
            (&json!("delegate"), &json!("/svc/default/http/cart"))
        );
        let leaf = &told["delegate"];
        let id = "/#/io.l5d.k8s/default/http/cart";
        assert_eq!(
            (&leaf["type"], &leaf["path"], &leaf["bound"]["id"]),
            (&json!("leaf"), &json!(id), &json!(id)),
            "{told:#}"
        );
        assert_eq!(
            leaf["dentry"],
            json!({"prefix": "/svc", "dst": "/#/io.l5d.k8s"})
        );
        let addrs = &leaf["bound"]["addr"]["addrs"];
        assert_eq!(
            (&addrs[0]["ip"], &addrs[1]),
            (&json!("127.1.9.1"), &Value::Null),
            "{told:#}"
        );
        let none = admin
            .get("/delegator.json?path=/svc/default/http/none")
            .await?
            .ok()?;
        assert_eq!(none["delegate"]["type"], "neg", "{none:#}");
        Ok(())
    }

    async fn all(&self) -> Result<()> {
        self.rules_lead_requests().await?;
        self.a_name_is_explained().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_what_the_double_has() -> Result<()> {
    World::start(Cluster::double()?, [127, 1], None)
        .await?
        .all()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_what_the_real_api_server_has() -> Result<()> {
    let Some(cluster) = Cluster::real(&[]).await? else {
        return Ok(());
    };
    let Backing::Real(real) = cluster.backing() else {
        unreachable!("built on the real one")
    };
    // No pod may be listed on loopback.
    let rewrite = Rewrite {
        from: "10.1.",
        to: "127.1.",
    };
    let front = Front::start(real.client(NAMERD)?, rewrite)?;
    World::start(cluster, [10, 1], Some(front))
        .await?
        .all()
        .await
}
