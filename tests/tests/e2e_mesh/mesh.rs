//! A whole mesh on hosts: the real API server, namerd as it runs in a cluster, a node proxy a host, pods that come and go.
//!
//! What controllers and the kubelet would do is done here, in their order: a pod answers before it is listed, it is shown
//! as terminating before it leaves its slice, and it ends only when every proxy has heard that it left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::front::Front;
use l5d_tests::hosts::Hosts;
use l5d_tests::objects::{Pod, Port};
use l5d_tests::process::{Process, Program};
use l5d_tests::real::NAMERD;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::truth::Truth;

/// Generous: nothing here takes more than a few seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const APP_PORT: u16 = 7777;
const OUTGOING: u16 = 4140;
const INCOMING: u16 = 4141;

/// The services, with the one that each calls.
const SERVICES: [(&str, Option<&str>); 3] =
    [("hello", Some("world")), ("world", None), ("moon", None)];

/// The mesh.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) cluster: Cluster,
    pub(crate) truth: Arc<Truth>,
    pub(crate) hosts: Hosts,
    services: BTreeMap<&'static str, Workload>,
    gateways: Workload,
    namerd: Option<Process>,
    /// Where the API server can only be reached through it.
    front: Option<Front>,
    proxies: BTreeMap<u8, Proxy>,
    pods: BTreeMap<String, (u8, Process)>,
    next_pod: u8,
    dir: TempDir,
}

/// A node proxy: a pod of the DaemonSet.
#[derive(Debug)]
struct Proxy {
    pod: String,
    ip: IpAddr,
    admin: SocketAddr,
    process: Process,
}

impl Mesh {
    /// Starts the API server and namerd.
    pub(crate) async fn start(hosts: Hosts) -> Result<Option<Self>> {
        let at = IpAddr::V4(hosts.control_ip());
        let Some(cluster) = Cluster::real_at(at, &[]).await? else {
            return Ok(None);
        };
        let ports = [
            Port::new("outgoing", OUTGOING, OUTGOING),
            Port::new("incoming", INCOMING, INCOMING),
        ];
        let gateways = Workload::create(&cluster, "linkerd", "l5d", &ports, Vec::new()).await?;
        let mut services = BTreeMap::new();
        for (name, _) in SERVICES {
            let ports = [Port::new("http", 80, APP_PORT)];
            let service = Workload::create(&cluster, "default", name, &ports, Vec::new()).await?;
            services.insert(name, service);
        }
        for host in hosts.numbers() {
            cluster.node(&hosts.name(host), Some("zone-1")).await?;
        }
        let mut mesh = Self {
            cluster,
            truth: Arc::default(),
            hosts,
            services,
            gateways,
            namerd: None,
            front: None,
            proxies: BTreeMap::new(),
            pods: BTreeMap::new(),
            next_pod: 10,
            dir: tempfile::Builder::new().prefix("l5d-mesh-").tempdir()?,
        };
        mesh.start_namerd()?;
        mesh.namerd_is_ready().await?;
        Ok(Some(mesh))
    }

    /// A node proxy on every host.
    pub(crate) async fn add_proxies(&mut self) -> Result<()> {
        for host in self.hosts.numbers() {
            self.add_proxy(host).await?;
        }
        Ok(())
    }

    // ---- namerd --------------------------------------------------------------------------------------------------------

    /// Starts namerd as in a pod: it finds the API server by its service account. On loopback hosts, through a front.
    pub(crate) fn start_namerd(&mut self) -> Result<()> {
        let Backing::Real(real) = self.cluster.backing() else {
            bail!("the mesh runs on the real API server");
        };
        let access = match self.hosts.rewrite() {
            None => {
                let account = real.service_account(NAMERD)?;
                self.hosts.mount_service_account(&account)?;
                String::new()
            }
            Some(rewrite) => {
                let front = Front::start(real.client(NAMERD)?, rewrite)?;
                let at = front.addr();
                self.front = Some(front);
                format!(", host: {}, port: {}", at.ip(), at.port())
            }
        };
        let config = NAMERD_CONFIG
            .replace("ACCESS", &access)
            .replace("HERE", &self.hosts.control_ip().to_string());
        let config = self.write("namerd.yaml", &config)?;
        let api = self.cluster.api().addr();
        let namerd = Program::new("namerd", program("namerd")?)
            .arg(config)
            .env("KUBERNETES_SERVICE_HOST", api.ip().to_string())
            .env("KUBERNETES_SERVICE_PORT", api.port().to_string())
            .env("POD_NAMESPACE", "linkerd")
            .start(self.dir.path())?;
        self.namerd = Some(namerd);
        Ok(())
    }

    /// Waits until namerd has listed every kind.
    pub(crate) async fn namerd_is_ready(&mut self) -> Result<()> {
        let admin = self.control(9991).addr();
        wait_ready(self.namerd.as_mut().context("namerd runs")?, admin).await
    }

    /// Whether namerd says that it is ready, now.
    pub(crate) async fn is_namerd_ready(&self) -> bool {
        let ready = self.control(9991).get("/ready").await;
        ready.is_ok_and(|answer| answer.status == 200)
    }

    /// Kills namerd, or asks it to end.
    pub(crate) async fn stop_namerd(&mut self, gracefully: bool) -> Result<()> {
        let namerd = self.namerd.take().context("namerd runs")?;
        if gracefully {
            let status = namerd.terminate().await?;
            assert!(status.success(), "namerd ended with {status}");
        } else {
            namerd.kill().await?;
        }
        Ok(())
    }

    /// An address of namerd.
    pub(crate) fn control(&self, port: u16) -> ApiClient {
        ApiClient::plain(SocketAddr::from((self.hosts.control_ip(), port)))
    }

    // ---- node proxies ----------------------------------------------------------------------------------------------------

    /// Where applications of a host send their requests.
    pub(crate) fn outgoing(&self, host: u8) -> SocketAddr {
        SocketAddr::from((self.hosts.ip(host), OUTGOING))
    }

    /// All of them, by host name.
    pub(crate) fn all_outgoing(&self) -> Vec<(String, SocketAddr)> {
        let hosts = self.hosts.numbers();
        hosts
            .map(|host| (self.hosts.name(host), self.outgoing(host)))
            .collect()
    }

    /// A DaemonSet pod starts on a host, and is listed once it is ready.
    pub(crate) async fn add_proxy(&mut self, host: u8) -> Result<()> {
        let number = self.number();
        let pod = format!("l5d-{number}");
        let ip = self.hosts.pod_ip(host, number);
        self.start_proxy(host, &pod, IpAddr::V4(ip)).await?;
        let listed = Pod::new(
            pod,
            self.hosts.listed_ip(host, number),
            self.hosts.name(host),
        );
        self.gateways.add(&self.cluster, listed).await
    }

    /// The DaemonSet replaces its pod: the old one ends and leaves, then the new one starts.
    pub(crate) async fn replace_proxy(&mut self, host: u8) -> Result<()> {
        let old = self.proxies.remove(&host).context("a proxy")?;
        let pod = old.pod.clone();
        self.gateways
            .change(&self.cluster, &pod, Pod::terminating)
            .await?;
        self.proxy_is_away(host, async |mesh| {
            old.process.terminate().await?;
            mesh.gateways.remove(&mesh.cluster, &pod).await?;
            mesh.add_proxy(host).await
        })
        .await
    }

    /// The node proxy's container restarts within its pod.
    pub(crate) async fn restart_proxy(&mut self, host: u8) -> Result<()> {
        let old = self.proxies.remove(&host).context("a proxy")?;
        self.proxy_is_away(host, async |mesh| {
            old.process.terminate().await?;
            mesh.start_proxy(host, &old.pod, old.ip).await
        })
        .await
    }

    /// Applications of the host itself have no proxy meanwhile; everybody else has all.
    async fn proxy_is_away(
        &mut self,
        host: u8,
        away: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let name = self.hosts.name(host);
        self.truth.gap_begins(&name);
        away(self).await?;
        self.truth.gap_ends(&name);
        Ok(())
    }

    async fn start_proxy(&mut self, host: u8, pod: &str, ip: IpAddr) -> Result<()> {
        let config = NODE_CONFIG
            .replace("NAMERD", &self.hosts.control_ip().to_string())
            .replace("HOST_IP", &self.hosts.ip(host).to_string())
            .replace("POD_IP", &ip.to_string());
        let config = self.write(&format!("{pod}.yaml"), &config)?;
        let program = Program::new(pod, program("l5d-node")?)
            .arg(config)
            .args([
                Path::new("--warm-file"),
                &self.dir.path().join(format!("warm-{host}")),
            ])
            .env("NODE_NAME", self.hosts.name(host))
            .env("POD_IP", ip.to_string());
        let mut process = self.hosts.on(host, program).start(self.dir.path())?;
        let admin = SocketAddr::from((self.hosts.ip(host), 9990));
        wait_ready(&mut process, admin).await?;
        let pod = pod.to_owned();
        let proxy = Proxy {
            pod,
            ip,
            admin,
            process,
        };
        self.proxies.insert(host, proxy);
        Ok(())
    }

    // ---- pods ------------------------------------------------------------------------------------------------------------

    /// Starts a pod of a service, and lists it once it answers.
    pub(crate) async fn add_pod(&mut self, service: &'static str, host: u8) -> Result<String> {
        let number = self.number();
        let pod = format!("{service}-{number}");
        let ip = self.hosts.pod_ip(host, number);
        let addr = SocketAddr::from((ip, APP_PORT));
        let mut program = Program::new(&pod, env!("CARGO_BIN_EXE_l5d-app"))
            .args(["--pod", &pod, "--text", service])
            .args(["--addr", &addr.to_string()])
            .env("NODE_NAME", self.hosts.name(host));
        let target = SERVICES.iter().find(|(name, _)| *name == service);
        if let Some((_, Some(target))) = target {
            program = program
                .args(["--target", target])
                .env("http_proxy", self.outgoing(host).to_string());
        }
        let process = self.hosts.on(host, program).start(self.dir.path())?;
        // Not a request: hello would call world.
        eventually(&pod, async || {
            Ok(tokio::net::TcpStream::connect(addr).await.is_ok())
        })
        .await?;
        let node = self.hosts.name(host);
        self.truth.born(service, &pod, &node);
        self.pods.insert(pod.clone(), (host, process));
        let listed = Pod::new(&pod, self.hosts.listed_ip(host, number), node);
        let workload = self.services.get_mut(service).context("a service")?;
        workload.add(&self.cluster, listed).await?;
        Ok(pod)
    }

    /// Ends a pod as the kubelet and the controller do.
    pub(crate) async fn retire_pod(&mut self, service: &str, pod: &str) -> Result<()> {
        let workload = self.services.get_mut(service).context("a service")?;
        workload
            .change(&self.cluster, pod, Pod::terminating)
            .await?;
        workload.remove(&self.cluster, pod).await?;
        self.all_have_heard().await?;
        self.truth.gone(pod);
        let (_, process) = self.pods.remove(pod).context("a pod")?;
        process.terminate().await.map(drop).map_err(Into::into)
    }

    /// The pods of a service now, with their hosts.
    pub(crate) fn pods_of(&self, service: &str) -> Vec<(String, u8)> {
        let of = |pod: &str| {
            pod.rsplit_once('-')
                .is_some_and(|(name, _)| name == service)
        };
        let pods = self.pods.iter().filter(|(pod, _)| of(pod));
        pods.map(|(pod, (host, _))| (pod.clone(), *host)).collect()
    }

    /// Starts a pod on another host, then ends the old one.
    pub(crate) async fn move_pod(
        &mut self,
        service: &'static str,
        pod: &str,
        to: u8,
    ) -> Result<String> {
        let new = self.add_pod(service, to).await?;
        self.all_have_heard().await?;
        self.retire_pod(service, pod).await?;
        Ok(new)
    }

    // ---- what the proxies know -------------------------------------------------------------------------------------------

    /// Waits until every proxy shows, for each service that it follows, what the slices say.
    pub(crate) async fn all_have_heard(&self) -> Result<()> {
        for (host, proxy) in &self.proxies {
            let mut wrong = String::new();
            let heard = eventually("a proxy hears of the change", async || {
                wrong = self.differences(*host, proxy).await?;
                Ok(wrong.is_empty())
            })
            .await;
            heard.with_context(|| format!("{}: {wrong}", proxy.pod))?;
        }
        Ok(())
    }

    /// Writes a change of a service's slices; how long after the API server's answer the last proxy shows it.
    pub(crate) async fn time_to_hear(&mut self, service: &str, pods: Vec<Pod>) -> Result<Duration> {
        let workload = self.services.get_mut(service).context("a service")?;
        workload.set(&self.cluster, pods).await?;
        let written = Instant::now();
        let hears = self.proxies.iter().map(async |(host, proxy)| {
            while !self.differences(*host, proxy).await?.is_empty() {
                if written.elapsed() > PATIENCE {
                    bail!("{} does not hear of a change", proxy.pod);
                }
            }
            Ok(())
        });
        try_join_all(hears).await?;
        Ok(written.elapsed())
    }

    /// A pod that is listed on a host, and does not exist.
    pub(crate) fn paper_pod(&self, host: u8, number: u8) -> Pod {
        let ip = self.hosts.listed_ip(host, number);
        Pod::new(format!("paper-{number}"), ip, self.hosts.name(host))
    }

    /// The pods that are listed for a service.
    pub(crate) fn listed(&self, service: &str) -> Vec<Pod> {
        self.services[service].pods().to_vec()
    }

    async fn differences(&self, host: u8, proxy: &Proxy) -> Result<String> {
        let known = clusters(
            &ApiClient::plain(proxy.admin)
                .get("/state.json")
                .await?
                .ok()?,
        );
        let mut wrong = String::new();
        for (service, workload) in &self.services {
            let usable: Vec<_> = workload
                .pods()
                .iter()
                .filter(|pod| pod.ready == Some(true))
                .collect();
            let nodes: Vec<_> = usable
                .iter()
                .filter_map(|pod| pod.node.as_deref())
                .collect();
            let gateways = self.gateways.pods().iter();
            let there = gateways.filter(|g| g.node.as_deref().is_some_and(|n| nodes.contains(&n)));
            let outgoing = there.map(|g| self.true_addr(g, INCOMING)).collect();
            let here = self.hosts.name(host);
            let local = usable.iter().filter(|pod| pod.node.as_ref() == Some(&here));
            let incoming = local.map(|pod| self.true_addr(pod, APP_PORT)).collect();
            let id = format!("/#/io.l5d.k8s/default/http/{service}");
            let wanted: [(String, Vec<SocketAddr>); 2] = [
                (
                    format!("/%/io.l5d.k8s.daemonset/linkerd/incoming/l5d{id}"),
                    outgoing,
                ),
                (
                    format!("/%/io.l5d.k8s.localnode/{}{id}", proxy.ip),
                    incoming,
                ),
            ];
            for (id, mut wanted) in wanted {
                wanted.sort();
                if let Some(known) = known.get(&id).filter(|known| **known != wanted) {
                    let _ = writeln!(wrong, "{id} is {known:?}, wanted {wanted:?}");
                }
            }
        }
        Ok(wrong)
    }

    /// Where a listed pod really is.
    fn true_addr(&self, pod: &Pod, port: u16) -> SocketAddr {
        let IpAddr::V4(listed) = pod.ip else {
            unreachable!("hosts have version 4 only")
        };
        let [_, _, host, number] = listed.octets();
        SocketAddr::from((self.hosts.pod_ip(host, number), port))
    }

    fn number(&mut self) -> u8 {
        self.next_pod += 1;
        self.next_pod
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The ends of all logs, for messages.
    pub(crate) fn last_words(&self) -> String {
        let proxies = self.proxies.values().map(|proxy| &proxy.process);
        let mut words = String::new();
        for process in self.namerd.iter().chain(proxies) {
            let _ = writeln!(words, "--- {}\n{}", process.name(), process.last_words(60));
        }
        words
    }
}

/// The endpoints of each cluster that a proxy's state page shows, sorted.
fn clusters(page: &Value) -> BTreeMap<String, Vec<SocketAddr>> {
    let mut all = BTreeMap::new();
    for cluster in page["clusters"].as_array().into_iter().flatten() {
        let endpoints = cluster["endpoints"].as_array().into_iter().flatten();
        let addr = |e: &Value| e["address"].as_str()?.parse().ok();
        let mut addrs: Vec<_> = endpoints.filter_map(addr).collect();
        addrs.sort();
        if let Some(id) = cluster["id"].as_str() {
            all.insert(id.to_owned(), addrs);
        }
    }
    all
}

/// Waits until a program says that it is ready.
async fn wait_ready(process: &mut Process, admin: SocketAddr) -> Result<()> {
    let admin = ApiClient::plain(admin);
    let ready = eventually("ready", async || {
        if let Some(status) = process.ended()? {
            bail!("ended with {status}");
        }
        let ready = admin.get("/ready").await;
        Ok(ready.is_ok_and(|answer| answer.status == 200))
    });
    let ready = ready.await;
    ready.with_context(|| format!("{}: {}", process.name(), process.last_words(30)))
}

/// Asks again and again until it holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    loop {
        let held = holds().await;
        if matches!(held, Ok(true)) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            held?;
            bail!("not within {PATIENCE:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A program of this workspace, as `cargo build` left it beside this test.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("a target folder")?;
    let program = folder.join(name);
    if !program.is_file() {
        bail!(
            "{} is missing: `cargo build -p namerd -p l5d-node`",
            program.display()
        );
    }
    Ok(program)
}

const NAMERD_CONFIG: &str = "\
admin: {ip: HERE, port: 9991}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: /svc => /#/io.l5d.k8s/default/http
namers:
- {kind: io.l5d.k8sACCESS}
interfaces:
- {kind: io.l5d.mesh, ip: HERE, port: 4321}
- {kind: io.l5d.httpController, ip: HERE, port: 4180}
";

const NODE_CONFIG: &str = "\
admin: {ip: HOST_IP, port: 9990}
routers:
- protocol: http
  label: outgoing
  servers:
  - {ip: HOST_IP, port: 4140}
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/NAMERD/4321
    root: /default
    transformers:
    - {kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: incoming}
- protocol: http
  label: incoming
  servers:
  - {ip: POD_IP, port: 4141}
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/NAMERD/4321
    root: /default
    transformers:
    - {kind: io.l5d.k8s.localnode}
";
