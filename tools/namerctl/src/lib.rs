//! `namerctl`: reads and writes dtabs over namerd's HTTP controller, asks names over its resolver API.
//!
//! The command line and the environment come in; answers go to standard output, everything else to standard error. One
//! module for each group of commands; none of them ends the process.
//!
//! ```text
//!   args -> settings (flags, environment, .namerctl.*) -> a command -> output
//!   dtab, names (delegate)   ask over  http      \
//!   names, nodes, ingress    ask over  resolver  / tls
//! ```

mod args;
mod check;
mod dtab;
mod fail;
mod http;
mod ingress;
pub mod man;
mod migrate;
mod names;
mod nodes;
mod output;
mod resolver;
mod settings;
mod shell;
mod tls;

pub use shell::command;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap_complete::CompleteEnv;

use crate::args::{Args, Command};
use crate::settings::Settings;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    CompleteEnv::with_factory(shell::command)
        .var(shell::COMPLETE)
        .complete();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return misread(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail::show(&error.into()),
    };
    let done = runtime.block_on(run(args));
    done.unwrap_or_else(|error| fail::show(&error))
}

/// Each command answers with its exit code; an error is shown and is 255.
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let form = args.command.form().cloned().unwrap_or_default();
    let settings = || Settings::gather(&args.global, &form.or(&args.early));
    match args.command {
        Command::Dtab(args) => return dtab::run(&settings()?, args).await,
        Command::Resolve(question) => names::resolve(&settings()?, &question).await?,
        Command::Explain(question) => names::explain(&settings()?, &question).await?,
        Command::Watch(args) => names::watch(&settings()?, &args).await?,
        Command::Delegate(args) => names::delegate(&settings()?, &args).await?,
        Command::Nodes(args) => nodes::nodes(&settings()?, &args).await?,
        Command::Ingress(args) => ingress::ingress(&settings()?, &args).await?,
        Command::Check(args) => return check::run(&args, &settings()?).await,
        Command::Migrate(args) => return migrate::run(&args),
        Command::Completion(args) => shell::completion(&args)?,
        Command::Man(args) => man::man(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Help and version are answers. Anything else is a failure, told first in the words of the original where it has some.
fn misread(error: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(
        error.kind(),
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let text = error.render().ansi().to_string();
        return match output::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail::show(&error),
        };
    }
    let is_count = match error.kind() {
        ErrorKind::MissingRequiredArgument => true,
        ErrorKind::UnknownArgument => matches!(
            error.get(ContextKind::InvalidArg),
            Some(ContextValue::String(arg)) if !arg.starts_with('-')
        ),
        _ => false,
    };
    let words: Vec<String> = std::env::args().collect();
    if let Some(original) = dtab::original_words(&words).filter(|_| is_count) {
        output::remark(&format!("Error: {original}\n"));
    }
    output::remark(error.render().ansi().to_string().trim_end());
    ExitCode::from(fail::FAILED)
}
