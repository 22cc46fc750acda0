//! What the doctor found, and how it is shown.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Ok,
    /// Not asked: something that it needs is not there.
    Skip,
    /// Works, but should be looked at.
    Warn,
    /// Does not work.
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// What is checked, the same in every run: `rights`.
    pub(crate) check: &'static str,
    /// Of what: `endpointslices`.
    pub(crate) subject: String,
    pub(crate) status: Status,
    /// What was seen.
    pub(crate) seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// All checks of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(pub(crate) Vec<Outcome>);

// === impl Outcomes ===

impl Outcomes {
    pub(crate) fn ok(&mut self, check: &'static str, subject: &str, seen: impl Into<String>) {
        self.push(check, subject, Status::Ok, seen.into(), None);
    }

    pub(crate) fn skip(
        &mut self,
        check: &'static str,
        subject: &str,
        seen: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(check, subject, Status::Skip, seen.into(), Some(hint.into()));
    }

    pub(crate) fn warn(
        &mut self,
        check: &'static str,
        subject: &str,
        seen: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(check, subject, Status::Warn, seen.into(), Some(hint.into()));
    }

    pub(crate) fn fail(
        &mut self,
        check: &'static str,
        subject: &str,
        seen: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(check, subject, Status::Fail, seen.into(), Some(hint.into()));
    }

    fn push(
        &mut self,
        check: &'static str,
        subject: &str,
        status: Status,
        seen: String,
        hint: Option<String>,
    ) {
        self.0.push(Outcome {
            check,
            subject: subject.to_owned(),
            status,
            seen,
            hint,
        });
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.iter().any(|o| o.status == Status::Fail)
    }

    fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|o| o.status == status).count()
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let report = json!({ "failed": self.has_failed(), "checks": self.0 });
        format!("{report:#}\n")
    }

    /// For people, with colours; whoever prints it takes them out where they are not wanted.
    pub(crate) fn table(&self) -> String {
        let check = self.0.iter().map(|o| o.check.len()).max().unwrap_or(0);
        let subject = self.0.iter().map(|o| o.subject.chars().count()).max();
        let subject = subject.unwrap_or(0).min(40);
        let mut text = String::new();
        for outcome in &self.0 {
            let (word, style) = outcome.status.shown();
            text.push_str(&format!(
                "{style}{word}{style:#}  {:check$}  {:subject$}  {}\n",
                outcome.check, outcome.subject, outcome.seen
            ));
            if let Some(hint) = &outcome.hint
                && outcome.status != Status::Ok
            {
                text.push_str(&format!("      -> {hint}\n"));
            }
        }
        text.push_str(&format!(
            "{} ok, {} to look at, {} failed, {} left out\n",
            self.count(Status::Ok),
            self.count(Status::Warn),
            self.count(Status::Fail),
            self.count(Status::Skip),
        ));
        text
    }
}

impl Status {
    fn shown(self) -> (&'static str, Style) {
        let colour = |c: AnsiColor| Style::new().fg_color(Some(c.into()));
        match self {
            Status::Ok => ("OK  ", colour(AnsiColor::Green)),
            Status::Skip => ("SKIP", Style::new().dimmed()),
            Status::Warn => ("WARN", colour(AnsiColor::Yellow)),
            Status::Fail => ("FAIL", colour(AnsiColor::Red).bold()),
        }
    }
}
