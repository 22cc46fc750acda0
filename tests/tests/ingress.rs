//! Ingress rules end to end: objects in the API server, a whole namerd, a table at a follower (Kubernetes 3).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_resolver::ingress::{FEATURE, Table};
use l5d_resolver::ingress_page::TableAssembly;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_tests::double::{Double, Kind};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

const PATIENCE: Duration = Duration::from_secs(60);

async fn namerd(ingress: &str) -> Result<Running> {
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, port: 0}}]\n{ingress}"
    );
    let (config, _) = Config::read("test", &text, &|_| None).expect("a good file");
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

async fn serving(double: &Double, more: &str) -> Result<Running> {
    let (ip, port) = (double.addr().ip(), double.addr().port());
    namerd(&format!(
        "ingress: {{host: '{ip}', port: {port}, startupJitter: 0{more}}}"
    ))
    .await
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
        let addr = namerd.addresses.interfaces[0].1;
        let channel = Endpoint::from_shared(format!("http://{addr}"))?
            .connect()
            .await?;
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
        let down = ResolverClient::new(channel)
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

/// K8S-40, K8S-43, K8S-44: objects become a table at a node; an edit of the class, a delete, and a delete that nobody
/// saw take effect; resuming with the same table costs a word.
#[tokio::test]
async fn k8s_44_objects_become_a_table_at_a_node() -> Result<()> {
    let double = Double::start([127, 0, 0, 1].into())?;
    let put = |name: &str, class| double.store().put(Kind::Ingress, ingress(name, class, "/"));
    put("ours", Some("linkerd"));
    put("other", Some("nginx"));
    let namerd = serving(&double, "").await?;
    let mut node = Node::follow(&namerd, &[FEATURE], None).await?;
    let table = node.until(&["ours"]).await?;
    let rule = table.find("SHOP.example:80", "/x?y", None, true);
    assert_eq!(rule.map(|rule| &*rule.port), Some("80"));
    put("unclassed", None);
    node.until(&["ours", "unclassed"]).await?;
    put("ours", Some("nginx"));
    let table = node.until(&["unclassed"]).await?;
    let traffic = double.traffic();
    assert_eq!(traffic.open_watches(Kind::Ingress), 1);
    assert_eq!(traffic.all_open_watches(), 1, "of no other kind");

    let mut again = Node::follow(&namerd, &[FEATURE], Some(table.hash())).await?;
    assert_eq!(again.next().await?, Told::Held(table.hash()));

    double.refuse();
    double.store().delete(Kind::Ingress, "default", "unclassed");
    put("new", Some("linkerd"));
    double.store().compact();
    double.listen()?;
    node.until(&["new"]).await?;
    again.until(&["new"]).await?;
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// Kubernetes 3.2: without `claimUnclassed` an object without a class is ours while our IngressClass is the default.
#[tokio::test]
async fn k8s_40_unclassed_objects_follow_the_default_class() -> Result<()> {
    let double = Double::start([127, 0, 0, 1].into())?;
    let class = |default: &str| {
        let mark = json!({"ingressclass.kubernetes.io/is-default-class": default});
        let class = json!({"metadata": {"name": "linkerd", "annotations": mark}, "spec": {}});
        double.store().put(Kind::IngressClass, class)
    };
    double
        .store()
        .put(Kind::Ingress, ingress("unclassed", None, "/"));
    let namerd = serving(&double, ", claimUnclassed: false").await?;
    let mut node = Node::follow(&namerd, &[FEATURE], None).await?;
    node.until(&[]).await?;
    class("true");
    node.until(&["unclassed"]).await?;
    class("false");
    node.until(&[]).await?;
    assert_eq!(double.traffic().open_watches(Kind::IngressClass), 1);
    Ok(())
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
    let namerd = serving(&double, ", class: l5d").await?;
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
