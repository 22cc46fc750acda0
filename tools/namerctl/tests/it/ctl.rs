//! A namerd in this process, and programs that are run against it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::client::ApiClient;
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

/// A namerd with its doors on loopback. It ends with this value.
pub(crate) struct Namerd {
    pub(crate) http: SocketAddr,
    pub(crate) resolver: SocketAddr,
    _running: Running,
}

/// A program and the surroundings it is run in: a folder of its own and no settings but these.
pub(crate) struct Ctl {
    program: PathBuf,
    pub(crate) dir: TempDir,
    env: Vec<(String, String)>,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Namerd {
    /// With an in-memory store that has this dtab as `default`, unless it is empty, and further lines of configuration.
    pub(crate) async fn start(dtab: &str, more: &str) -> Result<Self> {
        let namespaces = match dtab {
            "" => String::new(),
            dtab => format!("  namespaces: {{default: '{dtab}'}}\n"),
        };
        let text = format!(
            "admin: {{port: 0}}\nstorage:\n  kind: io.l5d.inMemory\n{namespaces}\
             interfaces:\n- {{kind: io.l5d.httpController, port: 0}}\n- {{kind: io.l5d.mesh, port: 0}}\n{more}"
        );
        let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
        let running = run(config, Vec::new(), Arc::new(NoLevels)).await?;
        // Before its sources have answered it refuses to say anything of names.
        let admin = ApiClient::plain(running.addresses.admin);
        let begun = Instant::now();
        while admin.get("/ready").await?.status != 200 {
            ensure!(begun.elapsed() < PATIENCE, "namerd is not ready");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            http: running.addresses.interfaces[0].1,
            resolver: running.addresses.interfaces[1].1,
            _running: running,
        })
    }
}

impl Ctl {
    /// Ours.
    pub(crate) fn ours() -> Result<Self> {
        Self::of(env!("CARGO_BIN_EXE_namerctl"))
    }

    /// Some program.
    pub(crate) fn of(program: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            program: program.into(),
            dir: tempfile::tempdir()?,
            env: Vec::new(),
        })
    }

    /// Ours, told where this namerd is.
    pub(crate) fn at(namerd: &Namerd) -> Result<Self> {
        let ctl = Self::ours()?.env("NAMERCTL_BASE_URL", &format!("http://{}", namerd.http));
        Ok(ctl.env("NAMERCTL_RESOLVER", &namerd.resolver.to_string()))
    }

    /// Sets a variable for all runs.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into its folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs it with these words, separated by blanks, and nothing as its input.
    pub(crate) async fn run(&self, words: &str) -> Result<Ran> {
        self.run_with(&words.split_whitespace().collect::<Vec<_>>(), "")
            .await
    }

    /// Runs it with these arguments and this input.
    pub(crate) async fn run_with(&self, args: &[&str], input: &str) -> Result<Ran> {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PWD", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            let mut stdin = child.stdin.take().expect("it is piped");
            // A program that does not read its input may have ended already.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            child.wait_with_output()
        });
        let output = output.await?.context("the program runs")?;
        Ok(Ran {
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
            code: output.status.code().context("it ended by itself")?,
        })
    }
}

impl Ran {
    /// The answer of a run that succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// What a run that failed says, with nothing on standard output.
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, 255, "{self:?}");
        assert_eq!(self.stdout, "");
        self.stderr
    }
}
