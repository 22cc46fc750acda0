//! Log levels as the admin server names them.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Warnings and errors.
    Warning,
    /// What happens now and then.
    Info,
    /// What happens often.
    Debug,
    /// Everything.
    Trace,
}

/// Lines of the log since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Written, by level.
    pub lines: Vec<(&'static str, u64)>,
    /// Left out because the same came too often.
    pub left_out: u64,
    /// Spans of traces, by what became of them.
    pub spans: Vec<(&'static str, u64)>,
}

/// The levels in force, by logger.
pub trait LogLevels: Send + Sync {
    /// All loggers, `root` first.
    fn all(&self) -> Vec<(&'static str, LogLevel)>;
    /// Sets one. The error says which loggers there are.
    fn set(&self, logger: &str, level: LogLevel) -> Result<(), String>;
    /// What was logged so far, if it is known.
    fn counts(&self) -> LogCounts {
        LogCounts::default()
    }
}

impl LogLevel {
    /// As the log library knows it.
    pub fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warning => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    /// Reads the names of 1.x, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "OFF" => Ok(LogLevel::Off),
            "FATAL" | "CRITICAL" | "ERROR" => Ok(LogLevel::Error),
            "WARNING" | "WARN" => Ok(LogLevel::Warning),
            "INFO" => Ok(LogLevel::Info),
            "DEBUG" => Ok(LogLevel::Debug),
            "TRACE" | "ALL" => Ok(LogLevel::Trace),
            _ => Err(format!(
                "unknown level {text}; known: ALL, TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, FATAL, OFF"
            )),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogLevel::Off => "OFF",
            LogLevel::Error => "ERROR",
            LogLevel::Warning => "WARNING",
            LogLevel::Info => "INFO",
            LogLevel::Debug => "DEBUG",
            LogLevel::Trace => "TRACE",
        })
    }
}
