//! What Helm makes of the chart, without a cluster.

use anyhow::{Context as _, Result};
use l5d_node::config::Identity;
use l5d_tests::helm::{Helm, Rendered, objects, repository};
use serde_json::{Value, json};

use super::VARIANTS;

#[test]
fn every_variant_passes_the_strict_lint() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for (name, values) in VARIANTS {
        if let Err(said) = helm.lint(values)? {
            panic!("{name}: {said}");
        }
    }
    Ok(())
}

/// The files of the chart are read by the programs without a mistake and without a warning.
#[test]
fn the_programs_take_the_configuration_of_every_variant() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for (name, values) in VARIANTS {
        let chart = helm.rendered(values)?;
        let in_pod = |variable: &str| {
            (variable == "KUBERNETES_SERVICE_HOST").then(|| "10.96.0.1".to_owned())
        };
        let text = chart.config("namerd", "namerd.yaml")?;
        let (_, warnings) = namerd::config::Config::read("namerd.yaml", text, &in_pod)
            .map_err(|e| anyhow::anyhow!("{name}: {e}\n{text}"))?;
        // Who turns a proof off is told so by the program.
        let expected = usize::from(text.contains("reads: none, writes: none"));
        assert_eq!(warnings.len(), expected, "{name}: {warnings:?}");

        let map = if name == "sidecar" {
            "l5d-sidecar"
        } else {
            "l5d-node"
        };
        let text = chart.config(map, "node.yaml")?;
        let config = l5d_node::config::read("node.yaml", text)
            .map_err(|e| anyhow::anyhow!("{name}: {e}\n{text}"))?;
        let identity = Identity {
            node_name: Some("node-1".to_owned()),
            pod_ip: Some([10, 1, 1, 1].into()),
            ..Identity::default()
        };
        let warnings = config.check_identity(&identity);
        assert_eq!(warnings, Ok(Vec::new()), "{name}");
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
    }
    Ok(())
}

#[test]
fn values_that_mean_nothing_are_refused() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for (value, place) in [
        ("nodes=3", "'nodes'"),
        ("namerd.replica=3", "'replica'"),
        ("namerd.replicas=0", "/namerd/replicas"),
        ("namerd.replicas=\"3\"", "/namerd/replicas"),
        ("mode=\"ambient\"", "/mode"),
        ("hostNetwork=\"yes\"", "/hostNetwork"),
        ("size.nodes=0", "/size/nodes"),
        ("routers.http.outgoing=70000", "/routers/http/outgoing"),
        ("routers.thrift={\"enabled\":true}", "'thrift'"),
        ("identity.plaintext=\"maybe\"", "/identity/plaintext"),
        (
            "identity.certificateSeconds=10",
            "/identity/certificateSeconds",
        ),
        ("namerd.http.writes=\"password\"", "/namerd/http/writes"),
        ("namerd.namespaces=[\"UPPER\"]", "/namerd/namespaces/0"),
        (
            "images.registry=\"registry.example.org\"",
            "/images/registry",
        ),
        (
            "node.tolerations=[{\"operation\":\"Exists\"}]",
            "'operation'",
        ),
        ("node.resources={\"limit\":{}}", "'limit'"),
        ("node.warm.kind=\"memory\"", "/node/warm/kind"),
        ("sidecar.namespaces=[]", "/sidecar/namespaces"),
        (
            "sidecar.serviceAccounts=[\"web\"]",
            "/sidecar/serviceAccounts/0",
        ),
    ] {
        let said = helm.template(&[value])?.err();
        let said = said.with_context(|| format!("{value} is taken"))?;
        assert!(said.contains(place), "{value}: {said}");
    }
    let both = helm.template(&["mode=\"sidecar\"", "hostNetwork=true"])?;
    assert!(both.is_err_and(|said| said.contains("/hostNetwork")));
    Ok(())
}

fn pod(chart: &Rendered, kind: &str, name: &str) -> Result<Value> {
    Ok(chart.object(kind, name)?["spec"]["template"]["spec"].clone())
}

/// Nothing runs as root, writes to its root, or gains anything; only proxies of hosts use ports of hosts.
#[test]
fn containers_may_do_nothing() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for (name, values) in VARIANTS {
        let chart = helm.rendered(values)?;
        let mut pods = vec![pod(&chart, "Deployment", "namerd")?];
        if name != "sidecar" {
            pods.push(pod(&chart, "DaemonSet", "l5d-node")?);
        }
        for pod in pods {
            let pod_security = json!({
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            });
            assert_eq!(pod["securityContext"], pod_security, "{name}");
            let container = &pod["containers"][0];
            let security = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], security, "{name}");
            for what in ["livenessProbe", "readinessProbe"] {
                assert!(
                    container[what]["httpGet"]["path"].is_string(),
                    "{name}: {what}"
                );
            }
            for what in ["cpu", "memory"] {
                assert!(
                    container["resources"]["requests"][what].is_string(),
                    "{name}: {what}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn variants_differ_in_how_applications_reach_the_proxy() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    let update = |chart: &Rendered| -> Result<Value> {
        Ok(
            chart.object("DaemonSet", "l5d-node")?["spec"]["updateStrategy"]["rollingUpdate"]
                .clone(),
        )
    };
    let host_ports = |chart: &Rendered| -> Result<Vec<Value>> {
        let pod = pod(chart, "DaemonSet", "l5d-node")?;
        let ports = pod["containers"][0]["ports"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(ports
            .into_iter()
            .map(|port| port["hostPort"].clone())
            .filter(|port| !port.is_null())
            .collect())
    };

    let chart = helm.rendered(&[])?;
    assert_eq!(host_ports(&chart)?, [4140, 4340]);
    assert_eq!(update(&chart)?, json!({"maxUnavailable": 1}));
    let node = pod(&chart, "DaemonSet", "l5d-node")?;
    assert_eq!(node["automountServiceAccountToken"], false);
    assert_eq!(node["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(node["priorityClassName"], "system-node-critical");

    let chart = helm.rendered(&["hostNetwork=true"])?;
    let node = pod(&chart, "DaemonSet", "l5d-node")?;
    assert_eq!(node["hostNetwork"], true);
    assert_eq!(node["dnsPolicy"], "ClusterFirstWithHostNet");
    assert_eq!(
        node["containers"][0]["ports"],
        Value::Null,
        "or the scheduler lets no second one in"
    );
    assert_eq!(update(&chart)?, json!({"maxSurge": 1, "maxUnavailable": 0}));
    let config = l5d_node::config::read("node.yaml", chart.config("l5d-node", "node.yaml")?)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    assert!(
        config.admin.addr.ip().is_loopback(),
        "the admin port would be one of the host"
    );
    assert!(
        config
            .routers
            .iter()
            .all(|r| r.servers.iter().all(|s| s.socket.reuse_port))
    );
    assert!(
        config
            .routers
            .iter()
            .all(|r| r.interpreter.transformers.iter().all(|t| t.host_network))
    );

    let chart = helm.rendered(&["node.hostPort=false"])?;
    assert_eq!(host_ports(&chart)?, [] as [Value; 0]);
    assert_eq!(update(&chart)?, json!({"maxSurge": 1, "maxUnavailable": 0}));
    assert_eq!(
        chart.object("Service", "l5d-local")?["spec"]["internalTrafficPolicy"],
        "Local"
    );

    let chart = helm.rendered(&["mode=\"sidecar\"", "sidecar.namespaces=[\"a\",\"b\"]"])?;
    for (kind, name) in [
        ("DaemonSet", "l5d-node"),
        ("Service", "l5d"),
        ("ServiceAccount", "l5d-node"),
    ] {
        assert!(!chart.has(kind, name), "{kind} {name}");
    }
    let maps = chart
        .objects
        .iter()
        .filter(|o| o["metadata"]["name"] == "l5d-sidecar");
    let namespaces: Vec<_> = maps.map(|o| o["metadata"]["namespace"].clone()).collect();
    assert_eq!(namespaces, ["a", "b"]);
    Ok(())
}

/// The table in the chart's README, and what is written over it.
#[test]
fn requests_follow_the_cost_model() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    let readme = std::fs::read_to_string(repository("deploy/chart/l5d/README.md"))?;
    for nodes in [100, 1_000, 5_000] {
        let chart = helm.rendered(&[&format!("size.nodes={nodes}")])?;
        let resources = pod(&chart, "Deployment", "namerd")?["containers"][0]["resources"].clone();
        let (requests, limits) = (&resources["requests"], &resources["limits"]);
        let row = format!(
            "| {nodes} | {} | {} | {} | {} |",
            nodes * 30,
            requests["cpu"].as_str().unwrap_or_default(),
            requests["memory"].as_str().unwrap_or_default(),
            limits["memory"].as_str().unwrap_or_default()
        );
        assert!(readme.contains(&row), "the README has no row {row}");
        assert_eq!(limits["cpu"], Value::Null, "nobody is throttled");
    }
    let chart = helm.rendered(&["node.resources={\"limits\":{\"cpu\":\"2\"}}"])?;
    let resources = pod(&chart, "DaemonSet", "l5d-node")?["containers"][0]["resources"].clone();
    assert_eq!(resources["limits"]["cpu"], "2");
    assert_eq!(
        resources["requests"]["cpu"], "114m",
        "what is not written is computed"
    );
    Ok(())
}

#[test]
fn the_chart_is_of_the_version_of_the_programs() -> Result<()> {
    let chart = std::fs::read_to_string(repository("deploy/chart/l5d/Chart.yaml"))?;
    let chart = objects(&chart)?;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (&chart[0]["version"], &chart[0]["appVersion"]),
        (&json!(version), &json!(version))
    );
    Ok(())
}
