//! Log lines on standard error, with levels that can be changed while running.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use super::flood::{Flood, Quiet};
use super::traces::{self, Traces};
use crate::admin::{LogCounts, LogLevel, LogLevels};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    #[value(alias("plain"))]
    Text,
    /// One object a line.
    Json,
}

/// The root of all loggers.
const ROOT: &str = "root";

/// What can be set apart from the root: the modules of namerd, and libraries that say something.
const LOGGERS: [&str; 21] = [
    "h2",
    "hickory_proto",
    "hyper",
    "kube_client",
    "namerd::admin",
    "namerd::api",
    "namerd::app",
    "namerd::auth",
    "namerd::bind",
    "namerd::consul",
    "namerd::dial",
    "namerd::etcd",
    "namerd::files",
    "namerd::k8s",
    "namerd::store",
    "namerd::stream",
    "namerd::tls",
    "namerd::transform",
    "namerd::web",
    "rustls",
    "tonic",
];

/// What is logged from the start on: `LEVEL`, `LOGGER=LEVEL`, or several of them with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directives(BTreeMap<&'static str, LogLevel>);

impl FromStr for Directives {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = BTreeMap::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (logger, level) = part.split_once('=').unwrap_or((ROOT, part));
            set.insert(known(logger.trim())?, level.trim().parse()?);
        }
        Ok(Self(set))
    }
}

fn known(logger: &str) -> Result<&'static str, String> {
    let mut all = std::iter::once(ROOT).chain(LOGGERS);
    let unknown = || {
        format!(
            "unknown logger {logger}; known: {ROOT}, {}",
            LOGGERS.join(", ")
        )
    };
    all.find(|name| *name == logger).ok_or_else(unknown)
}

/// The levels in force.
struct Levels {
    set: Mutex<BTreeMap<&'static str, LogLevel>>,
    filter: reload::Handle<Targets, Registry>,
    flood: Arc<Flood>,
    spans: Option<Arc<traces::Counts>>,
}

/// The target of spans that are for traces; they are no log lines.
const TRACE: &str = "trace";

/// Levels that cannot be changed, for a namerd inside another process, whose log is not its own.
#[derive(Clone, Copy, Debug)]
pub struct NoLevels;

/// Begins to log, and to trace if there is somebody to trace for. The second result never ends: it says what was left out.
pub(super) fn start(
    levels: &Directives,
    format: Format,
    traces: Option<&Traces>,
) -> Result<
    (
        Arc<dyn LogLevels>,
        impl Future<Output = ()> + Send + 'static,
    ),
    TryInitError,
> {
    let set = levels.0.clone();
    let (filter, handle) = reload::Layer::new(targets(&set));
    let flood = Arc::<Flood>::default();
    let lines = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    let lines = lines.with_filter(filter.and(Quiet(Arc::clone(&flood))));
    let spans = traces.map(|traces| {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(traces.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_target(TRACE, LevelFilter::INFO))
    });
    with_spans(tracing_subscriber::registry().with(lines), spans).try_init()?;
    let levels = Levels {
        set: Mutex::new(set),
        filter: handle,
        flood: Arc::clone(&flood),
        spans: traces.map(|traces| Arc::clone(&traces.counts)),
    };
    Ok((Arc::new(levels), async move { flood.report().await }))
}

/// The log, and the traces if there are any. A layer that is not there would count as one that wants everything: libraries
/// would make a span of each of their steps.
fn with_spans<S, L>(lines: S, spans: Option<L>) -> Dispatch
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    L: Layer<S> + Send + Sync,
{
    match spans {
        Some(spans) => lines.with(spans).into(),
        None => lines.into(),
    }
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
        .with_target(TRACE, LevelFilter::OFF)
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
        let logger = known(logger)?;
        let mut set = self.set.lock();
        set.insert(logger, level);
        self.filter
            .reload(targets(&set))
            .map_err(|e| format!("the level cannot be changed: {e}"))
    }

    fn counts(&self) -> LogCounts {
        LogCounts {
            lines: self.flood.lines(),
            left_out: self.flood.left_out(),
            spans: self
                .spans
                .as_ref()
                .map(|counts| counts.all())
                .unwrap_or_default(),
        }
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

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::Identity;

    use super::*;

    #[test]
    fn what_is_not_logged_costs_no_span_and_no_question() {
        let filter = targets(&Directives::from_str("info").expect("is read").0);
        let (filter, _handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_writer(io::sink);
        let lines = lines.with_filter(filter.and(Quiet(Arc::default())));
        let lines = tracing_subscriber::registry().with(lines);
        assert_eq!(lines.max_level_hint(), Some(LevelFilter::INFO));
        let dispatch = with_spans(lines, None::<Identity>);
        // Asked itself: what a span costs depends on all subscribers of the process, and other tests have some.
        let interest = |span: tracing::Span| {
            let metadata = span.metadata().expect("a span has a callsite");
            dispatch.register_callsite(metadata)
        };
        assert!(interest(tracing::debug_span!(target: "h2", "a step")).is_never());
        assert!(!interest(tracing::info_span!(target: "namerd::api", "a part")).is_never());
    }

    #[test]
    fn directives_name_loggers_and_mistakes() {
        let read = |text: &str| text.parse::<Directives>();
        let set = read("warning, namerd::k8s=debug").expect("is read").0;
        assert_eq!(set[ROOT], LogLevel::Warning);
        assert_eq!(set["namerd::k8s"], LogLevel::Debug);
        let filter = targets(&set);
        assert!(filter.would_enable("namerd::k8s::watch", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("namerd::bind", &tracing::Level::INFO));
        assert!(!filter.would_enable(TRACE, &tracing::Level::ERROR));
        assert!(
            read("namerd::nosuch=info")
                .expect_err("unknown")
                .contains("namerd::stream")
        );
        assert!(read("loud").expect_err("unknown").contains("known: ALL"));
    }
}
