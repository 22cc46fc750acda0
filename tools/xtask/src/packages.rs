//! Packages of a Debian system, installed where that can be done unasked: as root.

use std::path::Path;
use std::process::Command;

use crate::run::{has, run_slowly};

/// Whether this can be tried at all.
pub(crate) fn is_possible() -> bool {
    is_root() && has("apt-get", "--version")
}

/// Installs packages. The list of them may be old or not there at all: then it is fetched first.
pub(crate) fn install(what_for: &str, packages: &[&str]) -> anyhow::Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        run_slowly(&format!("install {what_for}"), &mut apt)
    };
    let install = ["install", "--yes", "--no-install-recommends"];
    let install = [&install, packages].concat();
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
}

/// Fetches one package into a folder and installs nothing; the list of packages is fetched first where there is none.
pub(crate) fn download(what_for: &str, package: &str, folder: &Path) -> anyhow::Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder).args(arguments);
        run_slowly(&format!("fetch {what_for}"), &mut apt)
    };
    let download = ["download", package];
    apt(&download).or_else(|_| apt(&["update"]).and_then(|()| apt(&download)))
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|me| me.uid() == 0)
}
