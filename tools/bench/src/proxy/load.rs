//! `h2load`: started on the load's cores, its report read.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use super::arm::{Arm, Protocol};

/// What one load has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) done: u64,
    pub(super) per_second: f64,
    /// Failed, cut, timed out, or answered otherwise than with 2xx.
    pub(super) failed: u64,
    /// Microseconds at the 50th, 99th and 99.9th percentile.
    pub(super) latency: Option<[u64; 3]>,
}

/// How long and how fast.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speed {
    /// One request.
    Once,
    /// As much as goes, for so many seconds.
    Full(u32),
    /// So many requests a second, for so many seconds.
    Fixed(u32, u32),
}

/// How much longer than it was told h2load may take: it waits for answers that are due.
const PATIENCE: Duration = Duration::from_secs(10);

impl Arm {
    /// Loads whoever listens at `addr`.
    pub(super) fn load(self, addr: SocketAddr, speed: Speed, folder: &Path) -> Result<Load> {
        let log = folder.join("latencies");
        let mut command = Command::new("h2load");
        command.arg("-t1").arg(format!("--connect-to={addr}"));
        self.say_how(&mut command, folder);
        match speed {
            Speed::Once => command.args(["-n1", "-c1"]),
            Speed::Full(seconds) => {
                let (connections, streams) = self.width();
                let numbers = [
                    format!("-c{connections}"),
                    format!("-m{streams}"),
                    format!("-D{seconds}"),
                ];
                command.args(numbers)
            }
            Speed::Fixed(rate, seconds) => {
                let connections = if self.large { 8 } else { 32 };
                let each = (rate / connections).max(1);
                command
                    .args([
                        format!("-c{connections}"),
                        format!("-D{seconds}"),
                        format!("--rps={each}"),
                    ])
                    .arg("--log-file")
                    .arg(&log)
            }
        };
        let scheme = if self.tls { "https" } else { "http" };
        command.arg(format!("{scheme}://web{}", self.path()));
        let seconds = match speed {
            Speed::Once => 0,
            Speed::Full(seconds) | Speed::Fixed(_, seconds) => seconds,
        };
        let report = run(&mut command, Duration::from_secs(seconds.into()), folder)?;
        let mut load = read(&report)?;
        if matches!(speed, Speed::Fixed(..)) {
            load.latency = percentiles(&std::fs::read_to_string(&log)?);
            std::fs::remove_file(&log)?;
        }
        Ok(load)
    }

    /// Connections, and streams on each, that fill a proxy.
    fn width(self) -> (u32, u32) {
        match (self.is_http2(), self.large) {
            (false, false) => (64, 1),
            (false, true) => (16, 1),
            (true, false) => (64, 10),
            (true, true) => (16, 1),
        }
    }

    fn say_how(self, command: &mut Command, folder: &Path) {
        match self.protocol {
            Protocol::Http1 => {
                command.arg("--h1");
            }
            Protocol::Http2 | Protocol::Http2To1 => {}
            Protocol::Grpc => {
                command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
                command.arg("-d").arg(folder.join("message"));
            }
        }
    }
}

/// Runs h2load to its end; gives what it has printed.
fn run(command: &mut Command, seconds: Duration, folder: &Path) -> Result<String> {
    let file = folder.join("h2load");
    command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(File::create(&file)?);
    let mut child = command
        .spawn()
        .context("cannot start h2load (Debian: nghttp2-client)")?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > seconds + PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("h2load does not come to its end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(std::fs::read_to_string(&file)?)
}

fn read(report: &str) -> Result<Load> {
    let number = |line: &str, before: &str| -> Option<f64> {
        let line = report.lines().find(|l| l.starts_with(line))?;
        let at = line.find(before)?;
        line[..at].trim().rsplit([' ', ',']).next()?.parse().ok()
    };
    let (Some(done), Some(good)) = (
        number("requests:", " done"),
        number("requests:", " succeeded"),
    ) else {
        let last = report.lines().next_back().unwrap_or("nothing");
        bail!("h2load said: {last}");
    };
    let errors =
        ["failed", "errored", "timeout"].map(|what| number("requests:", &format!(" {what}")));
    let others = ["3xx", "4xx", "5xx"].map(|what| number("status codes:", &format!(" {what}")));
    let others: f64 = others.iter().flatten().sum();
    let bad: f64 = errors[0].unwrap_or(0.0).max(others);
    if good == 0.0 && bad == 0.0 {
        bail!("no request has ended");
    }
    Ok(Load {
        done: done as u64,
        per_second: number("finished in", " req/s").unwrap_or(0.0),
        failed: bad as u64,
        latency: None,
    })
}

/// Of a log with one line a request: its start, status and microseconds.
fn percentiles(log: &str) -> Option<[u64; 3]> {
    let mut all: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.trim().parse().ok())
        .collect();
    all.sort_unstable();
    let last = all.len().checked_sub(1)?;
    Some([0.5, 0.99, 0.999].map(|q| all[((all.len() as f64 * q) as usize).min(last)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
finished in 2.01s, 30123.50 req/s, 33.27MB/s
requests: 60250 total, 60250 started, 60247 done, 60240 succeeded, 7 failed, 3 errored, 0 timeout
status codes: 60243 2xx, 0 3xx, 1 4xx, 3 5xx
";

    #[test]
    fn a_report_is_read() {
        let load = read(REPORT).unwrap();
        assert_eq!((load.done, load.failed), (60_247, 7));
        assert!((load.per_second - 30_123.5).abs() < 1e-6);
        assert!(read("h2load: command line fault").is_err());
    }

    #[test]
    fn latencies_are_sorted_and_counted() {
        let log: String = (1..=1000)
            .rev()
            .map(|n| format!("17\t200\t{n}\n"))
            .collect();
        assert_eq!(percentiles(&log), Some([501, 991, 1000]));
        assert_eq!(percentiles(""), None);
    }
}
