//! The programs of the previous release beside those of this checkout, both ways: requests flow, changes arrive, restarts and
//! exchanges of either side are survived. `deploy/releases.txt` says which release that is.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use l5d_tests::app::{Answer, App, Running};
use l5d_tests::client::ApiClient;
use l5d_tests::double::{Double, Kind};
use l5d_tests::hosts::{Hosts, with_hosts};
use l5d_tests::objects::{self, Pod, Port};
use l5d_tests::process::{Process, Program};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(180);
/// The folder that `cargo xtask test` had the previous release's programs put into.
const PREVIOUS: &str = "L5D_PREVIOUS";
const HOST: u8 = 1;
const NODE: &str = "node-1";
const WORLD: &str = "/svc => /#/io.l5d.k8s/default/http";
const MOON: &str =
    "/svc => /#/io.l5d.k8s/default/http ; /svc/world => /#/io.l5d.k8s/default/http/moon";

/// Which release a program is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Previous,
    Present,
}

use Age::{Present, Previous};

impl Age {
    fn other(self) -> Self {
        match self {
            Previous => Present,
            Present => Previous,
        }
    }
}

/// Where the programs of both are.
#[derive(Debug)]
struct Programs {
    previous: PathBuf,
    present: PathBuf,
}

impl Programs {
    /// `None` after one line that says what is missing.
    fn find() -> Result<Option<Self>> {
        let Some(previous) = std::env::var_os(PREVIOUS).filter(|folder| !folder.is_empty()) else {
            eprintln!(
                "skipped: no programs of the previous release; `cargo xtask test` builds them where the history is there"
            );
            return Ok(None);
        };
        let this = std::env::current_exe()?;
        let present = this.ancestors().nth(2).context("a target folder")?;
        Ok(Some(Self {
            previous: previous.into(),
            present: present.to_owned(),
        }))
    }

    fn path(&self, age: Age, program: &str) -> Result<PathBuf> {
        let folder = match age {
            Previous => &self.previous,
            Present => &self.present,
        };
        let path = folder.join(program);
        ensure!(
            path.is_file(),
            "{} is missing: `cargo build --workspace --bins`",
            path.display()
        );
        Ok(path)
    }
}

#[test]
fn a_previous_namerd_serves_a_present_node() -> Result<()> {
    let test = "a_previous_namerd_serves_a_present_node";
    meet(test, Previous, Present)
}

#[test]
fn a_present_namerd_serves_a_previous_node() -> Result<()> {
    let test = "a_present_namerd_serves_a_previous_node";
    meet(test, Present, Previous)
}

/// A namerd of one age and a node of the other; in the end the namerd is exchanged for one of the other age.
fn meet(test: &str, namerd: Age, node: Age) -> Result<()> {
    let Some(programs) = Programs::find()? else {
        return Ok(());
    };
    with_hosts(test, 1, |hosts| async move {
        let mut ground = Ground::build(programs, hosts).await?;
        ground.start_namerd(namerd)?;
        ground.start_node(node)?;
        ground.until("world-1").await?;
        // A pod that moves.
        ground.list("world", "world-2")?;
        ground.until("world-2").await?;
        for ctl in [Previous, Present] {
            ground.edit_dtabs(ctl).await?;
        }
        // Another namerd, after a change that the node has not heard of: it goes on with what it knows, then catches up.
        ground.stop_namerd().await?;
        for _ in 0..10 {
            assert_eq!(ground.ask().await?, "world-2");
        }
        ground.list("world", "world-1")?;
        ground.start_namerd(namerd.other())?;
        ground.until("world-1").await?;
        ground.list("world", "world-2")?;
        ground.until("world-2").await?;
        // The same node again.
        ground.stop_node().await?;
        ground.start_node(node)?;
        ground.until("world-2").await
    })
}

/// What a node has written for its successor is read by one of another age, there and back: an update, and its undoing.
#[test]
fn warm_files_are_read_by_the_other_release() -> Result<()> {
    let test = "warm_files_are_read_by_the_other_release";
    let Some(programs) = Programs::find()? else {
        return Ok(());
    };
    with_hosts(test, 1, |hosts| async move {
        let mut ground = Ground::build(programs, hosts).await?;
        ground.start_namerd(Present)?;
        for (writer, pod) in [(Previous, "world-1"), (Present, "world-2")] {
            ground.list("world", pod)?;
            ground.start_node(writer)?;
            ground.until(pod).await?;
            ground.stop_node().await?;
            ground.stop_namerd().await?;
            ground.start_node(writer.other())?;
            ground.until(pod).await?;
            ground.stop_node().await?;
            ground.start_namerd(Present)?;
        }
        Ok(())
    })
}

/// One host, an API server's double, and three applications.
struct Ground {
    programs: Programs,
    hosts: Hosts,
    cluster: Double,
    apps: Vec<(&'static str, Running)>,
    namerd: Option<Process>,
    node: Option<Process>,
    folder: tempfile::TempDir,
}

impl Ground {
    async fn build(programs: Programs, hosts: Hosts) -> Result<Self> {
        let control: IpAddr = hosts.control_ip().into();
        let cluster = Double::start(control)?;
        let mut apps = Vec::new();
        for pod in ["world-1", "world-2", "moon-1"] {
            let app = App {
                pod: pod.to_owned(),
                node: NODE.to_owned(),
                text: "World".to_owned(),
                target: None,
            };
            apps.push((pod, app.start((control, 0).into()).await?));
        }
        let ground = Self {
            programs,
            cluster,
            apps,
            namerd: None,
            node: None,
            folder: tempfile::tempdir()?,
            hosts,
        };
        let store = ground.cluster.store();
        store.put(Kind::Namespace, objects::namespace("default"));
        store.put(Kind::Node, objects::node(NODE, None));
        let gateway = SocketAddr::new(ground.hosts.ip(HOST).into(), 4141);
        ground.put("l5d", "incoming", "l5d-1", gateway);
        ground.list("world", "world-1")?;
        ground.list("moon", "moon-1")?;
        Ok(ground)
    }

    /// Makes a pod the only one of a service.
    fn list(&self, service: &str, pod: &str) -> Result<()> {
        let app = self.apps.iter().find(|(name, _)| *name == pod);
        let addr = app.context("a known pod")?.1.addr;
        self.put(service, "http", pod, addr);
        Ok(())
    }

    fn put(&self, service: &str, port: &str, pod: &str, addr: SocketAddr) {
        let store = self.cluster.store();
        let ports = [Port::new(port, addr.port(), addr.port())];
        store.put(Kind::Service, objects::headless("default", service, &ports));
        let pods = [Pod::new(pod, addr.ip(), NODE)];
        let slice = objects::slice("default", service, service, &ports, &pods);
        store.put(Kind::EndpointSlice, slice);
    }

    fn start_namerd(&mut self, age: Age) -> Result<()> {
        let api = self.cluster.addr();
        let text = NAMERD
            .replace("HERE", &self.hosts.control_ip().to_string())
            .replace("API", &format!("host: {}, port: {}", api.ip(), api.port()));
        let file = self.folder.path().join("namerd.yaml");
        fs::write(&file, text)?;
        let program = Program::new("namerd", self.programs.path(age, "namerd")?).arg(file);
        self.namerd = Some(program.start(self.folder.path())?);
        Ok(())
    }

    async fn stop_namerd(&mut self) -> Result<()> {
        let namerd = self.namerd.take().context("a namerd runs")?;
        Ok(namerd.kill().await?)
    }

    fn start_node(&mut self, age: Age) -> Result<()> {
        let ip = self.hosts.ip(HOST).to_string();
        let text = L5D_NODE
            .replace("HERE", &ip)
            .replace("NAMERD", &self.hosts.control_ip().to_string());
        let file = self.folder.path().join("node.yaml");
        fs::write(&file, text)?;
        let warm = self.folder.path().join("warm");
        let program = Program::new("l5d-node", self.programs.path(age, "l5d-node")?)
            .arg(file)
            .arg("--warm-file")
            .arg(warm);
        let program = self.hosts.on(HOST, program);
        let program = program.env("NODE_NAME", NODE).env("POD_IP", ip);
        self.node = Some(program.start(self.folder.path())?);
        Ok(())
    }

    /// As Kubernetes does it: SIGTERM, and it ends well.
    async fn stop_node(&mut self) -> Result<()> {
        let node = self.node.take().context("a node runs")?;
        let status = tokio::time::timeout(PATIENCE, node.terminate()).await??;
        ensure!(status.success(), "the node ended with {status}");
        Ok(())
    }

    /// The pod that answers a request for `world`, or what happened instead.
    async fn ask(&self) -> Result<String> {
        let client = ApiClient::plain((self.hosts.ip(HOST), 4140).into());
        let world = [("host", "world")];
        let answer = client.send(http::Method::GET, "/", &world, None).await?;
        if answer.status != http::StatusCode::OK {
            bail!("{} {:?}", answer.status, answer.body);
        }
        let answer: Answer = serde_json::from_slice(&answer.body)?;
        Ok(answer.pod)
    }

    /// Asks until this pod answers.
    async fn until(&self, pod: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let answer = self.ask().await;
            if answer.as_ref().is_ok_and(|answer| answer == pod) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                let words = |of: &Option<Process>| of.as_ref().map(|p| p.last_words(20));
                bail!(
                    "{pod} does not answer, but {answer:?}\n{:?}\n{:?}",
                    words(&self.namerd),
                    words(&self.node)
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A namerctl reads what there is, writes, sees its nodes and what a name means, and puts everything back.
    async fn edit_dtabs(&self, age: Age) -> Result<()> {
        let here = self.hosts.control_ip();
        let url = format!("http://{here}:4180");
        let resolver = format!("{here}:4321");
        let ctl =
            |arguments: &[&str]| self.namerctl(age, &[&["--base-url", &url], arguments].concat());
        let before = ctl(&["dtab", "get", "default"])?;
        ensure!(!before.contains("moon"), "{age:?}: {before}");
        let file = self.folder.path().join("moon.dtab");
        fs::write(&file, MOON)?;
        let file = file.to_str().context("a path of text")?;
        ctl(&["dtab", "update", "default", file])?;
        self.until("moon-1").await?;
        let nodes = ctl(&["nodes", "--resolver", &resolver])?;
        ensure!(nodes.contains(NODE), "{age:?}: {nodes}");
        let moon = format!("\"port\": {}", self.apps[2].1.addr.port());
        let resolved = ctl(&[
            "resolve",
            "/svc/world",
            "-o",
            "json",
            "--resolver",
            &resolver,
        ])?;
        ensure!(resolved.contains(&moon), "{age:?}: {resolved}");
        fs::write(file, WORLD)?;
        ctl(&["dtab", "update", "default", file])?;
        self.until("world-2").await
    }

    fn namerctl(&self, age: Age, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.programs.path(age, "namerctl")?)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{age:?} namerctl {arguments:?}: {said}{complaint}"
        );
        Ok(said)
    }
}

const NAMERD: &str = "\
admin: {ip: HERE, port: 9991}
storage: {kind: io.l5d.inMemory, namespaces: {default: /svc => /#/io.l5d.k8s/default/http}}
namers: [{kind: io.l5d.k8s, API, startupJitter: 0}]
interfaces:
- {kind: io.l5d.mesh, ip: HERE, port: 4321}
- {kind: io.l5d.httpController, ip: HERE, port: 4180}
";

const L5D_NODE: &str = "\
admin: {ip: HERE, port: 9990}
routers:
- protocol: http
  label: outgoing
  servers: [{ip: HERE, port: 4140}]
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/NAMERD/4321
    root: /default
    transformers:
    - {kind: io.l5d.k8s.daemonset, namespace: default, service: l5d, port: incoming}
- protocol: http
  label: incoming
  servers: [{ip: HERE, port: 4141}]
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/NAMERD/4321
    root: /default
    transformers: [{kind: io.l5d.k8s.localnode}]
";
