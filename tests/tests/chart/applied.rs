//! The chart on the real API server with RBAC: everything applies, and both accounts may do what is listed and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::Method;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::helm::{Helm, Kubectl, NAMESPACE, repository};
use l5d_tests::real::ADMIN;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::VARIANTS;

/// The server reads roles some moments after they were written.
const PATIENCE: Duration = Duration::from_secs(180);

const NAMES: [&str; 4] = [
    "list discovery.k8s.io/endpointslices",
    "watch discovery.k8s.io/endpointslices",
    "list services",
    "watch services",
];
const CLUSTER: [&str; 3] = [
    "list nodes",
    "watch nodes",
    "create authentication.k8s.io/tokenreviews",
];
const ACCESS: [&str; 1] = ["create authorization.k8s.io/subjectaccessreviews"];
const INGRESS: [&str; 4] = [
    "list networking.k8s.io/ingresses",
    "watch networking.k8s.io/ingresses",
    "list networking.k8s.io/ingressclasses",
    "watch networking.k8s.io/ingressclasses",
];
const DTABS: [&str; 7] = [
    "get l5d.io/dtabs",
    "list l5d.io/dtabs",
    "watch l5d.io/dtabs",
    "create l5d.io/dtabs",
    "patch l5d.io/dtabs",
    "delete l5d.io/dtabs",
    "patch l5d.io/dtabs/status",
];
const SECRET: [&str; 3] = [
    "create secrets",
    "get secrets namerd-ca",
    "update secrets namerd-ca",
];

/// What namerd may do: in the whole cluster, and besides in its own namespace and in that of applications.
fn expected(variant: &str) -> [BTreeSet<&'static str>; 2] {
    let mut own: BTreeSet<&str> = CLUSTER.into_iter().chain(DTABS).collect();
    let mut other: BTreeSet<&str> = CLUSTER.into();
    for set in [&mut own, &mut other] {
        // Where namespaces are listed, these two are among them.
        set.extend(NAMES);
        if variant != "without identity" {
            set.extend(ACCESS);
        }
        if variant == "everything" {
            set.extend(INGRESS);
        }
    }
    if variant != "without identity" && variant != "sidecar" {
        own.extend(SECRET);
    }
    [own, other]
}

struct Ground {
    admin: ApiClient,
    kubectl: Kubectl,
    helm: Helm,
}

impl Ground {
    async fn new(cluster: &Cluster) -> Result<Option<Self>> {
        let Backing::Real(real) = cluster.backing() else {
            bail!("built on the real one");
        };
        let (Some(helm), Some(kubectl)) = (Helm::find()?, Kubectl::find(real, ADMIN)?) else {
            return Ok(None);
        };
        let admin = real.client(ADMIN)?;
        let ground = Self {
            admin,
            kubectl,
            helm,
        };
        cluster.namespace(NAMESPACE).await?;
        ground.account("nobody").await?;
        Ok(Some(ground))
    }

    async fn account(&self, name: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let object =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let answer = self
            .admin
            .send(Method::POST, &path, &[], Some(&object))
            .await?;
        answer.ok().map(drop)
    }

    /// A token of a service account, as the kubelet gets it.
    async fn client(&self, cluster: &Cluster, account: &str) -> Result<ApiClient> {
        let Backing::Real(real) = cluster.backing() else {
            bail!("built on the real one");
        };
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        });
        let answer = self
            .admin
            .send(Method::POST, &path, &[], Some(&request))
            .await?
            .ok()?;
        real.client(answer["status"]["token"].as_str().context("a token")?)
    }
}

/// What the API server says that somebody may do in a namespace.
async fn rights(client: &ApiClient, namespace: &str) -> Result<BTreeSet<String>> {
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace},
    });
    let answer = client
        .send(Method::POST, path, &[], Some(&review))
        .await?
        .ok()?;
    let status = &answer["status"];
    anyhow::ensure!(status["incomplete"] != true, "{status}");
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in status["resourceRules"].as_array().context("rules")? {
        let names = texts(&rule["resourceNames"]);
        let names = match names.is_empty() {
            true => vec![String::new()],
            false => names.into_iter().map(|name| format!(" {name}")).collect(),
        };
        for group in texts(&rule["apiGroups"]) {
            let group = if group.is_empty() {
                group
            } else {
                format!("{group}/")
            };
            for (resource, verb) in texts(&rule["resources"]).iter().flat_map(|r| {
                texts(&rule["verbs"])
                    .into_iter()
                    .map(move |v| (r.clone(), v))
            }) {
                rights.extend(
                    names
                        .iter()
                        .map(|name| format!("{verb} {group}{resource}{name}")),
                );
            }
        }
    }
    Ok(rights)
}

/// Spec Kubernetes 6.1: what is listed, and nothing else.
#[tokio::test]
async fn every_variant_applies_and_grants_exactly_the_list() -> Result<()> {
    let Some(cluster) = Cluster::real(&[]).await? else {
        return Ok(());
    };
    let Some(ground) = Ground::new(&cluster).await? else {
        return Ok(());
    };
    for (variant, values) in VARIANTS {
        let chart = ground.helm.rendered(values)?;
        let tried = ground.kubectl.apply(&chart.text, &["--dry-run=server"]);
        tried.with_context(|| format!("{variant}, tried"))?;
        let applied = ground.kubectl.apply(&chart.text, &[]);
        let applied = applied.with_context(|| format!("{variant}, applied"))?;
        assert_eq!(
            applied.lines().count(),
            chart.objects.len(),
            "{variant}: {applied}"
        );
        // A second time it changes nothing.
        ground.kubectl.apply(&chart.text, &[])?;

        let nobody = ground.client(&cluster, "nobody").await?;
        let namerd = ground.client(&cluster, "namerd").await?;
        for (namespace, expected) in [NAMESPACE, "default"].into_iter().zip(expected(variant)) {
            let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
            let begun = Instant::now();
            loop {
                // What everybody may do, such as ask about themselves.
                let common = rights(&nobody, namespace).await?;
                let all = rights(&namerd, namespace).await?;
                let own: BTreeSet<String> = all.difference(&common).cloned().collect();
                if own == expected {
                    println!(
                        "{variant}: namerd in {namespace} may: {}",
                        Vec::from_iter(own).join(", ")
                    );
                    break;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{variant} in {namespace}: {own:#?} is not {expected:#?}"
                );
                sleep(Duration::from_millis(100)).await;
            }
        }
        if chart.has("ServiceAccount", "l5d-node") {
            let node = ground.client(&cluster, "l5d-node").await?;
            assert_eq!(
                rights(&node, NAMESPACE).await?,
                rights(&nobody, NAMESPACE).await?,
                "{variant}"
            );
        }
    }
    refused(&ground, &cluster).await?;
    files_apply(&ground)
}

/// Some of what is not on the list, asked of the server itself by the account.
async fn refused(ground: &Ground, cluster: &Cluster) -> Result<()> {
    let namerd = ground.client(cluster, "namerd").await?;
    let own = format!("/api/v1/namespaces/{NAMESPACE}");
    for path in [
        "/api/v1/pods",
        "/api/v1/secrets",
        "/api/v1/configmaps",
        "/api/v1/namespaces",
        "/api/v1/nodes/node-1",
        &format!("{own}/secrets"),
        &format!("{own}/secrets/another"),
        &format!("{own}/serviceaccounts"),
        "/apis/l5d.io/v1alpha1/dtabs",
        "/apis/l5d.io/v1alpha1/namespaces/default/dtabs",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ] {
        let status = namerd.get(path).await?.status;
        assert_eq!(status, 403, "GET {path}");
    }
    for (method, path) in [
        (Method::DELETE, format!("{own}/secrets/namerd-ca")),
        (Method::PATCH, format!("{own}/secrets/namerd-ca")),
        (
            Method::DELETE,
            format!("/apis/l5d.io/v1alpha1/namespaces/{NAMESPACE}/dtabs"),
        ),
        (Method::POST, format!("{own}/serviceaccounts/namerd/token")),
        (Method::POST, format!("{own}/pods")),
    ] {
        let object = json!({"metadata": {"name": "x"}});
        let answer = namerd
            .send(method.clone(), &path, &[], Some(&object))
            .await?;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    Ok(())
}

/// What is rendered for those without Helm, and the examples.
fn files_apply(ground: &Ground) -> Result<()> {
    let examples = std::fs::read_dir(repository("deploy/examples"))?;
    let examples = examples.filter_map(Result::ok).map(|entry| entry.path());
    let mut examples: Vec<_> = examples
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    // That of dtabs first.
    examples.sort();
    assert_eq!(examples.len(), 6);
    for file in examples {
        let text = std::fs::read_to_string(&file)?;
        let tried = ground.kubectl.apply(&text, &["--dry-run=server"]);
        tried.with_context(|| file.display().to_string())?;
    }
    for file in ["l5d.yaml", "l5d-host-network.yaml", "l5d-sidecar.yaml"] {
        let text = std::fs::read_to_string(repository("deploy").join(file))?;
        // The fields belong to whoever applied the chart's variants before.
        let further = ["--dry-run=server", "--force-conflicts"];
        ground
            .kubectl
            .apply(&text, &further)
            .with_context(|| file.to_owned())?;
    }
    let base = repository("deploy/kustomize/base");
    let base = base.to_str().context("a path in UTF-8")?;
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "-k",
        base,
    ];
    let applied = ground.kubectl.run(&arguments, None)?;
    applied.map(drop).map_err(anyhow::Error::msg)
}
