//! The program: arguments, the configuration file, signals, the exit code.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{AppError, Options, log};
use crate::admin::LogLevels;
use crate::config::{self, ClientAuth, ClientTls, Config, Identity};
use crate::launch::Launch;

/// The node proxy: one on each host. Routes HTTP requests by name and follows a namerd, which binds the names.
#[derive(Debug, Parser)]
#[command(name = "l5d-node", version, after_help = HELP)]
struct Arguments {
    /// The configuration file, YAML or JSON; - reads standard input.
    config: PathBuf,
    /// Check the configuration, say what is wrong with it or print it as it would be in force (JSON), and exit with 1 or 0.
    #[arg(long, alias = "validate")]
    check: bool,
    /// The namerd for routers that name none (interpreter `default`): HOST:PORT[,HOST:PORT...].
    #[arg(long, value_name = "HOST:PORT")]
    namerd: Option<String>,
    #[command(flatten)]
    proof: Proof,
    /// Where to keep what namerd said last, so that a restart serves at once.
    #[arg(long, value_name = "PATH")]
    warm_file: Option<PathBuf>,
}

/// How the namerd of --namerd is checked, and what it is shown; the same as `tls` and `tokenFile` of an interpreter.
#[derive(Debug, clap::Args)]
struct Proof {
    /// Speak TLS to the namerd of --namerd; its certificate must have this name.
    #[arg(long, value_name = "NAME")]
    namerd_name: Option<String>,
    /// Trust this authority (PEM), not those of the system.
    #[arg(long, value_name = "PATH", requires = "namerd_name")]
    namerd_ca: Option<PathBuf>,
    /// Show this certificate (PEM) to namerd.
    #[arg(long, value_name = "PATH", requires_all = ["namerd_name", "namerd_key"])]
    namerd_cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(long, value_name = "PATH", requires = "namerd_cert")]
    namerd_key: Option<PathBuf>,
    /// Show namerd the token in this file, such as that of a projected service account; read for each connection.
    #[arg(long, value_name = "PATH")]
    namerd_token_file: Option<PathBuf>,
}

impl Proof {
    fn tls(&self) -> Option<ClientTls> {
        let auth = self.namerd_cert.clone().zip(self.namerd_key.clone());
        Some(ClientTls {
            common_name: Some(self.namerd_name.clone()?),
            trust: self.namerd_ca.iter().cloned().collect(),
            client_auth: auth.map(|(certificate, key)| ClientAuth {
                certificate,
                key,
                intermediates: None,
            }),
            ..ClientTls::default()
        })
    }
}

const HELP: &str = "\
Examples:
  l5d-node node.yaml
  l5d-node node.yaml --namerd namerd-0:4321,namerd-1:4321
  l5d-node --check node.yaml                                  # all mistakes, or what the file comes to
  l5d-node --check node.yaml | jq '.routers[0].client'

Environment:
  NODE_NAME       the host's name in Kubernetes (spec.nodeName)
  POD_IP          this pod's address (status.podIP)
  L5D_NAMERD      as --namerd
  L5D_WARM_FILE   as --warm-file; default /var/lib/l5d-node/warm, if that folder can be written
  RUST_LOG        what to log, such as info or l5d_node=debug

A first configuration:
  routers:
  - protocol: http
    label: outgoing
    dtab: /svc => /#/io.l5d.k8s/default/http
    servers: [{port: 4140}]

  l5d-node outgoing.yml --namerd localhost:4321
  http_proxy=localhost:4140 curl http://hello/

A file of linkerd 1.x, with namers of its own:
  namerctl migrate linkerd.yml

In a router's section, some more:
  # gRPC: the service names the request
  identifier: {kind: io.l5d.header.path, segments: 1}
  # by Ingress rules, which namerd serves
  identifier: {kind: io.l5d.ingress}
  service: {responseClassifier: {kind: io.l5d.http.retryableRead5XX}, totalTimeoutMs: 5000}
  # TLS to some names only
  client:
    kind: io.l5d.static
    configs:
    - {prefix: '/$/io.buoyant.rinet/443/{host}', tls: {commonName: '{host}'}}

Signals: SIGTERM and SIGINT end it after open requests (admin.shutdownGraceMs), a second one at once.
Admin pages: http://localhost:9990/";

/// Runs the program.
pub fn main() -> ExitCode {
    // 1.x knows the flag with one dash.
    let arguments = std::env::args_os().map(|a| match a.to_str() {
        Some("-validate") => "--validate".into(),
        _ => a,
    });
    let matches = command().get_matches_from(arguments);
    if matches.subcommand().is_some() {
        return Launch::from_arg_matches(&matches).map_or_else(|e| e.exit(), |launch| launch.run());
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("l5d-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line with what can be done instead of being the proxy; also for manual pages and the reference.
pub fn command() -> clap::Command {
    Launch::augment_subcommands(Arguments::command())
        .override_usage("l5d-node [OPTIONS] <CONFIG>\n       l5d-node with-proxy [OPTIONS] -- <PROGRAM>...\n       l5d-node copy-to <FILE>")
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read(&arguments.config)?;
    let var = |name: &str| std::env::var(name).ok();
    let identity = Identity {
        namerd_tls: arguments.proof.tls(),
        namerd_token_file: arguments.proof.namerd_token_file.clone(),
        ..Identity::read(var, arguments.namerd.clone(), arguments.warm_file.clone())?
    };
    if arguments.check {
        let warnings = config
            .check_identity(&identity)
            .map_err(AppError::Identity)?;
        for warning in config.warnings.iter().chain(&warnings) {
            eprintln!("warning: {warning}");
        }
        eprintln!("{}: ok", arguments.config.display());
        println!("{:#}", config::effective(&config));
        return Ok(());
    }
    let levels = log();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(run(config, identity, levels))
}

fn read(file: &PathBuf) -> anyhow::Result<Config> {
    let (name, text) = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading the configuration from standard input")?;
        ("standard input".to_owned(), text)
    } else {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {name}"))?;
        (name, text)
    };
    config::read(&name, &text)
        .map_err(|mistakes| anyhow::anyhow!("mistakes in the configuration\n\n{mistakes}"))
}

async fn run(config: Config, identity: Identity, levels: Arc<dyn LogLevels>) -> anyhow::Result<()> {
    let mut signals = [SignalKind::terminate(), SignalKind::interrupt()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .context("listening for signals")?;
    let running = super::run(
        config,
        identity,
        Options {
            levels: Some(levels),
            ..Options::default()
        },
    )?;
    tokio::select! {
        () = any(&mut signals) => tracing::info!("stopping; a second signal ends it at once"),
        () = running.stop_asked() => tracing::info!("stopping"),
    }
    tokio::select! {
        () = running.join() => Ok(()),
        () = any(&mut signals) => anyhow::bail!("ended at once by a second signal"),
    }
}

/// Waits for any of the signals.
async fn any(signals: &mut [Signal]) {
    let each = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(each).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Arguments, String> {
        let words = ["l5d-node", "l5d.yml"].iter().chain(flags);
        Arguments::try_parse_from(words).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_is_a_file_and_the_rest_is_a_program() {
        command().debug_assert();
        let read = |words: &[&str]| {
            let words = ["l5d-node"].iter().chain(words);
            command().try_get_matches_from(words)
        };
        assert!(read(&["l5d.yml", "--check"]).is_ok_and(|m| m.subcommand().is_none()));
        let matches = read(&["with-proxy", "--port", "4240", "--", "hello", "--port", "1"]);
        assert_eq!(
            matches
                .map(|m| m.subcommand_name().map(str::to_owned))
                .ok()
                .flatten()
                .as_deref(),
            Some("with-proxy")
        );
        for wrong in [
            &["with-proxy"][..],
            &[],
            &["--check"],
            &["copy-to"],
            &["--check", "copy-to", "x"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    /// What is taught can be copied.
    #[test]
    fn examples_of_the_help_load() {
        let keys = HELP
            .lines()
            .map(|line| line.split(" #").next().unwrap_or(line).trim());
        let keys: Vec<_> = keys
            .filter(|k| k.starts_with("identifier:") || k.starts_with("service:"))
            .collect();
        assert_eq!(keys.len(), 3);
        for key in keys {
            let text = format!("routers: [{{protocol: http, servers: [{{port: 0}}], {key}}}]");
            config::read("help", &text).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn what_is_shown_to_namerd_stands_in_flags() {
        let arguments = parse(&["--namerd", "n:1"]).expect("good");
        assert_eq!(arguments.proof.tls(), None);
        let flags = "--namerd n:1 --namerd-name namerd --namerd-ca ca.pem --namerd-cert c.pem --namerd-key k.pem \
             --namerd-token-file token";
        let arguments = parse(&flags.split_whitespace().collect::<Vec<_>>()).expect("good");
        assert_eq!(arguments.proof.namerd_token_file, Some("token".into()));
        let tls = arguments.proof.tls().expect("TLS");
        assert_eq!(tls.common_name.as_deref(), Some("namerd"));
        assert_eq!(tls.trust, [PathBuf::from("ca.pem")]);
        let auth = tls.client_auth.expect("a certificate");
        assert_eq!(
            (auth.certificate, auth.key),
            ("c.pem".into(), "k.pem".into())
        );
        for flags in [
            ["--namerd-ca", "ca.pem"].as_slice(),
            &["--namerd-cert", "c.pem", "--namerd-name", "n"],
            &["--namerd-key", "k.pem", "--namerd-name", "n"],
        ] {
            let error = parse(flags).expect_err("a half");
            assert!(error.contains("required"), "{error}");
        }
    }
}
