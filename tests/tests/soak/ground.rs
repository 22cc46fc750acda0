//! The programs of a small mesh on loopback hosts: namerd and two node proxies as real processes, the API server's double and
//! the applications in this one. Each ground has a subnet of its own, so that several can run at once.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::objects::{Pod, Port};
use l5d_tests::pki::Authority;
use l5d_tests::process::{Process, Program};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::apps::Pods;

/// Generous: nothing here takes more than a few seconds on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How many pods a service has on each of the two hosts.
pub(crate) const SERVICES: [(&str, [usize; 2]); 2] = [("web", [2, 1]), ("other", [1, 1])];

/// All of it.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) pods: Pods,
    pub(crate) workloads: Vec<(&'static str, Workload)>,
    net: [u8; 3],
    authority: Authority,
    pub(crate) namerd: Option<Process>,
    /// By host, from 1 on.
    pub(crate) proxies: Vec<Proxy>,
    dir: TempDir,
}

/// A node proxy.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) admin: SocketAddr,
    generation: u16,
}

/// The programs, beside this test as `cargo build` left them; built if they are not there.
fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("a target folder")?;
    let program = folder.join(name);
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--package", "namerd", "--package", "l5d-node"];
        let built = std::process::Command::new(cargo).args(build).status()?;
        if !built.success() || !program.is_file() {
            bail!(
                "{} is missing: `cargo build -p namerd -p l5d-node`",
                program.display()
            );
        }
    }
    Ok(program)
}

impl Ground {
    pub(crate) async fn start() -> Result<Self> {
        static GROUNDS: AtomicU8 = AtomicU8::new(0);
        let (id, n) = (std::process::id(), GROUNDS.fetch_add(1, Ordering::Relaxed));
        let net = [127, 100 + (id % 100) as u8, (id / 100 % 60) as u8 * 4 + n];
        let cluster = Cluster::double()?;
        let ports = [Port::new("incoming", 4141, 4141)];
        let host = |n: u8| IpAddr::from([net[0], net[1], net[2], n]);
        let mut gateways = Vec::new();
        for n in [1, 2] {
            cluster.node(&format!("node-{n}"), None).await?;
            gateways.push(Pod::new(format!("l5d-{n}"), host(n), format!("node-{n}")));
        }
        Workload::create(&cluster, "linkerd", "l5d", &ports, gateways).await?;
        let mut ground = Self {
            cluster,
            pods: Pods::new(net),
            workloads: Vec::new(),
            net,
            authority: Authority::new("mesh")?,
            namerd: None,
            proxies: Vec::new(),
            dir: tempfile::Builder::new().prefix("l5d-soak-").tempdir()?,
        };
        for (service, on_hosts) in SERVICES {
            let ports = [Port::new("http", 80, crate::apps::PORT)];
            let mut listed = Vec::new();
            for (host, count) in (1..).zip(on_hosts) {
                for _ in 0..count {
                    listed.push(ground.pods.start(service, host).await?);
                }
            }
            let workload =
                Workload::create(&ground.cluster, "default", service, &ports, listed).await?;
            ground.workloads.push((service, workload));
        }
        ground.certify()?;
        ground.start_namerd().await?;
        for n in [1, 2] {
            let proxy = ground.start_proxy(n, 0).await?;
            ground.proxies.push(proxy);
        }
        Ok(ground)
    }

    fn host(&self, n: u8) -> IpAddr {
        [self.net[0], self.net[1], self.net[2], n].into()
    }

    /// Where a host's applications send their requests.
    pub(crate) fn outgoing(&self, host: u8) -> SocketAddr {
        (self.host(host), 4140).into()
    }

    /// New certificates for both nodes, written over the ones in use.
    pub(crate) fn certify(&self) -> Result<()> {
        let folder = self.dir.path();
        std::fs::write(folder.join("ca.crt"), self.authority.pem())?;
        for n in [1, 2] {
            let id = format!("spiffe://mesh.local/node/node-{n}");
            self.authority
                .issue(&[&id])?
                .write(folder, &format!("node-{n}"))?;
        }
        Ok(())
    }

    pub(crate) async fn start_namerd(&mut self) -> Result<()> {
        let Backing::Double(double) = self.cluster.backing() else {
            bail!("the ground has the double");
        };
        let (api, at) = (double.addr(), self.host(9));
        let text = format!(
            "admin: {{ip: {at}, port: 9991}}\n\
             storage: {{kind: io.l5d.inMemory, namespaces: {{default: /svc => /#/io.l5d.k8s/default/http}}}}\n\
             namers: [{{kind: io.l5d.k8s, host: {}, port: {}}}]\n\
             interfaces: [{{kind: io.l5d.mesh, ip: {at}, port: 4321}}]\n",
            api.ip(),
            api.port()
        );
        let config = self.write("namerd.yml", &text)?;
        let namerd = Program::new("namerd", program("namerd")?).arg(config);
        let mut namerd = namerd.start(self.dir.path())?;
        // While the API server is away it cannot be ready.
        started(&mut namerd, (at, 9991).into(), "/metrics").await?;
        self.namerd = Some(namerd);
        Ok(())
    }

    /// Where namerd tells of itself.
    pub(crate) fn namerd_admin(&self) -> SocketAddr {
        (self.host(9), 9991).into()
    }

    /// A node proxy, beside the one that may be there already.
    pub(crate) async fn start_proxy(&self, host: u8, generation: u16) -> Result<Proxy> {
        let (ip, folder) = (self.host(host), self.dir.path());
        let admin = SocketAddr::new(ip, 9990 - generation);
        let file = |name: String| folder.join(name).display().to_string();
        let interpreter = format!(
            "interpreter: {{kind: io.l5d.mesh, root: /default, dst: /$/inet/{}/4321, transformers: [TRANSFORMER]}}",
            self.host(9)
        );
        let server = |port: u16| {
            format!("servers: [{{ip: {ip}, port: {port}, socketOptions: {{reusePort: true}}}}]")
        };
        let of = |transformer: &str| interpreter.replace("TRANSFORMER", transformer);
        let text = format!(
            "admin: {{ip: {ip}, port: {}}}\n\
             identity: {{kind: io.l5d.files, certPath: {}, keyPath: {}, caCertPath: {}}}\n\
             routers:\n\
             - protocol: http\n  label: outgoing\n  {}\n  {}\n\
             \x20 service: {{totalTimeoutMs: 8000, responseClassifier: {{kind: io.l5d.http.retryableRead5XX}}}}\n\
             \x20 client: {{requestAttemptTimeoutMs: 2000}}\n\
             - protocol: http\n  label: incoming\n  {}\n  {}\n\
             \x20 client: {{requestAttemptTimeoutMs: 1500}}\n",
            admin.port(),
            file(format!("node-{host}.crt")),
            file(format!("node-{host}.key")),
            file("ca.crt".to_owned()),
            server(4140),
            of("{kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: incoming}"),
            server(4141),
            of("{kind: io.l5d.k8s.localnode}"),
        );
        let name = format!("node-{host}-{generation}");
        let config = self.write(&format!("{name}.yml"), &text)?;
        let warm = folder.join(format!("warm-{host}"));
        let proxy = Program::new(&name, program("l5d-node")?)
            .arg(config)
            .args([Path::new("--warm-file"), &warm])
            .env("NODE_NAME", format!("node-{host}"))
            .env("POD_IP", ip.to_string());
        let mut process = proxy.start(folder)?;
        started(&mut process, admin, "/ready").await?;
        Ok(Proxy {
            process,
            admin,
            generation,
        })
    }

    /// A new process takes over from the proxy of a host, which ends in order.
    pub(crate) async fn take_over(&mut self, host: u8) -> Result<()> {
        let at = usize::from(host) - 1;
        let new = self
            .start_proxy(host, self.proxies[at].generation + 1)
            .await?;
        let old = std::mem::replace(&mut self.proxies[at], new);
        let status = old.process.terminate().await?;
        anyhow::ensure!(status.success(), "the old proxy ended with {status}");
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The ends of all logs, for messages.
    pub(crate) fn last_words(&self) -> String {
        let proxies = self.proxies.iter().map(|proxy| &proxy.process);
        let mut words = String::new();
        for process in self.namerd.iter().chain(proxies) {
            let _ = writeln!(words, "--- {}\n{}", process.name(), process.last_words(40));
        }
        words
    }
}

/// Waits until a program answers there.
async fn started(process: &mut Process, admin: SocketAddr, path: &str) -> Result<()> {
    let (admin, begun) = (ApiClient::plain(admin), Instant::now());
    loop {
        if let Some(status) = process.ended()? {
            bail!(
                "{} ended with {status}: {}",
                process.name(),
                process.last_words(30)
            );
        }
        if admin
            .get(path)
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "{} does not answer: {}",
                process.name(),
                process.last_words(30)
            );
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The sum of all values of a metric at an admin server; 0 if it has none.
pub(crate) async fn metric(admin: SocketAddr, name: &str) -> Result<f64> {
    let answer = ApiClient::plain(admin).get("/metrics").await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}
