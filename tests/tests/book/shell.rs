//! The shell of a page: one bash, whose variables and background programs last until the page ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::lines::match_all;
use crate::page::Step;

/// How long one command, or what is to come about, may take: hundreds of times what it needs.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at what is to come about.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines that wait to be looked at; the shell waits for room.
const LINES: usize = 1_024;
/// Begins the line that ends a command's output.
const MARK: &str = "\u{1}end of step ";

/// What to do when the output is not the shown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Never,
    UntilShown,
}

/// A running bash.
#[derive(Debug)]
pub(crate) struct Shell {
    bash: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    /// Has the command that runs; not the page's folder.
    desk: TempDir,
}

impl Shell {
    /// Starts one in this folder, with the programs in its path.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let us = std::env::current_exe().context("cannot tell where the programs are")?;
        let programs = us.parent().and_then(Path::parent).context("no target")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("HOME", folder)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_PROXY", "")
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env_remove("no_proxy")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("bash cannot be started")?;
        let mut orders = bash.stdin.take().context("no input")?;
        orders.write_all(b"exec 2>&1\n")?;
        let output = BufReader::new(bash.stdout.take().context("no output")?);
        let (put, lines) = sync_channel(LINES);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if put.send(line).is_err() {
                    return;
                }
            }
        });
        let desk = tempfile::tempdir()?;
        Ok(Self {
            bash,
            orders,
            lines,
            desk,
        })
    }

    /// Runs a command; what it prints must be what is shown.
    pub(crate) fn step(&mut self, step: &Step, repeat: Repeat) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (said, code) = self.run(&step.command)?;
            let is_shown = code == 0 && match_all(&step.shown, &said);
            if is_shown {
                return Ok(());
            }
            if repeat == Repeat::Never || Instant::now() > end {
                bail!(
                    "$ {}\nexit code {code}, shown:\n  {}\nsaid:\n  {}",
                    step.command,
                    step.shown.join("\n  "),
                    said.join("\n  ")
                );
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Everything that it prints, and its exit code.
    fn run(&mut self, command: &str) -> anyhow::Result<(Vec<String>, i32)> {
        let file = self.desk.path().join("step");
        std::fs::write(&file, command)?;
        let file = file.display();
        writeln!(
            self.orders,
            ". {file} </dev/null; printf '\\n{MARK}%s\\n' $?"
        )
        .with_context(|| format!("$ {command}\nthe shell has ended"))?;
        let end = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!(
                    "$ {command}\ndid not end within {} s; said so far:\n  {}",
                    PATIENCE.as_secs(),
                    said.join("\n  ")
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("$ {command}\nthe shell has ended")
                }
            };
            if let Some(code) = line.strip_prefix(MARK) {
                // The empty line, or the end of one without an end, is of the mark.
                if said.last().is_some_and(String::is_empty) {
                    said.pop();
                }
                return Ok((said, code.parse()?));
            }
            said.push(line);
        }
    }
}

impl Drop for Shell {
    /// Ends it with everything that it has started.
    fn drop(&mut self) {
        let group = format!("-{}", self.bash.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.bash.wait();
    }
}
