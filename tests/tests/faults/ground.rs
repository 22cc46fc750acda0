//! Two namerd programs on the real API server and etcd, everything on this host, with cables between that can be cut.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use l5d_tests::cable::Cable;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::etcd::RealEtcd;
use l5d_tests::hosts::Hosts;
use l5d_tests::process::{Process, Program};
use l5d_tests::real::{Binaries, NAMERD, RealCluster};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// Generous: waits between attempts grow to half a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Where dtabs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Kubernetes,
    Etcd,
}

/// All programs.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    /// Of dtabs alone; the API server has its own.
    pub(crate) etcd: Option<RealEtcd>,
    pub(crate) namerds: [Namerd; 2],
    dir: TempDir,
}

/// One replica.
pub(crate) struct Namerd {
    name: &'static str,
    pub(crate) api: Arc<Cable>,
    pub(crate) etcd: Option<Arc<Cable>>,
    doors: Doors,
    config: PathBuf,
    process: Option<Process>,
}

/// Where a replica listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    pub(crate) http: SocketAddr,
    pub(crate) mesh: SocketAddr,
    admin: SocketAddr,
}

impl Ground {
    /// Starts everything; `None` if the real programs are missing and not required.
    pub(crate) async fn start(hosts: &Hosts, store: Store) -> Result<Option<Self>> {
        let here = IpAddr::V4(hosts.control_ip());
        let (Some(binaries), Some(cluster)) =
            (Binaries::find()?, Cluster::real_at(here, &[]).await?)
        else {
            return Ok(None);
        };
        hosts.mount_service_account(&real(&cluster)?.service_account(NAMERD)?)?;
        cluster.namespace("default").await?;
        let etcd = match store {
            Store::Etcd => Some(RealEtcd::start(&binaries).await?),
            Store::Kubernetes => {
                cluster.namespace("linkerd").await?;
                cluster.define_dtabs().await?;
                None
            }
        };
        let dir = tempfile::Builder::new().prefix("l5d-faults-").tempdir()?;
        let namerd = |n, name| Namerd::place(n, name, here, &cluster, etcd.as_ref(), &dir);
        let namerds = [namerd(0, "namerd-a")?, namerd(1, "namerd-b")?];
        let mut ground = Self {
            cluster,
            etcd,
            namerds,
            dir,
        };
        for n in [0, 1] {
            ground.start_namerd(n)?;
            ground.namerd_is_ready(n).await?;
        }
        Ok(Some(ground))
    }

    pub(crate) fn real(&mut self) -> Result<&mut RealCluster> {
        match self.cluster.backing_mut() {
            Backing::Real(real) => Ok(real),
            Backing::Double(_) => bail!("only the real one can be killed"),
        }
    }

    /// Kills a replica.
    pub(crate) async fn kill_namerd(&mut self, n: usize) -> Result<()> {
        let process = self.namerds[n].process.take();
        Ok(process.context("it runs")?.kill().await?)
    }

    pub(crate) fn start_namerd(&mut self, n: usize) -> Result<()> {
        let namerd = &mut self.namerds[n];
        let api = namerd.api.addr();
        let process = Program::new(namerd.name, program("namerd")?)
            .arg(&namerd.config)
            .env("KUBERNETES_SERVICE_HOST", api.ip().to_string())
            .env("KUBERNETES_SERVICE_PORT", api.port().to_string())
            .env("POD_NAMESPACE", "linkerd")
            .start(self.dir.path())?;
        namerd.process = Some(process);
        Ok(())
    }

    /// Waits until a replica says that it is ready.
    pub(crate) async fn namerd_is_ready(&mut self, n: usize) -> Result<()> {
        let namerd = &mut self.namerds[n];
        let (admin, began) = (ApiClient::plain(namerd.doors.admin), Instant::now());
        let process = namerd.process.as_mut().context("it runs")?;
        while !admin.get("/ready").await.is_ok_and(|a| a.status == 200) {
            if process.ended()?.is_some() || began.elapsed() > PATIENCE {
                bail!("{} is not ready", namerd.name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether a replica says that it is ready, now.
    pub(crate) async fn is_namerd_ready(&self, n: usize) -> bool {
        let admin = ApiClient::plain(self.namerds[n].doors.admin);
        let ready = admin.get("/ready").await;
        ready.is_ok_and(|answer| answer.status == 200)
    }

    /// What a replica says of its store: whether it is connected.
    pub(crate) async fn is_store_connected(&self, n: usize) -> Result<bool> {
        let admin = ApiClient::plain(self.namerds[n].doors.admin);
        let answer = admin.get("/metrics").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("namerd_store_connected{"));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value.context("a gauge of the store")? == "1")
    }

    /// Waits until both replicas lead these names, by namespace and path, to somebody.
    pub(crate) async fn lead(&self, names: &[(String, String)]) -> Result<()> {
        let began = Instant::now();
        for door in self.doors() {
            let door = ApiClient::plain(door.http);
            for (root, path) in names {
                let url = format!("/api/1/resolve/{root}?path={path}");
                let leads = |answer: Value| answer["addrs"][0]["ip"].is_string();
                while !door.get(&url).await?.json().is_ok_and(leads) {
                    ensure!(began.elapsed() < PATIENCE, "{path} leads to nobody");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        Ok(())
    }

    /// Where both replicas listen.
    pub(crate) fn doors(&self) -> [Doors; 2] {
        [self.namerds[0].doors, self.namerds[1].doors]
    }

    /// The ends of the replicas' logs, for messages.
    pub(crate) fn last_words(&self) -> String {
        let processes = self.namerds.iter().filter_map(|n| n.process.as_ref());
        let words = processes.map(|p| format!("--- {}\n{}", p.name(), p.last_words(60)));
        words.collect::<Vec<_>>().join("\n")
    }
}

impl Namerd {
    fn place(
        n: u16,
        name: &'static str,
        here: IpAddr,
        cluster: &Cluster,
        etcd: Option<&RealEtcd>,
        dir: &TempDir,
    ) -> Result<Self> {
        let lay = |to| Cable::lay(here, to).map(Arc::new);
        let api = lay(cluster.api().addr())?;
        let etcd = etcd.map(|etcd| lay(etcd.addr())).transpose()?;
        // The network is the test's own, so that any number is free.
        let door = |port| SocketAddr::new(here, port + n);
        let doors = Doors {
            http: door(4180),
            mesh: door(4321),
            admin: door(9991),
        };
        let storage = match &etcd {
            Some(cable) => format!(
                "kind: io.l5d.etcd, experimental: true, host: {here}, port: {}",
                cable.addr().port()
            ),
            None => "kind: io.l5d.k8s, namespace: linkerd, startupJitter: 0".to_owned(),
        };
        let text = format!(
            "
admin: {{ip: {here}, port: {}}}
storage: {{{storage}}}
namers:
- {{kind: io.l5d.k8s, startupJitter: 0}}
interfaces:
- {{kind: io.l5d.mesh, auth: none, ip: {here}, port: {}}}
- {{kind: io.l5d.httpController, auth: none, ip: {here}, port: {}}}
",
            doors.admin.port(),
            doors.mesh.port(),
            doors.http.port(),
        );
        let config = dir.path().join(format!("{name}.yaml"));
        fs::write(&config, text)?;
        Ok(Self {
            name,
            api,
            etcd,
            doors,
            config,
            process: None,
        })
    }

    /// The ways to whatever the replica keeps its state in.
    pub(crate) fn cables(&self) -> impl Iterator<Item = &Cable> {
        [&self.api].into_iter().chain(&self.etcd).map(Arc::as_ref)
    }
}

fn real(cluster: &Cluster) -> Result<&RealCluster> {
    match cluster.backing() {
        Backing::Real(real) => Ok(real),
        Backing::Double(_) => bail!("built on the real API server"),
    }
}

/// A program of this workspace, as `cargo build` left it beside this test.
fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("a target folder")?;
    let program = folder.join(name);
    if !program.is_file() {
        bail!("{} is missing: `cargo build -p namerd`", program.display());
    }
    Ok(program)
}
