//! The program: arguments, the configuration file, signals, the exit code.

use std::fs;
use std::io::{self, Read as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::build::Core;
use super::logging::{self, Directives, Format};
use super::traces::Traces;
use super::{Running, files, run};
use crate::config::Config;
use crate::k8s::crd;
use crate::tls;

/// The control plane of the mesh: watches services once, binds names through dtabs, and tells node proxies where names lead.
#[derive(Debug, Parser)]
#[command(name = "namerd", version, after_help = HELP, override_usage = "namerd [OPTIONS] path/to/config")]
struct Arguments {
    /// The configuration, YAML or JSON; `-` reads standard input
    #[arg(value_name = "CONFIG")]
    config: Vec<String>,

    /// Check the configuration and exit with 0 or 1; opens no port (also -validate, --validate)
    #[arg(long, alias = "validate")]
    check: bool,

    /// Print the CustomResourceDefinition of `storage: {kind: io.l5d.k8s}` and exit
    #[arg(long)]
    crd: bool,

    /// Write less or more into the log: off, error, warning, info, debug, trace; of one logger with LOGGER=LEVEL, such as
    /// `info,namerd::k8s=debug`
    #[arg(
        long,
        value_name = "LEVELS",
        default_value = "info",
        env = "NAMERD_LOG"
    )]
    log_level: Directives,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: Format,
}

const HELP: &str = "\
Examples:

  namerd namerd.yaml
  namerd --check namerd.yaml                # all mistakes at once; opens no port
  cat namerd.yaml | namerd -
  namerd --crd | kubectl apply -f -
  namerd --log-level info,namerd::k8s=debug --log-format json namerd.yaml

A first configuration:

  storage:
    kind: io.l5d.inMemory
    namespaces:
      default: |
        /svc => /#/io.l5d.fs ;      # names under /svc are files of ./disco
  namers:
  - kind: io.l5d.fs
    rootDir: disco                  # a file `web` with lines such as `127.0.0.1 8080`
  interfaces:
  - kind: io.l5d.mesh               # 127.0.0.1:4321, gRPC, for node proxies and tools
  - kind: io.l5d.httpController     # 127.0.0.1:4180, for namerctl and curl

Then ask:

  curl '127.0.0.1:4180/api/1/resolve/default?path=/svc/web'
  curl '127.0.0.1:4180/api/1/delegate/default?path=/svc/web'

and look at http://127.0.0.1:9991/ (admin).

Keeping people out, each on an interface (tls and limits on admin too):

  tls:    {certPath: FILE, keyPath: FILE, caCertPath: FILE}  # read again as they change
  auth:   {nodes: certificate, trustDomain: cluster.local}   # io.l5d.mesh; or nodes: serviceAccount
  auth:   {writes: token}                                    # io.l5d.httpController; or certificate
  limits: {connections: 10000, connectionsPerClient: 5000, requestsPerSecond: 1000}
  limits: {sessions: 10000, interestsPerSession: 10000}      # io.l5d.mesh; /config.json has all

Without auth nobody has to prove anything, which is warned about on addresses
that others can reach; `auth: none` says that it is meant so.

When all servers listen, the first line on standard output is
`listening admin=ADDR KIND=ADDR ...`, interfaces in the order of the file.
The log goes to standard error. SIGTERM or SIGINT stops within
admin.shutdownGraceMs; a second one stops at once.

Environment: POD_NAMESPACE (io.l5d.k8s.ns), NODE_NAME and POD_IP (where namerd
itself runs), KUBERNETES_SERVICE_HOST (set in pods: namers without host and
port then use the cluster's own API).
";

/// Runs the program.
pub fn main() -> ExitCode {
    tls::install_provider();
    // A single dash is how 1.x spelled it.
    let arguments = std::env::args().map(|a| match a.as_str() {
        "-validate" => "--check".to_owned(),
        _ => a,
    });
    let arguments = Arguments::parse_from(arguments);
    if arguments.crd {
        print!("{}", crd::yaml());
        return ExitCode::SUCCESS;
    }
    let [file] = arguments.config.as_slice() else {
        eprintln!("usage: namerd path/to/config\n(`-` reads standard input; --help says more)");
        return ExitCode::from(64);
    };
    let (config, warnings) = match read(file) {
        Ok(read) => read,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        return check(file, &config);
    }
    match serve(config, warnings, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Each message says its cause itself.
            eprintln!("namerd: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The command line, for manual pages and the reference.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The configuration and its warnings, or what is wrong.
fn read(file: &str) -> Result<(Config, Vec<String>), String> {
    let (name, text) = if file == "-" {
        let mut text = Vec::new();
        let read = io::stdin().read_to_end(&mut text);
        read.map_err(|e| format!("cannot read standard input: {e}"))?;
        ("stdin", text)
    } else {
        let kind = fs::metadata(file).map_err(|e| format!("cannot read {file}: {e}"))?;
        if !kind.is_file() {
            return Err(format!("{file} is not a regular file"));
        }
        let text = fs::read(file).map_err(|e| format!("cannot read {file}: {e}"))?;
        (file, text)
    };
    let text = String::from_utf8(text).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        format!("{name} is not UTF-8 text at byte {at}")
    })?;
    let env = |variable: &str| std::env::var(variable).ok();
    let (config, warnings) = Config::read(name, &text, &env).map_err(|e| e.to_string())?;
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}

/// Whether everything can be built. Clients of other programs are built inside of a runtime, which contacts nobody here.
fn check(file: &str, config: &Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("cannot start a runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    let _entered = runtime.enter();
    match Core::check(config) {
        Ok(()) => {
            println!("{file}: ok");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{file}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, warnings: Vec<String>, arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // The connection to a collector lives in the runtime.
    let entered = runtime.enter();
    let traces = config.traces.as_ref().map(Traces::start).transpose()?;
    let (levels, report) =
        logging::start(&arguments.log_level, arguments.log_format, traces.as_ref())?;
    let report = AbortOnDropHandle::new(runtime.spawn(report));
    drop(entered);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %config.effective(), "starting");
    files::raise_limit();
    let ended: anyhow::Result<()> = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let namerd = run(config, warnings, levels).await?;
        println!("{}", namerd.addresses);
        tokio::select! {
            () = namerd.stopping() => {}
            name = signals.next() => {
                tracing::info!(signal = name, "asked to stop");
                namerd.shutdown();
            }
        }
        wait(namerd, &mut signals).await
    });
    drop(report);
    if let Some(traces) = traces {
        traces.end();
    }
    // What was cut off must not hold up the exit.
    runtime.shutdown_background();
    ended
}

/// Sees the stop through, unless somebody insists.
async fn wait(namerd: Running, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        ended = namerd.wait() => Ok(ended?),
        name = signals.next() => anyhow::bail!("{name} while stopping: stopped at once"),
    }
}

struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources of every kind, none of which is there.
    #[test]
    fn a_file_is_checked_without_contacting_anybody() {
        let api = "host: localhost, port: 1";
        for storage in [
            format!("kind: io.l5d.k8s, {api}"),
            format!("kind: io.l5d.k8s.configMap, name: dtabs, {api}"),
            "kind: io.l5d.etcd, port: 1".to_owned(),
            "kind: io.l5d.consul, port: 1".to_owned(),
        ] {
            let text = format!(
                "storage: {{{storage}}}\n\
                 namers: [{{kind: io.l5d.k8s, {api}}}, {{kind: io.l5d.consul, port: 1}}, {{kind: io.l5d.dnssrv}}]\n\
                 ingress: {{{api}}}\n\
                 interfaces: [{{kind: io.l5d.mesh, auth: {{nodes: serviceAccount, {api}}}}}]\n\
                 ca: {{kind: io.l5d.k8s.secret, trustDomain: cluster.local, {api}}}\n"
            );
            let (config, _) = Config::read("namerd.yml", &text, &|_| None).expect("good");
            let code = format!("{:?}", check("namerd.yml", &config));
            assert_eq!(code, format!("{:?}", ExitCode::SUCCESS), "{text}");
        }
    }
}
