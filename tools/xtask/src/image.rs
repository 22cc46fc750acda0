//! `cargo xtask image`: static programs, an image of each, and its bill of materials. No daemon, no network beyond cargo's.
//!
//! Equal sources, compilers and C library give equal bytes, in whatever folder and whenever it is built: paths are mapped away,
//! the time is that of the commit (or `SOURCE_DATE_EPOCH`), and all programs are resolved together whichever of them is asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use l5d_image::crates::{TREE, linked};
use l5d_image::image::{Image, Packed};
use l5d_image::sbom::{Library, document};
use l5d_image::{elf, sha256};

use crate::run::{cargo, root, run, say};

/// What is written into an image besides its program.
struct Shipped {
    program: &'static str,
    description: &'static str,
    ports: &'static [u16],
    folders: &'static [&'static str],
}

/// namerd: resolver API, HTTP controller, thrift, admin. The node: outgoing, incoming, admin; its warm file's volume.
const SHIPPED: [Shipped; 3] = [
    Shipped {
        program: "namerd",
        description: "The control plane of l5d: binds names, streams endpoints to node proxies",
        ports: &[4321, 4180, 4100, 9991],
        folders: &[],
    },
    Shipped {
        program: "l5d-node",
        description: "The node proxy of l5d: one per host, routes HTTP/1.1, HTTP/2 and gRPC by name",
        ports: &[4140, 4141, 9990],
        folders: &["var/lib/l5d-node"],
    },
    Shipped {
        program: "namerctl",
        description: "The command line of l5d",
        ports: &[],
        folders: &[],
    },
];

/// A program in a release image has at most so many bytes.
const LIMIT: u64 = 20_000_000;

/// What is to be made.
#[derive(clap::Args, Debug)]
pub(crate) struct Order {
    /// The profile that the programs are built with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Where layouts, archives and bills of materials go; default target/image/PROFILE
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The registry and the folder in it that images are named by
    #[arg(long, default_value = "l5d")]
    prefix: String,
    /// Which programs; all without any
    #[arg(value_name = "PROGRAM", value_parser = ["namerd", "l5d-node", "namerctl"])]
    programs: Vec<String>,
}

pub(crate) const HELP: &str = "\
Writes for each program, into the folder of -o:
  PROGRAM/           the image in the OCI layout       skopeo copy oci:PROGRAM:VERSION docker://...
  PROGRAM.tar        the same in one file              ctr images import, podman load, docker load
  PROGRAM.cdx.json   the bill of materials, CycloneDX
  PROGRAM.debug      symbols and lines, where the profile has them; found by build id

Two builds of one commit with the same compilers give the same digests.";

/// The cheapest build, into the folder that tests look into.
pub(crate) fn for_tests(programs: &[&str], output: &Path) -> anyhow::Result<()> {
    let programs = programs.iter().map(|&name| name.to_owned()).collect();
    make(&Order {
        profile: "dev".to_owned(),
        output: Some(output.to_owned()),
        prefix: "l5d".to_owned(),
        programs,
    })
}

pub(crate) fn make(order: &Order) -> anyhow::Result<()> {
    let chosen: Vec<_> = SHIPPED
        .iter()
        .filter(|s| order.programs.is_empty() || order.programs.iter().any(|p| p == s.program))
        .collect();
    let facts = Facts::gather()?;
    let output = match &order.output {
        Some(folder) => folder.clone(),
        None => facts.target_folder.join("image").join(&order.profile),
    };
    fs::create_dir_all(&output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    build(&chosen, &order.profile, &facts)?;
    println!("{:<24} {:>12} {:>12}  digest", "image", "program", "pulled");
    let mut too_large = Vec::new();
    for shipped in chosen {
        let packed = pack(shipped, order, &facts, &output)?;
        println!(
            "{:<24} {:>9} kB {:>9} kB  {}",
            packed.reference,
            packed.unpacked.div_ceil(1000),
            packed.packed.div_ceil(1000),
            packed.digest
        );
        if packed.unpacked > LIMIT {
            too_large.push(shipped.program);
        }
    }
    println!("{}", output.display());
    if order.profile == "release" && !too_large.is_empty() {
        bail!(
            "{} has more than {LIMIT} bytes: see what has grown (cargo bloat --crates), or move the limit in {}",
            too_large.join(", "),
            file!()
        );
    }
    Ok(())
}

/// What is the same for all images of one run.
struct Facts {
    target: String,
    architecture: &'static str,
    version: String,
    created: u64,
    labels: BTreeMap<&'static str, String>,
    libraries: Vec<Library>,
    metadata: String,
    tree: String,
    lock: String,
    target_folder: PathBuf,
}

impl Facts {
    fn gather() -> anyhow::Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let rustc = output(Command::new(rustc).arg("-vV"))?;
        let of_rustc = |key: &str| {
            let mut lines = rustc.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            value.with_context(|| format!("rustc -vV does not say {key}"))
        };
        let target = of_rustc("host")?.to_owned();
        let architecture = match target.as_str() {
            "x86_64-unknown-linux-gnu" => "amd64",
            "aarch64-unknown-linux-gnu" => "arm64",
            other => {
                bail!("images are built on x86-64 or aarch64 Linux with glibc, and this is {other}")
            }
        };
        let metadata = output(
            cargo()
                .args(["metadata", "--format-version=1", "--locked"])
                .args(["--filter-platform", &target]),
        )?;
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--target", &target])
            .args(TREE);
        for shipped in &SHIPPED {
            tree.args(["--package", shipped.program]);
        }
        let known: serde_json::Value = serde_json::from_str(&metadata)?;
        let text = |key: &str| known[key].as_str().map(str::to_owned);
        let own = known["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p["name"] == "namerd");
        let own = own.context("`cargo metadata` does not know namerd")?;
        let of_own = |key: &str| own[key].as_str().map(str::to_owned);
        let mut labels = BTreeMap::new();
        labels.extend(of_own("license").map(|license| ("licenses", license)));
        labels.extend(of_own("repository").map(|source| ("source", source)));
        labels.extend(revision().map(|revision| ("revision", revision)));
        Ok(Self {
            architecture,
            version: of_own("version").context("namerd has a version")?,
            created: created()?,
            labels,
            libraries: libraries(of_rustc("release")?)?,
            tree: output(&mut tree)?,
            lock: fs::read_to_string(root().join("Cargo.lock"))
                .context("cannot read Cargo.lock")?,
            target_folder: text("target_directory")
                .context("cargo has a target folder")?
                .into(),
            metadata,
            target,
        })
    }
}

/// The commit, marked if there is more than that; `None` outside of a repository.
fn revision() -> Option<String> {
    let commit = git(&["rev-parse", "HEAD"]).ok()?;
    let more = git(&["status", "--porcelain"]).ok()?;
    Some(if more.is_empty() {
        commit
    } else {
        commit + "-modified"
    })
}

/// `SOURCE_DATE_EPOCH`, else when the last commit was made.
fn created() -> anyhow::Result<u64> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(given) => given,
        Err(_) => git(&["log", "-1", "--format=%ct"]).context(
            "images have the time of the last commit: build in a git repository, or set SOURCE_DATE_EPOCH",
        )?,
    };
    let parsed = seconds.trim().parse();
    parsed.with_context(|| format!("{seconds:?} is no number of seconds since 1970"))
}

/// What else is in a static program.
fn libraries(rust: &str) -> anyhow::Result<Vec<Library>> {
    let glibc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let glibc = glibc.trim().trim_start_matches("glibc ");
    let gcc = output(Command::new("cc").arg("-dumpfullversion"))?;
    let library = |name: &str, version: &str, license: &str| Library {
        name: name.to_owned(),
        version: version.to_owned(),
        license: license.to_owned(),
    };
    Ok(vec![
        library("rust-std", rust, "MIT OR Apache-2.0"),
        library("glibc", glibc, "LGPL-2.1-or-later"),
        library(
            "libgcc",
            gcc.trim(),
            "GPL-3.0-or-later WITH GCC-exception-3.1",
        ),
    ])
}

/// Builds static programs. The flags are ours alone: what the environment has would end in the image.
fn build(chosen: &[&Shipped], profile: &str, facts: &Facts) -> anyhow::Result<()> {
    let mut flags = vec![OsString::from("-Ctarget-feature=+crt-static")];
    let mut c_flags = OsString::new();
    for (from, to) in hidden(facts)? {
        let mapped = |flag: &str| {
            let mut text = OsString::from(flag);
            text.push(&from);
            text.push("=");
            text.push(to);
            text
        };
        flags.push(mapped("--remap-path-prefix="));
        c_flags.push(mapped(" -ffile-prefix-map="));
    }
    let mut build = cargo();
    build
        .args(["build", "--locked", "--profile", profile])
        .args(["--target", &facts.target])
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}".as_ref()))
        .env(
            format!("CFLAGS_{}", facts.target.replace('-', "_")),
            c_flags,
        )
        .env("CARGO_INCREMENTAL", "0");
    if profile == "dev" {
        // For tests: nobody debugs these, and they are linked and packed sooner.
        build.env("CARGO_PROFILE_DEV_DEBUG", "false");
    } else {
        // One file with all debug information: what is packed apart leaves names of files in the program.
        build.args([
            "--config",
            &format!("profile.{profile}.split-debuginfo='off'"),
        ]);
    }
    for shipped in &SHIPPED {
        build.args(["--package", shipped.program]);
    }
    for shipped in chosen {
        build.args(["--bin", shipped.program]);
    }
    run(
        &format!("build static programs with the profile {profile}"),
        &mut build,
    )
}

/// Folders whose names must not be in a program, and what stands for them. Of two that match, the last one counts.
fn hidden(facts: &Facts) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let home = |variable: &str, folder: &str| {
        let set = std::env::var_os(variable).map(PathBuf::from);
        set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(folder)))
    };
    let cargo_home = home("CARGO_HOME", ".cargo").context("neither CARGO_HOME nor HOME is set")?;
    Ok(vec![
        (cargo_home, "/cargo"),
        (root(), "/l5d"),
        (facts.target_folder.clone(), "/target"),
    ])
}

/// Strips what was built, and writes the image and its bill of materials.
fn pack(shipped: &Shipped, order: &Order, facts: &Facts, output: &Path) -> anyhow::Result<Packed> {
    let folder = if order.profile == "dev" {
        "debug"
    } else {
        &order.profile
    };
    let built = facts.target_folder.join(&facts.target).join(folder);
    let content = strip(&built.join(shipped.program), output, shipped.program)?;
    if let Some(loader) = elf::interpreter(&content)? {
        bail!("{} is not static, it asks for {loader}", shipped.program);
    }
    for (path, _) in hidden(facts)? {
        let path = path.to_string_lossy();
        let found = memchr::memmem::find(&content, path.as_bytes()).is_some();
        ensure!(
            !found,
            "{} names a folder of this machine: {path}",
            shipped.program
        );
    }
    let mut labels = facts.labels.clone();
    labels.insert("description", shipped.description.to_owned());
    let image = Image {
        program: shipped.program,
        content: &content,
        name: &format!("{}/{}", order.prefix, shipped.program),
        version: &facts.version,
        architecture: facts.architecture,
        created: facts.created,
        labels,
        ports: shipped.ports,
        folders: shipped.folders,
    };
    let packed = image.write(output)?;
    let linked = linked(shipped.program, &facts.tree, &facts.metadata, &facts.lock)?;
    let document = document(&image, &packed, &linked, &facts.libraries)?;
    let path = output.join(format!("{}.cdx.json", shipped.program));
    let text = serde_json::to_string_pretty(&document)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(packed)
}

/// The program without debug information, which is kept beside the image. Names of functions stay: a panic names them.
fn strip(built: &Path, output: &Path, program: &str) -> anyhow::Result<Vec<u8>> {
    let objcopy = |what: &str, to: &Path| {
        let mut objcopy = Command::new("objcopy");
        objcopy.arg(what).arg(built).arg(to);
        let status = objcopy
            .status()
            .context("cannot run objcopy (of binutils)")?;
        ensure!(
            status.success(),
            "objcopy {what} {} ended with {status}",
            built.display()
        );
        anyhow::Ok(())
    };
    objcopy(
        "--only-keep-debug",
        &output.join(format!("{program}.debug")),
    )?;
    let stripped = output.join(format!("{program}.stripped"));
    objcopy("--strip-debug", &stripped)?;
    let content =
        fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    fs::remove_file(&stripped).with_context(|| format!("cannot remove {}", stripped.display()))?;
    say(&format!("{program}: sha256:{}", sha256(&content)));
    Ok(content)
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(arguments);
    Ok(output(&mut git)?.trim().to_owned())
}

/// What a command prints; its complaints go where ours go.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown} ended with {}",
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("{shown} prints no text"))
}
