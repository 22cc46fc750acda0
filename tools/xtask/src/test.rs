//! What must pass: `test` and `ci`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::run::{cargo, has, root, run, run_quietly, run_slowly, say};
use crate::{browser, cluster, curl, image, layers, original, packages, previous, prometheus};

/// Runs every test; prints what the runner prints and a sum at the end.
pub(crate) fn test(
    without_cluster: bool,
    without_images: bool,
    arguments: &[String],
) -> anyhow::Result<()> {
    if !without_cluster {
        cluster::obtain()?;
    }
    // Before the programs, whose places it takes for a while.
    let previous = if without_images {
        None
    } else {
        previous::obtain()?
    };
    let images = if without_images { None } else { images()? };
    run(
        "build the programs",
        cargo().args(["build", "--workspace", "--bins"]),
    )?;
    say("run the tests");
    let mut tests = cargo();
    tests
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments);
    if !without_cluster {
        // Tests that need the real API server then fail instead of leaving themselves out.
        tests.env("L5D_REQUIRE_CLUSTER", "1");
    }
    if !without_cluster && let Some(original) = original::obtain() {
        tests.env("L5D_ORIGINAL_NAMERCTL", original);
    }
    for (variable, folder) in [("L5D_PREVIOUS", previous), ("L5D_IMAGES", images)] {
        match folder {
            Some(folder) => tests.env(variable, folder),
            None => tests.env_remove(variable),
        };
    }
    if browser::obtain() {
        tests.env("L5D_REQUIRE_BROWSER", "1");
    }
    if curl::obtain() {
        tests.env("L5D_REQUIRE_CURL", "1");
    }
    if prometheus::obtain() {
        tests.env("L5D_REQUIRE_PROMETHEUS", "1");
    }
    let mut running = tests
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let stdout = running.stdout.take().expect("stdout is piped");
    let mut sum = Sum::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what cargo test prints")?;
        sum.add(&line);
        println!("{line}");
    }
    let status = running.wait().context("cannot wait for cargo test")?;
    println!(
        "\nall together: {} passed, {} failed, {} ignored",
        sum.passed, sum.failed, sum.ignored
    );
    if !status.success() {
        bail!("tests failed: `cargo test` ended with {status}");
    }
    Ok(())
}

/// Images of the programs that are tested in them, where they can be run.
fn images() -> anyhow::Result<Option<PathBuf>> {
    if !packages::is_root() {
        let message =
            "this is not root: the images are neither built nor run (unpacked roots are mounted)";
        if std::env::var_os("CI").is_some() {
            bail!("{message}");
        }
        say(message);
        return Ok(None);
    }
    let folder = root().join("target/image/tests");
    image::for_tests(&["namerd", "l5d-node"], &folder)?;
    Ok(Some(folder))
}

/// Lets a mesh live for so long, then sees how processes begin and end.
pub(crate) fn soak(minutes: u32) -> anyhow::Result<()> {
    run(
        "build the programs",
        cargo().args(["build", "--package", "namerd", "--package", "l5d-node"]),
    )?;
    let seconds = u64::from(minutes) * 60;
    run(
        "let a mesh live",
        cargo()
            .args(["test", "--package", "l5d-tests", "--test", "soak", "--"])
            .args(["--nocapture", "--test-threads", "1"])
            .env("L5D_SOAK_SECONDS", seconds.to_string()),
    )
}

/// What CI runs: cheap checks first.
pub(crate) fn ci() -> anyhow::Result<()> {
    run(
        "check formatting",
        cargo().args(["fmt", "--all", "--check"]),
    )?;
    layers::check()?;
    run(
        "check lints",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    if has("cargo-deny", "--version") {
        run(
            "check licences, sources and duplicates",
            cargo().args(["deny", "check", "bans", "licenses", "sources"]),
        )?;
    } else {
        say(
            "cargo-deny is not installed: licences and duplicates are not checked (cargo install cargo-deny)",
        );
    }
    if has_cxx() {
        fuzz(5)?;
    } else {
        say(
            "no C++ compiler is here: the parsers are not fuzzed (the fuzzer needs one, such as g++)",
        );
    }
    test(false, false, &[])?;
    run("start the demo", &mut demo_command(&["--once".to_owned()])?)
}

/// Whether the fuzzer's C++ part can be built: the compiler that the `cc` crate would take.
fn has_cxx() -> bool {
    let named = std::env::var("CXX").ok().filter(|cxx| !cxx.is_empty());
    named
        .iter()
        .map(String::as_str)
        .chain(["c++"])
        .any(|cxx| has(cxx, "--version"))
}

/// The folders of fuzzers and their targets.
const FUZZED: [(&str, &str); 15] = [
    ("proto/naming/fuzz", "path"),
    ("proto/naming/fuzz", "prefix"),
    ("proto/naming/fuzz", "tree"),
    ("proto/naming/fuzz", "dtab"),
    ("namerd/fuzz", "authority"),
    ("namerd/fuzz", "thrift"),
    ("namerd/fuzz", "controller"),
    ("proto/resolver/fuzz", "up"),
    ("proto/resolver/fuzz", "down"),
    ("proto/mesh/fuzz", "mesh"),
    ("l5d-node/fuzz", "head"),
    ("l5d-node/fuzz", "body"),
    ("l5d-node/fuzz", "context"),
    ("l5d-node/fuzz", "warm"),
    ("l5d-node/fuzz", "frames"),
];

/// Runs each parser's fuzz target for `seconds`; an input that breaks one is kept and named.
pub(crate) fn fuzz(seconds: u32) -> anyhow::Result<()> {
    if !has_cxx() {
        bail!("the fuzzer is built with a C++ compiler and none is here: install one, such as g++");
    }
    // Run from its own folder, whose configuration has the compiler flags that make a program fuzzable.
    for (folder, target) in FUZZED {
        let folder = root().join(folder);
        let corpus = folder.join("target/corpus").join(target);
        std::fs::create_dir_all(&corpus)
            .with_context(|| format!("cannot make the folder {}", corpus.display()))?;
        let what = format!("fuzz {target} for {seconds} s (a first run builds the fuzzer)");
        let mut fuzzer = cargo();
        fuzzer
            .current_dir(&folder)
            .env_remove("RUSTFLAGS")
            // The fuzzer itself is built once for all of them.
            .env("CARGO_TARGET_DIR", root().join("target/fuzz"))
            .args(["run", "--quiet", "--release", "--bin", target, "--"])
            .arg("-max_len=4096")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix=target/{target}-"))
            .arg(&corpus)
            .arg(folder.join("seeds").join(target));
        run_quietly(&what, &mut fuzzer).with_context(|| {
            format!(
                "the input is in {}/target/{target}-crash-*",
                folder.display()
            )
        })?;
    }
    Ok(())
}

/// Builds the programs and becomes the demo, so that Ctrl-C reaches it alone and the prompt comes back when it has ended.
pub(crate) fn demo(arguments: &[String]) -> anyhow::Result<()> {
    let error = demo_command(arguments)?.exec();
    Err(error).context("cannot start the demo")
}

fn demo_command(arguments: &[String]) -> anyhow::Result<Command> {
    run_slowly(
        "build namerd, l5d-node and the demo",
        cargo().args([
            "build",
            "--package",
            "namerd",
            "--package",
            "l5d-node",
            "--package",
            "l5d-demo",
        ]),
    )?;
    let mut demo = cargo();
    demo.args(["run", "--quiet", "--package", "l5d-demo", "--"])
        .args(arguments.iter().filter(|a| *a != "--"));
    Ok(demo)
}

/// The sum of the runner's summary lines.
#[derive(Default)]
struct Sum {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Sum {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            if let Some((number, what)) = part.trim().split_once(' ')
                && let Ok(number) = number.parse::<u32>()
            {
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lines_add_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        sum.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        sum.add("test a::b ... ok");
        assert_eq!((sum.passed, sum.failed, sum.ignored), (14, 3, 1));
    }
}
