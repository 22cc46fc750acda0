//! The real API server with what namerd and nodes need; then one thing after another is broken.

use std::path::{Path, PathBuf};

use http::Method;
use l5d_tests::client::ApiClient;
use l5d_tests::objects::{self, Pod, Port};
use l5d_tests::real::{ADMIN, Binaries, RealCluster};
use serde_json::{Value, json};

use super::super::CheckArgs;
use super::super::outcome::Status;
use super::{args, outcomes, unwell};

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/checked";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dtabs.l5d.io";
const SERVICE: &str = "/api/v1/namespaces/linkerd/services/l5d";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/linkerd/endpointslices";
const GATEWAY: &str = "linkerd/l5d/incoming";
/// Looks until a change is seen everywhere; each look is some requests.
const LOOKS: usize = 300;

struct World {
    cluster: RealCluster,
    api: ApiClient,
    kubeconfig: PathBuf,
}

impl World {
    async fn start(binaries: &Binaries) -> anyhow::Result<Self> {
        let cluster = RealCluster::start(binaries, [127, 0, 0, 1].into(), &[]).await?;
        let api = cluster.client(ADMIN)?;
        let kubeconfig = kubeconfig(&cluster, ADMIN)?;
        let world = Self {
            cluster,
            api,
            kubeconfig,
        };
        world
            .put(
                Method::POST,
                "/api/v1/namespaces",
                &objects::namespace("linkerd"),
            )
            .await?;
        world
            .put(
                Method::POST,
                "/api/v1/namespaces/linkerd/services",
                &service("incoming"),
            )
            .await?;
        world
            .put(
                Method::POST,
                SLICES,
                &gateways(&["node-a", "node-b"], "incoming"),
            )
            .await?;
        world
            .put(
                Method::POST,
                SLICES,
                &pods(&[Some("node-a"), Some("node-b")]),
            )
            .await?;
        world.put(Method::POST, CRDS, &definition()).await?;
        world.put(Method::POST, ROLES, &role()).await?;
        world.put(Method::POST, BINDINGS, &binding()).await?;
        Ok(world)
    }

    async fn put(&self, method: Method, path: &str, object: &Value) -> anyhow::Result<()> {
        let answer = self.api.send(method, path, &[], Some(object)).await?;
        answer.ok().map(drop)
    }

    /// Asks until the checks that are not well are the wanted ones.
    async fn until(&self, broken: &str, wanted: &[(&str, &str, Status)]) {
        let args = CheckArgs {
            kubeconfig: Some(self.kubeconfig.clone()),
            service_account: Some(("linkerd".to_owned(), "checked".to_owned())),
            gateway: vec![GATEWAY.parse().expect("a gateway")],
            ..args()
        };
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(c, s, w)| (*c, (*s).to_owned(), *w))
            .collect();
        let mut last = String::new();
        for _ in 0..LOOKS {
            let found = outcomes(&args).await;
            let now = unwell(&found);
            if now.len() == wanted.len()
                && now
                    .iter()
                    .zip(&wanted)
                    .all(|(n, w)| (n.0, &n.1, n.2) == (w.0, &w.1, w.2))
            {
                let bad = found.0.iter().filter(|o| o.status >= Status::Warn);
                assert!(
                    bad.into_iter().all(|o| o.hint.is_some()),
                    "{broken}: no hint"
                );
                return;
            }
            last = found.table();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{broken}: wanted {wanted:?}, found\n{last}");
    }
}

fn kubeconfig(cluster: &RealCluster, token: &str) -> anyhow::Result<PathBuf> {
    let file = cluster.folder().join(format!("kubeconfig-{token}"));
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": format!("https://{}", cluster.addr()), "certificate-authority": cluster.ca_file()}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(&file, text.to_string())?;
    Ok(file)
}

/// The role of a service account of this test's own, which nothing else gives rights to.
fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "checked"}, "rules": rules(&[]),
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "checked"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "checked"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "linkerd", "name": "checked"}],
    })
}

fn service(port: &str) -> Value {
    objects::service("linkerd", "l5d", &[Port::new(port, 4141, 4141)])
}

fn gateways(nodes: &[&str], port: &str) -> Value {
    let pods: Vec<Pod> = (1..)
        .zip(nodes)
        .map(|(n, node)| Pod::new(format!("l5d-{n}"), [10, 1, 0, n], *node))
        .collect();
    objects::slice(
        "linkerd",
        "l5d",
        "l5d-1",
        &[Port::new(port, 4141, 4141)],
        &pods,
    )
}

fn pods(nodes: &[Option<&str>]) -> Value {
    let pod = |(n, node): (u8, &Option<&str>)| {
        let pod = Pod::new(format!("world-{n}"), [10, 1, 1, n], node.unwrap_or("?"));
        if node.is_some() {
            pod
        } else {
            pod.without_node()
        }
    };
    let pods: Vec<Pod> = (1..).zip(nodes).map(pod).collect();
    objects::slice(
        "linkerd",
        "world",
        "world-1",
        &[Port::new("http", 80, 8080)],
        &pods,
    )
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "dtabs.l5d.io"},
        "spec": {
            "group": "l5d.io", "scope": "Namespaced",
            "names": {"kind": "DTab", "listKind": "DTabList", "plural": "dtabs", "singular": "dtab"},
            "versions": [version(&json!({"type": "object", "properties": {"dentries": {"type": "array", "items": {
                "type": "object", "properties": {"prefix": {"type": "string"}, "dst": {"type": "string"}},
            }}}}))],
        },
    })
}

fn version(schema: &Value) -> Value {
    json!({"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}})
}

/// The role's rules without some resources.
fn rules(without: &[&str]) -> Vec<Value> {
    let rule = |(group, resources, verbs): (&str, &[&str], &[&str])| {
        let kept: Vec<&&str> = resources.iter().filter(|r| !without.contains(r)).collect();
        (!kept.is_empty()).then(|| json!({"apiGroups": [group], "resources": kept, "verbs": verbs}))
    };
    crate::migrate::rbac::rules()
        .into_iter()
        .filter_map(rule)
        .collect()
}

/// What is broken, by which request, the check that tells it, and what puts it right again.
struct Case {
    broken: &'static str,
    breaks: (Method, String, Value),
    tells: (&'static str, &'static str, Status),
    heals: (Method, String, Value),
}

fn case(
    broken: &'static str,
    breaks: (Method, &str, Value),
    tells: (&'static str, &'static str, Status),
    heals: (Method, &str, Value),
) -> Case {
    let owned = |(method, path, body): (Method, &str, Value)| (method, path.to_owned(), body);
    Case {
        broken,
        breaks: owned(breaks),
        tells,
        heals: owned(heals),
    }
}

fn cases() -> Vec<Case> {
    use Method as M;
    let (fail, warn) = (Status::Fail, Status::Warn);
    let slice = |name: &str| format!("{SLICES}/{name}");
    let (l5d, world) = (slice("l5d-1"), slice("world-1"));
    let good_l5d = || {
        (
            M::PATCH,
            l5d.as_str(),
            gateways(&["node-a", "node-b"], "incoming"),
        )
    };
    let good_world = || {
        (
            M::PATCH,
            world.as_str(),
            pods(&[Some("node-a"), Some("node-b")]),
        )
    };
    let good_role = || (M::PATCH, ROLE, json!({"rules": rules(&[])}));
    let role = |without: &[&str]| (M::PATCH, ROLE, json!({"rules": rules(without)}));
    let services = "/api/v1/namespaces/linkerd/services";
    let bare = json!({"spec": {"versions": [version(&json!({"type": "object"}))]}});
    let good = json!({"spec": {"versions": definition()["spec"]["versions"]}});
    vec![
        case(
            "the Service is gone",
            (M::DELETE, SERVICE, json!({})),
            ("gateway-service", GATEWAY, fail),
            (M::POST, services, service("incoming")),
        ),
        case(
            "its port has another name",
            (M::PATCH, SERVICE, service("in")),
            ("gateway-service", GATEWAY, fail),
            (M::PATCH, SERVICE, service("incoming")),
        ),
        case(
            "its slices have another port",
            (M::PATCH, &l5d, gateways(&["node-a", "node-b"], "in")),
            ("gateway-endpoints", GATEWAY, fail),
            good_l5d(),
        ),
        case(
            "no proxy is ready",
            (M::PATCH, &l5d, json!({"endpoints": []})),
            ("gateway-endpoints", GATEWAY, fail),
            good_l5d(),
        ),
        case(
            "a node has no proxy",
            (M::PATCH, &l5d, gateways(&["node-a"], "incoming")),
            ("gateway-nodes", GATEWAY, warn),
            good_l5d(),
        ),
        case(
            "an endpoint has no node",
            (M::PATCH, &world, pods(&[Some("node-a"), None])),
            ("node-names", "endpoints", warn),
            good_world(),
        ),
        case(
            "slices may not be watched",
            role(&["endpointslices"]),
            ("rights", "endpointslices", fail),
            good_role(),
        ),
        case(
            "services may not be watched",
            role(&["services"]),
            ("rights", "services", fail),
            good_role(),
        ),
        case(
            "nodes may not be watched",
            role(&["nodes"]),
            ("rights", "nodes", fail),
            good_role(),
        ),
        case(
            "dtabs may not be read",
            role(&["dtabs"]),
            ("rights", "dtabs", fail),
            good_role(),
        ),
        case(
            "tokens may not be checked",
            role(&["tokenreviews"]),
            ("rights", "tokenreviews", warn),
            good_role(),
        ),
        case(
            "writers may not be checked",
            role(&["subjectaccessreviews"]),
            ("rights", "subjectaccessreviews", warn),
            good_role(),
        ),
        case(
            "the schema has no dentries",
            (M::PATCH, CRD, bare),
            ("crd", "dtabs.l5d.io", fail),
            (M::PATCH, CRD, good),
        ),
        case(
            "dtabs are not defined",
            (M::DELETE, CRD, json!({})),
            ("crd", "dtabs.l5d.io", fail),
            (M::POST, CRDS, definition()),
        ),
    ]
}

#[tokio::test]
async fn each_broken_thing_breaks_its_own_check() -> anyhow::Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let mut world = World::start(&binaries).await?;
    world.until("nothing", &[]).await;
    for case in cases() {
        let (method, path, body) = &case.breaks;
        world.put(method.clone(), path, body).await?;
        world.until(case.broken, &[case.tells]).await;
        let (method, path, body) = &case.heals;
        world.put(method.clone(), path, body).await?;
        world.until("nothing any more", &[]).await;
    }
    stranger(&world, &kubeconfig(&world.cluster, "not-a-token")?).await;
    world.cluster.stop_api().await?;
    let subject = format!("https://{}/", world.cluster.addr());
    world
        .until(
            "the API server is gone",
            &[("api-server", &subject, Status::Fail)],
        )
        .await;
    Ok(())
}

/// Credentials that are not accepted.
async fn stranger(world: &World, kubeconfig: &Path) {
    let args = CheckArgs {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..args()
    };
    let found = outcomes(&args).await;
    let subject = format!("https://{}/", world.cluster.addr());
    assert_eq!(
        unwell(&found),
        [("api-server", subject, Status::Fail)],
        "{}",
        found.table()
    );
    let hint = found
        .0
        .iter()
        .find(|o| o.status == Status::Fail)
        .and_then(|o| o.hint.clone());
    assert!(
        hint.is_some_and(|h| h.contains("credentials")),
        "{}",
        found.table()
    );
}
