//! Access logs (node-proxy 15.5): one line for each request, in a file that rolls.
//!
//! In come [`Entry`]s from the threads that answer requests, or lines that the caller has written itself; out go lines in a
//! file. Who logs never waits: it formats, and puts the line into a queue of bounded length and size without a lock and
//! without a system call; what finds no room is dropped and counted. One thread for each file takes the lines out, writes,
//! rolls and removes old files.
//!
//! ```no_run
//! use l5d_accesslog::{AccessLog, Entry, Form, Roll, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Or from a configuration file: `Settings::read(&section, &l5d_accesslog::HTTP_KEYS)`.
//! let settings = Settings {
//!     roll: Roll::Daily,
//!     keep: Some(7),
//!     ..Settings::new("/var/log/access.log")
//! };
//! // At the start: fails if the file cannot be opened. The log is cheap to clone; the writer is kept until the end.
//! let (log, writer) = AccessLog::start(&settings, Form::Http)?;
//! // For each request.
//! log.log(&Entry {
//!     host: b"books",
//!     remote: Some("10.0.0.1".parse()?),
//!     method: "GET",
//!     target: b"/a?b=c",
//!     status: 200,
//!     length: Some(1_234),
//!     ..Entry::default()
//! });
//! // For a metric.
//! let _dropped = log.counts().dropped;
//! // At the end, when nobody logs any more: what is queued is written.
//! writer.end();
//! # Ok(())
//! # }
//! ```

mod file;
mod line;
mod log;
mod roll;
mod settings;
mod zone;

#[cfg(test)]
mod tests;

pub use line::{Entry, Form};
pub use log::{AccessLog, Counts, Writer};
pub use roll::{BadRoll, Roll};
pub use settings::{H2_KEYS, HTTP_KEYS, Keys, OpenError, Settings};
