//! A program on the cores where it belongs, ended when it is dropped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::process::{Usage, stay_on};

/// Where programs run.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    /// What is measured, alone.
    pub(super) proxy: Vec<usize>,
    /// Load, origin and namerd.
    pub(super) rest: Vec<usize>,
}

/// A program that runs. Dropping it ends it and waits for that.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
}

/// How long a program may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Cores {
    /// The last core is for what is measured; a machine of one core has to share it.
    pub(super) fn share(all: &[usize]) -> Self {
        let (rest, proxy) = all.split_at(all.len().saturating_sub(1));
        Self {
            proxy: proxy.to_vec(),
            rest: if rest.is_empty() {
                all.to_vec()
            } else {
                rest.to_vec()
            },
        }
    }
}

impl Program {
    /// Starts it on `cores`; what it prints goes to `log`. This process stays on `back`.
    pub(super) fn start(
        command: &mut Command,
        log: &Path,
        cores: &[usize],
        back: &[usize],
    ) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let name = command.get_program().to_string_lossy().into_owned();
        // A child has the cores of the thread that starts it.
        stay_on(cores)?;
        let started = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn();
        stay_on(back)?;
        let child = started.with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child })
    }

    /// Waits until something listens at `addr`.
    pub(super) fn wait_for(&mut self, addr: SocketAddr, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&addr, LOOK_EVERY).is_err() {
            if self.child.try_wait()?.is_some() {
                bail!("it ended: {}", last_words(log));
            }
            if begun.elapsed() > PATIENCE {
                bail!("nothing listens at {addr}: {}", last_words(log));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What it and those that it has started have used.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of_tree(self.child.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program with children ends them only if it may end by itself.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                let _gone = self.child.kill();
                let _gone = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The last line that a program has printed.
pub(super) fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    line.unwrap_or("it said nothing").trim().to_owned()
}

/// A port of loopback where nobody listens just now.
pub(super) fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
