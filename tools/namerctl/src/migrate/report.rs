//! What a migration did: every line of the input that the output does not say in the same words.

use serde::Serialize;
use serde_json::json;

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// The output cannot be used before somebody has decided this.
    Decide,
    /// Known here by name only; left as a comment until it can be used.
    NotYet,
    /// Has no counterpart, or no effect any more.
    Dropped,
    /// Stands in another file.
    Moved,
    /// Says the same in other words.
    Changed,
    /// The input had nothing like it.
    Added,
    /// Nothing changed, but it should be known.
    Note,
}

/// One thing to know.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) fate: Fate,
    /// The input file.
    pub(crate) file: String,
    /// From 1; 0 when it is about the whole file.
    pub(crate) line: usize,
    /// The object around it: `ConfigMap/l5d-config`; empty without one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) object: String,
    /// The key: `routers[0].interpreter.kind`. What stands below it is meant too.
    pub(crate) key: String,
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// All findings of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
}

/// Notes findings about one part of the input.
#[derive(Debug)]
pub(crate) struct Noter<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) file: String,
    pub(crate) object: String,
}

impl Fate {
    const ALL: [Fate; 7] = [
        Fate::Decide,
        Fate::NotYet,
        Fate::Dropped,
        Fate::Moved,
        Fate::Changed,
        Fate::Added,
        Fate::Note,
    ];

    fn title(self) -> &'static str {
        match self {
            Fate::Decide => "To decide before the result can be used",
            Fate::NotYet => "Not supported yet: left as comments in the result",
            Fate::Dropped => "Left out: no counterpart, or no effect",
            Fate::Moved => "Moved to another file",
            Fate::Changed => "Changed",
            Fate::Added => "Added",
            Fate::Note => "To know",
        }
    }
}

impl Noter<'_> {
    pub(crate) fn note(
        &mut self,
        fate: Fate,
        line: usize,
        key: &str,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        let finding = Finding {
            fate,
            file: self.file.clone(),
            line,
            object: self.object.clone(),
            key: key.to_owned(),
            message: message.into(),
            help: help.map(str::to_owned),
        };
        let is_there = |f: &Finding| {
            (f.fate, f.line, &f.key, &f.message)
                == (finding.fate, finding.line, &finding.key, &finding.message)
                && f.file == finding.file
        };
        if !self.report.findings.iter().any(is_there) {
            self.report.findings.push(finding);
        }
    }
}

impl Report {
    pub(crate) fn noter(&mut self, file: &str, object: &str) -> Noter<'_> {
        Noter {
            report: self,
            file: file.to_owned(),
            object: object.to_owned(),
        }
    }

    /// Whether something must be decided first.
    pub(crate) fn is_open(&self) -> bool {
        self.findings.iter().any(|f| f.fate == Fate::Decide)
    }

    /// For programs: findings, and what was written.
    pub(crate) fn json(&self, files: &[String]) -> String {
        let report = json!({ "files": files, "findings": self.findings });
        format!("{report:#}\n")
    }

    /// For people: grouped by what became of it, in the order of the input.
    pub(crate) fn text(&self, files: &[String]) -> String {
        let mut text = String::from("Files written:\n");
        for file in files {
            text.push_str(&format!("  {file}\n"));
        }
        for fate in Fate::ALL {
            let mut of: Vec<&Finding> = self.findings.iter().filter(|f| f.fate == fate).collect();
            if of.is_empty() {
                continue;
            }
            of.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            text.push_str(&format!("\n{} ({})\n", fate.title(), of.len()));
            for finding in of {
                text.push_str(&finding.text());
            }
        }
        text
    }
}

impl Finding {
    fn text(&self) -> String {
        let place = match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}", self.file),
        };
        let key = match (self.object.as_str(), self.key.as_str()) {
            ("", key) => key.to_owned(),
            (object, "") => object.to_owned(),
            (object, key) => format!("{object} {key}"),
        };
        let mut text = format!("  {place}: {key}: {}\n", self.message);
        if let Some(help) = &self.help {
            text.push_str(&format!("      -> {help}\n"));
        }
        text
    }
}
