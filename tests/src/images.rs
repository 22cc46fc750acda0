//! Images as `cargo xtask image` writes them, unpacked and run as a container runtime would: as the image's user, with a root
//! that cannot be written, without any file but the image's own.
//!
//! Comes in: a folder of images. Goes out: programs to start. Nothing of the packer is used here: digests are checked with
//! `sha256sum`, layers unpacked with `tar`. Mounting needs root and a mount namespace of the test's own (`with_hosts_of_root`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::process::Program;

/// The folder that `cargo xtask test` had images written into.
const FOLDER: &str = "L5D_IMAGES";

/// A folder of images.
#[derive(Clone, Debug)]
pub struct Images {
    folder: PathBuf,
}

/// An image as it was unpacked.
#[derive(Debug)]
pub struct Root {
    folder: PathBuf,
    config: Value,
}

impl Images {
    /// The images, or `None` after one line that says what is missing. `cargo xtask test` names them unless it was told to
    /// leave them out, so none of these tests is left out there.
    pub fn find() -> Option<Self> {
        if let Some(folder) = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
            let folder = folder.into();
            return Some(Self { folder });
        }
        eprintln!(
            "skipped: no images to run; `cargo xtask test` builds them, or `cargo xtask image --profile dev -o DIR` and \
             {FOLDER}=DIR, as root"
        );
        None
    }

    /// The bill of materials of an image.
    pub fn bill(&self, program: &str) -> anyhow::Result<Value> {
        json(&self.folder.join(format!("{program}.cdx.json")))
    }

    /// Unpacks the image of a program into `folder/PROGRAM`.
    pub fn unpack(&self, program: &str, folder: &Path) -> anyhow::Result<Root> {
        let layout = self.folder.join(program);
        let index = json(&layout.join("index.json"))?;
        let manifest = json(&blob(&layout, &index["manifests"][0])?)?;
        let config = json(&blob(&layout, &manifest["config"])?)?;
        let root = folder.join(program);
        fs::create_dir(&root)?;
        // The temporary folder above is ours alone; the root of a container can be entered by all.
        sh("chmod 755 \"$1\"", &[&root])?;
        for layer in manifest["layers"]
            .as_array()
            .context("an image has layers")?
        {
            let layer = blob(&layout, layer)?;
            let unpack = "tar --extract --gzip --numeric-owner --same-owner --preserve-permissions --file \"$1\" --directory \"$2\"";
            sh(unpack, &[&layer, &root])?;
        }
        Ok(Root {
            folder: root,
            config,
        })
    }
}

impl Root {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The image's configuration.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Everything within, sorted, folders with a slash at the end.
    pub fn list(&self) -> anyhow::Result<Vec<String>> {
        let list = "cd \"$1\" && find . -mindepth 1 -type d -printf '%P/\\n' -o -printf '%P\\n'";
        let mut all: Vec<_> = sh(list, &[&self.folder])?
            .lines()
            .map(str::to_owned)
            .collect();
        all.sort();
        Ok(all)
    }

    /// Mounts a folder at a path of the root, which is made as a runtime makes it.
    pub fn mount(&self, from: &Path, at: &str, writable: bool) -> anyhow::Result<()> {
        let target = self.folder.join(at.trim_start_matches('/'));
        fs::create_dir_all(&target)?;
        sh("mount --bind \"$1\" \"$2\"", &[from, &target])?;
        if !writable {
            sh("mount --options remount,bind,ro \"$1\"", &[&target])?;
        }
        Ok(())
    }

    /// From now on nothing in the root can be written, except what is mounted so.
    pub fn seal(&self) -> anyhow::Result<()> {
        let seal = "mount --rbind \"$1\" \"$1\" && mount --options remount,bind,ro \"$1\"";
        sh(seal, &[&self.folder]).map(drop)
    }

    /// What the image runs, as its user. Arguments follow.
    pub fn program(&self, name: &str) -> anyhow::Result<Program> {
        let user = self.config["config"]["User"].as_str();
        let user = user.context("the image names its user")?;
        let mut program = Program::new(name, "setpriv")
            .arg("--no-new-privs")
            .arg("chroot")
            .args([&format!("--userspec={user}"), "--groups="])
            .arg(&self.folder);
        for word in self.config["config"]["Entrypoint"]
            .as_array()
            .context("the image has an entry point")?
        {
            program = program.arg(word.as_str().context("a word")?);
        }
        Ok(program)
    }
}

/// The file of a blob, after its digest was found to be true.
fn blob(layout: &Path, descriptor: &Value) -> anyhow::Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a digest")?;
    let hex = digest.strip_prefix("sha256:").context("a SHA-256")?;
    let path = layout.join("blobs/sha256").join(hex);
    let found = sh("sha256sum < \"$1\"", &[&path])?;
    ensure!(
        found.split_whitespace().next() == Some(hex),
        "{} has another digest: {found}",
        path.display()
    );
    Ok(path)
}

fn json(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read(path).with_context(|| {
        format!(
            "cannot read {}: was it written by `cargo xtask image`?",
            path.display()
        )
    })?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Runs a line of shell with paths as its arguments.
fn sh(line: &str, paths: &[&Path]) -> anyhow::Result<String> {
    let output = Command::new("sh")
        .args(["-c", line, "sh"])
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .context("cannot run sh")?;
    if !output.status.success() {
        bail!(
            "{line} with {paths:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).context("no text")
}
