//! `cargo xtask bench proxy`: the node proxy beside nginx, HAProxy and Envoy, in one run, rounds interleaved.
//!
//! ```text
//!   first core: h2load, origin (nginx), namerd          second core: the proxy under test, alone
//!   h2load --> proxy [--> the same proxy again] --> origin
//! ```
//!
//! Comes in: which proxies, which arms ([`arm::Arm`]), how long. Goes out: a table for each arm, with ours beside the best peer.
//! Nothing here judges a time, and nothing but `h2load` makes load.

mod arm;
mod idle;
mod load;
mod origin;
mod ours;
mod peers;
mod program;
mod round;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use self::arm::Arm;
use self::origin::Origin;
use self::ours::Namerd;
use self::program::Cores;
use self::round::{Ground, Measured};
use crate::process::{cores, raise_files, stay_on};

/// Measures the node proxy beside its peers.
#[derive(Parser, Debug)]
#[command(name = "l5d-bench-proxy")]
struct Args {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Proxy::Ours, Proxy::Nginx, Proxy::Haproxy, Proxy::Envoy])]
    only: Vec<Proxy>,
    /// The arms: a protocol (h1, h2, h2-to-h1, grpc), and -2hops, -tls, -large (not grpc) behind it in this order
    #[arg(long, value_delimiter = ',', default_values = arm::DEFAULT)]
    arms: Vec<Arm>,
    /// Rounds, in each of which every proxy has its turn
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each of the two loads of a turn
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Requests a second when latency is measured; with large bodies a fiftieth
    #[arg(long, default_value_t = 4_000)]
    rate: u32,
    /// Envoy's program; without it that peer is left out
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// The folder of our programs; default: where this one is
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Keep logs and configurations in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// A proxy that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Proxy {
    Ours,
    Nginx,
    Haproxy,
    Envoy,
}

/// What each proxy has shown in one arm.
type Row = (Proxy, Vec<Measured>);

/// Runs the program.
///
/// # Errors
/// Nothing could be measured, and why.
pub fn main() -> Result<()> {
    let args = Args::parse();
    raise_files();
    let cores = Cores::share(&cores()?);
    stay_on(&cores.rest)?;
    let kept = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder: &Path = args.keep.as_deref().unwrap_or(kept.path());
    std::fs::create_dir_all(folder)?;
    let programs = match &args.programs {
        Some(folder) => folder.clone(),
        None => beside_us()?,
    };
    let origin = Origin::start(folder, &cores)?;
    let namerd = match args.only.contains(&Proxy::Ours) {
        true => Some(Namerd::start(&programs, folder, &cores)?),
        false => None,
    };
    let ground = Ground {
        cores: &cores,
        folder,
        origin: &origin,
        namerd: namerd.as_ref(),
        programs: &programs,
        envoy: args.envoy.as_deref(),
        seconds: args.seconds,
        rate: args.rate,
    };
    for arm in &args.arms {
        let rows = measure(&ground, *arm, &args);
        println!("{}", table::show(*arm, args.seconds, &rows));
    }
    Ok(())
}

/// One arm: each proxy once in every round. Who cannot do it is left out, with a line that says why.
fn measure(ground: &Ground<'_>, arm: Arm, args: &Args) -> Vec<Row> {
    let mut rows: Vec<Row> = args.only.iter().map(|p| (*p, Vec::new())).collect();
    for round in 0..args.rounds {
        rows.retain_mut(|(proxy, measured)| match ground.turn(*proxy, arm) {
            Ok(turn) => {
                eprintln!("{arm} round {round} {}: {turn}", proxy.name());
                measured.push(turn);
                true
            }
            Err(error) => {
                eprintln!("{arm}: {} is left out: {error:#}", proxy.name());
                false
            }
        });
    }
    rows
}

fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find this program")?;
    let folder = us.parent().context("this program is in no folder")?;
    Ok(folder.to_owned())
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "l5d-node",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
        }
    }
}
