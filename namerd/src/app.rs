//! Builds everything, spawns it, joins it. The only module that knows all others.
//!
//! [`main`] is the program; [`run`] is a namerd inside another process, for tests and tools, with its addresses known:
//!
//! ```text
//!   Config -> build: store, Kubernetes, namers, binder, hub -> admin, then interfaces in the order of the file
//!   stop   -> interfaces (nodes are told goodbye), then admin, then the watches
//! ```

mod build;
mod cli;
mod doors;
mod files;
mod flood;
mod gates;
mod guards;
mod logging;
mod namers;
mod sources;
mod stores;
mod thread;
mod traces;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::build::Core;
use self::doors::{AdminThread, Interfaces};
use self::thread::SourceThread;
use crate::admin::LogLevels;
use crate::config::Config;
use crate::web::ListenError;

pub use build::BuildError;
pub use cli::{command, main};
pub use logging::NoLevels;

/// Why namerd does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something that the configuration names cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A server's address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file cannot be opened.
    #[error("interfaces[{index}]: {source}")]
    AccessLog {
        /// Which interface.
        index: usize,
        /// Which file and why.
        source: l5d_accesslog::OpenError,
    },
    /// The thread of watches and stores cannot be had.
    #[error("watches and stores cannot start: {0}")]
    Sources(std::io::Error),
    /// The admin server's thread cannot be had.
    #[error("the admin server cannot start: {0}")]
    Admin(std::io::Error),
}

/// Where a namerd listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The admin server.
    pub admin: SocketAddr,
    /// The interfaces with their kinds, in the order of the configuration.
    pub interfaces: Vec<(&'static str, SocketAddr)>,
}

/// A namerd that runs. Dropping it asks it to stop; [`Running::wait`] sees it through.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    stop: CancellationToken,
    life: JoinHandle<Result<(), Died>>,
    _stop_on_drop: tokio_util::sync::DropGuard,
}

/// Beyond the grace time, for what is cut off to end.
const MARGIN: Duration = Duration::from_millis(500);
/// How often unused bindings are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Starts a namerd. When this returns, all its servers listen.
pub async fn run(
    config: Config,
    warnings: Vec<String>,
    levels: Arc<dyn LogLevels>,
) -> Result<Running, StartError> {
    let tracker = TaskTracker::new();
    let (stop, sources) = (CancellationToken::new(), CancellationToken::new());
    // Whatever goes wrong from here on, the tasks that were spawned end.
    let undo = sources.clone().drop_guard();
    let thread = SourceThread::start().map_err(StartError::Sources)?;
    let core = {
        let _spawned_there = thread.handle.enter();
        Core::start(&config, &tracker, &sources)?
    };
    let mut vital = JoinSet::new();
    vital.spawn_on(core.engine.clone().run(), &thread.handle);
    vital.spawn(sweep(core.clone()));
    let watch_readiness = core.clone().watch_readiness();
    tracker.spawn(sources.clone().run_until_cancelled_owned(watch_readiness));
    let pages = doors::pages(&config, warnings, &core, levels, stop.clone());
    let admin = AdminThread::start(&config.admin.server, &core.gates, pages).await?;
    let interfaces = Interfaces::start(&config, &core)?;
    let addresses = Addresses {
        admin: admin.addr,
        interfaces: interfaces.addresses.clone(),
    };
    undo.disarm();
    tracker.close();
    let grace = config.admin.shutdown_grace;
    let life = Life {
        vital,
        interfaces,
        admin,
        sources,
        tracker,
        thread,
    };
    Ok(Running {
        addresses,
        _stop_on_drop: stop.clone().drop_guard(),
        stop: stop.clone(),
        life: tokio::spawn(life.live(stop, grace)),
    })
}

/// Something that namerd cannot do without has ended by itself: a bug. The process had better be started anew.
#[derive(Debug, thiserror::Error)]
#[error("a part that namerd cannot do without has ended: {0}")]
pub struct Died(String);

/// All that runs.
struct Life {
    /// Tasks that never end, unless by a panic.
    vital: JoinSet<()>,
    interfaces: Interfaces,
    admin: AdminThread,
    sources: CancellationToken,
    tracker: TaskTracker,
    /// Where watches, stores and the engine run.
    thread: SourceThread,
}

impl Life {
    /// Lives until the stop, then ends everything in order, within the grace time.
    async fn live(mut self, stop: CancellationToken, grace: Duration) -> Result<(), Died> {
        let died = tokio::select! {
            () = stop.cancelled() => None,
            Some(ended) = self.vital.join_next() => Some(died(&ended)),
            ended = self.interfaces.ended() => Some(died(&ended)),
        };
        if let Some(died) = &died {
            tracing::error!("{died}");
        }
        stop.cancel();
        let deadline = Instant::now() + grace;
        tracing::info!(?grace, "stopping");
        self.interfaces.end(deadline).await;
        self.admin.end(deadline).await;
        self.sources.cancel();
        self.vital.shutdown().await;
        if timeout_at(deadline + MARGIN, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("something did not end in time; cut off");
        }
        self.thread.end().await;
        tracing::info!("stopped");
        died.map_or(Ok(()), Err)
    }
}

fn died(ended: &Result<(), JoinError>) -> Died {
    match ended {
        Ok(()) => Died("it returned".to_owned()),
        Err(e) => Died(e.to_string()),
    }
}

/// Forgets what nobody uses, for ever.
async fn sweep(core: Core) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        core.binder.sweep();
    }
}

impl Running {
    /// Asks for the stop; it is under way when this returns.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Waits for the end: one that was asked for, or a death.
    pub async fn wait(mut self) -> Result<(), Died> {
        match (&mut self.life).await {
            Ok(ended) => ended,
            Err(e) => Err(Died(e.to_string())),
        }
    }

    /// Waits until the stop begins: [`Running::shutdown`], the admin server, or a death.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Addresses {
    /// One line for programs: `listening admin=ADDR KIND=ADDR ...`, interfaces in the order of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening admin={}", self.admin)?;
        for (kind, addr) in &self.interfaces {
            write!(f, " {kind}={addr}")?;
        }
        Ok(())
    }
}
