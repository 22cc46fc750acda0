//! A whole namerd from a configuration file, over its own doors, on the cluster double: ready after the first lists, names
//! of Services bound and watched over HTTP, the state page true.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use l5d_mesh::v1 as mesh;
use l5d_mesh::v1::bound_delegate_tree::Node;
use l5d_mesh::v1::delegator_client::DelegatorClient;
use l5d_naming::{NameTree, Path};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::double::{Double, Kind};
use l5d_tests::objects::{Pod, Port};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::Value;

fn double(cluster: &Cluster) -> &Double {
    match cluster.backing() {
        Backing::Double(double) => double,
        Backing::Real(_) => unreachable!("built on the double"),
    }
}

async fn start(cluster: &Cluster) -> Result<Running> {
    let api = double(cluster).addr();
    let text = format!(
        "
admin: {{port: 0}}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: |
      /svc => /#/io.l5d.k8s/default/http ;
namers:
- {{kind: io.l5d.k8s, host: {}, port: {}, startupJitter: 0}}
- kind: io.l5d.k8s
  host: {}
  port: {}
  startupJitter: 0
  prefix: /ds
  transformers:
  - {{kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: incoming}}
interfaces:
- {{kind: io.l5d.httpController, port: 0}}
- {{kind: io.l5d.mesh, port: 0}}
",
        api.ip(),
        api.port(),
        api.ip(),
        api.port(),
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

fn pod(node: u8, n: u8) -> Pod {
    Pod::new(
        format!("pod-{node}-{n}"),
        [10, 1, node, n],
        format!("node-{node}"),
    )
}

/// K8S-80, K8S-129, K8S-132: two namers of one API server share its three watches.
#[tokio::test]
async fn a_namerd_answers_and_shows_what_the_cluster_says() -> Result<()> {
    let cluster = Cluster::double()?;
    let http = [Port::new("http", 80, 8080)];
    let mut world = Workload::create(&cluster, "default", "world", &http, vec![pod(1, 11)]).await?;
    let gateways = [Port::new("incoming", 4141, 4141)];
    Workload::create(
        &cluster,
        "linkerd",
        "l5d",
        &gateways,
        vec![pod(1, 1), pod(2, 1)],
    )
    .await?;

    let namerd = start(&cluster).await?;
    let names = ApiClient::plain(namerd.addresses.interfaces[0].1);
    let admin = ApiClient::plain(namerd.addresses.admin);

    // The first question waits for the first lists by itself.
    let answer = names
        .get("/api/1/resolve/default?path=/svc/world")
        .await?
        .ok()?;
    assert_eq!(answer["addrs"][0]["ip"], "10.1.1.11");
    assert_eq!(answer["addrs"][0]["meta"]["nodeName"], "node-1");
    let outgoing = names
        .get("/api/1/resolve/none?path=/%23/ds/default/http/world")
        .await?
        .ok()?;
    assert_eq!(outgoing["addrs"][0]["ip"], "10.1.1.1");

    let mut watch = names
        .lines(
            "/api/1/addr/default?path=/%23/io.l5d.k8s/default/http/world&watch=true",
            &[],
        )
        .await?;
    let first = watch.next().await?.context("a document")?;
    assert_eq!(first["addrs"].as_array().map(Vec::len), Some(1));
    world.set(&cluster, vec![pod(1, 11), pod(2, 12)]).await?;
    let next = watch.next().await?.context("a document")?;
    assert_eq!(next["addrs"][1]["ip"], "10.1.2.12");

    assert_eq!(admin.get("/ready").await?.status, 200);
    let state: Value = admin.get("/state.json").await?.ok()?;
    let watches = state["watches"].as_array().context("watches")?;
    assert_eq!(watches.len(), 3);
    for watch in watches {
        assert_eq!(watch["synced"], true, "{watch}");
    }
    assert_eq!(double(&cluster).traffic().all_open_watches(), 3);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// K8S-80, K8S-152: with dtabs as custom resources there are four watches. A write over HTTP is an object, is served at once.
#[tokio::test]
async fn with_the_kubernetes_store_there_are_four_watches() -> Result<()> {
    let cluster = Cluster::double()?;
    cluster.namespace("linkerd").await?;
    let api = double(&cluster).addr();
    let at = format!("host: {}, port: {}, startupJitter: 0", api.ip(), api.port());
    let text = format!(
        "
admin: {{port: 0}}
storage: {{kind: io.l5d.k8s, {at}, namespace: linkerd}}
namers:
- {{kind: io.l5d.k8s, {at}}}
interfaces:
- {{kind: io.l5d.httpController, port: 0}}
- {{kind: io.l5d.mesh, port: 0}}
"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    let namerd = run(config, Vec::new(), Arc::new(NoLevels)).await?;
    let names = ApiClient::plain(namerd.addresses.interfaces[0].1);
    let dtab = Some(("application/dtab", "/svc=>/$/inet/10.0.0.9/80".into()));
    let created = names
        .send_as(http::Method::POST, "/api/1/dtabs/web", &[], dtab)
        .await?;
    assert_eq!(created.status, 204, "{:?}", created.body);
    let object = cluster
        .get(&Kind::DTab.url(Some("linkerd"), Some("web")))
        .await?
        .ok()?;
    assert_eq!(object["dentries"][0]["dst"], "/$/inet/10.0.0.9/80");
    let answer = names.get("/api/1/resolve/web?path=/svc/x").await?.ok()?;
    assert_eq!(answer["addrs"][0]["ip"], "10.0.0.9");
    let ready = ApiClient::plain(namerd.addresses.admin);
    while ready.get("/ready").await?.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(double(&cluster).traffic().all_open_watches(), 4);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// Control plane 4.5, naming 6.5: transformers of a namer leave no node; the leaf that a client of 1.x is shown has the new id.
#[tokio::test]
async fn delegations_of_1_x_show_ids_that_a_namer_transformed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("web"), "10.0.0.1 80\n")?;
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory, namespaces: {{default: /svc => /#/io.l5d.fs}}}}\n\
         namers: [{{kind: io.l5d.fs, rootDir: {}, transformers: [{{kind: io.l5d.port, port: 4141}}]}}]\n\
         interfaces: [{{kind: io.l5d.mesh, port: 0}}]\n",
        folder.path().display()
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    let namerd = run(config, Vec::new(), Arc::new(NoLevels)).await?;
    let mesh = namerd.addresses.interfaces[0].1;
    let channel = tonic::transport::Endpoint::try_from(format!("http://{mesh}"))?;
    let mut client = DelegatorClient::new(channel.connect().await?);
    let request = mesh::DelegateTreeReq {
        root: Some((&Path::parse("/default")?).into()),
        tree: Some((&NameTree::parse("/svc/web")?).into()),
        dtab: None,
    };
    let answer = client.get_delegate_tree(request).await?.into_inner();
    let mut next = answer.tree.context("a tree")?;
    while let Some(Node::Delegate(below)) = next.node {
        next = *below;
    }
    let shown = |path: Option<&mesh::Path>| anyhow::Ok(Path::try_from(path.context("a path")?)?);
    let Some(Node::Leaf(leaf)) = next.node else {
        panic!("a leaf: {:?}", next.node);
    };
    let id = shown(leaf.id.as_ref())?;
    assert_eq!(id.to_string(), "/%/io.l5d.port/4141/#/io.l5d.fs/web");
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}
