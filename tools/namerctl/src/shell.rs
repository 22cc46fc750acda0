//! For shells: completion scripts, completion of namespaces while typing, manual pages.

use std::io::Write as _;
use std::path::PathBuf;
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

/// Where manual pages go.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder, such as /usr/local/share/man/man1
    dir: PathBuf,
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

/// A page for namerctl and one for each command; the pages of namerd and l5d-node as well, so that one program has them all.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let dir = args.dir.display();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make the folder {dir}"))?;
    for program in [
        command(),
        namerd::app::command(),
        l5d_node::app::cli::command(),
    ] {
        clap_mangen::generate_to(program, &args.dir)
            .with_context(|| format!("cannot write manual pages into {dir}"))?;
    }
    std::io::stdout().flush()?;
    Ok(())
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
