//! One way to follow, measured: connect, changes one by one, changes in a flow, the move to another server.

use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_bench::orders::{Arm, Order, Report};
use l5d_bench::plan::Sizes;
use tokio::time::sleep;

use super::cluster::World;
use super::servers::{Load, Server};

/// Single changes, and the time between two of them.
const ALONE: u32 = 20;
const ALONE_EVERY: Duration = Duration::from_millis(300);
/// Seconds over which followers begin; a node's first contact has no jitter of its own.
const FIRST_SPREAD: f64 = 0.0;
/// As nodes move after a loss (resolver API 6).
const MOVE_SPREAD: f64 = 3.0;
/// How long the last changes may take to arrive.
const LATE: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) followers: u32,
    pub(crate) names: u32,
    pub(crate) ready_after: f64,
    pub(crate) start_cpu: f64,
    pub(crate) start_resident: u64,
    pub(crate) connected: Report,
    pub(crate) connect_cpu: f64,
    pub(crate) resident: u64,
    pub(crate) watches: usize,
    pub(crate) alone: Report,
    pub(crate) alone_marks: u32,
    pub(crate) alone_cpu: f64,
    pub(crate) flow: Report,
    pub(crate) flow_seconds: f64,
    pub(crate) flow_cpu: f64,
    pub(crate) flow_load_cpu: f64,
    pub(crate) flow_changes: u64,
    pub(crate) flow_frames: f64,
    pub(crate) flow_encodings: f64,
    pub(crate) flow_writes: f64,
    pub(crate) resident_after: u64,
    pub(crate) moved: Option<Moved>,
}

/// The move of all followers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) report: Report,
    pub(crate) cpu: f64,
    pub(crate) resident: u64,
}

/// Connects all followers and measures changes.
pub(crate) async fn measure(
    arm: Arm,
    sizes: &Sizes,
    server: &Server,
    load: &mut Load,
    world: &mut World,
) -> Result<Measured> {
    let mut measured = Measured {
        followers: sizes.followers,
        names: sizes.interests,
        ready_after: server.ready_after.as_secs_f64(),
        start_cpu: server.start.cpu,
        start_resident: server.start.resident,
        ..Measured::default()
    };
    let before = server.usage()?;
    let connect = Order::Connect {
        arm,
        to: server.addr.to_string(),
        sizes: sizes.clone(),
        spread: FIRST_SPREAD,
    };
    measured.connected = load.order(&connect).await?;
    let connected = server.usage()?;
    measured.connect_cpu = connected.cpu - before.cpu;
    measured.resident = connected.resident;
    measured.watches = world.watches();
    // Changes one by one.
    load.order(&Order::Begin).await?;
    let before = server.usage()?;
    let (marks, _) = world.flow(ALONE_EVERY * ALONE, ALONE, 0).await;
    measured.alone = arrived(load, &marks).await?;
    measured.alone_marks = marks.len() as u32;
    measured.alone_cpu = server.usage()?.cpu - before.cpu;
    // A flow of changes.
    let metrics = [
        "namerd_stream_frames_total",
        "namerd_stream_encodings_total",
        "namerd_stream_writes_total",
    ];
    let mut counts = [0.0; 3];
    for (count, name) in counts.iter_mut().zip(metrics) {
        *count = -server.metric(name).await?;
    }
    load.order(&Order::Begin).await?;
    let (before, load_before) = (server.usage()?, load.usage()?);
    let lasts = Duration::from_secs(u64::from(sizes.seconds));
    let (marks, changes) = world.flow(lasts, 2 * sizes.seconds, sizes.rate).await;
    let (after, load_after) = (server.usage()?, load.usage()?);
    measured.flow = arrived(load, &marks).await?;
    for (count, name) in counts.iter_mut().zip(metrics) {
        *count += server.metric(name).await?;
    }
    [
        measured.flow_frames,
        measured.flow_encodings,
        measured.flow_writes,
    ] = counts;
    measured.flow_seconds = lasts.as_secs_f64();
    measured.flow_cpu = after.cpu - before.cpu;
    measured.flow_load_cpu = load_after.cpu - load_before.cpu;
    measured.flow_changes = changes;
    measured.resident_after = after.resident;
    Ok(measured)
}

/// Moves all followers to another server.
pub(crate) async fn relocate(server: &Server, load: &mut Load) -> Result<Moved> {
    let before = server.usage()?;
    let order = Order::Move {
        to: server.addr.to_string(),
        spread: MOVE_SPREAD,
    };
    let report = load.order(&order).await?;
    let after = server.usage()?;
    Ok(Moved {
        report,
        cpu: after.cpu - before.cpu,
        resident: after.resident,
    })
}

/// Waits until all marks have arrived everywhere, as long as that may take.
async fn arrived(load: &mut Load, marks: &[(u32, u64)]) -> Result<Report> {
    let order = Order::Report {
        marks: marks.to_vec(),
    };
    let mut report = Report::default();
    for _ in 0..LATE {
        report = load.order(&order).await?;
        if report.arrived >= report.expected {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    if let Some(why) = report.failures.first() {
        return Err(anyhow::anyhow!("{why}")).context("a follower has failed");
    }
    Ok(report)
}
