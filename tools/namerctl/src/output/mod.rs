//! What every command shares for its answers: formats, tables, colours.
//!
//! Text goes to standard output; colours in it are taken out unless that is a terminal (`NO_COLOR`, `CLICOLOR` and
//! `CLICOLOR_FORCE` count). JSON and YAML are for programs: their keys are lower camel case and stay.

pub(crate) mod paint;
pub(crate) mod table;

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

/// How an answer looks.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For reading
    Table,
    /// With more columns
    Wide,
    /// One document
    Json,
    /// One document
    Yaml,
    /// Only names or addresses, one a line
    Name,
}

/// What the global flags ask of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// `None`: the command's own form.
    pub(crate) format: Option<Format>,
    /// Whether tables begin with a line of titles.
    pub(crate) headers: bool,
}

impl Output {
    /// The format, or the table.
    pub(crate) fn format(self) -> Format {
        self.format.unwrap_or(Format::Table)
    }

    /// Shows a value as JSON or YAML if one of them is asked for; else what `text` makes for the format.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(Format) -> String,
    ) -> anyhow::Result<()> {
        match self.format() {
            Format::Json => print(&json(value)?),
            Format::Yaml => print(&yaml(value)?),
            format => print(&text(format)),
        }
    }
}

/// Writes to standard output as it is, apart from colours.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes to standard error, for what is no answer.
pub(crate) fn remark(text: &str) {
    anstream::eprintln!("{text}");
}

fn json<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot be shown as JSON")?;
    Ok(format!("{text}\n"))
}

fn yaml<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(value).context("cannot be shown as YAML")?;
    Ok(format!("{}\n", text.trim_end()))
}
