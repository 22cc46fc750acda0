//! The images that `cargo xtask image` writes, unpacked into empty roots and run there as a container runtime would.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use l5d_tests::app::{Answer, App, Running};
use l5d_tests::client::ApiClient;
use l5d_tests::double::{Double, Kind};
use l5d_tests::hosts::{Hosts, with_hosts_of_root};
use l5d_tests::images::{Images, Root};
use l5d_tests::objects::{self, Pod, Port};
use l5d_tests::process::{Process, Program};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(180);
const HOST: u8 = 1;
const USER: u32 = 65532;

#[test]
fn images_run_where_nothing_else_is() -> Result<()> {
    let test = "images_run_where_nothing_else_is";
    let Some(images) = Images::find() else {
        return Ok(());
    };
    with_hosts_of_root(test, 0, |_| async move {
        let folder = tempfile::tempdir()?;
        let configurations = folder.path().join("configurations");
        fs::create_dir(&configurations)?;
        let anywhere: SocketAddr = ([127, 0, 0, 1], 8001).into();
        fs::write(configurations.join("namerd.yaml"), namerd(anywhere))?;
        let ip = anywhere.ip();
        fs::write(configurations.join("l5d-node.yaml"), node(ip, ip))?;
        for (program, more) in [
            ("namerd", &[][..]),
            ("l5d-node", &["var/", "var/lib/", "var/lib/l5d-node/"]),
        ] {
            let root = images.unpack(program, folder.path())?;
            let file = format!("bin/{program}");
            let wanted = ["bin/", &file].into_iter().chain(more.iter().copied());
            assert!(root.list()?.iter().map(String::as_str).eq(wanted));
            assert_eq!(root.config()["config"]["User"], "65532:65532");
            root.mount(&configurations, "/etc/l5d", false)?;
            root.seal()?;
            let check = ["--check", &format!("/etc/l5d/{program}.yaml")];
            for (arguments, says) in [
                (&["--help"][..], "Usage:"),
                (&["--version"], program),
                (&check, ": ok"),
            ] {
                let said = run(&root, arguments, folder.path()).await?;
                ensure!(said.contains(says), "{program} {arguments:?}: {said}");
            }
            let refused = fs::write(root.folder().join("new"), "");
            let refused = refused.expect_err("nothing can be written").kind();
            assert_eq!(refused, std::io::ErrorKind::ReadOnlyFilesystem);
        }
        Ok(())
    })
}

/// What a program of an image says, if it ends well.
async fn run(root: &Root, arguments: &[&str], logs: &Path) -> Result<String> {
    let logs = tempfile::tempdir_in(logs)?;
    let mut process = root.program("it")?.args(arguments).start(logs.path())?;
    let status = tokio::time::timeout(PATIENCE, process.wait()).await??;
    let said = process.last_words(1000);
    ensure!(
        status.success(),
        "{arguments:?} ended with {status}: {said}"
    );
    Ok(said)
}

/// A namerd, a node on its host, a backend: a request goes through, and again through a node that was started again after
/// namerd was gone, from what it had written into its volume.
#[test]
fn a_request_goes_through_programs_in_images() -> Result<()> {
    let test = "a_request_goes_through_programs_in_images";
    let Some(images) = Images::find() else {
        return Ok(());
    };
    with_hosts_of_root(test, 1, |hosts| async move {
        let ground = Ground::build(&images, &hosts).await?;
        let namerd = ground.namerd()?;
        let mut node = ground.node(&hosts)?;
        let answered = ground.until_answered(&mut node).await;
        answered.with_context(|| namerd.last_words(20))?;
        let status = tokio::time::timeout(PATIENCE, node.terminate()).await??;
        assert!(status.success(), "{status}");
        namerd.kill().await?;
        let volume = fs::read_dir(ground.volume())?.collect::<Result<Vec<_>, _>>()?;
        ensure!(!volume.is_empty(), "the node keeps what it knows");
        for file in volume {
            assert_eq!(file.metadata()?.uid(), USER);
        }
        let mut node = ground.node(&hosts)?;
        ground.until_answered(&mut node).await?;
        Ok(())
    })
}

/// What the programs of images talk to, and their roots.
struct Ground {
    folder: tempfile::TempDir,
    namerd: Root,
    node: Root,
    proxy: SocketAddr,
    app: Running,
    _cluster: Double,
}

impl Ground {
    async fn build(images: &Images, hosts: &Hosts) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let control: IpAddr = hosts.control_ip().into();
        let cluster = Double::start(control)?;
        let app = App {
            pod: "world-1".to_owned(),
            node: "elsewhere".to_owned(),
            text: "World".to_owned(),
            target: None,
        };
        let app = app.start((control, 0).into()).await?;
        fill(&cluster, app.addr);
        let configurations = folder.path().join("configurations");
        fs::create_dir(&configurations)?;
        fs::write(
            configurations.join("namerd.yaml"),
            self::namerd(cluster.addr()),
        )?;
        let host: IpAddr = hosts.ip(HOST).into();
        fs::write(
            configurations.join("l5d-node.yaml"),
            self::node(host, control),
        )?;
        let volume = folder.path().join("volume");
        fs::create_dir(&volume)?;
        std::os::unix::fs::chown(&volume, Some(USER), Some(USER))?;
        let [namerd, node] = ["namerd", "l5d-node"].map(|program| {
            let root = images.unpack(program, folder.path())?;
            root.mount(&configurations, "/etc/l5d", false)?;
            if program == "l5d-node" {
                root.mount(&volume, "/var/lib/l5d-node", true)?;
            }
            root.seal()?;
            Ok::<_, anyhow::Error>(root)
        });
        Ok(Self {
            namerd: namerd?,
            node: node?,
            proxy: (host, 4140).into(),
            folder,
            app,
            _cluster: cluster,
        })
    }

    fn volume(&self) -> std::path::PathBuf {
        self.folder.path().join("volume")
    }

    fn namerd(&self) -> Result<Process> {
        let program = self.namerd.program("namerd-run")?;
        Ok(program
            .arg("/etc/l5d/namerd.yaml")
            .start(self.folder.path())?)
    }

    fn node(&self, hosts: &Hosts) -> Result<Process> {
        let program: Program = self.node.program("node-run")?.arg("/etc/l5d/l5d-node.yaml");
        let program = hosts
            .on(HOST, program)
            .env("NODE_NAME", hosts.name(HOST))
            .env("POD_IP", hosts.ip(HOST).to_string());
        Ok(program.start(self.folder.path())?)
    }

    /// Sends requests to `world` through the node until one is answered by the application.
    async fn until_answered(&self, node: &mut Process) -> Result<()> {
        let (client, started) = (ApiClient::plain(self.proxy), Instant::now());
        let before = self.app.served();
        loop {
            let world = [("host", "world")];
            let answer = client.send(http::Method::GET, "/", &world, None).await;
            let problem = match answer {
                Ok(answer) if answer.status == http::StatusCode::OK => {
                    let answer: Answer = serde_json::from_slice(&answer.body)?;
                    assert_eq!(answer.pod, "world-1");
                    assert!(self.app.served() > before);
                    return Ok(());
                }
                Ok(answer) => format!("{} {:?}", answer.status, answer.body),
                Err(error) => format!("{error:#}"),
            };
            if node.ended()?.is_some() || started.elapsed() > PATIENCE {
                bail!("no answer: {problem}\n{}", node.last_words(20));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn fill(cluster: &Double, app: SocketAddr) {
    let store = cluster.store();
    store.put(Kind::Namespace, objects::namespace("default"));
    let ports = [Port::new("http", app.port(), app.port())];
    store.put(Kind::Service, objects::headless("default", "world", &ports));
    let pods = [Pod::new("world-1", app.ip(), "elsewhere")];
    store.put(
        Kind::EndpointSlice,
        objects::slice("default", "world", "world-1", &ports, &pods),
    );
}

fn namerd(api: SocketAddr) -> String {
    let (ip, port) = (api.ip(), api.port());
    format!(
        "\
admin: {{port: 9991}}
storage: {{kind: io.l5d.inMemory, namespaces: {{default: /svc => /#/io.l5d.k8s/default/http}}}}
namers: [{{kind: io.l5d.k8s, host: {ip}, port: {port}, startupJitter: 0}}]
interfaces: [{{kind: io.l5d.mesh, ip: 0.0.0.0}}]
"
    )
}

fn node(host: IpAddr, namerd: IpAddr) -> String {
    format!(
        "\
admin: {{ip: {host}, port: 9990}}
routers:
- protocol: http
  servers: [{{ip: {host}, port: 4140}}]
  interpreter: {{kind: io.l5d.mesh, dst: /$/inet/{namerd}/4321, root: /default}}
"
    )
}

#[test]
fn a_bill_of_materials_names_what_is_linked() -> Result<()> {
    let Some(images) = Images::find() else {
        return Ok(());
    };
    for program in ["namerd", "l5d-node"] {
        let bill = images.bill(program)?;
        let components = bill["components"].as_array().context("components")?;
        let find = |name: &str| components.iter().find(|c| c["name"] == name);
        for (name, license) in [
            ("tokio", "MIT"),
            ("hyper", "MIT"),
            ("rustls", "Apache-2.0 OR ISC OR MIT"),
            ("l5d-naming", "Apache-2.0"),
            ("glibc", "LGPL-2.1-or-later"),
        ] {
            let found = find(name).with_context(|| format!("{program} is linked with {name}"))?;
            assert_eq!(found["licenses"][0]["expression"], license, "{name}");
        }
        let tokio = find("tokio").context("tokio")?;
        let version = tokio["version"].as_str().context("a version")?;
        assert_eq!(tokio["purl"], format!("pkg:cargo/tokio@{version}"));
        let hash = tokio["hashes"][0]["content"].as_str().context("a hash")?;
        assert_eq!(hash.len(), 64);
        for (name, why) in [
            ("ring", "another provider of cryptography is not linked"),
            ("l5d-tests", "tests are not linked"),
            ("serde_derive", "macros run at build time"),
        ] {
            assert!(find(name).is_none(), "{program} has {name}: {why}");
        }
        assert_eq!(find("kube").is_some(), program == "namerd");
    }
    Ok(())
}
