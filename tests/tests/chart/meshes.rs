//! The chart at work: what it says is applied to the real API server and run on hosts, by the tokens that it grants and with its
//! own configuration, and everything is replaced once under load.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::helm::{Helm, Kubectl, NAMESPACE, Rendered};
use l5d_tests::hosts::{Hosts, with_hosts};
use l5d_tests::objects::{Pod, Port};
use l5d_tests::process::{Process, Program};
use l5d_tests::real::{ADMIN, Binaries};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::kubelet::{Kubelet, PATIENCE, Started, Wanted};
use super::load::{Load, health, hello};

/// Hosts with proxies; three more are for namerd.
const HOSTS: [u8; 3] = [1, 2, 3];
pub(crate) const HTTP: u16 = 7777;
pub(crate) const GRPC: u16 = 7778;
const DTAB: &str = "/svc => /#/io.l5d.k8s/default/http ; /svc/grpc.health.v1.Health => /#/io.l5d.k8s/default/grpc/world";

/// The chart, running.
pub(crate) struct Mesh<'a> {
    pub(crate) kubelet: Kubelet<'a>,
    pub(crate) kubectl: Kubectl,
    pub(crate) chart: Rendered,
    is_on_hosts: bool,
    namerds: Vec<Started>,
    proxies: Vec<Started>,
    apps: Vec<Process>,
    pub(crate) dir: tempfile::TempDir,
    number: u8,
}

/// Runs a scenario where everything for it is to be had: Helm, kubectl, the real API server, and network namespaces.
pub(crate) fn on_hosts(
    test: &str,
    scenario: impl AsyncFnOnce(Hosts, Cluster, Helm) -> Result<()>,
) -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    if Binaries::find()?.is_none() {
        return Ok(());
    }
    // Each has an API server and five programs: the machine may be small.
    static ONE_AT_A_TIME: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _mine = ONE_AT_A_TIME.lock();
    with_hosts(test, 6, async |hosts| {
        if hosts.rewrite().is_some() {
            eprintln!(
                "skipped: pods need network namespaces (root, or user namespaces), which are not to be had here"
            );
            return Ok(());
        }
        let Some(cluster) = Cluster::real_at(IpAddr::V4(hosts.control_ip()), &[]).await? else {
            return Ok(());
        };
        for host in hosts.numbers() {
            cluster.node(&hosts.name(host), Some("zone-1")).await?;
        }
        cluster.namespace(NAMESPACE).await?;
        scenario(hosts, cluster, helm).await
    })
}

impl<'a> Mesh<'a> {
    /// Applies the chart and starts what it says: namerd twice, a proxy on each host, dtabs written by somebody who may.
    pub(crate) async fn start(
        hosts: &'a Hosts,
        cluster: &'a Cluster,
        chart: Rendered,
    ) -> Result<Option<Self>> {
        let Some(mut mesh) = Self::bare(hosts, cluster, chart)? else {
            return Ok(None);
        };
        // Its fields are checked elsewhere, at the price of a description of all kinds.
        mesh.kubectl
            .apply(&mesh.chart.text, &["--validate=ignore"])?;
        cluster.define_dtabs().await?;
        for host in [4, 5] {
            mesh.add_namerd(host).await?;
        }
        mesh.write_dtab(cluster).await?;
        Ok(Some(mesh))
    }

    /// Nothing runs, and nothing is applied.
    pub(crate) fn bare(
        hosts: &'a Hosts,
        cluster: &'a Cluster,
        chart: Rendered,
    ) -> Result<Option<Self>> {
        let Backing::Real(real) = cluster.backing() else {
            anyhow::bail!("built on the real one");
        };
        let Some(kubectl) = Kubectl::find(real, ADMIN)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            kubelet: Kubelet::new(hosts, cluster)?,
            kubectl,
            is_on_hosts: chart.text.contains("hostNetwork: true\n"),
            chart,
            namerds: Vec::new(),
            proxies: Vec::new(),
            apps: Vec::new(),
            dir: tempfile::tempdir()?,
            number: 0,
        }))
    }

    fn next(&mut self) -> u8 {
        self.number += 1;
        self.number
    }

    async fn add_namerd(&mut self, host: u8) -> Result<()> {
        let number = self.next();
        let pod = format!("namerd-{number}");
        let wanted = Wanted {
            of: ("Deployment", "namerd"),
            pod: &pod,
            host,
            ip: self.kubelet.hosts.pod_ip(host, number),
            program: "namerd",
        };
        let mut namerd = self.kubelet.start(&self.chart, &wanted).await?;
        namerd.is_ready().await?;
        self.namerds.push(namerd);
        self.tell_namerds()
    }

    /// What the headless Service answers.
    fn tell_namerds(&mut self) -> Result<()> {
        let addresses = self.namerds.iter().map(|namerd| IpAddr::V4(namerd.ip));
        let name = format!("namerd-mesh.{NAMESPACE}.svc.cluster.local");
        self.kubelet.name(&name, addresses.collect())
    }

    /// Over HTTP, by a service account with a right to dtabs; who has none is refused.
    async fn write_dtab(&self, cluster: &Cluster) -> Result<()> {
        let rights = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": NAMESPACE}],
        });
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "deployer", "namespace": NAMESPACE},
            "rules": [{"apiGroups": ["l5d.io"], "resources": ["dtabs"], "verbs": ["create", "update"]}],
        });
        let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [account("deployer"), account("visitor"), role, rights]});
        self.kubectl
            .apply(&list.to_string(), &["--validate=ignore"])?;
        let token = |name: &str| -> Result<String> {
            let said = self
                .kubectl
                .run(&["--namespace", NAMESPACE, "create", "token", name], None)?;
            Ok(said.map_err(anyhow::Error::msg)?.trim().to_owned())
        };
        let http = ApiClient::plain((self.namerds[0].ip, 4180).into());
        let path = "/api/1/dtabs/default";
        let put = async |client: &ApiClient| -> Result<http::StatusCode> {
            let body = Some(("application/dtab", DTAB.into()));
            Ok(client.send_as(Method::POST, path, &[], body).await?.status)
        };
        ensure!(put(&http).await? == 401, "nobody has to prove anything");
        let visitor = http.clone().with_token(&token("visitor")?);
        ensure!(put(&visitor).await? == 403, "a visitor may write");
        let deployer = http.with_token(&token("deployer")?);
        // The server reads roles some moments after they were written.
        let begun = Instant::now();
        let mut status = put(&deployer).await?;
        while status == 403 && begun.elapsed() < PATIENCE {
            sleep(std::time::Duration::from_millis(100)).await;
            status = put(&deployer).await?;
        }
        ensure!(status.is_success(), "a deployer may not write: {status}");
        let object = cluster
            .get(&format!(
                "/apis/l5d.io/v1alpha1/namespaces/{NAMESPACE}/dtabs/default"
            ))
            .await?
            .ok()?;
        ensure!(
            object["dentries"]
                .as_array()
                .is_some_and(|all| all.len() == 2),
            "{object}"
        );
        Ok(())
    }

    /// The pod of the DaemonSet on a host; not yet ready, and not listed.
    async fn start_proxy(&mut self, host: u8) -> Result<Started> {
        let number = self.next();
        let pod = format!("l5d-node-{number}");
        let wanted = Wanted {
            of: ("DaemonSet", "l5d-node"),
            pod: &pod,
            host,
            ip: match self.is_on_hosts {
                true => self.kubelet.hosts.ip(host),
                false => self.kubelet.hosts.pod_ip(host, number),
            },
            program: "l5d-node",
        };
        self.kubelet.start(&self.chart, &wanted).await
    }

    async fn add_proxies(&mut self) -> Result<()> {
        for host in HOSTS {
            let mut proxy = self.start_proxy(host).await?;
            proxy.is_ready().await?;
            self.proxies.push(proxy);
        }
        self.list(&[]).await
    }

    /// The slice of the proxies' Service, with some more that are on their way out.
    async fn list(&self, terminating: &[&Started]) -> Result<()> {
        let pods = self.proxies.iter().map(|proxy| (proxy, false));
        let pods: Vec<_> = pods
            .chain(terminating.iter().map(|proxy| (*proxy, true)))
            .collect();
        self.kubelet.list(&self.chart, "l5d", &pods).await
    }

    /// hello on the first two hosts, world on the last two; where is the proxy of each?
    async fn add_apps(&mut self, cluster: &Cluster) -> Result<()> {
        for (service, on, target) in [("world", [2, 3], None), ("hello", [1, 2], Some("world"))] {
            let mut pods = Vec::new();
            for host in on {
                let (number, hosts) = (self.next(), self.kubelet.hosts);
                let (pod, ip) = (format!("{service}-{number}"), hosts.pod_ip(host, number));
                let mut program = Program::new(&pod, env!("CARGO_BIN_EXE_l5d-app"))
                    .args([
                        "--pod",
                        &pod,
                        "--text",
                        service,
                        "--node",
                        &hosts.name(host),
                    ])
                    .args([
                        "--addr",
                        &format!("{ip}:{HTTP}"),
                        "--grpc",
                        &format!("{ip}:{GRPC}"),
                    ]);
                if let Some(target) = target {
                    program = program
                        .args(["--target", target])
                        .env("http_proxy", self.outgoing(host).to_string());
                }
                self.apps
                    .push(hosts.on(host, program).start(self.dir.path())?);
                pods.push(Pod::new(&pod, ip, hosts.name(host)));
            }
            let ports = [Port::new("http", 80, HTTP), Port::new("grpc", 81, GRPC)];
            l5d_tests::cluster::Workload::create(cluster, "default", service, &ports, pods).await?;
        }
        Ok(())
    }

    /// `http_proxy` of the applications of a host.
    fn outgoing(&self, host: u8) -> SocketAddr {
        (self.kubelet.hosts.ip(host), 4140).into()
    }

    fn grpc(&self, host: u8) -> SocketAddr {
        (self.kubelet.hosts.ip(host), 4340).into()
    }

    /// Waits until every host's applications reach both services both ways.
    async fn serves(&self) -> Result<()> {
        let begun = Instant::now();
        for host in HOSTS {
            loop {
                let http = hello(self.outgoing(host), &mut None).await;
                let grpc = health(self.grpc(host))
                    .check(tonic_health::pb::HealthCheckRequest::default())
                    .await;
                match (http, grpc) {
                    (Ok(()), Ok(_)) => break,
                    (http, grpc) => ensure!(
                        begun.elapsed() < PATIENCE,
                        "host {host}: {http:?}, {grpc:?}"
                    ),
                }
                sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// All hosts with proxies, asked all the time.
    fn load(&self, hosts: &[u8]) -> Load {
        let mut load = Load::new();
        for host in hosts {
            load.http(self.outgoing(*host));
            load.grpc(self.grpc(*host));
        }
        load
    }

    /// The ends of all logs, for messages.
    pub(crate) fn last_words(&self) -> String {
        let pods = self
            .namerds
            .iter()
            .chain(&self.proxies)
            .map(|pod| &pod.process);
        let words = pods
            .chain(&self.apps)
            .map(|p| format!("--- {}\n{}\n", p.name(), p.last_words(40)));
        words.collect()
    }

    // ---- what changes ----------------------------------------------------------------------------------------------------

    /// As the Deployment says: one more, and when it is ready, one less.
    async fn replace_namerds(&mut self) -> Result<()> {
        for host in [6, 4] {
            self.add_namerd(host).await?;
            let old = self.namerds.remove(0);
            self.tell_namerds()?;
            self.kubelet.end(old).await?;
        }
        Ok(())
    }

    /// As the DaemonSet says with surge: the new one beside the old one, host by host.
    async fn replace_proxies_beside(&mut self) -> Result<()> {
        for (index, host) in HOSTS.into_iter().enumerate() {
            let mut new = self.start_proxy(host).await?;
            new.says(&[
                "this node has an identity",
                "following namerd",
                "admin listening",
            ])
            .await?;
            let old = std::mem::replace(&mut self.proxies[index], new);
            self.list(&[&old]).await?;
            self.kubelet.end(old).await?;
            self.list(&[]).await?;
        }
        Ok(())
    }

    /// The definition and everything else once more, with a change.
    fn apply_again(&self) -> Result<()> {
        let text = self
            .chart
            .text
            .replace("Why it cannot be read.", "Why it cannot be read, if so.");
        ensure!(text != self.chart.text, "the definition has changed");
        self.kubectl.apply(&text, &["--validate=ignore"]).map(drop)
    }

    /// Clear text is not let in at other proxies' door.
    async fn is_encrypted(&self) -> Result<()> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for (index, proxy) in self.proxies.iter().enumerate() {
            let mut stream = tokio::net::TcpStream::connect((proxy.ip, 4141)).await?;
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: world\r\nConnection: close\r\n\r\n")
                .await?;
            let mut answer = Vec::new();
            // What is refused may be reset.
            let _ = stream.read_to_end(&mut answer).await;
            ensure!(
                !answer.starts_with(b"HTTP"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            let metrics = proxy.admin().get("/metrics").await?;
            let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
            let handshakes = metrics
                .lines()
                .find(|line| line.contains("tls_handshakes_total") && !line.starts_with('#'));
            let handshakes = handshakes.with_context(|| metrics.clone())?;
            // Nothing leads to the first host but hello, which is nobody's target.
            ensure!(index == 0 || !handshakes.ends_with(" 0"), "{handshakes}");
        }
        Ok(())
    }
}

/// The Secret that namerd made, which the chart does not have.
async fn root(cluster: &Cluster) -> Result<Value> {
    let secret = cluster
        .get(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/namerd-ca"))
        .await?
        .ok()?;
    ensure!(secret["type"] == "kubernetes.io/tls", "{secret}");
    Ok(secret["data"].clone())
}

#[test]
fn everything_is_replaced_under_load_and_nothing_fails() -> Result<()> {
    on_hosts(
        "meshes::everything_is_replaced_under_load_and_nothing_fails",
        async |hosts, cluster, helm| {
            // Only so that this test, which is on no host, can look at the admin ports.
            let chart = helm.rendered(&["hostNetwork=true", "node.admin.ip=\"0.0.0.0\""])?;
            let Some(mut mesh) = Mesh::start(&hosts, &cluster, chart).await? else {
                return Ok(());
            };
            let scenario = async {
                mesh.add_proxies().await?;
                mesh.add_apps(&cluster).await?;
                mesh.serves().await?;
                let kept = root(&cluster).await?;
                let load = mesh.load(&HOSTS);
                mesh.replace_namerds().await?;
                mesh.apply_again()?;
                mesh.replace_proxies_beside().await?;
                mesh.serves().await?;
                load.stop()
                    .await?
                    .check("namerd, the definition and every proxy replaced")?;
                mesh.is_encrypted().await?;
                for proxy in &mesh.proxies {
                    println!("{}: {} MB resident", proxy.name, proxy.resident_mb().await?);
                }
                ensure!(root(&cluster).await? == kept, "all replicas keep one root");
                anyhow::Ok(())
            };
            let ended = scenario.await;
            ended.with_context(|| mesh.last_words())
        },
    )
}

#[test]
fn with_ports_of_hosts_other_hosts_lose_nothing() -> Result<()> {
    on_hosts(
        "meshes::with_ports_of_hosts_other_hosts_lose_nothing",
        async |hosts, cluster, helm| {
            let chart = helm.rendered(&[])?;
            let Some(mut mesh) = Mesh::start(&hosts, &cluster, chart).await? else {
                return Ok(());
            };
            let scenario = async {
                mesh.add_proxies().await?;
                mesh.add_apps(&cluster).await?;
                mesh.serves().await?;
                // The third host's proxy goes before its successor comes: two ports of one host cannot be.
                let load = mesh.load(&[1, 2]);
                let old = mesh.proxies.remove(2);
                mesh.list(&[&old]).await?;
                mesh.kubelet.end(old).await?;
                mesh.list(&[]).await?;
                let mut new = mesh.start_proxy(3).await?;
                new.is_ready().await?;
                mesh.proxies.push(new);
                mesh.list(&[]).await?;
                mesh.serves().await?;
                load.stop()
                    .await?
                    .check("the proxy of another host replaced")?;
                mesh.is_encrypted().await
            };
            let ended = scenario.await;
            ended.with_context(|| mesh.last_words())
        },
    )
}
