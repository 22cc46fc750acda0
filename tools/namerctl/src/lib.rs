//! `namerctl`: reads and writes dtabs over namerd's HTTP controller, asks names over its resolver API.
//!
//! The command line and the environment come in; answers go to standard output, everything else to standard error. One
//! module for each group of commands; none of them ends the process.

mod args;
mod check;
mod dtab;
mod http;
mod migrate;
mod resolver;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Args, Command};
use crate::resolver::ResolverCommand;

/// Any failure, as scripts around the original expect it (control plane 8.3).
const FAILED: u8 = 255;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to standard output. When even that fails, there is nowhere left to say so.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(FAILED),
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    runtime.block_on(run(args)).unwrap_or_else(|e| fail(&e))
}

/// Each command answers with its exit code; an error is shown and is 255.
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let resolver = &args.resolver;
    match args.command {
        Command::Dtab(command) => dtab::run(args.base_url.as_deref(), command).await?,
        Command::Resolve(q) => resolver::run(resolver, ResolverCommand::Resolve(q)).await?,
        Command::Explain(q) => resolver::run(resolver, ResolverCommand::Explain(q)).await?,
        Command::Watch(q) => resolver::run(resolver, ResolverCommand::Watch(q)).await?,
        Command::Check(args) => return check::run(&args).await,
        Command::Migrate(args) => return migrate::run(&args),
        Command::Nodes { node } => resolver::run(resolver, ResolverCommand::Nodes(node)).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::from(FAILED)
}
