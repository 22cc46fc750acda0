//! The demo, running for one page.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use l5d_tests::process::{Process, Program};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long it may take to start and to end: it takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);
const TRIES: usize = 3;
const POLL: Duration = Duration::from_millis(50);

/// A demo; dropped, it is killed with all its programs.
#[derive(Debug)]
pub(crate) struct Demo {
    process: Process,
    _logs: TempDir,
}

impl Demo {
    /// Starts it; returns when it has shown everything and keeps running. What it shows is asserted elsewhere, so a request of
    /// its own that a slow machine did not answer in time is no reason to give up.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        for _ in 1..TRIES {
            match Self::try_to_start().await {
                Ok(demo) => return Ok(demo),
                Err(error) => eprintln!("{error:#}\nonce more"),
            }
        }
        Self::try_to_start().await
    }

    async fn try_to_start() -> anyhow::Result<Self> {
        let us = std::env::current_exe().context("cannot tell where the programs are")?;
        let programs = us.parent().and_then(Path::parent).context("no target")?;
        let program = programs.join("l5d-demo");
        if !program.exists() {
            bail!(
                "{} is missing: cargo build --workspace --bins",
                program.display()
            );
        }
        let logs = tempfile::tempdir()?;
        let mut process = Program::new("demo", program).start(logs.path())?;
        let end = Instant::now() + PATIENCE;
        while !process.last_words(20).contains("Ctrl-C ends it") {
            let ended = process.ended()?;
            if ended.is_some() || Instant::now() > end {
                bail!(
                    "the demo does not start ({ended:?}):\n{}",
                    process.last_words(60)
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self {
            process,
            _logs: logs,
        })
    }

    /// Ends it, so that the next one finds its ports free.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.process.signal("INT")?;
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.context("the demo does not end")??;
        Ok(())
    }
}
