//! Log lines on standard error, with levels that can be changed while running.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::admin::{LogLevel, LogLevels};

/// Levels that can be changed: those of the environment, and what was set since.
#[derive(Debug)]
struct Levels {
    base: String,
    set: Mutex<BTreeMap<String, LogLevel>>,
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Levels {
    fn filter(&self, set: &BTreeMap<String, LogLevel>) -> Result<EnvFilter, String> {
        let mut filter = EnvFilter::new(&self.base);
        for (logger, level) in set {
            let level = level.0;
            let directive = match logger.as_str() {
                ROOT => level.into(),
                logger => {
                    let text = format!("{logger}={level}");
                    text.parse()
                        .map_err(|_| format!("{} is no name of a logger", logger.escape_debug()))?
                }
            };
            filter = filter.add_directive(directive);
        }
        Ok(filter)
    }
}

/// The root of all loggers.
const ROOT: &str = "root";

impl LogLevels for Levels {
    fn all(&self) -> Vec<(String, LogLevel)> {
        let set = self.set.lock();
        let root = set.get(ROOT).copied();
        let root = root.unwrap_or_else(|| {
            let base = EnvFilter::new(&self.base).max_level_hint();
            LogLevel(base.unwrap_or(LevelFilter::INFO))
        });
        let others = set.iter().filter(|(logger, _)| *logger != ROOT);
        let mut all = vec![(ROOT.to_owned(), root)];
        all.extend(others.map(|(logger, level)| (logger.clone(), *level)));
        all
    }

    fn set(&self, logger: &str, level: LogLevel) -> Result<(), String> {
        let mut set = self.set.lock();
        let is_new = !set.contains_key(logger);
        if is_new && set.len() >= LOGGERS {
            return Err(format!(
                "{LOGGERS} loggers have levels of their own already"
            ));
        }
        let mut new = set.clone();
        // The root is called nothing in 1.x.
        let logger = if logger.is_empty() { ROOT } else { logger };
        new.insert(logger.to_owned(), level);
        let filter = self.filter(&new)?;
        let reloaded = self.filter.reload(filter);
        reloaded.map_err(|e| format!("the level cannot be changed: {e}"))?;
        *set = new;
        Ok(())
    }
}

/// Loggers that may have a level of their own.
const LOGGERS: usize = 64;

/// Begins to log on standard error, with levels from `RUST_LOG` that can be changed while running. Once in a process.
pub fn log() -> Arc<dyn LogLevels> {
    let base = std::env::var(EnvFilter::DEFAULT_ENV);
    let base = base.ok().filter(|base| EnvFilter::try_new(base).is_ok());
    let base = base.unwrap_or_else(|| "info".to_owned());
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&base));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Arc::new(Levels {
        base,
        set: Mutex::default(),
        filter: handle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_set_by_logger_and_root() {
        let (layer, handle) = reload::Layer::<_, Registry>::new(EnvFilter::new("warn"));
        let levels = Levels {
            base: "warn".to_owned(),
            set: Mutex::default(),
            filter: handle,
        };
        let shown = || {
            let all = levels.all().into_iter();
            all.map(|(logger, level)| format!("{logger} {level}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(), ["root WARNING"]);
        levels
            .set("l5d_node::serve", "debug".parse().unwrap())
            .unwrap();
        levels.set("", "ERROR".parse().unwrap()).unwrap();
        assert_eq!(shown(), ["root ERROR", "l5d_node::serve DEBUG"]);
        assert!(levels.set("a b=c", "info".parse().unwrap()).is_err());
        assert!(
            "loud"
                .parse::<LogLevel>()
                .unwrap_err()
                .contains("known: ALL")
        );
        drop(layer);
        assert!(
            levels.set("x", "info".parse().unwrap()).is_err(),
            "nobody listens"
        );
    }
}
