//! The followers: thousands of connections on one thread, told what to do by lines on standard input.
//!
//! Comes in: an [`Order`] a line. Goes out: a [`Report`] a line. A follower is a task that owns its connection; one that
//! ends unasked is counted and opened again, as a node would. What does not add up is a failure and ends the measurement.

mod follow;
mod mesh;
mod tally;
mod wire;
mod xds;

use std::cell::RefCell;
use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use self::follow::Known;
use self::tally::Tally;
use self::wire::Wire;
use crate::orders::{Arm, Order, Report};
use crate::plan::{Followed, Sizes};
use crate::process::{now, raise_files};

/// Connections that are being made at once: less than a listener's backlog.
const DIALING: usize = 256;
/// How long all followers may take to have all they asked for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Seconds within which a follower whose connection has ended comes again.
const AGAIN: f64 = 1.0;

/// Where followers go: which server in a row, and where it is.
type Target = (u32, SocketAddr);

/// Obeys orders until the input ends.
pub fn run() -> Result<()> {
    raise_files();
    let (lines, mut orders) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut fleet = None;
        while let Some(line) = orders.recv().await {
            let order = serde_json::from_str(&line).context("an order is not readable")?;
            let report = obey(order, &mut fleet).await?;
            println!("{}", serde_json::to_string(&report)?);
        }
        Ok(())
    })
}

async fn obey(order: Order, fleet: &mut Option<Fleet>) -> Result<Report> {
    if let Order::Connect {
        arm,
        to,
        sizes,
        spread,
    } = order
    {
        let target = (0, to.parse().context("the server's address")?);
        let fleet = fleet.insert(Fleet::start(arm, target, &sizes, spread));
        return fleet.gather().await;
    }
    let fleet = fleet.as_mut().context("connect comes first")?;
    match order {
        Order::Move { to, spread } => {
            let next = fleet.target.borrow().0 + 1;
            fleet.begin();
            *fleet.shared.known.borrow_mut() = Known::new();
            fleet.shared.ready.borrow_mut().0 = 0;
            fleet.shared.spread.set(spread);
            fleet
                .target
                .send_replace((next, to.parse().context("the server's address")?));
            fleet.gather().await
        }
        Order::Begin => {
            fleet.begin();
            Ok(Report::default())
        }
        Order::Report { marks } => Ok(fleet.report(&marks)),
        Order::Connect { .. } => unreachable!("obeyed above"),
    }
}

/// All followers.
struct Fleet {
    shared: Rc<Shared>,
    target: watch::Sender<Target>,
    followers: usize,
    begun: u64,
    /// Ends them with the fleet.
    _tasks: JoinSet<()>,
}

/// What the followers share.
#[derive(Debug)]
struct Shared {
    tally: RefCell<Tally>,
    known: RefCell<Known>,
    /// Followers that are ready, and when the last one became so.
    ready: RefCell<(usize, u64)>,
    rings: Notify,
    dialing: Semaphore,
    spread: std::cell::Cell<f64>,
}

impl Fleet {
    fn start(arm: Arm, target: Target, sizes: &Sizes, spread: f64) -> Self {
        let shared = Rc::new(Shared {
            tally: RefCell::default(),
            known: RefCell::default(),
            ready: RefCell::default(),
            rings: Notify::new(),
            dialing: Semaphore::new(DIALING),
            spread: std::cell::Cell::new(spread),
        });
        let begun = now();
        let (target, _) = watch::channel(target);
        let mut tasks = JoinSet::new();
        for followed in sizes.followed() {
            let followed = Rc::new(followed);
            let one = One::new(arm, &followed);
            let (shared, target) = (Rc::clone(&shared), target.subscribe());
            tasks.spawn_local(async move {
                live(one, &shared, target).await;
            });
        }
        Self {
            followers: tasks.len(),
            shared,
            target,
            begun,
            _tasks: tasks,
        }
    }

    /// Counts anew from here.
    fn begin(&mut self) {
        self.begun = now();
        *self.shared.tally.borrow_mut() = Tally::default();
    }

    /// Waits until all are ready.
    async fn gather(&mut self) -> Result<Report> {
        let all = async {
            while self.shared.ready.borrow().0 < self.followers {
                self.shared.rings.notified().await;
                if let Some(why) = self.shared.tally.borrow().report.failures.first() {
                    bail!("a follower has failed: {why}");
                }
            }
            Ok(())
        };
        match timeout(PATIENCE, all).await {
            Ok(ended) => ended?,
            Err(_) => {
                let ready = self.shared.ready.borrow().0;
                let Report {
                    ended, last_end, ..
                } = self.report(&[]);
                bail!(
                    "only {ready} of {} followers are ready after {PATIENCE:?}; {ended} connections have ended, the last \
                     one: {last_end}",
                    self.followers
                );
            }
        }
        let mut report = self.report(&[]);
        let last = self.shared.ready.borrow().1;
        report.seconds = (last.saturating_sub(self.begun)) as f64 / 1e9;
        Ok(report)
    }

    fn report(&self, marks: &[(u32, u64)]) -> Report {
        let mut report = self.shared.tally.borrow().tell(marks, self.followers);
        report.seconds = (now() - self.begun) as f64 / 1e9;
        report
    }
}

/// A follower of some kind.
enum One {
    Follow(Box<follow::Follower>),
    Mesh(mesh::Follower),
    Xds(xds::Follower),
}

impl One {
    fn new(arm: Arm, followed: &Rc<Followed>) -> Self {
        let followed = Rc::clone(followed);
        match arm {
            Arm::Follow => Self::Follow(Box::new(follow::Follower::new(followed))),
            Arm::Mesh => Self::Mesh(mesh::Follower::new(followed)),
            Arm::Xds => Self::Xds(xds::Follower::new(followed)),
        }
    }

    fn open(&self, wire: &mut Wire, authority: &str) {
        match self {
            Self::Follow(one) => one.open(wire, authority),
            Self::Mesh(one) => one.open(wire, authority),
            Self::Xds(one) => one.open(wire, authority),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Follow(one) => one.is_ready(),
            Self::Mesh(one) => one.is_ready(),
            Self::Xds(one) => one.is_ready(),
        }
    }

    /// For another connection, with what it may keep.
    fn again(self) -> Self {
        match self {
            Self::Follow(one) => Self::Follow(Box::new(one.resume())),
            Self::Mesh(one) => Self::Mesh(one.again()),
            Self::Xds(one) => Self::Xds(one.again()),
        }
    }

    fn take(&mut self, call: usize, bytes: &Bytes, at: u64, shared: &Shared) {
        let tally = &mut *shared.tally.borrow_mut();
        match self {
            Self::Follow(one) => one.take(bytes, at, &mut shared.known.borrow_mut(), tally),
            Self::Mesh(one) => one.take(call, bytes, at, tally),
            Self::Xds(one) => one.take(bytes, at, tally),
        }
    }

    fn reply(&mut self, wire: &mut Wire) {
        if let Self::Xds(one) = self {
            one.acknowledge(wire);
        }
    }
}

/// Follows one server after the other, and one again whose connection ends.
async fn live(mut one: One, shared: &Shared, mut target: watch::Receiver<Target>) {
    let mut counted = None;
    let mut wait = shared.spread.get();
    while target.has_changed().is_ok() {
        sleep(Duration::from_secs_f64(wait * fastrand::f64())).await;
        let to = *target.borrow_and_update();
        let moved = async {
            // The sender is gone with the fleet.
            let _gone = target.changed().await;
        };
        wait = tokio::select! {
            () = moved => shared.spread.get(),
            ended = follow(&mut one, to, shared, &mut counted) => {
                if let Err(error) = ended {
                    shared.tally.borrow_mut().end(&format!("{error:#}"));
                }
                AGAIN
            }
        };
        one = one.again();
    }
}

/// Follows a server until the connection ends. `counted` is the turn in which it was ready last.
async fn follow(
    one: &mut One,
    (turn, to): Target,
    shared: &Shared,
    counted: &mut Option<u32>,
) -> Result<()> {
    let mut wire = {
        let _turn = shared.dialing.acquire().await?;
        let connect = Wire::connect(to).await;
        let mut wire = connect.with_context(|| format!("cannot connect to {to}"))?;
        one.open(&mut wire, &to.to_string());
        wire.flush().await?;
        wire
    };
    loop {
        read(&mut wire, one, shared).await?;
        if *counted != Some(turn) && one.is_ready() {
            *counted = Some(turn);
            let mut ready = shared.ready.borrow_mut();
            *ready = (ready.0 + 1, now());
            shared.rings.notify_one();
        }
    }
}

async fn read(wire: &mut Wire, one: &mut One, shared: &Shared) -> Result<()> {
    wire.read(|call, bytes| one.take(call, &bytes, now(), shared))
        .await?;
    one.reply(wire);
    wire.flush().await?;
    let report = &mut shared.tally.borrow_mut().report;
    report.bytes_down += std::mem::take(&mut wire.bytes_down);
    report.bytes_up += std::mem::take(&mut wire.bytes_up);
    report.bytes_idle += std::mem::take(&mut wire.bytes_idle);
    report.reads += std::mem::take(&mut wire.reads);
    Ok(())
}
