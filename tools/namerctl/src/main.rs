//! `namerctl`: reads and writes dtabs over namerd's HTTP controller, asks names over its resolver API.

mod dtab;
mod http;
mod resolver;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::dtab::DtabCommand;
use crate::resolver::{Question, ResolverCommand};

/// Command line for namerd
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "Examples:\n  \
        namerctl --base-url http://127.0.0.1:4180 dtab list\n  \
        namerctl dtab get default > my.dtab\n  \
        namerctl dtab update default my.dtab\n  \
        namerctl resolve /svc/world\n  \
        namerctl explain /svc/world --dtab '/host/world => /k8s/world-v2'\n  \
        namerctl nodes"
)]
struct Args {
    /// The HTTP controller, for `dtab` commands
    #[arg(long, global = true, env = "NAMERCTL_BASE_URL", value_name = "URL")]
    base_url: Option<String>,
    /// The resolver API, for all other commands
    #[arg(
        long,
        global = true,
        env = "NAMERCTL_RESOLVER",
        default_value = "127.0.0.1:4321",
        value_name = "HOST:PORT"
    )]
    resolver: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Read and write the dtabs of namespaces
    #[command(subcommand)]
    Dtab(DtabCommand),
    /// What a path is now: its tree and addresses
    Resolve(Question),
    /// Every step from a path to its addresses, with the rules that applied
    Explain(Question),
    /// What a path is, again after each change, until interrupted
    Watch(Question),
    /// The node proxies that follow this namerd
    Nodes {
        /// Only this node
        #[arg(default_value = "")]
        node: String,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(async {
        match args.command {
            Command::Dtab(command) => dtab::run(args.base_url.as_deref(), command).await,
            Command::Resolve(question) => {
                resolver::run(&args.resolver, ResolverCommand::Resolve(question)).await
            }
            Command::Explain(question) => {
                resolver::run(&args.resolver, ResolverCommand::Explain(question)).await
            }
            Command::Watch(question) => {
                resolver::run(&args.resolver, ResolverCommand::Watch(question)).await
            }
            Command::Nodes { node } => {
                resolver::run(&args.resolver, ResolverCommand::Nodes(node)).await
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Exit code 255, as scripts around the original expect of a failure.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::from(255)
}
