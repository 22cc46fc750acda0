//! How failures are told: one line as the original has it, then the server's words and a hint.

use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use crate::output::paint::{self, BAD};

/// Any failure, as scripts around the original expect it (control plane 8.3).
pub(crate) const FAILED: u8 = 255;

/// An error with further lines below its first.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    notes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// The first line: what was attempted and what came of it.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// Lines that belong to the message, such as the server's own words. Nothing if empty.
    pub(crate) fn note(mut self, words: &str) -> Self {
        let lines = words.trim_end().lines().filter(|l| !l.trim().is_empty());
        self.notes.extend(lines.map(str::to_owned));
        self
    }

    /// What to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Shows an error on standard error. A reader of standard output that has gone is no failure.
pub(crate) fn show(error: &anyhow::Error) -> ExitCode {
    let is_closed = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe);
    if is_closed {
        return ExitCode::SUCCESS;
    }
    anstream::eprint!("{}", text(error));
    ExitCode::from(FAILED)
}

fn text(error: &anyhow::Error) -> String {
    let mut out = format!("{} {error:#}\n", paint::with(BAD, "Error:"));
    if let Some(failure) = error.downcast_ref::<Failure>() {
        for note in &failure.notes {
            out.push_str(&format!("  {note}\n"));
        }
        if let Some(hint) = &failure.hint {
            out.push_str(&format!("Hint: {hint}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_message_and_the_rest_follows_also_through_a_context() {
        let failure = Failure::new("unexpected response: 409 Conflict")
            .note("default is there\n")
            .hint("update it");
        let error = anyhow::Error::new(failure);
        let plain = anstream::adapter::strip_str(&text(&error)).to_string();
        assert_eq!(
            plain,
            "Error: unexpected response: 409 Conflict\n  default is there\nHint: update it\n"
        );
        let wrapped = text(&error.context("create default"));
        assert!(wrapped.ends_with("Hint: update it\n"), "{wrapped}");
    }
}
