//! The measurement: which arms there are, in which order, what is printed.

mod arm;
mod cluster;
mod servers;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use l5d_bench::orders::Arm;
use l5d_bench::plan::Sizes;
use l5d_bench::process::{cores, raise_files, stay_on};

use self::arm::{Measured, measure, relocate};
use self::cluster::World;
use self::servers::{Cores, Load, Server, beside_us};

/// Measures namerd with many followers, beside its peers.
#[derive(Parser, Debug)]
#[command(name = "l5d-bench")]
pub(crate) struct Args {
    #[command(flatten)]
    sizes: Sizes,
    /// What is measured
    #[arg(long, value_enum, default_values_t = [Peer::Resolver, Peer::Mesh, Peer::Xds])]
    arms: Vec<Peer>,
    /// Names that each follower of the mesh interface follows, a stream each
    #[arg(long, default_value_t = 10)]
    mesh_interests: u32,
    /// The xDS server; without it that arm is left out
    #[arg(long)]
    xds: Option<PathBuf>,
    /// Keep logs and configurations in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// One way to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Our own API
    Resolver,
    /// The interface of Linkerd 1.x
    Mesh,
    /// Delta EDS
    Xds,
}

/// Runs the program.
pub(crate) fn main() -> Result<()> {
    let args = Args::parse();
    let files = raise_files();
    let wanted = u64::from(args.sizes.followers) + 200;
    anyhow::ensure!(
        files >= wanted,
        "{wanted} open files are needed and {files} are allowed: raise the hard limit (ulimit -Hn)"
    );
    let cores = share(&cores()?, args.sizes.threads);
    stay_on(&cores.rest)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fanout(&args, &cores))
}

/// The server's cores and those of the rest; both have all where there are too few.
fn share(all: &[usize], threads: usize) -> Cores {
    let (server, rest) = all.split_at(threads.min(all.len()));
    Cores {
        server: server.to_vec(),
        rest: match rest.is_empty() {
            true => all.to_vec(),
            false => rest.to_vec(),
        },
    }
}

async fn fanout(args: &Args, cores: &Cores) -> Result<()> {
    let kept = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder: &Path = args.keep.as_deref().unwrap_or(kept.path());
    std::fs::create_dir_all(folder)?;
    let sizes = &args.sizes;
    eprintln!("filling the cluster: {sizes:?}; cores {cores:?}");
    let mut world = World::new(sizes)?;
    let mut arms: Vec<(&str, Measured)> = Vec::new();
    for peer in &args.arms {
        let (name, measured) = match peer {
            Peer::Resolver => (
                "resolver API",
                resolver(sizes, folder, cores, &mut world).await,
            ),
            Peer::Mesh => {
                let sizes = Sizes {
                    interests: args.mesh_interests,
                    incoming: 0,
                    ..sizes.clone()
                };
                (
                    "io.linkerd.mesh",
                    mesh(&sizes, folder, cores, &mut world).await,
                )
            }
            Peer::Xds => {
                let Some(program) = &args.xds else {
                    eprintln!("xDS is left out: its server is not there (--xds)");
                    continue;
                };
                let measured = xds(sizes, program, folder, cores, &mut world).await;
                ("xDS (delta EDS)", measured)
            }
        };
        match measured {
            Ok(measured) => arms.push((name, measured)),
            // The others are worth their table.
            Err(error) => eprintln!("{name} is left out: {error:#}"),
        }
    }
    anyhow::ensure!(!arms.is_empty(), "nothing could be measured");
    println!("{}", table::show(&arms));
    Ok(())
}

async fn resolver(
    sizes: &Sizes,
    folder: &Path,
    cores: &Cores,
    world: &mut World,
) -> Result<Measured> {
    let program = beside_us("namerd")?;
    let server = Server::namerd(&program, world.addr(), folder, "namerd-1", cores).await?;
    eprintln!("resolver API: namerd is ready, followers connect");
    let mut load = Load::start(&beside_us("l5d-load")?, folder, cores)?;
    let mut measured = measure(Arm::Follow, sizes, &server, &mut load, world).await?;
    eprintln!("resolver API: followers move to another namerd");
    // It would have a machine of its own, and forgetting those who have left takes a core for seconds.
    server.stand_aside(cores)?;
    let other = Server::namerd(&program, world.addr(), folder, "namerd-2", cores).await?;
    measured.moved = Some(relocate(&other, &mut load).await?);
    Ok(measured)
}

async fn mesh(sizes: &Sizes, folder: &Path, cores: &Cores, world: &mut World) -> Result<Measured> {
    let program = beside_us("namerd")?;
    let server = Server::namerd(&program, world.addr(), folder, "namerd-mesh", cores).await?;
    eprintln!("io.linkerd.mesh: namerd is ready, followers connect");
    let mut load = Load::start(&beside_us("l5d-load")?, folder, cores)?;
    measure(Arm::Mesh, sizes, &server, &mut load, world).await
}

async fn xds(
    sizes: &Sizes,
    program: &Path,
    folder: &Path,
    cores: &Cores,
    world: &mut World,
) -> Result<Measured> {
    let server = Server::xds(program, world.addr(), folder, cores).await?;
    eprintln!("xDS: the server is ready, followers connect");
    // No transformers there: every name goes through the one router.
    let sizes = Sizes {
        incoming: 0,
        ..sizes.clone()
    };
    let mut load = Load::start(&beside_us("l5d-load")?, folder, cores)?;
    measure(Arm::Xds, &sizes, &server, &mut load, world).await
}
