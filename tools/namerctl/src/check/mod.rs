//! `namerctl check`: a doctor for a cluster.
//!
//! In come an API server, a namerd and configuration files, each of which may be missing; out go [`Outcomes`]: what was seen,
//! and for what is not well, what to do. Nothing is changed anywhere. Each question is bounded in time.
//!
//! | module | asks |
//! |---|---|
//! | [`cluster`] | the API server: version, clock, rights, the definition of dtabs |
//! | [`gateway`] | Service, port and slices of the node proxies, node names |
//! | [`namerd`] | namerd's ports: readiness, health, dtabs, nodes |
//! | [`certificates`], [`clock`] | what both have |
//! | [`facts`] | configuration files |

mod api;
mod certificates;
mod clock;
mod cluster;
mod facts;
mod gateway;
mod namerd;
mod outcome;
mod peer;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::api::Api;
use self::facts::{Facts, Gateway};
use self::namerd::Ports;
use self::outcome::Outcomes;
use self::peer::{Peer, Shown};
use crate::settings::Settings;

/// What to check. What is shown to namerd is that of the other commands: `--tls-cert` with `--tls-key`, `--token`.
#[derive(Args, Debug, Default)]
pub(crate) struct CheckArgs {
    /// namerd's resolver port; its other ports are taken from --config, or are 4180 and 9991
    #[arg(long, value_name = "HOST:PORT")]
    namerd: Option<String>,
    /// namerd's HTTP controller, if it is elsewhere
    #[arg(long, value_name = "HOST:PORT")]
    controller: Option<String>,
    /// namerd's admin server, if it is elsewhere
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// How the API server is reached [default: KUBECONFIG and ~/.kube/config as kubectl does, or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// An API server without credentials, such as a kubectl proxy
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Leave the cluster out
    #[arg(long)]
    no_cluster: bool,
    /// The Kubernetes namespace of dtabs, unless --config says it
    #[arg(long, default_value = "default", value_name = "NAMESPACE")]
    namespace: String,
    /// Check the rights of namerd's service account instead of one's own
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = account)]
    service_account: Option<(String, String)>,
    /// Configurations of namerd and of nodes: what they name is looked for
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// A gateway of a daemonset transformer, besides those of --config
    #[arg(long, value_name = "NAMESPACE/SERVICE/PORT")]
    gateway: Vec<Gateway>,
    /// A certificate file to look at
    #[arg(long, value_name = "FILE")]
    certificate: Vec<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    #[default]
    Table,
    Json,
}

fn account(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((ns, name)) if !ns.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((ns.to_owned(), name.to_owned()))
        }
        _ => Err("it must be NAMESPACE/NAME, such as linkerd/namerd".to_owned()),
    }
}

/// Runs the command: exit code 1 when a check failed.
pub(crate) async fn run(args: &CheckArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let shown = Shown::new(settings)?;
    let outcomes = examine(args, shown).await?;
    match args.output {
        Form::Table => crate::output::print(&outcomes.table())?,
        Form::Json => crate::output::print(&outcomes.json())?,
    }
    Ok(ExitCode::from(u8::from(outcomes.has_failed())))
}

/// All checks. An error only for arguments that cannot be used.
async fn examine(args: &CheckArgs, shown: Shown) -> anyhow::Result<Outcomes> {
    let mut facts = Facts {
        gateways: args.gateway.clone(),
        certificates: args.certificate.clone(),
        ..Facts::default()
    };
    for file in &args.config {
        facts.read(file)?;
    }
    let mut outcomes = Outcomes::default();
    if args.no_cluster {
        outcomes.skip(
            "api-server",
            "cluster",
            "left out",
            "leave --no-cluster away",
        );
    } else {
        in_cluster(args, &facts, &mut outcomes).await;
    }
    match ports(args, &facts, shown)? {
        Some(ports) => namerd::check(&ports, &mut outcomes).await,
        None => outcomes.skip(
            "namerd-grpc",
            "namerd",
            "not asked",
            "say where it is with --namerd HOST:PORT",
        ),
    }
    facts.certificates.dedup();
    for file in &facts.certificates {
        certificates::judge_file(file, &mut outcomes);
    }
    Ok(outcomes)
}

async fn in_cluster(args: &CheckArgs, facts: &Facts, outcomes: &mut Outcomes) {
    let connected = Api::connect(args.kubeconfig.as_deref(), args.server.as_deref()).await;
    let api = match connected {
        Ok(api) => api,
        Err(e) => {
            let hint = "name a kubeconfig with --kubeconfig, or an API server with --server; --no-cluster leaves it out";
            outcomes.fail("api-server", "cluster", format!("{e:#}"), hint);
            return;
        }
    };
    served_certificate(&api, outcomes).await;
    if let Some((of, pem)) = &api.client_certificate {
        certificates::judge_pem(of, pem, outcomes);
    }
    if !cluster::server(&api, outcomes).await {
        outcomes.skip(
            "rights",
            "cluster",
            "not asked",
            "the API server must answer first",
        );
        return;
    }
    let dtabs = facts.dtab_namespace(&args.namespace);
    cluster::rights(
        &api,
        args.service_account.as_ref(),
        dtabs.as_deref(),
        outcomes,
    )
    .await;
    cluster::definition(&api, dtabs.as_deref(), outcomes).await;
    gateway::check(&api, &facts.gateways, outcomes).await;
}

/// The API server's certificate, if it has one.
async fn served_certificate(api: &Api, outcomes: &mut Outcomes) {
    let is_tls = api.url.scheme_str() == Some("https");
    let Some(host) = api.url.host().filter(|_| is_tls) else {
        return;
    };
    let peer = Peer {
        host: host.to_owned(),
        port: api.url.port_u16().unwrap_or(443),
    };
    // A server that does not answer is told by the check that follows.
    if let Ok(reached) = peer.reach(&Shown::default()).await
        && let Some(chain) = &reached.chain
    {
        certificates::judge("the API server", chain, outcomes);
    }
}

fn ports(args: &CheckArgs, facts: &Facts, shown: Shown) -> anyhow::Result<Option<Ports>> {
    let Some(namerd) = &args.namerd else {
        return Ok(None);
    };
    let mesh = address(namerd, facts.mesh.unwrap_or(4321))?;
    let other = |flag: &Option<String>, port: u16| match flag {
        Some(text) => address(text, port),
        None => Ok(Peer {
            host: mesh.host.clone(),
            port,
        }),
    };
    Ok(Some(Ports {
        http: other(&args.controller, facts.http.unwrap_or(4180))?,
        admin: other(&args.admin, facts.admin.unwrap_or(9991))?,
        mesh,
        shown,
    }))
}

/// `HOST:PORT`, or a host alone; an IPv6 address stands in brackets.
fn address(text: &str, default: u16) -> anyhow::Result<Peer> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse().ok()),
        _ => (text, Some(default)),
    };
    let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    match port.filter(|_| is_host) {
        Some(port) => Ok(Peer {
            host: host.to_owned(),
            port,
        }),
        None => anyhow::bail!("`{text}` must be HOST:PORT"),
    }
}
