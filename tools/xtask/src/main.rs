//! `cargo xtask`: the commands of the workshop. `cargo xtask --help` lists them.

mod bench;
mod browser;
mod chart;
mod cluster;
mod curl;
mod image;
mod kubectl;
mod layers;
mod original;
mod packages;
mod peers;
mod previous;
mod prometheus;
mod run;
mod test;

use std::process::{ExitCode, Stdio};

use clap::{Parser, Subcommand};

/// The commands of the workshop.
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "A first run builds kube-apiserver and etcd from their Go modules and keeps them in the user's cache \
                  folder; later runs find them there."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Everything that must pass: unit, property, integration and end-to-end tests, the last against a real API server
    Test {
        /// Leave out what needs the real API server
        #[arg(long)]
        without_cluster: bool,
        /// Leave out the images and the programs of the previous release
        #[arg(long)]
        without_images: bool,
        /// Further arguments for `cargo test`, such as a filter
        #[arg(last = true)]
        cargo_test: Vec<String>,
    },
    /// Formatting, lints, layers, a bounded time of fuzzing, then `test` and the demo
    Ci,
    /// Fails when a module imports against the arrows of ARCHITECTURE.md
    Layers,
    /// Writes the CustomResourceDefinition of dtabs into deploy/, as namerd's types say
    Crd,
    /// Renders the Helm chart into plain YAML and the kustomize base in deploy/
    Chart,
    /// Writes the reference pages of deploy/book and the manual pages into deploy/man, from the code of the programs
    Reference,
    /// Writes the dashboards and alerts into deploy/watching, as the tables of metrics say
    Watching {
        /// Where the runbook is served: in front of `#<alert>` in the links of alerts
        #[arg(long)]
        runbook: Option<String>,
        /// Where to write; left out: deploy/watching
        #[arg(long)]
        to: Option<std::path::PathBuf>,
    },
    /// Runs each parser's fuzz target for a bounded time
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
    /// A mesh of real programs under load while endpoints, namerd, the API server, certificates and proxies fail or change
    Soak {
        /// How long it goes on
        #[arg(long, default_value_t = 10)]
        minutes: u32,
    },
    /// Measures beside peers and prints tables; asserts nothing
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Builds static programs and packs each into an image from scratch, with its bill of materials
    #[command(after_help = image::HELP)]
    Image(image::Order),
    /// Obtains (once) the real kube-apiserver, etcd, grpcurl, helm, kubectl and the original namerctl and prints where they are
    Cluster,
    /// The main job on this machine: two hosts, one namerd, two node proxies, hello and world
    Demo {
        /// Arguments for the demo, such as --once
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// What is measured.
#[derive(Subcommand, Debug)]
enum Bench {
    /// One namerd with thousands of followers, beside the interface of Linkerd 1.x and an xDS server
    #[command(after_help = bench::FANOUT_HELP)]
    Fanout {
        /// The profile that the programs are built with
        #[arg(long, default_value = "release")]
        profile: String,
        /// Sizes and arms, such as --followers 5000; `--help` behind `--` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// One node proxy beside nginx, HAProxy and Envoy, on a core of its own
    #[command(after_help = bench::PROXY_HELP)]
    Proxy {
        /// The profile that the programs are built with
        #[arg(long, default_value = "release")]
        profile: String,
        /// Arms, peers and times; `--help` behind `--` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match obey(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test {
            without_cluster,
            without_images,
            cargo_test,
        } => test::test(without_cluster, without_images, &cargo_test),
        Command::Ci => test::ci(),
        Command::Layers => layers::check(),
        Command::Crd => crd(),
        Command::Watching { runbook, to } => watching(runbook.as_deref(), to.as_deref()),
        Command::Chart => chart::write(),
        Command::Reference => run::run(
            "write the reference",
            run::cargo().args(["run", "--quiet", "--package", "l5d-reference"]),
        ),
        Command::Fuzz { seconds } => test::fuzz(seconds),
        Command::Image(order) => image::make(&order),
        Command::Cluster => {
            for (name, path) in cluster::obtain()? {
                println!("{name} {}", path.display());
            }
            if let Some(path) = original::obtain() {
                println!("namerctl-original {}", path.display());
            }
            Ok(())
        }
        Command::Bench {
            what: Bench::Fanout { profile, args },
        } => bench::fanout(&profile, &args),
        Command::Bench {
            what: Bench::Proxy { profile, args },
        } => bench::proxy(&profile, &args),
        Command::Soak { minutes } => test::soak(minutes),
        Command::Demo { args } => test::demo(&args),
    }
}

/// The tests' library knows the tables of both programs; a test of it fails while the files differ.
fn watching(runbook: Option<&str>, to: Option<&std::path::Path>) -> anyhow::Result<()> {
    let mut write = run::cargo();
    write.args([
        "run",
        "--quiet",
        "--package",
        "l5d-tests",
        "--bin",
        "l5d-watching",
        "--",
    ]);
    write.args(runbook.map(|runbook| format!("--runbook={runbook}")));
    if let Some(to) = to {
        // Cargo runs at the root.
        let to = std::path::absolute(to)?;
        write.arg("--to").arg(to);
    }
    run::run("write deploy/watching", &mut write)
}

/// namerd prints the definition; a test of namerd fails while the file differs.
fn crd() -> anyhow::Result<()> {
    let mut namerd = run::cargo();
    namerd.args(["run", "--quiet", "--package", "namerd", "--", "--crd"]);
    let output = namerd.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(
        output.status.success(),
        "namerd --crd ended with {}",
        output.status
    );
    let file = run::root().join("deploy/dtabs.l5d.io.yaml");
    std::fs::write(&file, output.stdout)?;
    println!("{}", file.display());
    chart::take_crd()
}
