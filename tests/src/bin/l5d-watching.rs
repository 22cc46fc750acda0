//! Writes the dashboards and rules of `deploy/watching`; `cargo xtask watching` runs it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use l5d_tests::watching::{RUNBOOK, files, folder};

/// Writes dashboards and rules from the tables of metrics.
#[derive(Parser, Debug)]
struct Args {
    /// Where the runbook is served: in front of `#<alert>` in the links of alerts
    #[arg(long, default_value = RUNBOOK)]
    runbook: String,
    /// Where to write; left out: deploy/watching
    #[arg(long)]
    to: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let to = args.to.unwrap_or_else(folder);
    for file in files(&args.runbook) {
        let path = to.join(&file.name);
        let folder = path.parent().context("a file in a folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, file.text).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}
