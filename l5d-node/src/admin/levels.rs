//! Levels of the log as the admin server names them (`/logging.json`).

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(pub LevelFilter);

/// The levels in force, by logger; the root is `root`.
pub trait LogLevels: fmt::Debug + Send + Sync {
    /// All loggers that were set, `root` first.
    fn all(&self) -> Vec<(String, LogLevel)>;
    /// Sets one, such as `root` or `l5d_node::serve`. The error says why not.
    fn set(&self, logger: &str, level: LogLevel) -> Result<(), String>;
}

/// Levels that cannot be changed, for a proxy inside another process, whose log is not its own.
#[derive(Clone, Copy, Debug)]
pub struct NoLevels;

impl LogLevels for NoLevels {
    fn all(&self) -> Vec<(String, LogLevel)> {
        Vec::new()
    }

    fn set(&self, _: &str, _: LogLevel) -> Result<(), String> {
        Err("the log belongs to the process around this proxy".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    /// Reads the names of 1.x, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text.to_ascii_uppercase().as_str() {
            "OFF" => LevelFilter::OFF,
            "FATAL" | "CRITICAL" | "ERROR" => LevelFilter::ERROR,
            "WARNING" | "WARN" => LevelFilter::WARN,
            "INFO" => LevelFilter::INFO,
            "DEBUG" => LevelFilter::DEBUG,
            "TRACE" | "ALL" => LevelFilter::TRACE,
            _ => {
                return Err(format!(
                    "unknown level {}; known: ALL, TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, FATAL, OFF",
                    text.escape_debug()
                ));
            }
        }))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.into_level() {
            None => "OFF",
            Some(tracing::Level::ERROR) => "ERROR",
            Some(tracing::Level::WARN) => "WARNING",
            Some(tracing::Level::INFO) => "INFO",
            Some(tracing::Level::DEBUG) => "DEBUG",
            Some(tracing::Level::TRACE) => "TRACE",
        })
    }
}
