//! The commands of the original: a session that it had with this namerd, word for word, which ours has to have as well.
//!
//! `session.txt` was taken from the original. With its program at hand (`L5D_ORIGINAL_NAMERCTL=/path/to/namerctl`) the
//! test has the same session with it again, so that neither namerd nor the file can move away from it.

use anyhow::{Context as _, Result, bail};

use crate::ctl::{Ctl, Namerd};

const SESSION: &str = include_str!("session.txt");
const ORIGINAL: &str = "L5D_ORIGINAL_NAMERCTL";

/// One command of the session: `$` words, `<` a line of input, `>` a line of output, `?` exit code and error.
#[derive(Debug, Default)]
struct Step {
    line: usize,
    words: Vec<String>,
    input: String,
    output: String,
    code: i32,
    error: String,
}

fn steps() -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (i, line) in SESSION.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kind, rest) = line.split_at(1);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if kind == "$" {
            steps.push(Step {
                line: i + 1,
                // '' is a word that is empty.
                words: rest.split(' ').map(|w| w.replace("''", "")).collect(),
                ..Step::default()
            });
            continue;
        }
        let step = steps.last_mut().context("a command comes first")?;
        match kind {
            "<" => step.input.push_str(&format!("{rest}\n")),
            ">" => step.output.push_str(&format!("{rest}\n")),
            "?" => {
                let (code, error) = rest.split_once(' ').context("a code and an error")?;
                step.code = code.parse()?;
                error.clone_into(&mut step.error);
            }
            _ => bail!("line {}: {line}", i + 1),
        }
    }
    Ok(steps)
}

/// `is_ours`: errors are told on standard error alone (control plane 8.4), with more below the first line.
pub(crate) async fn session(ctl: &Ctl, is_ours: bool) -> Result<()> {
    ctl.file("my.dtab", "/a => /b ; # one\n/a => 0.3 * /c & 0.7 * /d;\n")?;
    for step in steps()? {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        let ran = ctl.run_with(&words, &step.input).await?;
        let at = format!("session.txt:{}: {words:?}: {ran:?}", step.line);
        assert_eq!(ran.code, step.code, "{at}");
        if step.code == 0 {
            assert_eq!(
                (ran.stdout.as_str(), ran.stderr.as_str()),
                (step.output.as_str(), ""),
                "{at}"
            );
            continue;
        }
        let first = ran.stderr.lines().next().unwrap_or_default();
        assert_eq!(first, format!("Error: {}", step.error), "{at}");
        let on_stdout = if is_ours {
            String::new()
        } else {
            format!("{}\n", step.error)
        };
        assert_eq!(ran.stdout, on_stdout, "{at}");
    }
    Ok(())
}

/// Control plane 8.1 to 8.3.
#[tokio::test(flavor = "multi_thread")]
async fn ours_has_the_session_that_the_original_had() -> Result<()> {
    let namerd = Namerd::start("", "").await?;
    let url = format!("http://{}", namerd.http);
    session(&Ctl::ours()?.env("NAMERCTL_BASE_URL", &url), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_still_has_that_session_with_this_namerd() -> Result<()> {
    let Some(program) = std::env::var_os(ORIGINAL) else {
        eprintln!("left out: {ORIGINAL} does not name the original's program");
        return Ok(());
    };
    let namerd = Namerd::start("", "").await?;
    let url = format!("http://{}", namerd.http);
    session(&Ctl::of(program)?.env("NAMERCTL_BASE_URL", &url), false).await
}
