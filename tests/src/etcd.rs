//! A real etcd alone: one member on a loopback port that stays ours, killed and started again at will.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::client::ApiClient;
use crate::port::HeldPort;
use crate::process::Process;
use crate::real::{Binaries, etcd_program};

const START_LIMIT: Duration = Duration::from_secs(120);

/// A running etcd.
#[derive(Debug)]
pub struct RealEtcd {
    binaries: Binaries,
    port: HeldPort,
    process: Option<Process>,
    /// Last, so that it goes after the process that writes into it.
    dir: TempDir,
}

impl RealEtcd {
    /// Starts one and waits until it serves.
    pub async fn start(binaries: &Binaries) -> Result<Self> {
        let mut etcd = Self {
            binaries: binaries.clone(),
            port: HeldPort::take(IpAddr::V4(Ipv4Addr::LOCALHOST))?,
            process: None,
            dir: tempfile::Builder::new().prefix("l5d-etcd-").tempdir()?,
        };
        etcd.start_again().await?;
        Ok(etcd)
    }

    /// Where it listens, also while it is down.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The folder of its data and log.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Starts it on the same data and address, and waits until it serves.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill().await?;
        let mut process =
            etcd_program(&self.binaries, self.dir.path(), &self.port).start(self.dir.path())?;
        let started = Instant::now();
        let client = ApiClient::plain(self.addr());
        while !client.get("/health").await.is_ok_and(|a| a.status == 200) {
            if process.ended()?.is_some() || started.elapsed() > START_LIMIT {
                bail!("etcd does not start: {}", process.last_words(20));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.process = Some(process);
        Ok(())
    }

    /// Forgets all data while it is down; the next start is of an empty etcd.
    pub async fn wipe(&mut self) -> Result<()> {
        self.kill().await?;
        fs::remove_dir_all(self.dir.path().join("etcd"))?;
        Ok(())
    }

    /// Writes a key behind everybody's back.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.call("/v3/kv/put", &body).await.map(drop)
    }

    /// A key's value, past all namerds.
    pub async fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let body = json!({"key": STANDARD.encode(key)});
        let answer = self.call("/v3/kv/range", &body).await?;
        let value = answer["kvs"][0]["value"].as_str();
        Ok(value.map(|value| STANDARD.decode(value)).transpose()?)
    }

    /// Lets it forget its history up to now.
    pub async fn compact(&self) -> Result<()> {
        let range = self.call("/v3/kv/range", &json!({"key": "AA=="})).await?;
        let revision = range["header"]["revision"].clone();
        let request = json!({"revision": revision, "physical": true});
        self.call("/v3/kv/compaction", &request).await.map(drop)
    }

    async fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let client = ApiClient::plain(self.addr());
        client.send(Method::POST, path, &[], Some(body)).await?.ok()
    }
}
