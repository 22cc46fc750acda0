//! `curl`, which the book's commands use; installed where that can be done unasked.

use crate::packages;
use crate::run::{has, say};

/// Whether it is there; installs it as root of a Debian system, else says what is missing.
pub(crate) fn obtain() -> bool {
    let is_here = || has("curl", "--version");
    if is_here() {
        return true;
    }
    if packages::is_possible() {
        match packages::install("curl for the commands of the book", &["curl"]) {
            Ok(()) if is_here() => return true,
            Ok(()) => say("curl was installed and does not start"),
            Err(error) => say(&format!("curl cannot be installed: {error:#}")),
        }
    }
    say("no curl is here: the book's commands are not executed (install curl)");
    false
}
