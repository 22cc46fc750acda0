//! Everything that runs: the cluster double and the apps in this process, namerd and the node proxies as programs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Method;
use l5d_tests::app::{App, Running, Target};
use l5d_tests::double::{Double, Kind};
use l5d_tests::objects;
use l5d_tests::process::{Process, Program};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::http;
use crate::layout::{self, A, B, Host, MOVED, NAMERD_ADMIN, PODS, Pod, SERVICES};

/// How long a program may take to become ready.
const READY: Duration = Duration::from_secs(60);
/// How long a change in the cluster may take to be known by both proxies.
const ARRIVES: Duration = Duration::from_secs(60);
/// The cluster of `world-v1` as outgoing routes see it.
const WORLD_V1: &str =
    "%/io.l5d.k8s.daemonset/default/incoming/l5d/#/io.l5d.k8s/default/http/world-v1";

/// What runs. Dropped, everything ends.
pub(crate) struct World {
    cluster: Double,
    apps: BTreeMap<&'static str, Running>,
    programs: Vec<Process>,
    /// Configurations and logs.
    folder: TempDir,
}

impl World {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let cluster = Double::start(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .context("cannot start the cluster double")?;
        let mut world = Self {
            cluster,
            apps: BTreeMap::new(),
            programs: Vec::new(),
            folder,
        };
        world.fill_cluster();
        for pod in PODS {
            world.start_app(pod).await?;
        }
        println!("starting namerd and two node proxies");
        let configuration = layout::namerd(world.cluster.addr());
        world.start_program("namerd", "namerd", &configuration, &[])?;
        for host in [A, B] {
            let ip = host.proxy_ip().to_string();
            let environment = [("NODE_NAME", host.name), ("POD_IP", &ip)];
            world.start_program(host.name, "l5d-node", &host.configuration(), &environment)?;
        }
        world.wait_until_ready().await?;
        Ok(world)
    }

    /// The pod `world-v1-a` goes, another starts on the other host. The time until both proxies had the new addresses.
    pub(crate) async fn move_pod(&mut self) -> anyhow::Result<Duration> {
        self.start_app(MOVED).await?;
        let pods: Vec<Pod> = PODS
            .into_iter()
            .filter(|p| p.name != "world-v1-a")
            .chain([MOVED])
            .collect();
        let start = Instant::now();
        self.put_slice("world-v1", &pods);
        for host in [A, B] {
            wait_for_addresses(host, &[B.incoming()], start + ARRIVES).await?;
        }
        let took = start.elapsed();
        if let Some(app) = self.apps.remove("world-v1-a") {
            app.stop().await;
        }
        Ok(took)
    }

    /// Where the Kubernetes API is.
    pub(crate) fn api(&self) -> SocketAddr {
        self.cluster.addr()
    }

    /// Watches that are open on the cluster.
    pub(crate) fn open_watches(&self) -> usize {
        self.cluster.traffic().all_open_watches()
    }

    /// The end of each program's log.
    pub(crate) fn last_words(&self) -> String {
        self.programs
            .iter()
            .map(|p| format!("--- {}\n{}\n", p.name(), p.last_words(12)))
            .collect()
    }

    /// Ends everything, the proxies first, so that namerd has no stream left to wait for.
    pub(crate) async fn stop(mut self) {
        let proxies = self.programs.split_off(1.min(self.programs.len()));
        for mut programs in [proxies, std::mem::take(&mut self.programs)] {
            for program in &mut programs {
                // It may have ended by itself; then there is nothing to ask for.
                let _ = program.signal("TERM");
            }
            for program in &mut programs {
                let ended = tokio::time::timeout(Duration::from_secs(15), program.wait()).await;
                if ended.is_err() {
                    eprintln!("demo: {} did not end when asked to; killed", program.name());
                }
            }
        }
        for (_, app) in std::mem::take(&mut self.apps) {
            app.stop().await;
        }
        self.cluster.stop().await;
    }

    fn fill_cluster(&self) {
        let store = self.cluster.store();
        store.put(Kind::Namespace, objects::namespace("default"));
        for host in [A, B] {
            store.put(Kind::Node, objects::node(host.name, None));
        }
        for (service, port) in SERVICES {
            let ports = [objects::Port::new("http", port, port)];
            store.put(Kind::Service, objects::headless("default", service, &ports));
            self.put_slice(service, &PODS);
        }
        let ports = ["outgoing", "incoming"].into_iter().zip([4140, 4141]);
        let ports: Vec<_> = ports
            .map(|(name, port)| objects::Port::new(name, port, port))
            .collect();
        let proxies =
            [A, B].map(|h| objects::Pod::new(format!("l5d-{}", h.name), h.proxy_ip(), h.name));
        store.put(Kind::Service, objects::headless("default", "l5d", &ports));
        store.put(
            Kind::EndpointSlice,
            objects::slice("default", "l5d", "l5d-1", &ports, &proxies),
        );
    }

    fn put_slice(&self, service: &str, pods: &[Pod]) {
        let pods: Vec<&Pod> = pods.iter().filter(|p| p.service == service).collect();
        let port = pods.first().map_or(80, |p| p.port);
        let endpoints: Vec<_> = pods
            .iter()
            .map(|p| objects::Pod::new(p.name, p.ip(), p.host.name))
            .collect();
        let ports = [objects::Port::new("http", port, port)];
        let slice = objects::slice(
            "default",
            service,
            &format!("{service}-1"),
            &ports,
            &endpoints,
        );
        self.cluster.store().put(Kind::EndpointSlice, slice);
    }

    async fn start_app(&mut self, pod: Pod) -> anyhow::Result<()> {
        let target = pod.calls_world.then(|| Target {
            name: "world".to_owned(),
            http_proxy: pod.host.outgoing(),
        });
        let app = App {
            pod: pod.name.to_owned(),
            node: pod.host.name.to_owned(),
            text: pod.text.to_owned(),
            target,
        };
        let running = app.start(pod.addr()).await.with_context(|| {
            format!(
                "cannot listen on {} for {}: this needs Linux, where all of 127.0.0.0/8 is the machine's own, and no other \
                 demo running",
                pod.addr(),
                pod.name
            )
        })?;
        self.apps.insert(pod.name, running);
        Ok(())
    }

    fn start_program(
        &mut self,
        name: &str,
        binary: &str,
        configuration: &str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, configuration)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut program = Program::new(name, beside_us(binary)?).arg(&file);
        if binary == "l5d-node" {
            program = program
                .arg("--warm-file")
                .arg(folder.join(format!("{name}.warm")));
        }
        for (key, value) in environment {
            program = program.env(key, value);
        }
        let process = program
            .start(folder)
            .with_context(|| format!("cannot start {binary}"))?;
        self.programs.push(process);
        Ok(())
    }

    /// Waits until every program has said that it listens, and then for 200 at `/ready`; one that ends instead says why.
    /// (Asked at once, a stranger on the same port might answer.)
    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        let mut doors = vec![NAMERD_ADMIN, A.admin(), B.admin()];
        loop {
            for program in &mut self.programs {
                if let Some(status) = program.ended()? {
                    bail!(
                        "{} ended with {status}:\n{}",
                        program.name(),
                        program.last_words(12)
                    );
                }
            }
            let silent = self
                .programs
                .iter()
                .find(|p| !p.last_words(100).contains("listening "));
            let missing = match (silent, doors.last()) {
                (Some(program), _) => format!("{} does not listen yet", program.name()),
                (None, None) => return Ok(()),
                (None, Some(door)) => match not_ready(*door).await {
                    None => {
                        doors.pop();
                        continue;
                    }
                    Some(missing) => missing,
                },
            };
            if Instant::now() > end {
                bail!(
                    "not ready after {} s: {missing}\n{}",
                    READY.as_secs(),
                    self.last_words()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a program says it still waits for.
async fn not_ready(admin: SocketAddr) -> Option<String> {
    let host = admin.to_string();
    match http::send(admin, Method::GET, "/ready", &[("host", &host)], "").await {
        Ok((status, _)) if status.is_success() => None,
        Ok((status, body)) => Some(format!(
            "{admin}: {status}: {}",
            String::from_utf8_lossy(&body)
        )),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Waits until a host's proxy has these addresses for `world-v1`.
async fn wait_for_addresses(host: Host, wanted: &[SocketAddr], end: Instant) -> anyhow::Result<()> {
    let admin = host.admin().to_string();
    loop {
        let (_, body) = http::send(
            host.admin(),
            Method::GET,
            "/client_state.json",
            &[("host", &admin)],
            "",
        )
        .await?;
        let state: serde_json::Value =
            serde_json::from_slice(&body).context("/client_state.json is not JSON")?;
        let clients = state
            .as_object()
            .context("/client_state.json is not an object")?;
        let now: Vec<SocketAddr> = clients
            .iter()
            .find(|(name, _)| name.trim_start_matches('/') == WORLD_V1)
            .and_then(|(_, client)| client["addresses"].as_array())
            .into_iter()
            .flatten()
            .filter_map(|a| a.as_str()?.parse().ok())
            .collect();
        if now == wanted {
            return Ok(());
        }
        if Instant::now() > end {
            bail!(
                "{} still routes world-v1 to {now:?}, {} s after the change",
                host.name,
                ARRIVES.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A program built into the folder that we run from.
fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let us = std::env::current_exe().context("cannot tell where this program is")?;
    let path = us.with_file_name(name);
    if !path.exists() {
        bail!(
            "{} is missing: start the demo with `cargo demo`, which builds it",
            path.display()
        );
    }
    Ok(path)
}
