//! A real Consul agent: one server on a loopback address of its own, killed and started again at will.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::client::{Answer, ApiClient};
use crate::process::{Process, Program};
use crate::real::find_program;

const CONSUL: &str = "consul-v1.20.5";
const START_LIMIT: Duration = Duration::from_secs(120);
/// The agent's own default.
const PORT: u16 = 8500;

/// A running agent, which is a server.
#[derive(Debug)]
pub struct RealConsul {
    program: PathBuf,
    ip: Ipv4Addr,
    process: Option<Process>,
    token: Option<String>,
    /// Last, so that it goes after the process that writes into it.
    dir: TempDir,
}

impl RealConsul {
    /// Starts one and waits until it leads. `None` after one line that says what is missing.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_as(None).await
    }

    /// One that forbids everything to everybody but to whom has this token, a UUID, and whom it allows more.
    pub async fn start_guarded(token: &str) -> Result<Option<Self>> {
        Self::start_as(Some(token.to_owned())).await
    }

    async fn start_as(token: Option<String>) -> Result<Option<Self>> {
        let Some(program) = find_program(CONSUL)? else {
            return Ok(None);
        };
        // Consul does not share ports, so that none can be held for it; an address that nobody else has does as well.
        let ip = Ipv4Addr::new(
            127,
            fastrand::u8(64..),
            fastrand::u8(..),
            fastrand::u8(1..255),
        );
        let mut consul = Self {
            program,
            ip,
            process: None,
            token,
            dir: tempfile::Builder::new().prefix("l5d-consul-").tempdir()?,
        };
        let mut config = json!({
            "datacenter": "dc1", "server": true, "bootstrap_expect": 1, "node_name": "consul",
            "data_dir": consul.dir.path().join("data"), "bind_addr": ip, "client_addr": ip.to_string(),
            "ports": {"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
            "performance": {"raft_multiplier": 1}, "disable_update_check": true, "log_level": "INFO",
        });
        if let Some(token) = &consul.token {
            config["acl"] = json!({"enabled": true, "default_policy": "deny", "tokens": {"initial_management": token}});
        }
        fs::write(consul.dir.path().join("consul.json"), config.to_string())?;
        consul.start_again().await?;
        Ok(Some(consul))
    }

    /// Where its HTTP API is, also while it is down.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), PORT)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Starts it on the same data and address, and waits until it leads.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill().await?;
        let file = self.dir.path().join("consul.json");
        let program = Program::new("consul", &self.program);
        let program = program
            .arg("agent")
            .arg(format!("-config-file={}", file.display()));
        let mut process = program.start(self.dir.path())?;
        let started = Instant::now();
        let leads = |a: &Answer| a.status == 200 && a.body.len() > 4;
        let client = self.client();
        // The leader is elected before it has caught up with its log: a read that only a leader answers shows both.
        while !client
            .get("/v1/status/leader")
            .await
            .is_ok_and(|a| leads(&a))
            || !client
                .get("/v1/catalog/nodes?consistent")
                .await
                .is_ok_and(|a| a.status == 200)
        {
            if process.ended()?.is_some() || started.elapsed() > START_LIMIT {
                bail!("consul does not start: {}", process.last_words(20));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.process = Some(process);
        Ok(())
    }

    /// Forgets all data while it is down; the next start is of an empty Consul, whose indexes begin anew.
    pub async fn wipe(&mut self) -> Result<()> {
        self.kill().await?;
        fs::remove_dir_all(self.dir.path().join("data"))?;
        Ok(())
    }

    /// Writes a key behind everybody's back.
    pub async fn put(&self, key: &str, value: &str) -> Result<()> {
        // The value is the body as it is; a JSON text would have quotes.
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value);
        let steps = json!([{"KV": {"Verb": "set", "Key": key, "Value": value}}]);
        self.call("/v1/txn", &steps).await
    }

    /// The keys with this beginning.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let answer = self
            .client()
            .get(&format!("/v1/kv/{prefix}?keys=true"))
            .await?;
        match answer.status.as_u16() {
            404 => Ok(Vec::new()),
            _ => Ok(serde_json::from_value(answer.ok()?)?),
        }
    }

    /// Makes a token, a UUID, that may do this.
    pub async fn allow(&self, token: &str, rules: &str) -> Result<()> {
        let policy = json!({"Name": "few", "Rules": rules});
        self.call("/v1/acl/policy", &policy).await?;
        let token = json!({"SecretID": token, "Policies": [{"Name": "few"}]});
        self.call("/v1/acl/token", &token).await
    }

    /// Registers a service on a node, with the state of one check if there is one.
    pub async fn register(
        &self,
        node: (&str, &str),
        service: &Value,
        check: Option<&str>,
    ) -> Result<()> {
        let mut body = json!({"Node": node.0, "Address": node.1, "Service": service});
        if let Some(status) = check {
            body["Check"] = json!({
                "CheckID": format!("check:{}", service["ID"].as_str().unwrap_or_default()),
                "Name": "works", "Status": status, "ServiceID": service["ID"],
            });
        }
        self.call("/v1/catalog/register", &body).await
    }

    /// Takes a service of a node away.
    pub async fn deregister(&self, node: &str, id: &str) -> Result<()> {
        let body = json!({"Node": node, "ServiceID": id});
        self.call("/v1/catalog/deregister", &body).await
    }

    fn client(&self) -> ApiClient {
        let client = ApiClient::plain(self.addr());
        match &self.token {
            Some(token) => client.with_token(token),
            None => client,
        }
    }

    async fn call(&self, path: &str, body: &Value) -> Result<()> {
        let answer = self
            .client()
            .send(Method::PUT, path, &[], Some(body))
            .await?;
        if answer.status != 200 {
            bail!(
                "{path}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        Ok(())
    }
}
