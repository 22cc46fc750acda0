//! The programs of the release before this checkout, which tests run against the present ones: built once from the repository's
//! own history and kept in the user's cache folder beside the other real parts. `deploy/releases.txt` says which commit it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::cluster;
use crate::run::{cargo, root, run_slowly, say};

const RELEASES: &str = "deploy/releases.txt";
const PROGRAMS: [&str; 3] = ["namerd", "l5d-node", "namerctl"];

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Release {
    version: String,
    commit: String,
}

/// The folder with the programs; `None`, after a line that says so, where the history is not there: the tests with them are
/// left out then.
pub(crate) fn obtain() -> anyhow::Result<Option<PathBuf>> {
    let file = root().join(RELEASES);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let release = newest(&text).with_context(|| format!("cannot read {}", file.display()))?;
    let name = format!("l5d-{}-{}", release.version, &release.commit[..12]);
    let folder = cluster::folder()?.join(name);
    if folder.exists() {
        return Ok(Some(folder));
    }
    if !is_in_history(&release.commit) {
        say(&format!(
            "the commit {} of release {} is not in this repository (a shallow clone?): the programs of that release are not \
             tested with the present ones. `git fetch --unshallow` brings it",
            release.commit, release.version
        ));
        return Ok(None);
    }
    let unfinished = folder.with_extension(std::process::id().to_string());
    let source = unfinished.join("source");
    let built = build(&release, &unfinished, &source);
    if built.is_err() {
        // What is left is not needed; the next build has another folder.
        let _ = fs::remove_dir_all(&unfinished);
    }
    built?;
    fs::remove_dir_all(&source).with_context(|| format!("cannot remove {}", source.display()))?;
    fs::rename(&unfinished, &folder)
        .with_context(|| format!("cannot rename to {}", folder.display()))?;
    Ok(Some(folder))
}

/// The last line that is no remark.
fn newest(text: &str) -> anyhow::Result<Release> {
    let mut lines = text.lines().map(str::trim).rev();
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let line = line.context("there is no release in it")?;
    let Some((version, commit)) = line.split_once(' ') else {
        bail!("a line is a version, a space and a commit, not {line:?}");
    };
    ensure!(
        commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()),
        "{commit:?} is no whole commit id"
    );
    Ok(Release {
        version: version.to_owned(),
        commit: commit.to_owned(),
    })
}

fn is_in_history(commit: &str) -> bool {
    let mut ask = Command::new("git");
    ask.current_dir(root())
        .args(["cat-file", "-e", &format!("{commit}^{{commit}}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

/// Builds into this checkout's target folder, where the libraries of others are the same and need not be built again. Ours are
/// kept apart by having no debug information: cargo takes packages of one name, version and profile for the same.
fn build(release: &Release, folder: &Path, source: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(source)
        .with_context(|| format!("cannot make the folder {}", source.display()))?;
    let archive = source.with_extension("tar");
    let mut git = Command::new("git");
    git.current_dir(root()).args(["archive", "--output"]);
    git.arg(&archive).arg(&release.commit);
    run_slowly(
        &format!("take release {} out of the history", release.version),
        &mut git,
    )?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(source);
    run_slowly("unpack it", &mut tar)?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    let target = root().join("target");
    let mut build = cargo();
    build
        .current_dir(source)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_INCREMENTAL", "0")
        .args(["build", "--locked", "--workspace"]);
    for program in PROGRAMS {
        build.args(["--bin", program]);
    }
    let what = format!(
        "build the programs of release {} (once; kept in {})",
        release.version,
        folder.display()
    );
    run_slowly(&what, &mut build)?;
    for program in PROGRAMS {
        let from = target.join("debug").join(program);
        fs::copy(&from, folder.join(program))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_is_the_last_line() {
        let commit = "35696e0f5074db5005e305689526899cb3554aa0";
        let text = format!("# remark\n0.0.9 {}\n0.1.0 {commit}\n\n", "0".repeat(40));
        let release = newest(&text).unwrap();
        assert_eq!((&*release.version, &*release.commit), ("0.1.0", commit));
        for bad in ["", "# none\n", "0.1.0\n", "0.1.0 35696e0\n"] {
            assert!(newest(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_list_of_releases_reads() {
        newest(&fs::read_to_string(root().join(RELEASES)).unwrap()).unwrap();
    }
}
