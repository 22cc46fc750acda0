//! The real API server: kube-apiserver and etcd as processes of ours.
//!
//! Comes in: the binaries that `cargo xtask test` builds into the cache folder. Goes out: an address that stays the same when
//! the server is stopped and started again. Nothing outlives the handle.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::client::ApiClient;
use crate::port::HeldPort;
use crate::process::{Process, Program};

const ETCD: &str = "etcd-v3.6.16";
const API_SERVER: &str = "kube-apiserver-v1.36.3";
/// With this set to 1 a missing binary fails instead of skipping.
const REQUIRED: &str = "L5D_REQUIRE_CLUSTER";
/// Generous: it takes two to three seconds on an idle machine, and has taken two minutes on a busy core.
const START_LIMIT: Duration = Duration::from_secs(300);
/// The CustomResourceDefinition of dtabs.
const DTABS: &str = include_str!("../../deploy/dtabs.l5d.io.yaml");
/// Needless for names and slices, and some wait for controllers that do not run here.
const ADMISSION_OFF: &str = "ServiceAccount,TaintNodesByCondition,Priority,RuntimeClass,DefaultStorageClass,\
StorageObjectInUseProtection,PersistentVolumeClaimResize,DefaultIngressClass";

/// Who may do everything.
pub const ADMIN: &str = "admin-token";
/// The service account `namerd` in the namespace `linkerd`; may do what RBAC objects say.
pub const NAMERD: &str = "namerd-token";
/// Known, but allowed nothing.
pub const NOBODY: &str = "nobody-token";

/// The programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    etcd: PathBuf,
    api_server: PathBuf,
}

/// A running cluster of one API server.
#[derive(Debug)]
pub struct RealCluster {
    binaries: Binaries,
    extra: Vec<String>,
    port: HeldPort,
    etcd_port: HeldPort,
    api_server: Option<Process>,
    etcd: Option<Process>,
    /// Removes the folder where nobody drops this.
    _sweeper: Process,
    /// Last, so that it goes after the processes that write into it.
    dir: TempDir,
}

/// Whether a test fails instead of leaving itself out when it cannot have its cluster.
pub fn is_required() -> bool {
    std::env::var_os(REQUIRED).is_some_and(|set| set == "1")
}

// === impl Binaries ===

impl Binaries {
    /// The folder where `cargo xtask test` puts the programs.
    pub fn folder() -> PathBuf {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = cache.or_else(home).unwrap_or_else(|| ".cache".into());
        cache.join("l5d/bin")
    }

    /// The programs, or `None` after one line that says what is missing. An error if they are required.
    pub fn find() -> anyhow::Result<Option<Self>> {
        let (etcd, api_server) = (find_program(ETCD)?, find_program(API_SERVER)?);
        Ok(etcd
            .zip(api_server)
            .map(|(etcd, api_server)| Self { etcd, api_server }))
    }
}

/// A program, or `None` after one line that says that it is missing. An error if it is required.
pub(crate) fn find_program(name: &str) -> anyhow::Result<Option<PathBuf>> {
    let program = Binaries::folder().join(name);
    if program.is_file() {
        return Ok(Some(program));
    }
    let message = format!(
        "{} is missing; `cargo xtask test` builds it",
        program.display()
    );
    if is_required() {
        bail!(message);
    }
    eprintln!("skipped: {message}");
    Ok(None)
}

// === impl RealCluster ===

impl RealCluster {
    /// Starts etcd and the API server on an address, with further flags for the latter, and waits until it is ready.
    pub async fn start(binaries: &Binaries, at: IpAddr, extra: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("l5d-cluster-").tempdir()?;
        credentials(dir.path(), at)?;
        let (etcd_port, port) = (HeldPort::take(at)?, HeldPort::take(at)?);
        let sweeper = Program::new("sweeper", "sleep").arg("infinity");
        let sweeper = sweeper.sweep(dir.path()).start(dir.path())?;
        let mut cluster = Self {
            binaries: binaries.clone(),
            extra: extra.iter().map(|&flag| flag.to_owned()).collect(),
            port,
            etcd_port,
            api_server: None,
            etcd: None,
            _sweeper: sweeper,
            dir,
        };
        cluster.start_etcd()?;
        cluster.start_api().await?;
        cluster.allow_namerd().await?;
        Ok(cluster)
    }

    /// The API server's address.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The certificate to trust, as PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("tls.crt")
    }

    /// The folder of keys and logs.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A client with one of the tokens.
    pub fn client(&self, token: &str) -> anyhow::Result<ApiClient> {
        let certificate = CertificateDer::from_pem_file(self.ca_file())?;
        ApiClient::tls(self.addr(), certificate, token)
    }

    /// A folder as Kubernetes mounts it for a service account: `token`, `ca.crt`, `namespace`.
    pub fn service_account(&self, token: &str) -> anyhow::Result<PathBuf> {
        let folder = self.dir.path().join(format!("account-{token}"));
        fs::create_dir_all(&folder)?;
        // Written aside and moved into place: another test may be reading the files of the same account.
        let authority = fs::read(self.ca_file())?;
        for (name, content) in [
            ("token", token.as_bytes()),
            ("namespace", b"linkerd"),
            ("ca.crt", &authority),
        ] {
            let mut aside = tempfile::NamedTempFile::new_in(&folder)?;
            aside.write_all(content)?;
            aside.persist(folder.join(name))?;
        }
        Ok(folder)
    }

    /// Stops the API server as a crash would; etcd stays.
    pub async fn stop_api(&mut self) -> anyhow::Result<()> {
        if let Some(api_server) = self.api_server.take() {
            api_server.kill().await?;
        }
        Ok(())
    }

    /// Starts the API server again at the same address and waits until it is ready.
    pub async fn start_api(&mut self) -> anyhow::Result<()> {
        self.stop_api().await?;
        let mut process = self.api_program().start(self.dir.path())?;
        let client = self.client(ADMIN)?;
        let started = Instant::now();
        loop {
            if client.get("/readyz").await.is_ok_and(|a| a.status == 200) {
                break;
            }
            if process.ended()?.is_some() || started.elapsed() > START_LIMIT {
                bail!("kube-apiserver does not start: {}", process.last_words(20));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.api_server = Some(process);
        Ok(())
    }

    /// SIGKILL for etcd alone.
    pub async fn kill_etcd(&mut self) -> anyhow::Result<()> {
        if let Some(etcd) = self.etcd.take() {
            etcd.kill().await?;
        }
        Ok(())
    }

    /// Starts a killed etcd on the same data and address. It serves some moments later.
    pub fn start_etcd(&mut self) -> anyhow::Result<()> {
        let etcd = etcd_program(&self.binaries, self.dir.path(), &self.etcd_port);
        self.etcd = Some(etcd.start(self.dir.path())?);
        Ok(())
    }

    /// Waits until the API server says that it is ready, after disturbances of etcd.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let (client, started) = (self.client(ADMIN)?, Instant::now());
        while !client.get("/readyz").await.is_ok_and(|a| a.status == 200) {
            if started.elapsed() > START_LIMIT {
                bail!("the API server is not ready again");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Lets etcd forget its history up to now.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let etcd = ApiClient::plain(self.etcd_port.addr());
        let key = json!({"key": "AA=="});
        let post = |path: &'static str, body: Value| {
            let etcd = etcd.clone();
            async move { etcd.send(http::Method::POST, path, &[], Some(&body)).await }
        };
        let range = post("/v3/kv/range", key).await?.ok()?;
        let revision = range["header"]["revision"].clone();
        let request = json!({"revision": revision, "physical": true});
        post("/v3/kv/compaction", request).await?.ok()?;
        Ok(())
    }

    /// Applies the CustomResourceDefinition of dtabs as it is shipped, and waits until they are served to namerd, whose
    /// rights the server reads some moments after it has begun.
    pub async fn define_dtabs(&self) -> anyhow::Result<()> {
        let client = self.client(ADMIN)?;
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let body = Some(("application/yaml", DTABS.into()));
        let answer = client.send_as(http::Method::POST, path, &[], body).await?;
        if answer.status != http::StatusCode::CONFLICT {
            answer.ok().context("the definition of dtabs")?;
        }
        let (namerd, started) = (self.client(NAMERD)?, Instant::now());
        loop {
            let answer = namerd.get("/apis/l5d.io/v1alpha1/dtabs").await?;
            if answer.status == http::StatusCode::OK {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                bail!("dtabs are not served: {}", answer.status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn api_program(&self) -> Program {
        let file = |flag: &str, name: &str| {
            let path = self.dir.path().join(name);
            format!("--{flag}={}", path.display())
        };
        let at = self.port.addr().ip();
        Program::new("kube-apiserver", &self.binaries.api_server)
            .arg(format!("--etcd-servers=http://{}", self.etcd_port.addr()))
            .arg(format!("--bind-address={at}"))
            .arg(format!("--advertise-address={at}"))
            .arg(format!("--secure-port={}", self.port.number()))
            .args(["--permit-port-sharing", "--endpoint-reconciler-type=none"])
            .arg(file("tls-cert-file", "tls.crt"))
            .arg(file("tls-private-key-file", "tls.key"))
            .arg(file("token-auth-file", "tokens.csv"))
            .args(["--authorization-mode=RBAC", "--anonymous-auth=false"])
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(file("service-account-key-file", "tls.crt"))
            .arg(file("service-account-signing-key-file", "tls.key"))
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .args(["--allow-privileged=true", "--profiling=false"])
            .arg(format!("--disable-admission-plugins={ADMISSION_OFF}"))
            .args(&self.extra)
    }

    /// What `namerd` may do, as its manifest says (kubernetes 6.1).
    async fn allow_namerd(&self) -> anyhow::Result<()> {
        let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]});
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "namerd"},
            "rules": [
                rule("discovery.k8s.io", "endpointslices"),
                rule("", "services"),
                rule("", "nodes"),
                rule("", "configmaps"),
                rule("networking.k8s.io", "ingresses"),
                rule("networking.k8s.io", "ingressclasses"),
                json!({
                    "apiGroups": ["l5d.io"], "resources": ["dtabs"],
                    "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
                }),
                json!({"apiGroups": ["l5d.io"], "resources": ["dtabs/status"], "verbs": ["patch"]}),
            ],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "namerd"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "namerd"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "linkerd", "name": "namerd"}],
        });
        // To ask about tokens and rights.
        let mut delegation = binding.clone();
        delegation["metadata"]["name"] = json!("namerd-reviews");
        delegation["roleRef"]["name"] = json!("system:auth-delegator");
        let client = self.client(ADMIN)?;
        for (resource, object) in [
            ("clusterroles", role),
            ("clusterrolebindings", binding),
            ("clusterrolebindings", delegation),
        ] {
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}");
            let answer = client.send(http::Method::POST, &path, &[], Some(&object));
            answer.await?.ok().context("rights of namerd")?;
        }
        Ok(())
    }
}

/// An etcd of one member, with its data in `dir`.
pub(crate) fn etcd_program(binaries: &Binaries, dir: &Path, port: &HeldPort) -> Program {
    let url = format!("http://{}", port.addr());
    // Nobody else joins: any free port does for peers.
    let peer = format!("http://{}:0", port.addr().ip());
    Program::new("etcd", &binaries.etcd)
        .args(["--name=l5d", "--unsafe-no-fsync", "--socket-reuse-port"])
        .arg(format!("--data-dir={}", dir.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=l5d={peer}"))
        .args(["--log-level=info", "--log-outputs=stderr"])
}

/// One self-signed key pair serves TLS and signs service accounts; static tokens stand for users.
fn credentials(dir: &Path, at: IpAddr) -> anyhow::Result<()> {
    let names = vec![at.to_string(), "localhost".to_owned()];
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    fs::write(dir.join("tls.crt"), certificate.pem())?;
    fs::write(dir.join("tls.key"), key.serialize_pem())?;
    let tokens = format!(
        "{ADMIN},admin,uid-admin,\"system:masters\"\n\
         {NAMERD},system:serviceaccount:linkerd:namerd,uid-namerd,\"system:serviceaccounts\"\n\
         {NOBODY},nobody,uid-nobody\n"
    );
    fs::write(dir.join("tokens.csv"), tokens)?;
    Ok(())
}
