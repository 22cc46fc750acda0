//! Prometheus and promtool, for the tests of dashboards and alerts: Debian's package, unpacked into the cache folder and not
//! installed, so that nothing is started and no rights are needed.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::run::{has, run_quietly, say};
use crate::{cluster, packages};

const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// Whether both programs are there; gets them on a Debian system, else says what is missing.
pub(crate) fn obtain() -> bool {
    if is_here() {
        return true;
    }
    if has("apt-get", "--version") && has("dpkg-deb", "--version") {
        match unpack() {
            Ok(()) if is_here() => return true,
            Ok(()) => say("prometheus was unpacked and its programs are not in it"),
            Err(error) => say(&format!("prometheus cannot be had: {error:#}")),
        }
    }
    say(
        "no prometheus is here: dashboards and alerts are compared with the tables of metrics alone (install prometheus)",
    );
    false
}

fn is_here() -> bool {
    let cached = cluster::folder().map(|folder| folder.join("prometheus"));
    PROGRAMS.iter().all(|name| {
        let is_cached = cached.as_ref().is_ok_and(|f| f.join(name).is_file());
        is_cached || has(name, "--version")
    })
}

/// Into a folder beside the final one first: what is there is whole.
fn unpack() -> anyhow::Result<()> {
    let folder = cluster::folder()?;
    let (scratch, to) = (folder.join("prometheus.new"), folder.join("prometheus"));
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;
    packages::download("prometheus", "prometheus", &scratch)?;
    let archives = std::fs::read_dir(&scratch)?.filter_map(|entry| Some(entry.ok()?.path()));
    let archive = { archives }.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.context("apt-get has left no package behind")?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("--extract").arg(&archive).arg(scratch.join("x"));
    run_quietly("unpack prometheus", &mut dpkg)?;
    std::fs::create_dir_all(&to)?;
    for name in PROGRAMS {
        let from = scratch.join("x/usr/bin").join(name);
        std::fs::rename(&from, to.join(name)).with_context(|| {
            format!(
                "no {} in the package",
                Path::new("usr/bin").join(name).display()
            )
        })?;
    }
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}
