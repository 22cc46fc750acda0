//! Log lines on standard error, with levels that can be changed while running.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::admin::{LogLevel, LogLevels};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// The root of all loggers.
const ROOT: &str = "root";

/// What can be set apart from the root.
const LOGGERS: [&str; 12] = [
    "namerd::admin",
    "namerd::api",
    "namerd::app",
    "namerd::bind",
    "namerd::consul",
    "namerd::dial",
    "namerd::etcd",
    "namerd::files",
    "namerd::k8s",
    "namerd::store",
    "namerd::stream",
    "namerd::transform",
];

/// The levels in force.
struct Levels {
    set: Mutex<BTreeMap<&'static str, LogLevel>>,
    filter: reload::Handle<Targets, Registry>,
}

/// Levels that cannot be changed, for a namerd inside another process, whose log is not its own.
#[derive(Clone, Copy, Debug)]
pub struct NoLevels;

/// Begins to log.
pub(super) fn start(level: LogLevel, format: Format) -> Result<Arc<dyn LogLevels>, TryInitError> {
    let set = BTreeMap::from([(ROOT, level)]);
    let (filter, handle) = reload::Layer::new(targets(&set));
    let lines = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(Arc::new(Levels {
        set: Mutex::new(set),
        filter: handle,
    }))
}

fn targets(set: &BTreeMap<&'static str, LogLevel>) -> Targets {
    let root = set.get(ROOT).copied().unwrap_or(LogLevel::Info);
    let own = set.iter().filter(|(name, _)| **name != ROOT);
    // The Kubernetes client reports as an error what the watch that uses it retries, and says itself.
    let client = match root {
        LogLevel::Debug | LogLevel::Trace => root,
        _ => LogLevel::Off,
    };
    Targets::new()
        .with_default(root.filter())
        .with_target("kube_client", client.filter())
        .with_targets(own.map(|(name, level)| (*name, level.filter())))
}

impl LogLevels for Levels {
    fn all(&self) -> Vec<(&'static str, LogLevel)> {
        let set = self.set.lock();
        let root = set.get(ROOT).copied().unwrap_or(LogLevel::Info);
        let level = |name| (name, set.get(name).copied().unwrap_or(root));
        std::iter::once(ROOT).chain(LOGGERS).map(level).collect()
    }

    fn set(&self, logger: &str, level: LogLevel) -> Result<(), String> {
        let known = std::iter::once(ROOT).chain(LOGGERS);
        let Some(logger) = known.clone().find(|name| *name == logger) else {
            let known: Vec<_> = known.collect();
            return Err(format!(
                "unknown logger {logger}; known: {}",
                known.join(", ")
            ));
        };
        let mut set = self.set.lock();
        set.insert(logger, level);
        self.filter
            .reload(targets(&set))
            .map_err(|e| format!("the level cannot be changed: {e}"))
    }
}

impl LogLevels for NoLevels {
    fn all(&self) -> Vec<(&'static str, LogLevel)> {
        Vec::new()
    }

    fn set(&self, _: &str, _: LogLevel) -> Result<(), String> {
        Err("the log belongs to the process around this namerd".to_owned())
    }
}
