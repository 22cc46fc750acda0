//! Colours. They are always put in, and taken out on the way to anything but a terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What was taken, or is new.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is wrong, or gone.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is gone.
pub(crate) const GONE: Style = AnsiColor::Red.on_default();
/// What deserves a second look.
pub(crate) const MARKED: Style = AnsiColor::Yellow.on_default();
/// Where something comes from.
pub(crate) const ORIGIN: Style = AnsiColor::Cyan.on_default();
/// What does not count here.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Titles.
pub(crate) const TITLE: Style = Style::new().bold();

/// The text in this style.
pub(crate) fn with(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
