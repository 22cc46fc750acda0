//! Running other programs: one line of what is done, progress while it takes long, one clear line when it fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tools/xtask is two folders below the root")
        .to_path_buf()
}

/// Says what is being done.
pub(crate) fn say(what: &str) {
    eprintln!("xtask: {what}");
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Whether a program can be started at all.
pub(crate) fn has(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Runs to the end; the error names the command.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    say(what);
    let shown = show(command);
    let status = command
        .status()
        .with_context(|| format!("{what}: cannot start `{shown}`"))?;
    if !status.success() {
        bail!("{what} failed: `{shown}` ended with {status}");
    }
    Ok(())
}

/// Like [`run`], for what says more than anybody wants to read: shown only when it fails.
pub(crate) fn run_quietly(what: &str, command: &mut Command) -> anyhow::Result<()> {
    say(what);
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: cannot start `{shown}`"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{what} failed: `{shown}` ended with {}", output.status);
    }
    Ok(())
}

/// Like [`run`], for what says nothing itself and takes minutes: a line every 20 seconds with the time that has passed.
pub(crate) fn run_slowly(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let (done, ended) = mpsc::sync_channel::<()>(1);
    let ticker = std::thread::spawn({
        let what = what.to_owned();
        move || {
            let mut seconds = 0;
            while let Err(mpsc::RecvTimeoutError::Timeout) =
                ended.recv_timeout(Duration::from_secs(20))
            {
                seconds += 20;
                say(&format!("{what}: still at it, {seconds} s so far"));
            }
        }
    });
    let result = run(what, command);
    drop(done);
    ticker.join().expect("the ticker does not panic");
    result
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
