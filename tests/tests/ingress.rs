//! Ingress rules end to end: objects in the API server, a whole namerd, a table at a follower (Kubernetes 3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_resolver::ingress::{FEATURE, Table};
use l5d_resolver::ingress_page::TableAssembly;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::double::{Double, Kind};
use l5d_tests::front::{Front, Rewrite};
use l5d_tests::real::{NAMERD, NOBODY};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

const PATIENCE: Duration = Duration::from_secs(60);

async fn namerd(ingress: &str) -> Result<Running> {
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, port: 0}}]\n{ingress}"
    );
    let (config, _) = Config::read("test", &text, &|_| None).expect("a good file");
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

async fn serving(api: SocketAddr, more: &str) -> Result<Running> {
    let (ip, port) = (api.ip(), api.port());
    namerd(&format!(
        "ingress: {{host: '{ip}', port: {port}, startupJitter: 0{more}}}"
    ))
    .await
}

async fn connect(namerd: &Running) -> Result<ResolverClient<Channel>> {
    let addr = namerd.addresses.interfaces[0].1;
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?;
    Ok(ResolverClient::new(endpoint.connect().await?))
}

/// The table as tools get it.
async fn ingresses(namerd: &Running, class: &str) -> Result<Table> {
    let class = class.to_owned();
    let request = v1::IngressesRequest { class };
    let mut pages = connect(namerd)
        .await?
        .ingresses(request)
        .await?
        .into_inner();
    let mut assembly = TableAssembly::default();
    while let Some(page) = pages.message().await? {
        if let Some(table) = assembly.push(&page)? {
            return Ok(table);
        }
    }
    bail!("no last page")
}

/// A node's stream that takes nothing but Ingress rules.
struct Node {
    down: tonic::Streaming<v1::Down>,
    assembly: TableAssembly,
    _up: mpsc::Sender<v1::Up>,
}

/// What a node is told.
#[derive(Debug, PartialEq)]
enum Told {
    Table(Table),
    Held(u64),
    Error(String),
}

impl Node {
    async fn follow(namerd: &Running, features: &[&str], held: Option<u64>) -> Result<Self> {
        let hello = v1::Hello {
            features: features.iter().map(ToString::to_string).collect(),
            ingress: Some(v1::IngressWish {
                class: "linkerd".to_owned(),
                held,
            }),
            ..v1::Hello::default()
        };
        let (up, ups) = mpsc::channel(4);
        for message in [
            v1::up::Message::Hello(hello),
            v1::up::Message::Want(v1::Want::default()),
        ] {
            let message = Some(message);
            up.send(v1::Up { message }).await?;
        }
        let down = connect(namerd)
            .await?
            .follow(ReceiverStream::new(ups))
            .await?;
        Ok(Self {
            down: down.into_inner(),
            assembly: TableAssembly::default(),
            _up: up,
        })
    }

    async fn message(&mut self) -> Result<Message> {
        let down = tokio::time::timeout(PATIENCE, self.down.message()).await??;
        down.and_then(|down| down.message).context("a message")
    }

    /// The next thing told of Ingress rules.
    async fn next(&mut self) -> Result<Told> {
        loop {
            let Message::Ingress(page) = self.message().await? else {
                continue;
            };
            if let Some(error) = page.error {
                return Ok(Told::Error(error.message));
            }
            if page.held {
                return Ok(Told::Held(page.hash));
            }
            if let Some(table) = self.assembly.push(&page)? {
                return Ok(Told::Table(table));
            }
        }
    }

    /// How far the Ingresses of this replica are, by its next heartbeat; 0 if it does not say.
    async fn position(&mut self) -> Result<u64> {
        loop {
            if let Message::Heartbeat(beat) = self.message().await? {
                let sources = beat.position.unwrap_or_default().sources;
                let ours = sources.into_iter().find(|s| s.source == "k8s/ingresses");
                return Ok(ours.map_or(0, |source| source.rv));
            }
        }
    }

    /// Reads heartbeats until that is more.
    async fn until_position(&mut self, before: u64) -> Result<u64> {
        for _ in 0..20 {
            let now = self.position().await?;
            if now > before {
                return Ok(now);
            }
        }
        bail!("twenty heartbeats, and the position is still {before}")
    }

    /// Reads tables until the services of its rules are these.
    async fn until(&mut self, services: &[&str]) -> Result<Table> {
        for _ in 0..100 {
            let Told::Table(table) = self.next().await? else {
                bail!("no table");
            };
            if table
                .rules()
                .iter()
                .map(|r| &*r.service)
                .eq(services.iter().copied())
            {
                return Ok(table);
            }
        }
        bail!("a hundred tables, none with {services:?}")
    }
}

fn ingress(name: &str, class: Option<&str>, path: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"ingressClassName": class, "rules": [{"host": "shop.example", "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}},
        ]}}]},
    })
}

/// A cluster, and where a namerd without credentials reaches it: for the real one a front with the rights that the
/// manifest gives to namerd.
struct Ground {
    cluster: Cluster,
    front: Option<Front>,
}

impl Ground {
    async fn double() -> Result<Self> {
        let cluster = Cluster::double()?;
        cluster.namespace("default").await?;
        Ok(Self {
            cluster,
            front: None,
        })
    }

    /// `None` without the programs of the real API server.
    async fn real() -> Result<Option<Self>> {
        let Some(cluster) = Cluster::real(&[]).await? else {
            return Ok(None);
        };
        cluster.namespace("default").await?;
        let front = Some(front(&cluster, NAMERD)?);
        Ok(Some(Self { cluster, front }))
    }

    fn addr(&self) -> SocketAddr {
        match (self.cluster.backing(), &self.front) {
            (_, Some(front)) => front.addr(),
            (Backing::Double(double), None) => double.addr(),
            (Backing::Real(real), None) => real.addr(),
        }
    }

    async fn put(&self, name: &str, class: Option<&str>) -> Result<()> {
        let object = ingress(name, class, "/");
        self.cluster.apply(Kind::Ingress, &object).await.map(drop)
    }

    /// `unclassed` goes and `new` comes while namerd hears nothing, and history forgets both.
    async fn change_unseen(&mut self) -> Result<()> {
        let of_class = ingress("new", Some("linkerd"), "/");
        match self.cluster.backing_mut() {
            Backing::Double(double) => {
                double.refuse();
                double.store().delete(Kind::Ingress, "default", "unclassed");
                double.store().put(Kind::Ingress, of_class);
                double.store().compact();
                double.listen()?;
            }
            Backing::Real(real) => {
                real.stop_api().await?;
                real.start_api().await?;
                let cluster = &self.cluster;
                cluster
                    .delete(Kind::Ingress, "default", "unclassed")
                    .await?;
                cluster.apply(Kind::Ingress, &of_class).await?;
                let Backing::Real(real) = self.cluster.backing() else {
                    bail!("it was the real one");
                };
                real.compact().await?;
            }
        }
        Ok(())
    }
}

/// The real API server for those who have no credentials, with the rights of this token.
fn front(cluster: &Cluster, token: &str) -> Result<Front> {
    let Backing::Real(real) = cluster.backing() else {
        bail!("the double asks nobody");
    };
    let nothing = Rewrite {
        from: "nothing begins like this",
        to: "",
    };
    Ok(Front::start(real.client(token)?, nothing)?)
}

/// K8S-40, K8S-43, K8S-44: objects become a table at a node; an edit of the class, a delete, and a delete that nobody
/// saw take effect; resuming with the same table costs a word.
async fn objects_become_a_table(mut ground: Ground) -> Result<()> {
    ground.put("ours", Some("linkerd")).await?;
    ground.put("other", Some("nginx")).await?;
    let namerd = serving(ground.addr(), "").await?;
    let mut node = Node::follow(&namerd, &[FEATURE], None).await?;
    let table = node.until(&["ours"]).await?;
    let rule = table.find("SHOP.example:80", "/x?y", None, true);
    assert_eq!(rule.map(|rule| &*rule.port), Some("80"));
    ground.put("unclassed", None).await?;
    node.until(&["ours", "unclassed"]).await?;
    ground.put("ours", Some("nginx")).await?;
    let table = node.until(&["unclassed"]).await?;
    if let Backing::Double(double) = ground.cluster.backing() {
        let traffic = double.traffic();
        assert_eq!(traffic.open_watches(Kind::Ingress), 1);
        assert_eq!(traffic.all_open_watches(), 1, "of no other kind");
    }
    let asked = ingresses(&namerd, "linkerd").await?;
    assert_eq!(asked, table, "tools are told what nodes are told");
    let wrong = ingresses(&namerd, "nginx")
        .await
        .expect_err("another class");
    assert!(wrong.to_string().contains("of class linkerd, not of nginx"));

    let mut again = Node::follow(&namerd, &[FEATURE], Some(table.hash())).await?;
    assert_eq!(again.next().await?, Told::Held(table.hash()));
    let before = again.position().await?;
    ground.change_unseen().await?;
    node.until(&["new"]).await?;
    again.until(&["new"]).await?;
    // The objects' versions are told, so that a node knows a replica that is behind (RES-16).
    let after = again.until_position(before).await?;
    assert!(after > before, "{before} to {after}");
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

#[tokio::test]
async fn k8s_44_objects_become_a_table_at_a_node() -> Result<()> {
    objects_become_a_table(Ground::double().await?).await
}

/// Kubernetes 3.2: without `claimUnclassed` an object without a class is ours while our IngressClass is the default.
async fn unclassed_follow_the_default(ground: Ground) -> Result<()> {
    let class = async |default: &str| {
        let mark = json!({"ingressclass.kubernetes.io/is-default-class": default});
        let class = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "linkerd", "annotations": mark}, "spec": {"controller": "l5d.io/ingress"},
        });
        ground.cluster.apply(Kind::IngressClass, &class).await
    };
    ground.put("unclassed", None).await?;
    let namerd = serving(ground.addr(), ", claimUnclassed: false").await?;
    let mut node = Node::follow(&namerd, &[FEATURE], None).await?;
    node.until(&[]).await?;
    class("true").await?;
    node.until(&["unclassed"]).await?;
    class("false").await?;
    node.until(&[]).await?;
    if let Backing::Double(double) = ground.cluster.backing() {
        assert_eq!(double.traffic().open_watches(Kind::IngressClass), 1);
    }
    Ok(())
}

#[tokio::test]
async fn k8s_40_unclassed_objects_follow_the_default_class() -> Result<()> {
    unclassed_follow_the_default(Ground::double().await?).await
}

/// The same on the real API server, with the rights of the manifest; without them nothing is served, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn k8s_44_the_real_api_server_gives_the_same_table() -> Result<()> {
    let Some(ground) = Ground::real().await? else {
        return Ok(());
    };
    let nobody = front(&ground.cluster, NOBODY)?;
    let without_rights = serving(nobody.addr(), "").await?;
    objects_become_a_table(ground).await?;
    let refused = ingresses(&without_rights, "").await.expect_err("no rights");
    assert!(refused.to_string().contains("not been listed"), "{refused}");
    let Some(ground) = Ground::real().await? else {
        return Ok(());
    };
    unclassed_follow_the_default(ground).await
}

/// RES-15: a node without the feature is told nothing of rules; one that wants what is not there is told so.
#[tokio::test]
async fn res_15_rules_go_to_those_who_list_the_feature() -> Result<()> {
    let without = namerd("").await?;
    let mut node = Node::follow(&without, &[FEATURE], None).await?;
    let Told::Error(error) = node.next().await? else {
        bail!("no error");
    };
    assert!(error.contains("ingress: {}"), "{error}");

    let double = Double::start([127, 0, 0, 1].into())?;
    let named = ingress("ours", Some("l5d"), "/");
    double.store().put(Kind::Ingress, named);
    let namerd = serving(double.addr(), ", class: l5d").await?;
    let mut node = Node::follow(&namerd, &[FEATURE], None).await?;
    let Told::Error(error) = node.next().await? else {
        bail!("no error");
    };
    assert!(error.contains("of class l5d, not of linkerd"), "{error}");

    let mut old = Node::follow(&without, &[], None).await?;
    let Message::Welcome(welcome) = old.message().await? else {
        bail!("no welcome");
    };
    assert!(welcome.features.iter().any(|f| f == FEATURE));
    // The next thing that an old node hears is a heartbeat, not a message that it does not know.
    assert!(matches!(old.message().await?, Message::Heartbeat(_)));
    Ok(())
}
