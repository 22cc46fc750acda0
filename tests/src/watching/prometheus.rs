//! A real Prometheus: Debian's, which `cargo xtask test` puts into the cache folder, asked over its HTTP API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::port::HeldPort;
use crate::process::{Process, Program};
use crate::real::Binaries;

/// Set: a missing program fails a test instead of leaving it out.
const REQUIRED: &str = "L5D_REQUIRE_PROMETHEUS";
/// Longest wait for something to come true; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A program of Prometheus; `None` where there is none and none is required.
///
/// # Errors
/// There is none and one is required.
pub fn find(name: &str) -> Result<Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![Binaries::folder().join("prometheus")];
    folders.extend(std::env::split_paths(&path));
    let found = folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
    if found.is_none() {
        let message = format!("no {name}: `cargo xtask test` gets it on a Debian system");
        ensure!(std::env::var_os(REQUIRED).is_none(), message);
        eprintln!("left out: {message}");
    }
    Ok(found)
}

/// Runs promtool to its end.
///
/// # Errors
/// It does not start.
pub fn promtool(program: &Path, folder: &Path, arguments: &[&str]) -> Result<Output> {
    let mut promtool = Command::new(program);
    promtool
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    promtool.output().context("promtool does not start")
}

/// A running Prometheus. Dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    addr: SocketAddr,
    _process: Process,
    _port: HeldPort,
}

impl Prometheus {
    /// Starts it over the file `prometheus.yml` in a folder, where its data go too.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = HeldPort::take([127, 0, 0, 1].into())?;
        let addr = port.addr();
        let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let process = Program::new("prometheus", program)
            .arg(flag("config.file", folder.join("prometheus.yml")))
            .arg(flag("storage.tsdb.path", folder.join("data")))
            .arg(format!("--web.listen-address={addr}"))
            .start(folder)?;
        let this = Self {
            addr,
            _process: process,
            _port: port,
        };
        let begun = Instant::now();
        while this.get("/-/ready").await.is_err() {
            if begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.join("prometheus.log"));
                bail!("Prometheus is not ready: {}", log.unwrap_or_default());
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(this)
    }

    /// What a query gives now.
    ///
    /// # Errors
    /// It is refused.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        self.asked(&format!("/api/v1/query?query={}", encoded(query)))
            .await
    }

    /// What a query gave since a time, step by second; times in seconds of Unix time.
    ///
    /// # Errors
    /// It is refused.
    pub async fn range(&self, query: &str, from: f64, to: f64) -> Result<Vec<Value>> {
        let query = encoded(query);
        self.asked(&format!(
            "/api/v1/query_range?query={query}&start={from}&end={to}&step=1"
        ))
        .await
    }

    async fn asked(&self, target: &str) -> Result<Vec<Value>> {
        let answer: Value = serde_json::from_str(&self.get(target).await?)?;
        ensure!(answer["status"] == "success", "{target}: {answer}");
        let result = answer["data"]["result"].as_array().cloned();
        result.with_context(|| format!("{target}: {answer}"))
    }

    /// Alerts that are pending or firing: their names and states.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn alerts(&self) -> Result<Vec<(String, String)>> {
        let answer: Value = serde_json::from_str(&self.get("/api/v1/alerts").await?)?;
        let alerts = answer["data"]["alerts"].as_array().cloned();
        let alerts = alerts.with_context(|| format!("no alerts in {answer}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = |alert: &Value| (text(&alert["labels"]["alertname"]), text(&alert["state"]));
        Ok(alerts.iter().map(alert).collect())
    }

    /// Until all of these alerts fire.
    ///
    /// # Errors
    /// They do not.
    pub async fn until_firing(&self, names: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let alerts = self.alerts().await?;
            let fires = |name: &&str| alerts.contains(&((*name).to_owned(), "firing".to_owned()));
            let missing: Vec<_> = names.iter().filter(|name| !fires(name)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{missing:?} do not fire; {alerts:?} do"
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Until a query gives something.
    ///
    /// # Errors
    /// It does not.
    pub async fn until(&self, query: &str) -> Result<Vec<Value>> {
        let begun = Instant::now();
        loop {
            let result = self.query(query).await?;
            if !result.is_empty() {
                return Ok(result);
            }
            ensure!(begun.elapsed() < PATIENCE, "{query} gives nothing");
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn get(&self, target: &str) -> Result<String> {
        let (status, body) = get(self.addr, target).await?;
        // What it refuses it says in JSON.
        ensure!(
            status == 200 || body.starts_with('{'),
            "{target}: {status} {body}"
        );
        Ok(body)
    }
}

/// Status and body of a page. HTTP/1.0: the body ends with the connection.
///
/// # Errors
/// Nobody answers.
pub async fn get(addr: SocketAddr, target: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {target} HTTP/1.0\r\nHost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
    let status = head.split(' ').nth(1).context("a status")?;
    Ok((status.parse()?, body.to_owned()))
}

fn encoded(text: &str) -> String {
    let each = text.bytes().map(|b| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    each.collect()
}
