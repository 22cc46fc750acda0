//! `edit`: a namespace's dtab through an editor.
//!
//! The text is never lost: when it cannot be written, the file stays and the error says where it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::Context;
use super::diff::change;
use super::input::Input;
use super::read::shown;
use crate::fail::Failure;
use crate::output::{print, remark};

/// What the file begins with.
const HEAD: &str = "# Lines that begin with # are left out. The dtab is written when the editor ends; an unchanged one is not.\n";

impl Context {
    pub(super) async fn edit(&self, name: &str) -> anyhow::Result<()> {
        let found = self.read(name, "exact=true").await?;
        let mut text = format!("{HEAD}{}", shown(&found));
        let file = fresh(name, &text)?;
        let input = loop {
            open(&file)?;
            let input = Input::read(file.as_os_str())?;
            let is_untouched = bare(&input.text) == bare(&text);
            match input.checked() {
                Ok(_) => break input,
                Err(error) if is_untouched => {
                    return Err(kept(format!("{error:#}; nothing was written"), &file, name).into());
                }
                Err(error) => {
                    remark(&format!("{error:#}"));
                    text = with_mistake(&input.text, &error.to_string());
                    write(&file, &text)?;
                }
            }
        };
        let (wanted, _) = input.checked()?;
        let Some(change) = change(name, Some(&found), name, &wanted) else {
            remove(&file);
            return print(&format!("Unchanged {name}\n"));
        };
        match self.replace(name, Some(&found), &wanted).await {
            Ok(()) => {
                remove(&file);
                print(&format!("{change}Updated {name}\n"))
            }
            Err(error) => Err(kept(format!("{error:#}"), &file, name).into()),
        }
    }
}

fn kept(what: String, file: &Path, name: &str) -> Failure {
    let file = file.display();
    Failure::new(what)
        .note(&format!("your text is in {file}"))
        .hint(format!(
            "`namerctl dtab diff {name} {file}` compares it with what is there now, `namerctl dtab apply {name} {file}` writes it"
        ))
}

/// The text with the mistake above it, and without the one before.
fn with_mistake(text: &str, mistake: &str) -> String {
    let text = bare(text);
    format!("{HEAD}{MISTAKE}{mistake}\n{text}")
}

/// The text without what we have put above it.
fn bare(text: &str) -> &str {
    let text = text.strip_prefix(HEAD).unwrap_or(text);
    match text.strip_prefix(MISTAKE) {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    }
}

const MISTAKE: &str = "# MISTAKE (save as it is to give up): ";

/// A file of its own in the folder for such files, only for its owner.
fn fresh(name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let clean: String = name.chars().map(clean).collect();
    let folder = std::env::temp_dir();
    for n in 0..1000 {
        let file = folder.join(format!("namerctl-{clean}-{}-{n}.dtab", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&file) {
            Ok(_) => {
                write(&file, text)?;
                return Ok(file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", file.display()));
            }
        }
    }
    Err(Failure::new(format!("no free name for a file in {}", folder.display())).into())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Best effort: what stays behind is a copy of what is in the store.
fn remove(file: &Path) {
    if let Err(error) = std::fs::remove_file(file) {
        remark(&format!("cannot remove {}: {error}", file.display()));
    }
}

/// Runs the editor, which may be a command with flags, and waits for it.
fn open(file: &Path) -> anyhow::Result<()> {
    let named = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR"));
    let editor = editor.unwrap_or_else(|| OsString::from("vi"));
    let status = Command::new("sh")
        .arg("-c")
        .arg("exec $0 \"$1\"")
        .arg(&editor)
        .arg(file)
        .status();
    let editor = editor.to_string_lossy();
    let status = status.with_context(|| format!("cannot start {editor}"))?;
    if !status.success() {
        return Err(
            Failure::new(format!("{editor} ended with {status}; nothing was written"))
                .note(&format!("your text is in {}", file.display()))
                .hint("the editor is what VISUAL or EDITOR names, else vi")
                .into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_mistake_stands_above_the_text() {
        let first = with_mistake(&format!("{HEAD}/a => b"), "one");
        let second = with_mistake(&first, "two");
        assert_eq!(second, format!("{HEAD}{MISTAKE}two\n/a => b"));
    }
}
