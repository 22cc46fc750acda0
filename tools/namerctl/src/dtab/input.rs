//! Files that hold a dtab: as text, as `get --json` prints it, or as a JSON list of entries.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;

use l5d_naming::{Dtab, ParseError};

use super::model::{Entry, Versioned, entries};
use crate::fail::Failure;
use crate::http::Body;

/// A file's text and what to call it.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) text: String,
}

/// What a JSON file says.
struct Json {
    dtab: Vec<Entry>,
    version: Option<String>,
}

impl Input {
    /// Reads a file; `-` is standard input.
    pub(super) fn read(file: &OsStr) -> anyhow::Result<Self> {
        if file.is_empty() {
            return Err(Failure::new("empty dtab path").into());
        }
        let name = file.to_string_lossy().into_owned();
        if file == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Failure::new(format!("cannot read standard input: {e}")))?;
            let name = "standard input".to_owned();
            return Ok(Self { name, text });
        }
        match std::fs::read_to_string(Path::new(file)) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("open {name}: no such file or directory")).into())
            }
            Err(error) => Err(Failure::new(format!("open {name}: {error}")).into()),
        }
    }

    /// What is sent to the server, which checks it, and the version inside, if any (control plane 8.1).
    pub(super) fn body(self) -> anyhow::Result<(Body, Option<String>)> {
        let Some(json) = self.json()? else {
            let kind = "application/dtab";
            let text = self.text;
            return Ok((Body { kind, text }, None));
        };
        Ok((json_body(&json.dtab)?, json.version))
    }

    /// The entries after checking them, and the version inside, if any. The error shows the place.
    pub(super) fn checked(&self) -> anyhow::Result<(Vec<Entry>, Option<String>)> {
        let Some(json) = self.json()? else {
            let dtab = Dtab::parse(&self.text).map_err(|e| misread(&self.name, &self.text, &e))?;
            return Ok((entries(&dtab), None));
        };
        let mut all = Vec::new();
        for (i, entry) in json.dtab.iter().enumerate() {
            // One entry must not become two.
            let at = format!("{}, entry {}", self.name, i + 1);
            let prefix = entry.prefix.parse::<l5d_naming::Prefix>();
            let prefix = prefix.map_err(|e| misread(&at, &entry.prefix, &e))?;
            let dst = l5d_naming::NameTree::<l5d_naming::Path>::parse(&entry.dst);
            let dst = dst.map_err(|e| misread(&at, &entry.dst, &e))?;
            all.push(Entry {
                prefix: prefix.to_string(),
                dst: dst.show_exact(),
            });
        }
        Ok((all, json.version))
    }

    fn json(&self) -> anyhow::Result<Option<Json>> {
        let start = self.text.trim_start();
        let unread =
            |what: &str, e: serde_json::Error| Failure::new(format!("{}: {what}: {e}", self.name));
        if start.starts_with('[') {
            let dtab = serde_json::from_str(&self.text)
                .map_err(|e| unread("this is not a JSON list of entries", e))?;
            let version = None;
            return Ok(Some(Json { dtab, version }));
        }
        if !start.starts_with('{') {
            return Ok(None);
        }
        let whole: Versioned = serde_json::from_str(&self.text)
            .map_err(|e| unread("this is not what `get --json` prints", e))?;
        Ok(Some(Json {
            dtab: whole.dtab,
            version: Some(whole.version).filter(|v| !v.is_empty()),
        }))
    }
}

/// Entries as a request's body.
pub(super) fn json_body(entries: &[Entry]) -> anyhow::Result<Body> {
    let kind = "application/json";
    let text = serde_json::to_string(entries)?;
    Ok(Body { kind, text })
}

/// The mistake with its line and a mark below the place.
pub(super) fn misread(name: &str, text: &str, error: &ParseError) -> Failure {
    let line = text.split('\n').nth(error.line - 1).unwrap_or_default();
    let number = error.line.to_string();
    let margin = " ".repeat(number.len());
    // Tabs stay, so that the mark stands below its character wherever tabs lead.
    let before: String = line
        .chars()
        .take(error.column - 1)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let what = error.message.split(" at line ").next().unwrap_or_default();
    Failure::new(format!("{name}:{}:{}: {what}", error.line, error.column)).note(&format!(
        "{number} | {}\n{margin} | {before}^",
        line.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        Input {
            name: "my.dtab".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn json_input_sends_its_dtab_and_its_version_counts() {
        let whole = r#"{"version":"AAE=","dtab":[{"prefix":"/a","dst":"/b"}]}"#;
        let (sent, version) = input(whole).body().expect("reads");
        let list = r#"[{"prefix":"/a","dst":"/b"}]"#;
        assert_eq!((sent.kind, sent.text.as_str()), ("application/json", list));
        assert_eq!(version.as_deref(), Some("AAE="));
        let (sent, version) = input(&format!("\n {list}")).body().expect("reads");
        assert_eq!((sent.text.as_str(), version), (list, None));
        let text = "# version x\n/a => /b ;\n";
        let (sent, version) = input(text).body().expect("reads");
        assert_eq!(
            (sent.kind, sent.text.as_str(), version),
            ("application/dtab", text, None)
        );
        assert!(input("{").body().is_err());
    }

    #[test]
    fn a_mistake_is_shown_with_its_place() {
        let error = input("/a => /b ;\n/svc -> /host ;\n")
            .checked()
            .expect_err("a mistake");
        let shown = error.to_string();
        assert_eq!(shown, "my.dtab:2:6: '=>' expected but '-' found");
        let json = r#"[{"prefix":"/a","dst":"/b"},{"prefix":"/c","dst":"d"}]"#;
        let error = input(json).checked().expect_err("a mistake").to_string();
        assert!(error.starts_with("my.dtab, entry 2:1:1: "), "{error}");
    }

    #[test]
    fn one_json_entry_cannot_be_two() {
        let json = r#"[{"prefix":"/a","dst":"/b ; /c => /d"}]"#;
        assert!(input(json).checked().is_err());
    }
}
