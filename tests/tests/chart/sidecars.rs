//! `mode: sidecar`: a proxy in each pod, which leads to its own pod and to no other, also not to one on the same node.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use l5d_tests::app::Answer;
use l5d_tests::cluster::{Cluster, Workload};
use l5d_tests::helm::{objects, repository};
use l5d_tests::hosts::Hosts;
use l5d_tests::objects::{Pod, Port};
use l5d_tests::process::{Process, Program};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::kubelet::{PATIENCE, Started, Wanted};
use super::meshes::{GRPC, HTTP, Mesh, on_hosts};

/// Each network namespace is a pod here: hello, and world twice on one node.
const PODS: [(u8, &str, &str); 3] = [
    (1, "hello", "node-1"),
    (2, "world", "node-2"),
    (3, "world", "node-2"),
];
const INCOMING: u16 = 4141;

/// The pod of an example's Deployment, on a node.
fn pod(service: &str, name: &str, node: &str) -> Result<Value> {
    let text = std::fs::read_to_string(repository("deploy/examples/sidecar.yaml"))?;
    let all = objects(&text)?;
    let found = all
        .iter()
        .find(|o| o["kind"] == "Deployment" && o["metadata"]["name"] == service);
    let template = &found.context("a Deployment")?["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    });
    pod["spec"]["nodeName"] = node.into();
    // As admission does where accounts are checked.
    pod["spec"]["serviceAccountName"] = "default".into();
    Ok(pod)
}

/// Starts the sidecars as the example has them, and the applications beside them.
async fn start(mesh: &mut Mesh<'_>, hosts: &Hosts) -> Result<(Vec<Started>, Vec<Process>)> {
    let (mut sidecars, mut apps) = (Vec::new(), Vec::new());
    for (host, service, node) in PODS {
        let name = format!("{service}-{host}");
        let ip = hosts.ip(host);
        let wanted = Wanted {
            of: ("Deployment", service),
            pod: &name,
            host,
            ip,
            program: "l5d-node",
        };
        let pod = pod(service, &name, node)?;
        let chart = mesh.chart.clone();
        // Behind the application's own container comes the sidecar.
        let mut sidecar = mesh
            .kubelet
            .start_pod(&chart, &pod, "default", 1, &wanted)
            .await?;
        sidecar.is_ready().await?;
        sidecars.push(sidecar);
        let mut app = Program::new(format!("app-{name}"), env!("CARGO_BIN_EXE_l5d-app"))
            .args(["--pod", &name, "--text", service, "--node", node])
            .args([
                "--addr",
                &format!("{ip}:{HTTP}"),
                "--grpc",
                &format!("{ip}:{GRPC}"),
            ]);
        if service == "hello" {
            app = app
                .args(["--target", "world"])
                .env("http_proxy", "127.0.0.1:4140");
        }
        apps.push(hosts.on(host, app).start(mesh.dir.path())?);
    }
    Ok((sidecars, apps))
}

async fn list(cluster: &Cluster, hosts: &Hosts) -> Result<()> {
    for service in ["hello", "world"] {
        let pods = PODS.iter().filter(|(_, of, _)| *of == service);
        let pods = pods.map(|(host, _, node)| {
            Pod::new(
                format!("{service}-{host}"),
                IpAddr::V4(hosts.ip(*host)),
                *node,
            )
        });
        let ports = [Port::new("http", 80, HTTP), Port::new("grpc", 81, GRPC)];
        Workload::create(cluster, "default", service, &ports, pods.collect()).await?;
    }
    Ok(())
}

/// What a pod's incoming proxy answers for a service.
async fn ask(addr: SocketAddr, service: &str) -> Result<Result<Answer, (u16, String)>> {
    let stream = tokio::net::TcpStream::connect(addr).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut connection, driver) = hyper::client::conn::http1::handshake(io).await?;
    // Ends with the sender.
    tokio::spawn(driver);
    let request = http::Request::get("/").header(http::header::HOST, service);
    let answer = connection
        .send_request(request.body(String::new())?)
        .await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    let said = String::from_utf8_lossy(&body).into_owned();
    match status {
        200 => Ok(Ok(serde_json::from_str(&said).context(said)?)),
        _ => Ok(Err((status, said))),
    }
}

#[test]
fn a_sidecar_leads_to_its_own_pod_only() -> Result<()> {
    on_hosts(
        "sidecars::a_sidecar_leads_to_its_own_pod_only",
        async |hosts, cluster, helm| {
            let chart = helm.rendered(&["mode=\"sidecar\""])?;
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
            let accounts = "/api/v1/namespaces/default/serviceaccounts";
            cluster.namespace("default").await?;
            cluster
                .api()
                .send(http::Method::POST, accounts, &[], Some(&account))
                .await?
                .ok()?;
            let Some(mut mesh) = Mesh::start(&hosts, &cluster, chart).await? else {
                return Ok(());
            };
            let scenario = async {
                list(&cluster, &hosts).await?;
                let (sidecars, _apps) = start(&mut mesh, &hosts).await?;
                let incoming = |host: u8| SocketAddr::from((hosts.ip(host), INCOMING));
                // Through hello's proxies, one of world's, to world: all three pods at work.
                let begun = Instant::now();
                let mut seen = std::collections::BTreeSet::new();
                while seen.len() < 2 {
                    match ask(incoming(1), "hello").await? {
                        Ok(answer) => seen.extend(answer.target.map(|target| target.pod)),
                        Err(said) => ensure!(begun.elapsed() < PATIENCE, "{said:?}, {seen:?}"),
                    }
                    ensure!(begun.elapsed() < PATIENCE, "{seen:?}");
                }
                for host in [2, 3] {
                    for _ in 0..20 {
                        let answer = ask(incoming(host), "world").await?;
                        let pod = answer.map(|answer| answer.pod);
                        assert_eq!(
                            pod,
                            Ok(format!("world-{host}")),
                            "another pod of the same node has answered"
                        );
                    }
                    super::load::health((hosts.ip(host), 4341).into())
                        .check(tonic_health::pb::HealthCheckRequest::default())
                        .await?;
                }
                // What is not in the pod is nowhere.
                for (host, service) in [(1, "world"), (2, "hello")] {
                    let answer = ask(incoming(host), service).await?;
                    let (status, said) = answer.expect_err("another pod has answered");
                    ensure!(status >= 500, "{status}: {said}");
                }
                for sidecar in &sidecars {
                    println!(
                        "{}: {} MB resident",
                        sidecar.name,
                        sidecar.resident_mb().await?
                    );
                }
                anyhow::Ok(())
            };
            let ended = scenario.await;
            ended.with_context(|| mesh.last_words())
        },
    )
}

/// `l5d-node with-proxy` in the pod of the example, by its service account and by `kubectl proxy`, on the real API server.
#[test]
fn a_program_is_started_with_the_proxy_of_its_host() -> Result<()> {
    on_hosts(
        "sidecars::a_program_is_started_with_the_proxy_of_its_host",
        async |hosts, cluster, helm| {
            let text = std::fs::read_to_string(repository("deploy/examples/host-address.yaml"))?;
            let chart = helm.rendered(&[])?;
            let Some(mut mesh) = Mesh::bare(&hosts, &cluster, chart)? else {
                return Ok(());
            };
            cluster.namespace("default").await?;
            mesh.kubectl.apply(&text, &["--validate=ignore"])?;
            let all = objects(&text)?;
            let found = all
                .iter()
                .find(|o| o["kind"] == "Deployment" && o["metadata"]["name"] == "hello");
            let template = found.context("a Deployment")?["spec"]["template"].clone();
            let proxy = Program::new("proxy", mesh.kubectl.program())
                .args(mesh.kubectl.access())
                .args([
                    "proxy",
                    "--accept-hosts=.*",
                    "--address",
                    &hosts.control_ip().to_string(),
                    "--port",
                    "8001",
                ])
                .start(mesh.dir.path())?;
            let url = format!("http://{}:8001", hosts.control_ip());
            let mut all = vec![
                (
                    "by-account",
                    vec!["with-proxy", "--", "/usr/bin/env"],
                    "hello",
                    Ok(()),
                ),
                (
                    "by-proxy",
                    vec!["with-proxy", "--api", &url, "--", "/usr/bin/env"],
                    "hello",
                    Ok(()),
                ),
                (
                    "refused",
                    vec!["with-proxy", "--", "/usr/bin/env"],
                    "visitor",
                    Err("pods \"refused\" is forbidden"),
                ),
            ];
            let visitor = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "visitor", "namespace": "default"}});
            mesh.kubectl
                .apply(&visitor.to_string(), &["--validate=ignore"])?;
            for (name, arguments, account, expected) in all.drain(..) {
                let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]});
                pod["spec"]["nodeName"] = "node-2".into();
                pod["spec"]["serviceAccountName"] = account.into();
                // In place of the example's application.
                let container = &mut pod["spec"]["containers"][0];
                container["args"] = arguments.into();
                container["command"] = Value::Null;
                container["readinessProbe"] = json!({"httpGet": {"port": 7777}});
                let ip = hosts.pod_ip(2, 9);
                let wanted = Wanted {
                    of: ("Deployment", "hello"),
                    pod: name,
                    host: 2,
                    ip,
                    program: "l5d-node",
                };
                let chart = mesh.chart.clone();
                let mut started = mesh
                    .kubelet
                    .start_pod(&chart, &pod, "default", 0, &wanted)
                    .await?;
                // As the kubelet tells it; the helper waits for it.
                let status = json!({"status": {"hostIP": hosts.ip(2).to_string()}});
                let path = format!("/api/v1/namespaces/default/pods/{name}/status");
                cluster
                    .api()
                    .send(http::Method::PATCH, &path, &[], Some(&status))
                    .await?
                    .ok()?;
                let begun = Instant::now();
                let ended = loop {
                    if let Some(ended) = started.process.ended()? {
                        break ended;
                    }
                    ensure!(
                        begun.elapsed() < PATIENCE,
                        "{name} does not end: {}",
                        started.process.last_words(20)
                    );
                    sleep(std::time::Duration::from_millis(20)).await;
                };
                let said = started.process.last_words(100);
                match expected {
                    Ok(()) => {
                        let line = format!("http_proxy=http://{}:4140", hosts.ip(2));
                        ensure!(
                            ended.success() && said.lines().any(|said| said == line),
                            "{name}, {ended}: {said}"
                        );
                        ensure!(
                            said.contains(
                                "no_proxy=localhost,127.0.0.1,::1,kubernetes.default.svc"
                            ),
                            "{said}"
                        );
                    }
                    Err(why) => ensure!(
                        ended.code() == Some(1) && said.contains(why),
                        "{name}, {ended}: {said}"
                    ),
                }
            }
            drop(proxy);
            Ok(())
        },
    )
}
