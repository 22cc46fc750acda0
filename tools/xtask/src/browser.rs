//! The browser that the test of the admin page runs: Chromium of the system, installed where that can be done unasked.

use crate::packages;
use crate::run::{has, say};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Whether there is a browser; installs it as root of a Debian system, else says what is missing.
pub(crate) fn obtain() -> bool {
    if is_here() {
        return true;
    }
    if packages::is_possible() {
        match packages::install("chromium for the test of the admin page", &["chromium"]) {
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
