//! The original `namerctl`, a Go program whose dependencies lie in its repository: fetched at a fixed commit, built once and
//! kept in the user's cache folder beside the other real parts.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cluster;
use crate::run::{run_slowly, say};

/// Where it is fetched from; `L5D_NAMERCTL_SOURCE` names a copy, such as a folder.
const SOURCE: &str = "https://github.com/linkerd/namerctl";
const COMMIT: &str = "55484b74eb771020e581aea6b569f5d20ea7c44b";
/// Its place in a GOPATH: it is older than Go's modules.
const PACKAGE: &str = "src/github.com/linkerd/namerctl";

/// The program; `None`, after a line that says so, where it cannot be had: its test is left out then.
pub(crate) fn obtain() -> Option<PathBuf> {
    match build() {
        Ok(program) => Some(program),
        Err(error) => {
            say(&format!(
                "the original namerctl cannot be had, and the test with it is left out: {error:#}"
            ));
            None
        }
    }
}

fn build() -> anyhow::Result<PathBuf> {
    let folder = cluster::folder()?;
    let program = folder.join(format!("namerctl-original-{}", &COMMIT[..12]));
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let gopath = folder.join(format!("namerctl.{}", std::process::id()));
    let built = build_in(&gopath, &folder, &program);
    // What was fetched is not needed any more; if it cannot be removed, the next build has another folder.
    let _ = std::fs::remove_dir_all(&gopath);
    built.map(|()| program)
}

fn build_in(gopath: &Path, folder: &Path, program: &Path) -> anyhow::Result<()> {
    let source = std::env::var("L5D_NAMERCTL_SOURCE").unwrap_or_else(|_| SOURCE.to_owned());
    let package = gopath.join(PACKAGE);
    std::fs::create_dir_all(&package)
        .with_context(|| format!("cannot make the folder {}", package.display()))?;
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        // Nobody is there to type a password, and a network that says nothing must not hold everything up.
        git.current_dir(&package)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
            .env("GIT_HTTP_LOW_SPEED_TIME", "30")
            .args(arguments);
        run_slowly(&format!("git {}", arguments.join(" ")), &mut git)
    };
    git(&["init", "--quiet"])?;
    git(&["fetch", "--quiet", "--depth=1", &source, COMMIT])?;
    git(&["checkout", "--quiet", "FETCH_HEAD"])?;
    let unfinished = gopath.join("namerctl");
    let mut go = Command::new(cluster::go(folder)?);
    go.current_dir(&package)
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", gopath)
        .args(["build", "-trimpath", "-o"])
        .arg(&unfinished)
        .arg(".");
    run_slowly("build the original namerctl (once)", &mut go)?;
    std::fs::rename(&unfinished, program).with_context(|| {
        format!(
            "cannot rename {} to {}",
            unfinished.display(),
            program.display()
        )
    })
}
