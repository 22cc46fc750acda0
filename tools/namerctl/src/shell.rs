//! For shells: completion scripts, completion of namespaces while typing.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _, Parser as _, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use hyper::Method;

use crate::args::Args as CommandLine;
use crate::http::{Ask, Controller};
use crate::output::print;
use crate::settings::{FormArgs, GlobalArgs, Settings};

/// The variable that a shell sets to ask for completions.
pub(crate) const COMPLETE: &str = "NAMERCTL_COMPLETE";
/// Who types does not wait for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which shell.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell that runs the script
    #[arg(value_enum)]
    shell: Shell,
    /// A script that knows the commands by itself and asks neither namerctl nor namerd
    #[arg(long = "static")]
    is_static: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The script for a shell.
pub(crate) fn completion(args: &CompletionArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    if args.is_static {
        let shell = match args.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        clap_complete::generate(shell, &mut command(), "namerctl", &mut script);
    } else {
        let completer: &dyn EnvCompleter = match args.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        completer.write_registration(COMPLETE, "namerctl", "namerctl", "namerctl", &mut script)?;
    }
    print(std::str::from_utf8(&script).context("the script is no text")?)
}

/// The whole command line.
pub fn command() -> Command {
    CommandLine::command()
}

/// The namespaces of the namerd that the environment or the configuration file names, for a shell; none on any failure,
/// since there is nobody to tell.
pub(crate) fn namespaces() -> Vec<CompletionCandidate> {
    let names = asked_names().unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    global: GlobalArgs,
}

fn asked_names() -> anyhow::Result<Vec<String>> {
    // The flags typed so far are not at hand here.
    let settings = Settings::gather(
        &Flags::try_parse_from(["namerctl"])?.global,
        &FormArgs::default(),
    )?;
    let controller = Controller::new(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let reply = runtime.block_on(async {
        let asking = controller.send(Ask::new(Method::GET, "dtabs"));
        tokio::time::timeout(PATIENCE, asking).await
    })??;
    Ok(serde_json::from_str(&reply.body)?)
}
