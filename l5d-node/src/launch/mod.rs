//! Starting an application's program so that it uses the proxy of its host: for clusters and images in which a manifest cannot
//! do that with the Downward API (node-proxy 16.1). No shell, curl or jq is needed.
//!
//! Comes in: the environment, and where that says too little, the pod's own object from the API server. Goes out: the program,
//! in place of this one, with `http_proxy` set. Must never: stay behind as a process of its own, or guess an address.
//! This is the only place that asks an API server; the proxy itself never does.

mod api;
mod host;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;

/// As shells say that there is no such program.
const NO_PROGRAM: u8 = 127;

/// What can be done instead of being the proxy.
#[derive(Debug, Subcommand)]
pub enum Launch {
    /// Start a program with http_proxy set to the proxy of the pod's host
    #[command(after_help = HELP)]
    WithProxy(WithProxy),
    /// Copy this program into a file, such as one on a volume that another container has too
    #[command(after_help = "Example, of an init container:\n  args: [copy-to, /l5d/l5d-node]")]
    CopyTo {
        /// The file
        file: PathBuf,
    },
}

/// What `with-proxy` is told.
#[derive(Debug, clap::Args)]
pub struct WithProxy {
    /// The outgoing port of the proxy
    #[arg(long, default_value_t = 4140)]
    port: u16,
    /// Hosts to be reached without the proxy, besides those of no_proxy, loopback and the API server: A,B
    #[arg(long, value_name = "HOSTS", default_value = "")]
    no_proxy: String,
    /// A server in clear text, such as `kubectl proxy`, that knows the pod; left out: the API server by the pod's service
    /// account, and without one http://localhost:8001
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// How long to ask again while no answer comes
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

const HELP: &str = "\
Where the host is, the first that is known:
  HOST_IP      from status.hostIP
  NODE_NAME    from spec.nodeName, if it can be looked up
  status.hostIP of the pod's own object, from the API server. The pod is POD_NAME (or HOSTNAME) in POD_NAMESPACE (or the
               namespace of its service account), and the account needs the right to get pods.

The program gets http_proxy and HTTP_PROXY, http://HOST:4140; no_proxy and NO_PROXY are added to. https_proxy is left alone.

Example, of a container of any image, with a volume that an init container has filled by `l5d-node copy-to /l5d/l5d-node`:
  command: [/l5d/l5d-node, with-proxy, --]
  args: [/app/hello, --port, '7777']";

impl Launch {
    /// Does it. Comes back only if it has failed, or there is nothing to start.
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Launch::WithProxy(wanted) => return wanted.run(),
            Launch::CopyTo { file } => copy_to(file),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    }
}

impl WithProxy {
    fn run(&self) -> ExitCode {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let found = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the runtime")
            .and_then(|runtime| {
                let wait = Duration::from_secs(self.wait);
                runtime.block_on(host::find(&var, self.api.as_deref(), wait))
            });
        let host = match found {
            Ok(host) => host,
            Err(error) => return fail(&error),
        };
        let (name, arguments) = self.program.split_first().expect("clap requires one");
        let mut program = Command::new(name);
        program
            .args(arguments)
            .envs(variables(&var, &host, self.port, &self.no_proxy));
        // The program takes this one's place, with its number and its open files.
        let error = program.exec();
        eprintln!("l5d-node: cannot start {}: {error}", name.display());
        ExitCode::from(NO_PROGRAM)
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("l5d-node: {error:#}");
    ExitCode::FAILURE
}

/// What the program finds in its environment besides.
fn variables(
    var: &impl Fn(&str) -> Option<String>,
    host: &str,
    port: u16,
    further: &str,
) -> [(&'static str, String); 4] {
    let authority = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let proxy = format!("http://{authority}:{port}");
    let given = var("no_proxy")
        .or_else(|| var("NO_PROXY"))
        .unwrap_or_default();
    let api = var("KUBERNETES_SERVICE_HOST").unwrap_or_default();
    let all = [
        given.as_str(),
        further,
        "localhost,127.0.0.1,::1,kubernetes.default.svc",
        &api,
    ];
    let mut hosts: Vec<&str> = Vec::new();
    for host in all.iter().flat_map(|list| list.split(',')).map(str::trim) {
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let hosts = hosts.join(",");
    [
        ("http_proxy", proxy.clone()),
        ("HTTP_PROXY", proxy),
        ("no_proxy", hosts.clone()),
        ("NO_PROXY", hosts),
    ]
}

/// Under another name first, so that nobody ever starts a half of it.
fn copy_to(file: &Path) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("which program is this?")?;
    let unfinished = file.with_extension(format!("{}.tmp", std::process::id()));
    let wrong = || format!("copying {} to {}", own.display(), file.display());
    std::fs::copy(&own, &unfinished).with_context(wrong)?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o755))
        .with_context(wrong)?;
    std::fs::rename(&unfinished, file).with_context(wrong)
}
