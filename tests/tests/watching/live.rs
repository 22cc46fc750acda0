//! A real Prometheus looks at a running namerd and a running node proxy, in health and in faults.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use l5d_node::app::{Options, Running as Node};
use l5d_node::config::Identity;
use l5d_resolver::v1;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::moody;
use l5d_tests::pki::Authority;
use l5d_tests::watching::names::Names;
use l5d_tests::watching::prometheus::{Prometheus, find, get};
use l5d_tests::watching::{RUNBOOK, dashboards, files, fill, query};
use namerd::app::{NoLevels, Running as Namerd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Endpoint;

use super::ENTRIES;

const PATIENCE: Duration = Duration::from_secs(180);

/// What is watched.
struct World {
    node: Node,
    namerd: Namerd,
    cluster: Cluster,
    _app: AbortOnDropHandle<()>,
    _files: tempfile::TempDir,
}

impl World {
    async fn start() -> Result<Self> {
        let (app, task) = moody::start().await?;
        let cluster = Cluster::double()?;
        cluster.namespace("linkerd").await?;
        cluster.node("node-1", None).await?;
        let namerd = namerd(&cluster).await?;
        let [http, mesh] = [0, 1].map(|i| namerd.addresses.interfaces[i].1);
        let dtab = format!(
            "/svc/web => /$/inet/127.0.0.1/{} ;\n/svc/down => /$/inet/127.0.0.1/1 ;\n",
            app.port()
        );
        let body = Some(("application/dtab", dtab.into()));
        let names = ApiClient::plain(http);
        let written = names.send_as(Method::POST, "/api/1/dtabs/default", &[], body);
        ensure!(written.await?.status == 204, "the dtab is not written");
        let files = tempfile::tempdir()?;
        Ok(Self {
            node: node(mesh, files.path())?,
            namerd,
            cluster,
            _app: task,
            _files: files,
        })
    }

    /// A request to the router at this place in the configuration.
    async fn ask(&self, router: usize, host: &str, target: &str) -> Result<u16> {
        ask(self.node.addresses[router][0], host, target).await
    }

    /// Until a request is answered so.
    async fn until(&self, router: usize, host: &str, target: &str, status: u16) -> Result<()> {
        let begun = Instant::now();
        while self.ask(router, host, target).await? != status {
            ensure!(
                begun.elapsed() < PATIENCE,
                "no {status} from {host}{target}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// A request on a connection of its own.
async fn ask(addr: SocketAddr, host: &str, target: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(addr).await?;
    let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("a status")?;
    Ok(status.parse()?)
}

async fn namerd(cluster: &Cluster) -> Result<Namerd> {
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let api = double.addr();
    let at = format!("host: {}, port: {}, startupJitter: 0", api.ip(), api.port());
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.k8s, {at}, namespace: linkerd}}\n\
         namers: [{{kind: io.l5d.k8s, {at}}}]\n\
         interfaces: [{{kind: io.l5d.httpController, port: 0}}, {{kind: io.l5d.mesh, port: 0}}]\n"
    );
    let (config, _) = namerd::config::Config::read("namerd.yml", &text, &|_| None)?;
    Ok(namerd::app::run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

fn node(mesh: SocketAddr, folder: &Path) -> Result<Node> {
    let authority = Authority::new("nodes")?;
    let issued = authority.issue(&["spiffe://mesh.local/node/node-1"])?;
    let (cert, key) = issued.write(folder, "node")?;
    let (roots, _) = authority.write(folder)?;
    let follow = format!(
        "kind: io.l5d.mesh, dst: /$/inet/{}/{}, root: /default",
        mesh.ip(),
        mesh.port()
    );
    let text = format!(
        "admin: {{port: 0}}\n\
         identity: {{kind: io.l5d.files, certPath: {}, keyPath: {}, caCertPath: {}}}\n\
         routers:\n\
         - {{protocol: http, label: outgoing, servers: [{{port: 0}}], interpreter: {{{follow}}}}}\n\
         - {{protocol: http, label: narrow, servers: [{{port: 0, maxConcurrentRequests: 1}}], interpreter: {{{follow}}}}}\n\
         - {{protocol: http, label: incoming, servers: [{{port: 0}}], \
             interpreter: {{{follow}, transformers: [{{kind: io.l5d.k8s.localnode}}]}}}}\n",
        cert.display(),
        key.display(),
        roots.display()
    );
    let config = l5d_node::config::read("l5d.yml", &text)?;
    let identity = Identity {
        node_name: Some("node-1".to_owned()),
        pod_ip: Some([127, 0, 0, 1].into()),
        ..Identity::default()
    };
    let options = Options {
        workers: Some(1),
        ..Options::default()
    };
    Ok(l5d_node::app::run(config, identity, options)?)
}

/// The rules as they are, but for how long something must be so.
fn impatient() -> Result<String> {
    let rules = files(RUNBOOK).into_iter().find(|f| f.name == "rules.yaml");
    let text = rules.context("the rules")?.text;
    let lines = text
        .lines()
        .map(|line| match line.starts_with("    for: ") {
            true => "    for: 1s\n".to_owned(),
            false => format!("{line}\n"),
        });
    Ok(lines.collect())
}

fn scraping(namerd: SocketAddr, node: SocketAddr) -> String {
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\nscrape_configs:\n\
         - {{job_name: namerd, static_configs: [{{targets: ['{namerd}']}}]}}\n\
         - {{job_name: l5d-node, static_configs: [{{targets: ['{node}'], labels: {{node: node-1}}}}]}}\n"
    )
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_sees_health_and_faults() -> Result<()> {
    let (Some(program), Some(promtool)) = (find("prometheus")?, find("promtool")?) else {
        return Ok(());
    };
    let mut world = World::start().await?;
    let [admin, node] = [world.namerd.addresses.admin, world.node.admin];
    world.until(0, "web", "/", 200).await?;
    world.until(1, "web", "/", 200).await?;
    let mesh = format!("http://{}", world.namerd.addresses.interfaces[1].1);
    let channel = Endpoint::try_from(mesh)?.connect().await?;
    let mut nodes = ResolverClient::new(channel);
    nodes.nodes(v1::NodesRequest::default()).await?;
    for page in [admin, node] {
        exposition(page, &promtool).await?;
    }
    pages(admin, node).await?;
    let scratch = tempfile::tempdir()?;
    std::fs::write(scratch.path().join("rules.yaml"), impatient()?)?;
    std::fs::write(scratch.path().join("prometheus.yml"), scraping(admin, node))?;
    let (from, prometheus) = (now(), Prometheus::start(&program, scratch.path()).await?);
    healthy(&world, &prometheus).await?;
    faults(&mut world, &prometheus).await?;
    answers(&prometheus, from).await?;
    let outgoing = world.node.addresses[0][0];
    world.namerd.shutdown();
    world.namerd.wait().await?;
    let gone = [
        "L5dNodeWithoutNamerd",
        "L5dNodesCutOff",
        "L5dNamerdDown",
        "L5dNamerdAbsent",
    ];
    prometheus.until_firing(&gone).await?;
    // The node goes on with what it knows.
    ensure!(ask(outgoing, "web", "/").await? == 200);
    drop(prometheus);
    world.node.join().await;
    Ok(())
}

/// Every series stands in a table, and promtool has nothing to say but of names that are those of Linkerd 1.x.
async fn exposition(page: SocketAddr, promtool: &Path) -> Result<()> {
    let (status, text) = get(page, "/metrics").await?;
    ensure!(status == 200, "{status}");
    let names = Names::shown();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        query::check(line, &names).map_err(anyhow::Error::msg)?;
    }
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut check = check
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = check.stdin.take().context("its input")?;
    std::io::Write::write_all(&mut input, text.as_bytes())?;
    drop(input);
    let output = check.wait_with_output()?;
    // 3: it reads, and there is something to say about style.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    for said in [output.stdout, output.stderr] {
        for line in String::from_utf8_lossy(&said).lines() {
            ensure!(line.starts_with("rt:"), "promtool says of {page}: {line}");
        }
    }
    Ok(())
}

/// Every page that the runbook names is there.
async fn pages(admin: SocketAddr, node: SocketAddr) -> Result<()> {
    for (mark, addr) in [("NAMERD:9991", admin), ("NODE:9990", node)] {
        let mut n = 0;
        for rest in ENTRIES.split(mark).skip(1) {
            let path = rest
                .split(['`', ' ', '\n', ')', '|'])
                .next()
                .unwrap_or_default();
            let (status, _) = get(addr, path).await?;
            ensure!(status != 404, "{mark}{path} is not there");
            n += 1;
        }
        ensure!(n > 0, "{mark} is nowhere");
    }
    Ok(())
}

/// Nothing is active while all is well. What is said before the first scrapes passes.
async fn healthy(world: &World, prometheus: &Prometheus) -> Result<()> {
    for query in ["up{job=\"namerd\"} == 1", "up{job=\"l5d-node\"} == 1"] {
        prometheus.until(query).await?;
    }
    let begun = Instant::now();
    let mut quiet = 0;
    // Several looks in a row, with requests in between.
    while quiet < 5 {
        ensure!(world.ask(0, "web", "/").await? == 200);
        let alerts = prometheus.alerts().await?;
        quiet = if alerts.is_empty() { quiet + 1 } else { 0 };
        ensure!(
            begun.elapsed() < PATIENCE,
            "nothing is wrong, and {alerts:?}"
        );
        sleep(Duration::from_millis(500)).await;
    }
    prometheus
        .until("sum(l5d:service_requests:rate5m) > 0")
        .await?;
    Ok(())
}

/// Faults that are cheap to make, one after the other.
async fn faults(world: &mut World, prometheus: &Prometheus) -> Result<()> {
    let firing = |name: &'static str| async move { prometheus.until_firing(&[name]).await };
    // A service that fails, one whose endpoint refuses connections.
    let fail = async {
        loop {
            world.ask(0, "web", "/bad").await?;
            world.ask(0, "down", "/").await?;
            sleep(Duration::from_millis(50)).await;
        }
    };
    until(fail, firing("L5dServiceFailing")).await?;
    // Requests over a limit.
    let mut hanging = TcpStream::connect(world.node.addresses[1][0]).await?;
    hanging
        .write_all(b"GET /hang HTTP/1.1\r\nHost: web\r\n\r\n")
        .await?;
    let turned_away = async {
        loop {
            world.ask(1, "web", "/").await?;
            sleep(Duration::from_millis(50)).await;
        }
    };
    // While the one hangs, all others are turned away; before it is in, they are not.
    until(turned_away, firing("L5dRequestsTurnedAway")).await?;
    drop(hanging);
    // The store is gone.
    world.cluster.stop_api().await?;
    firing("L5dStoreUnwell").await
}

/// Does one thing until the other has come true.
async fn until(
    work: impl Future<Output = Result<()>>,
    done: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::select! {
        worked = work => worked.context("the work has ended"),
        done = done => done,
    }
}

/// Every query of every dashboard has had something to show.
async fn answers(prometheus: &Prometheus, from: f64) -> Result<()> {
    let mut empty = Vec::new();
    for dashboard in dashboards() {
        let instance = match dashboard.name {
            "node" => "l5d_node_build_info",
            _ => "namerd_process_build_info",
        };
        let instance = prometheus.query(instance).await?;
        let instance = instance
            .first()
            .and_then(|i| i["metric"]["instance"].as_str());
        let instance = instance.context("an instance")?.to_owned();
        for asked in dashboard.queries() {
            let mut found = Vec::new();
            // One fails by itself, the other for want of a connection.
            for service in ["svc/web", "svc/down"] {
                let values = [("rt", ".+"), ("service", service), ("instance", &instance)];
                let filled = fill(asked, &values);
                found.extend(prometheus.range(&filled, from, now()).await?);
            }
            if found.is_empty() {
                empty.push(format!("{}: {asked}", dashboard.name));
            }
        }
    }
    ensure!(empty.is_empty(), "nothing to show: {empty:#?}");
    Ok(())
}
