//! A program that ends with its owner: dropped, panicked, or killed with SIGKILL.
//!
//! A shell stands between: it waits for the program and reads signal names from a pipe that only the owner holds open. The
//! end of that pipe means SIGKILL for the program. So nothing outlives a test, and no name or foreign pid is ever killed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// `$!` is the program; its input is `/dev/null`, and the pipe is closed for it. The reader runs beside it.
const KEEPER: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null & program=$!
( while read -r signal <&3; do kill -"$signal" "$program" 2>/dev/null; done; kill -KILL "$program" 2>/dev/null ) &
reader=$!
wait "$program"; status=$?
if [ -n "$L5D_SWEEP" ]; then
    wait "$reader"
    # Others that have just been killed may still write there.
    rm -rf -- "$L5D_SWEEP" 2>/dev/null || { sleep 1; rm -rf -- "$L5D_SWEEP"; }
else
    kill -KILL "$reader" 2>/dev/null
fi
exit "$status"
"#;

/// How to start a program.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// A running program. Dropping it kills the program and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    shell: Child,
    orders: Option<ChildStdin>,
    log: PathBuf,
}

// === impl Program ===

impl Program {
    /// `name` is for messages and the log file's name.
    pub fn new(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.into(),
            command: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable on top of the inherited environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Puts another command in front, such as one that enters a network namespace.
    #[must_use]
    pub fn within<A: AsRef<OsStr>>(mut self, prefix: impl IntoIterator<Item = A>) -> Self {
        self.command
            .splice(0..0, prefix.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Removes a folder after the program and its owner are gone, for owners that live as long as the test run.
    #[must_use]
    pub fn sweep(self, folder: &Path) -> Self {
        self.env("L5D_SWEEP", folder)
    }

    /// Starts it; both outputs are appended to `<name>.log` in `logs`.
    pub fn start(&self, logs: &Path) -> io::Result<Process> {
        let log = logs.join(format!("{}.log", self.name));
        let out = File::options().create(true).append(true).open(&log)?;
        let mut shell = Command::new("sh")
            // Ctrl-C at a terminal reaches the owner alone, who then ends its programs in order.
            .process_group(0)
            .arg("-c")
            .arg(KEEPER)
            .arg(&self.name)
            .args(&self.command)
            .env_remove("L5D_SWEEP")
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let orders = shell.stdin.take();
        Ok(Process {
            name: self.name.clone(),
            shell,
            orders,
            log,
        })
    }
}

// === impl Process ===

impl Process {
    /// The name given at start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a signal by its name without `SIG`, such as `TERM`.
    pub fn signal(&mut self, signal: &str) -> io::Result<()> {
        match &mut self.orders {
            Some(orders) => writeln!(orders, "{signal}"),
            None => Err(io::Error::other(format!("{} is being killed", self.name))),
        }
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }

    /// Waits for its end. Cancel safe.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL, and waits for its end.
    pub async fn kill(mut self) -> io::Result<()> {
        self.orders = None;
        self.wait().await.map(drop)
    }

    /// SIGTERM, and waits for its end.
    pub async fn terminate(mut self) -> io::Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait().await
    }

    /// What it has printed, for messages of failed tests: the last `lines` lines.
    pub fn last_words(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Where it prints to.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        // The shell ends as soon as the killed program has.
        if let Err(error) = self.shell.wait() {
            tracing::warn!(program = self.name, %error, "cannot wait for the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let program = Program::new("sleeper", "sh").args(["-c", "echo $$; exec sleep 1000"]);
        let process = program.start(dir.path()).unwrap();
        let log = process.log().to_owned();
        let pid = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some(pid) = text.strip_suffix('\n') {
                break pid.to_owned();
            }
            tokio::task::yield_now().await;
        };
        assert!(Path::new("/proc").join(&pid).exists());
        drop(process);
        assert!(!Path::new("/proc").join(&pid).exists());
    }

    #[tokio::test]
    async fn a_program_gets_its_signals_and_tells_its_status() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let process = Program::new("polite", "sh")
            .args(["-c", script])
            .start(dir.path())
            .unwrap();
        while process.last_words(1) != "up" {
            tokio::task::yield_now().await;
        }
        let log = process.log().to_owned();
        assert_eq!(process.terminate().await.unwrap().code(), Some(7));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "up\nbye\n");
    }
}
