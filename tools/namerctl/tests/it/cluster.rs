//! Names of a Kubernetes cluster: what transformers did, and who follows.

use anyhow::Result;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::control::daemonset;
use l5d_tests::double::Kind;
use l5d_tests::follower::Follower;
use l5d_tests::objects::{Pod, Port};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::ctl::{Ctl, Namerd};

fn pod(node: u8, n: u8) -> Pod {
    Pod::new(
        format!("pod-{node}-{n}"),
        [10, 1, node, n],
        format!("node-{node}"),
    )
}

/// The service `world` on the nodes 1 and 2, gateways on 1 only.
async fn start(cluster: &Cluster) -> Result<Namerd> {
    let http = [Port::new("http", 80, 8080)];
    Workload::create(
        cluster,
        "default",
        "world",
        &http,
        vec![pod(1, 11), pod(2, 12)],
    )
    .await?;
    let gateways = [Port::new("incoming", 4141, 4141)];
    Workload::create(cluster, "linkerd", "l5d", &gateways, vec![pod(1, 1)]).await?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let api = double.addr();
    let namers = format!(
        "namers:\n- {{kind: io.l5d.k8s, host: {}, port: {}, startupJitter: 0}}\n",
        api.ip(),
        api.port()
    );
    Namerd::start("/svc => /#/io.l5d.k8s/default/http", &namers).await
}

const GATEWAYS: &str = "io.l5d.k8s.daemonset:namespace=linkerd,service=l5d,port=incoming";

#[tokio::test(flavor = "multi_thread")]
async fn a_transformer_is_explained_with_what_it_took_away() -> Result<()> {
    let cluster = Cluster::double()?;
    let namerd = start(&cluster).await?;
    let ctl = Ctl::at(&namerd)?;
    let nodes = "ADDRESS          WEIGHT   NODE\n10.1.1.11:8080   1        node-1\n10.1.2.12:8080   1        node-2\n";
    let text = ctl.run("resolve /svc/world").await?.ok();
    assert!(text.ends_with(nodes), "{text}");
    let text = ctl
        .run(&format!("explain /svc/world -t {GATEWAYS}"))
        .await?
        .ok();
    let id = "/%/io.l5d.k8s.daemonset/linkerd/incoming/l5d/#/io.l5d.k8s/default/http/world";
    assert_eq!(
        text,
        format!(
            "✓ /svc/world\n\
             └─ ✓ /#/io.l5d.k8s/default/http/world  transformation  [stored rule 0: /svc => /#/io.l5d.k8s/default/http]\n   \
             └─ ✓ {id}  leaf: 1 endpoint\n\n\
             Transformers\n  io.l5d.k8s.daemonset: 2 -> 1 endpoints  /#/io.l5d.k8s/default/http/world\n    \
             - 10.1.2.12:8080  on node node-2, for which io.l5d.k8s.daemonset has no address\n\n\
             Result\n  {id}  1 endpoint\n\n\
             ADDRESS         WEIGHT   NODE\n10.1.1.1:4141   1        node-1\n"
        )
    );
    let local = "resolve /svc/world --node node-2 -t io.l5d.k8s.localnode -o name";
    assert_eq!(ctl.run(local).await?.ok(), "10.1.2.12:8080\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_follows_is_listed() -> Result<()> {
    let cluster = Cluster::double()?;
    let namerd = start(&cluster).await?;
    let ctl = Ctl::at(&namerd)?;
    let channel = Endpoint::from_shared(format!("http://{}", namerd.resolver))?
        .connect()
        .await?;
    let routers = [(
        "outgoing",
        vec![daemonset("linkerd")],
        vec!["/svc/world", "/svc/none"],
    )];
    let follower = Follower::start(channel, "node-1", &routers).await?;
    follower.until_answered(2).await;

    let text = ctl.run("nodes --no-headers").await?.ok();
    let cells: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(
        (cells[0], cells[4], cells[6]),
        ("node-1", "2", "test"),
        "{text}"
    );
    assert_eq!(
        cells.last(),
        Some(&namerd.resolver.to_string().as_str()),
        "{text}"
    );
    let json: Value = serde_json::from_str(&ctl.run("nodes node-1 -o json").await?.ok())?;
    assert_eq!(json[0]["node"], "node-1");
    assert_eq!(json[0]["interests"], 2);
    assert_eq!(ctl.run("node -o name").await?.ok(), "node-1\n");
    assert_eq!(ctl.run("nodes node-7 -o name").await?.ok(), "");
    drop(follower);
    Ok(())
}

/// The Ingress rules of a real namerd, in their order, and the one that takes a request.
#[tokio::test(flavor = "multi_thread")]
async fn ingress_rules_are_listed_as_namerd_serves_them() -> Result<()> {
    let cluster = Cluster::double()?;
    cluster.namespace("shop").await?;
    let backend = |service: &str| json!({"service": {"name": service, "port": {"number": 80}}});
    let path = |path: &str, service: &str| json!({"path": path, "pathType": "Prefix", "backend": backend(service)});
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "ingressClassName": "linkerd", "defaultBackend": backend("rest"),
            "rules": [{"host": "shop.example", "http": {"paths": [path("/", "shop"), path("/cart", "cart")]}}],
        },
    });
    cluster.apply(Kind::Ingress, &object).await?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let (ip, port) = (double.addr().ip(), double.addr().port());
    let more = format!("ingress: {{host: {ip}, port: {port}, startupJitter: 0}}\n");
    let namerd = Namerd::start("/svc => /a", &more).await?;
    let ctl = Ctl::at(&namerd)?;
    let text = ctl.run("ingress").await?.ok();
    assert_eq!(
        text,
        "HOST           PATH    MATCHES   NAMESPACE   SERVICE   PORT\n\
         shop.example   /cart   prefix    shop        cart      80\n\
         shop.example   /       prefix    shop        shop      80\n\
         *                      any       shop        rest      80\n"
    );
    let one = |request: &str| format!("ingress {request} -o name");
    assert_eq!(
        ctl.run(&one("shop.example/cart/1")).await?.ok(),
        "shop/cart\n"
    );
    assert_eq!(ctl.run(&one("other.example/")).await?.ok(), "shop/rest\n");
    let none = ctl.run("ingress other.example/ --no-defaults").await?;
    assert!(
        none.code != 0 && none.stderr.contains("none of 3 rules"),
        "{none:?}"
    );
    let wrong = ctl.run("ingress --class nginx").await?;
    assert!(
        wrong.code != 0 && wrong.stderr.contains("of class linkerd, not of nginx"),
        "{wrong:?}"
    );
    Ok(())
}
