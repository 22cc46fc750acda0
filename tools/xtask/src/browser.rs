//! The browser that the test of the admin page runs: Chromium of the system, installed where that can be done unasked.

use std::path::Path;
use std::process::Command;

use crate::run::{has, run_slowly, say};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Whether there is a browser; installs it as root of a Debian system, else says what is missing.
pub(crate) fn obtain() -> bool {
    if is_here() {
        return true;
    }
    if is_root() && has("apt-get", "--version") {
        let apt = |arguments: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
            run_slowly("install chromium for the test of the admin page", &mut apt)
        };
        let install = ["install", "--yes", "--no-install-recommends", "chromium"];
        // The list of packages may be old or not there at all.
        let installed = apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)));
        match installed {
            Ok(()) if is_here() => return true,
            Ok(()) => say("chromium was installed and does not start"),
            Err(error) => say(&format!("chromium cannot be installed: {error:#}")),
        }
    }
    say(
        "no browser is here: the admin page is not tested in one (install chromium, or name one in L5D_CHROMIUM)",
    );
    false
}

fn is_here() -> bool {
    let given = std::env::var("L5D_CHROMIUM").unwrap_or_default();
    !given.is_empty() || NAMES.iter().any(|name| has(name, "--version"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|me| me.uid() == 0)
}
