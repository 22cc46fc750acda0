//! The Helm chart of `deploy`, rendered by a real Helm, and kubectl against the real API server.
//!
//! Comes in: the programs that `cargo xtask test` obtains into the cache folder, and values. Goes out: objects as JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::Instant;

use crate::real::find_program;

const HELM: &str = "helm-v4.1.4";
const KUBECTL: &str = "kubectl-v1.35.2";

/// How kubectl says that the server has not answered.
const LATE: [&str; 4] = [
    "Client.Timeout",
    "time allotted",
    "Timeout: request",
    "TLS handshake timeout",
];
const PATIENCE: Duration = Duration::from_secs(180);

/// The Kubernetes namespace that charts are rendered for.
pub const NAMESPACE: &str = "l5d";

/// A Helm, and the chart.
#[derive(Clone, Debug)]
pub struct Helm(PathBuf);

/// Objects of a rendered chart.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// As Helm prints it.
    pub text: String,
    /// The same, in its order.
    pub objects: Vec<Value>,
}

/// A kubectl that may do everything on one API server.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// All objects of a text in YAML; what is empty is left out.
///
/// # Errors
/// A text that is no YAML.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).context("YAML")?;
    Ok(all.into_iter().filter(|object| !object.is_null()).collect())
}

// === impl Helm ===

impl Helm {
    /// Helm, or `None` after one line that says what is missing. An error if it is required.
    pub fn find() -> Result<Option<Self>> {
        Ok(find_program(HELM)?.map(Self))
    }

    /// The chart with these values (each `KEY=VALUE`), or what Helm says against them.
    ///
    /// # Errors
    /// Helm cannot be started.
    pub fn template(&self, values: &[&str]) -> Result<Result<Rendered, String>> {
        let said = self.run(&["template", "l5d"], values)?;
        let Ok(text) = said else {
            return Ok(Err(said.err().unwrap_or_default()));
        };
        let objects = objects(&text)?;
        Ok(Ok(Rendered { text, objects }))
    }

    /// The chart with values that it takes.
    ///
    /// # Errors
    /// It does not take them.
    pub fn rendered(&self, values: &[&str]) -> Result<Rendered> {
        self.template(values)?.map_err(anyhow::Error::msg)
    }

    /// What `helm lint --strict` says, `Err` if it finds something.
    ///
    /// # Errors
    /// Helm cannot be started.
    pub fn lint(&self, values: &[&str]) -> Result<Result<String, String>> {
        self.run(&["lint", "--strict"], values)
    }

    fn run(&self, command: &[&str], values: &[&str]) -> Result<Result<String, String>> {
        let mut helm = Command::new(&self.0);
        helm.args(command)
            .arg(repository("deploy/chart/l5d"))
            .args(["--namespace", NAMESPACE])
            .stdin(Stdio::null());
        for value in values {
            helm.args(["--set-json", value]);
        }
        finish(&mut helm)
    }
}

// === impl Rendered ===

impl Rendered {
    /// The object of this kind and name.
    ///
    /// # Errors
    /// There is none.
    pub fn object(&self, kind: &str, name: &str) -> Result<&Value> {
        let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let found = self.objects.iter().find(is);
        found.with_context(|| format!("the chart has no {kind} {name}"))
    }

    /// Whether there is such an object.
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.object(kind, name).is_ok()
    }

    /// A file in a ConfigMap.
    ///
    /// # Errors
    /// There is none.
    pub fn config(&self, map: &str, file: &str) -> Result<&str> {
        let text = self.object("ConfigMap", map)?["data"][file].as_str();
        text.with_context(|| format!("the ConfigMap {map} has no {file}"))
    }
}

// === impl Kubectl ===

impl Kubectl {
    /// kubectl with the rights of this token, or `None` after one line that says what is missing.
    ///
    /// # Errors
    /// It is missing and required, or its file cannot be written.
    pub fn find(real: &crate::real::RealCluster, token: &str) -> Result<Option<Self>> {
        let Some(program) = find_program(KUBECTL)? else {
            return Ok(None);
        };
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", real.addr()), "certificate-authority": real.ca_file(),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let config = real.folder().join(format!("kubeconfig-{token}"));
        std::fs::write(&config, text.to_string())?;
        Ok(Some(Self { program, config }))
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it is told first: which server, and who asks.
    pub fn access(&self) -> [&std::ffi::OsStr; 2] {
        ["--kubeconfig".as_ref(), self.config.as_os_str()]
    }

    /// Runs it; `Err`: what it says when it fails.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<Result<String, String>> {
        let mut kubectl = Command::new(&self.program);
        kubectl
            .arg("--kubeconfig")
            .arg(&self.config)
            // What it has discovered of one server must not be believed of the next.
            .arg("--cache-dir")
            .arg(self.config.with_extension("cache"))
            .args(arguments);
        let Some(input) = input else {
            return finish(kubectl.stdin(Stdio::null()));
        };
        let mut file = tempfile::tempfile()?;
        std::io::Write::write_all(&mut file, input.as_bytes())?;
        std::io::Seek::rewind(&mut file)?;
        finish(kubectl.stdin(file))
    }

    /// `kubectl apply --server-side` of this text. A busy server takes its time to tell which fields there are; then it is
    /// asked again.
    ///
    /// # Errors
    /// The server refuses something.
    pub fn apply(&self, text: &str, further: &[&str]) -> Result<String> {
        let arguments = [&["apply", "--server-side", "-f", "-"], further].concat();
        let begun = Instant::now();
        loop {
            let said = match self.run(&arguments, Some(text))? {
                Ok(said) => return Ok(said),
                Err(said) => said,
            };
            let is_late = LATE.iter().any(|text| said.contains(text));
            if !is_late || begun.elapsed() > PATIENCE {
                bail!("kubectl {}: {said}", arguments.join(" "));
            }
        }
    }
}

fn finish(command: &mut Command) -> Result<Result<String, String>> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    })
}
