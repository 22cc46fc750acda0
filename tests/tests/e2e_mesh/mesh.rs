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
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::front::Front;
use l5d_tests::hosts::Hosts;
use l5d_tests::objects::{Pod, Port};
use l5d_tests::process::{Process, Program};
use l5d_tests::real::NAMERD;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::truth::Truth;

/// Generous: nothing here takes more than a few seconds on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const APP_PORT: u16 = 7777;
const OUTGOING: u16 = 4140;
pub(crate) const INCOMING: u16 = 4141;

/// The services, with the one that each calls.
const SERVICES: [(&str, Option<&str>); 3] =
    [("hello", Some("world")), ("world", None), ("moon", None)];

/// The mesh.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) cluster: Cluster,
    pub(crate) truth: Arc<Truth>,
    pub(crate) hosts: Hosts,
    pub(crate) services: BTreeMap<&'static str, Workload>,
    pub(crate) gateways: Workload,
    namerd: Option<Process>,
    /// Where the API server can only be reached through it.
    front: Option<Front>,
    pub(crate) proxies: BTreeMap<u8, Proxy>,
    pods: BTreeMap<String, (u8, Process)>,
    next_pod: u8,
    dir: TempDir,
}

/// A node proxy: a pod of the DaemonSet.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) pod: String,
    pub(crate) ip: IpAddr,
    pub(crate) admin: SocketAddr,
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
pub(crate) async fn eventually(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
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
