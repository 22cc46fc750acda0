//! The servers that are measured, and the load process: programs, started on their cores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_bench::orders::{Order, Report};
use l5d_bench::process::{Usage, move_to, stay_on};
use l5d_tests::client::ApiClient;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take to begin, with everything listed.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where programs run.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// What is measured.
    pub(crate) server: Vec<usize>,
    /// Followers and cluster.
    pub(crate) rest: Vec<usize>,
}

/// A program with its output; killed when dropped.
pub(crate) struct Running {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    input: ChildStdin,
    log: PathBuf,
}

/// A server that is measured.
pub(crate) struct Server {
    program: Running,
    /// Where followers connect.
    pub(crate) addr: SocketAddr,
    admin: Option<ApiClient>,
    /// From its start until it has served.
    pub(crate) ready_after: Duration,
    /// What that took.
    pub(crate) start: Usage,
}

/// The load process.
pub(crate) struct Load(Running);

impl Running {
    fn start(
        program: &Path,
        args: &[String],
        log: &Path,
        cores: &[usize],
        back: &[usize],
    ) -> Result<Self> {
        let log_file = std::fs::File::create(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        // A child has the cores of the thread that starts it.
        stay_on(cores)?;
        let started = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn();
        stay_on(back)?;
        let mut child = started.with_context(|| format!("cannot start {}", program.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            output: BufReader::new(output.context("stdout is piped")?).lines(),
            input: input.context("stdin is piped")?,
            log: log.to_owned(),
            child,
        })
    }

    fn pid(&self) -> Result<u32> {
        self.child.id().context("the program has ended")
    }

    async fn line(&mut self) -> Result<String> {
        let line = self.output.next_line().await?;
        line.with_context(|| {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("").to_owned();
            format!("the program ended: {last}")
        })
    }
}

impl Server {
    /// A namerd, once every source has answered.
    pub(crate) async fn namerd(
        program: &Path,
        api: SocketAddr,
        folder: &Path,
        name: &str,
        cores: &Cores,
    ) -> Result<Self> {
        let config = folder.join(format!("{name}.yml"));
        std::fs::write(&config, configuration(api))?;
        let begun = Instant::now();
        let log = folder.join(format!("{name}.log"));
        let args = [config.display().to_string()];
        let mut program = Running::start(program, &args, &log, &cores.server, &cores.rest)?;
        let line = timeout(PATIENCE, program.line()).await??;
        let address = |key: &str| -> Result<SocketAddr> {
            let found = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(key));
            Ok(found
                .with_context(|| format!("no {key} in: {line}"))?
                .parse()?)
        };
        let admin = ApiClient::plain(address("admin=")?);
        let addr = address("io.l5d.mesh=")?;
        let mut server = Self {
            program,
            addr,
            admin: Some(admin),
            ready_after: Duration::ZERO,
            start: Usage::default(),
        };
        let ready = async {
            while server.metric("namerd_process_ready").await? < 1.0 {
                sleep(LOOK_EVERY).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(PATIENCE, ready)
            .await
            .context("namerd does not become ready")??;
        server.ready_after = begun.elapsed();
        server.start = server.usage()?;
        Ok(server)
    }

    /// The xDS server, once its first list is in its cache.
    pub(crate) async fn xds(
        program: &Path,
        api: SocketAddr,
        folder: &Path,
        cores: &Cores,
    ) -> Result<Self> {
        let begun = Instant::now();
        let args = ["-api".to_owned(), format!("http://{api}")];
        let log = folder.join("xds.log");
        let mut program = Running::start(program, &args, &log, &cores.server, &cores.rest)?;
        let line = timeout(PATIENCE, program.line()).await??;
        let Some(addr) = line.strip_prefix("listening ") else {
            bail!("the xDS server said: {line}");
        };
        let mut server = Self {
            addr: addr.parse()?,
            program,
            admin: None,
            ready_after: begun.elapsed(),
            start: Usage::default(),
        };
        server.start = server.usage()?;
        Ok(server)
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.program.pid()?)
    }

    /// It shares the cores of followers and cluster from now on.
    pub(crate) fn stand_aside(&self, cores: &Cores) -> Result<()> {
        move_to(self.program.pid()?, &cores.rest)
    }

    /// The sum of one of its metrics; 0 for servers without.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let Some(admin) = &self.admin else {
            return Ok(0.0);
        };
        let answer = admin.get("/admin/metrics/prometheus").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let is_it = key.split('{').next() == Some(name);
            is_it.then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(values.sum())
    }
}

impl Load {
    /// Starts it, without followers.
    pub(crate) fn start(program: &Path, folder: &Path, cores: &Cores) -> Result<Self> {
        let log = folder.join("load.log");
        let load = Running::start(program, &[], &log, &cores.rest, &cores.rest)?;
        Ok(Self(load))
    }

    /// Gives an order and waits for its report.
    pub(crate) async fn order(&mut self, order: &Order) -> Result<Report> {
        let line = serde_json::to_string(order)? + "\n";
        self.0.input.write_all(line.as_bytes()).await?;
        let line = self.0.line().await.context("the load process has failed")?;
        serde_json::from_str(&line).context("a report is not readable")
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.0.pid()?)
    }
}

fn configuration(api: SocketAddr) -> String {
    format!(
        "
admin: {{port: 0}}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: |
      /svc => /#/io.l5d.k8s/default/http ;
namers:
- {{kind: io.l5d.k8s, host: {}, port: {}, startupJitter: 0}}
interfaces:
- {{kind: io.l5d.mesh, port: 0}}
",
        api.ip(),
        api.port(),
    )
}

/// A program of this build.
pub(crate) fn beside_us(name: &str) -> Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let path = us.with_file_name(name);
    match path.exists() {
        true => Ok(path),
        false => bail!("{} is not built", path.display()),
    }
}
