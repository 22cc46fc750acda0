//! The measurements: builds the programs and the peers, and becomes the one that measures.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::cluster::obtain_xds;
use crate::run::{cargo, root, run, say};

/// What the sizes are for.
pub(crate) const FANOUT_HELP: &str = "\
Without sizes: 1,000 followers on 2,000 services, some minutes on two cores.

The full size, on two cores with 8 GB free and 12,000 open files allowed (ulimit -Hn):

  cargo xtask bench fanout --services 10000 --endpoints 150000 --nodes 5000 --followers 5000";

/// `bench fanout`.
pub(crate) fn fanout(profile: &str, arguments: &[String]) -> anyhow::Result<()> {
    run(
        "build the programs",
        cargo().args([
            "build",
            "--profile",
            profile,
            "-p",
            "namerd",
            "-p",
            "l5d-bench",
        ]),
    )?;
    let folder = match profile {
        "dev" => "debug",
        other => other,
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
    let mut bench = Command::new(target.join(folder).join("l5d-bench"));
    match obtain_xds() {
        Ok(path) => {
            bench.arg("--xds").arg(path);
        }
        Err(error) => say(&format!("xDS is left out: {error:#}")),
    }
    let error = bench.args(arguments).exec();
    Err(error).context("cannot start l5d-bench")
}
