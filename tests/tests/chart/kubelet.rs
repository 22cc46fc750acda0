//! What the kubelet, the controllers and the cluster's DNS do for the chart's pods: a pod is made of the template that the
//! chart has, taken by the API server, given exactly the token, the files and the variables that it asks for, and run in a root
//! of its own on a host of the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::Method;
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::helm::{NAMESPACE, Rendered};
use l5d_tests::hosts::Hosts;
use l5d_tests::process::{Process, Program};
use l5d_tests::real::ADMIN;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Generous: nothing here takes more than a few seconds on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// Gives a pod its root: libraries, unless the program needs none, and what every container has.
const ENTER: &str = r#"
set -e
root=$1; program=$2; shift 2
for folder in /usr /lib /lib64 /proc /dev; do
    if [ -e "$folder" ]; then mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"; fi
done
touch "$root/program"
mount --bind "$program" "$root/program"
exec env -i "$@"
"#;

/// Starts pods.
pub(crate) struct Kubelet<'a> {
    pub(crate) hosts: &'a Hosts,
    pub(crate) cluster: &'a Cluster,
    admin: ApiClient,
    dir: tempfile::TempDir,
    /// What the cluster's DNS knows.
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Of all pods that have been started.
    roots: Vec<PathBuf>,
}

/// A pod that is to be started.
pub(crate) struct Wanted<'a> {
    /// `Deployment` or `DaemonSet`, and its name.
    pub(crate) of: (&'a str, &'a str),
    pub(crate) pod: &'a str,
    pub(crate) host: u8,
    pub(crate) ip: Ipv4Addr,
    /// The program that stands for the image.
    pub(crate) program: &'a str,
}

/// A pod that runs.
pub(crate) struct Started {
    pub(crate) name: String,
    pub(crate) host: u8,
    pub(crate) ip: Ipv4Addr,
    pub(crate) process: Process,
    ready: SocketAddr,
}

impl<'a> Kubelet<'a> {
    pub(crate) fn new(hosts: &'a Hosts, cluster: &'a Cluster) -> Result<Self> {
        let Backing::Real(real) = cluster.backing() else {
            bail!("built on the real one");
        };
        Ok(Self {
            hosts,
            cluster,
            admin: real.client(ADMIN)?,
            dir: tempfile::Builder::new().prefix("l5d-pods-").tempdir()?,
            names: BTreeMap::new(),
            roots: Vec::new(),
        })
    }

    /// The cluster's DNS says so from now on, to every pod.
    pub(crate) fn name(&mut self, name: &str, addresses: Vec<IpAddr>) -> Result<()> {
        self.names.insert(name.to_owned(), addresses);
        for root in &self.roots {
            fs::write(root.join("etc/hosts"), self.hosts_file())?;
        }
        Ok(())
    }

    fn hosts_file(&self) -> String {
        let lines = self.names.iter().flat_map(|(name, addresses)| {
            addresses
                .iter()
                .map(move |address| format!("{address} {name}\n"))
        });
        ["127.0.0.1 localhost\n".to_owned()]
            .into_iter()
            .chain(lines)
            .collect()
    }

    /// Starts the first container of a pod. The API server has taken the pod before.
    pub(crate) async fn start(&mut self, chart: &Rendered, wanted: &Wanted<'_>) -> Result<Started> {
        let (kind, name) = wanted.of;
        let template = &chart.object(kind, name)?["spec"]["template"];
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": wanted.pod, "labels": template["metadata"]["labels"]},
            "spec": template["spec"],
        });
        pod["spec"]["nodeName"] = self.hosts.name(wanted.host).into();
        self.start_pod(chart, &pod, NAMESPACE, 0, wanted).await
    }

    /// The same of a pod that somebody has written, and of one of its containers.
    pub(crate) async fn start_pod(
        &mut self,
        chart: &Rendered,
        pod: &Value,
        namespace: &str,
        container: usize,
        wanted: &Wanted<'_>,
    ) -> Result<Started> {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let made = self.admin.send(Method::POST, &pods, &[], Some(pod)).await?;
        made.ok()
            .with_context(|| format!("the pod {}", wanted.pod))?;
        let root = self.dir.path().join(wanted.pod);
        for folder in ["etc", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::write(root.join("etc/hosts"), self.hosts_file())?;
        fs::write(root.join("etc/nsswitch.conf"), "hosts: files\n")?;
        self.roots.push(root.clone());
        let spec = &pod["spec"];
        let all = spec["containers"]
            .as_array()
            .into_iter()
            .chain(spec["initContainers"].as_array());
        let container = all.flatten().nth(container).context("a container")?;
        let account = spec["serviceAccountName"].as_str().unwrap_or("default");
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let at = mount["mountPath"].as_str().context("mountPath")?;
            let volumes = spec["volumes"].as_array().into_iter().flatten();
            let volume = volumes
                .into_iter()
                .find(|volume| volume["name"] == mount["name"]);
            let volume = volume.with_context(|| format!("no volume {}", mount["name"]))?;
            let folder = root.join(at.trim_start_matches('/'));
            fs::create_dir_all(&folder)?;
            self.fill(chart, volume, &folder, (namespace, account, wanted.pod))
                .await?;
        }
        if spec["automountServiceAccountToken"] != false && account != "default" {
            self.mount_account(&root, (namespace, account, wanted.pod))
                .await?;
        }
        let program = self.program(
            container,
            &root,
            (namespace, spec["nodeName"].as_str().unwrap_or_default()),
            wanted,
        )?;
        let process = self.hosts.on(wanted.host, program).start(self.dir.path())?;
        Ok(Started {
            name: wanted.pod.to_owned(),
            host: wanted.host,
            ip: wanted.ip,
            process,
            ready: (wanted.ip, ready_port(container)?).into(),
        })
    }

    async fn fill(
        &self,
        chart: &Rendered,
        volume: &Value,
        folder: &Path,
        of: (&str, &str, &str),
    ) -> Result<()> {
        if let Some(map) = volume["configMap"]["name"].as_str() {
            let data = chart.object("ConfigMap", map)?["data"].as_object();
            for (file, text) in data.context("data")? {
                fs::write(folder.join(file), text.as_str().unwrap_or_default())?;
            }
            return Ok(());
        }
        let Some(sources) = volume["projected"]["sources"].as_array() else {
            anyhow::ensure!(volume["emptyDir"].is_object(), "{volume} is not known here");
            return Ok(());
        };
        for source in sources {
            let wanted = &source["serviceAccountToken"];
            let audience = wanted["audience"].as_str().context("an audience")?;
            let token = self.token(of, Some(audience)).await?;
            fs::write(
                folder.join(wanted["path"].as_str().context("a path")?),
                token,
            )?;
        }
        Ok(())
    }

    async fn mount_account(&self, root: &Path, of: (&str, &str, &str)) -> Result<()> {
        let Backing::Real(real) = self.cluster.backing() else {
            bail!("built on the real one");
        };
        let folder = root.join(ACCOUNT);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("token"), self.token(of, None).await?)?;
        fs::write(folder.join("namespace"), of.0)?;
        fs::copy(real.ca_file(), folder.join("ca.crt"))?;
        Ok(())
    }

    /// A token that is bound to the pod, hence to its node.
    async fn token(
        &self,
        (namespace, account, pod): (&str, &str, &str),
        audience: Option<&str>,
    ) -> Result<String> {
        let mut request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": 3600,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod},
            },
        });
        if let Some(audience) = audience {
            request["spec"]["audiences"] = json!([audience]);
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self
            .admin
            .send(Method::POST, &path, &[], Some(&request))
            .await?;
        let answer = answer
            .ok()
            .with_context(|| format!("a token of {account}"))?;
        let token = answer["status"]["token"].as_str();
        Ok(token.context("a token")?.to_owned())
    }

    fn program(
        &self,
        container: &Value,
        root: &Path,
        (namespace, node): (&str, &str),
        wanted: &Wanted<'_>,
    ) -> Result<Program> {
        let api = self.cluster.api().addr();
        let mut variables = vec![
            format!("KUBERNETES_SERVICE_HOST={}", api.ip()),
            format!("KUBERNETES_SERVICE_PORT={}", api.port()),
        ];
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().context("a name")?;
            let value = match (
                &variable["value"],
                variable["valueFrom"]["fieldRef"]["fieldPath"].as_str(),
            ) {
                (Value::String(value), _) => value.clone(),
                (_, Some("spec.nodeName")) => node.to_owned(),
                (_, Some("status.podIP")) => wanted.ip.to_string(),
                (_, Some("status.hostIP")) => self.hosts.ip(wanted.host).to_string(),
                (_, Some("metadata.namespace")) => namespace.to_owned(),
                (_, Some("metadata.name")) => wanted.pod.to_owned(),
                other => bail!("{name}: {other:?} is not known here"),
            };
            variables.push(format!("{name}={value}"));
        }
        let arguments = container["args"].as_array().into_iter().flatten();
        let arguments = arguments.map(|argument| argument.as_str().unwrap_or_default());
        Ok(Program::new(wanted.pod, "unshare")
            .args(["--mount", "sh", "-c", ENTER, "pod"])
            .arg(root)
            .arg(program(wanted.program)?)
            .args(variables)
            .args([chroot()?.as_path(), root, Path::new("/program")])
            .args(arguments))
    }

    /// Writes the slice of a Service of the chart, with its ports: these pods, and whether each is terminating.
    pub(crate) async fn list(
        &self,
        chart: &Rendered,
        service: &str,
        pods: &[(&Started, bool)],
    ) -> Result<()> {
        let ports = &chart.object("Service", service)?["spec"]["ports"];
        let ports = ports.as_array().context("ports")?.iter().map(|port| {
            let number = |key: &str| {
                port[key]
                    .as_u64()
                    .and_then(|n| u16::try_from(n).ok())
                    .unwrap_or_default()
            };
            l5d_tests::objects::Port::new(
                port["name"].as_str().unwrap_or_default(),
                number("port"),
                number("targetPort"),
            )
        });
        let pods = pods.iter().map(|(pod, is_terminating)| {
            let listed = l5d_tests::objects::Pod::new(&pod.name, pod.ip, self.hosts.name(pod.host));
            if *is_terminating {
                listed.terminating()
            } else {
                listed
            }
        });
        let name = format!("{service}-1");
        let (ports, pods): (Vec<_>, Vec<_>) = (ports.collect(), pods.collect());
        self.cluster
            .slice(NAMESPACE, service, &name, &ports, &pods)
            .await
    }

    /// The DaemonSet controller or a drain takes the pod away: SIGTERM, its time of grace, and the object goes.
    pub(crate) async fn end(&self, pod: Started) -> Result<()> {
        let Started { name, process, .. } = pod;
        let words = process.log().to_owned();
        let status = process.terminate().await?;
        anyhow::ensure!(
            status.success(),
            "{name} ended with {status}: {}",
            words.display()
        );
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}");
        let now = json!({"gracePeriodSeconds": 0});
        let gone = self
            .admin
            .send(Method::DELETE, &path, &[], Some(&now))
            .await?;
        gone.ok().map(drop)
    }
}

impl Started {
    /// Waits until the readiness probe would succeed.
    pub(crate) async fn is_ready(&mut self) -> Result<()> {
        let admin = ApiClient::plain(self.ready);
        let begun = Instant::now();
        while !admin
            .get("/ready")
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            if self.process.ended()?.is_some() || begun.elapsed() > PATIENCE {
                bail!(
                    "{} is not ready: {}",
                    self.name,
                    self.process.last_words(30)
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until its log says all of this: where another one may answer the probe.
    pub(crate) async fn says(&mut self, wanted: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let log = self.process.last_words(usize::MAX);
            if wanted.iter().all(|text| log.contains(text)) {
                return Ok(());
            }
            if self.process.ended()?.is_some() || begun.elapsed() > PATIENCE {
                bail!(
                    "{} does not say {wanted:?}: {}",
                    self.name,
                    self.process.last_words(30)
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has of the machine's memory, in MB (10^6 bytes): its peak is of no interest here.
    pub(crate) async fn resident_mb(&self) -> Result<u64> {
        let metrics = self.admin().get("/metrics").await?;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = metrics
            .lines()
            .find(|l| l.contains("resident") && !l.starts_with('#'));
        let number = line
            .and_then(|line| line.rsplit(' ').next())
            .context(metrics.clone())?;
        Ok(number.parse::<f64>()? as u64 / 1_000_000)
    }

    /// Its admin server.
    pub(crate) fn admin(&self) -> ApiClient {
        ApiClient::plain(self.ready)
    }
}

/// The readiness probe's port, by name or number.
fn ready_port(container: &Value) -> Result<u16> {
    let port = &container["readinessProbe"]["httpGet"]["port"];
    let named = |name: &str| {
        let ports = container["ports"].as_array().into_iter().flatten();
        let port = ports.into_iter().find(|port| port["name"] == name);
        port.and_then(|port| port["containerPort"].as_u64())
    };
    let number = port.as_u64().or_else(|| named(port.as_str()?));
    Ok(u16::try_from(number.context("a readiness probe")?)?)
}

fn chroot() -> Result<PathBuf> {
    let places = [
        "/usr/sbin/chroot",
        "/usr/bin/chroot",
        "/sbin/chroot",
        "/bin/chroot",
    ];
    let found = places
        .iter()
        .map(PathBuf::from)
        .find(|place| place.is_file());
    found.context("there is no chroot (coreutils)")
}

/// A program of this workspace, as `cargo build` left it beside this test.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("a target folder")?;
    let program = folder.join(name);
    anyhow::ensure!(
        program.is_file(),
        "{} is missing: `cargo build --workspace --bins`",
        program.display()
    );
    Ok(program)
}
