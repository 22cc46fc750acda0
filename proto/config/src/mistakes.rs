//! What is wrong with a file, said so that it can be put right.

use std::fmt;

use crate::limits;
use crate::source::{Source, Spot};

/// One mistake (or warning) at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes of the text.
    pub spot: Spot,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was meant, or what to do, if that can be told.
    pub help: Option<String>,
    shown: String,
}

/// All mistakes of a file, sorted by place. Displays as a report for people, one paragraph a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    all: Vec<Mistake>,
    left_out: usize,
}

/// Where mistakes are gathered while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    all: Vec<(Spot, String, Option<String>)>,
    left_out: usize,
}

/// Characters of a source line that are shown, before and behind its mistake.
const SHOWN_BEFORE: usize = 60;
const SHOWN_BEHIND: usize = 60;

// === impl Mistakes ===

impl Mistakes {
    /// The mistakes in the order of the file.
    pub fn all(&self) -> &[Mistake] {
        &self.all
    }

    pub(crate) fn one(source: &Source, spot: Spot, message: String) -> Self {
        Self {
            all: vec![Mistake::new(source, spot, message, None)],
            left_out: 0,
        }
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.all.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            mistake.fmt(f)?;
        }
        if self.left_out > 0 {
            write!(f, "\n\nand {} more mistakes", self.left_out)?;
        }
        Ok(())
    }
}

// === impl Mistake ===

impl Mistake {
    fn new(source: &Source, spot: Spot, message: String, help: Option<String>) -> Self {
        let place = source.place(spot.start);
        let mut shown = format!(
            "{}:{}:{}: {message}\n{}",
            source.name,
            place.line,
            place.column,
            excerpt(source, spot, place.line),
        );
        if let Some(help) = &help {
            let margin = place.line.to_string().len();
            shown.push_str(&format!("\n{:margin$} = {help}", ""));
        }
        Self {
            spot,
            line: place.line,
            column: place.column,
            message,
            help,
            shown,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The source line with carets below the spot. Long lines are cut around it; control characters show as blanks, so that
/// a file cannot play with the terminal.
fn excerpt(source: &Source, spot: Spot, line_number: usize) -> String {
    let line = source.line(spot.start);
    let before: Vec<char> = source.text[line.start..spot.start.clamp(line.start, line.end)]
        .chars()
        .collect();
    let behind: Vec<char> = source.text[spot.start.clamp(line.start, line.end)..line.end]
        .chars()
        .collect();
    let marked = source.text
        [spot.start.min(line.end)..spot.end.clamp(spot.start.min(line.end), line.end)]
        .trim_end()
        .chars()
        .count()
        .clamp(1, SHOWN_BEHIND);
    let cut_before = before.len().saturating_sub(SHOWN_BEFORE);
    let is_cut_behind = behind.len() > SHOWN_BEHIND;
    let head = if cut_before > 0 { "..." } else { "" };
    let tail = if is_cut_behind { "..." } else { "" };
    let clean = |chars: &[char]| -> String {
        chars
            .iter()
            .map(|c| if c.is_control() { ' ' } else { *c })
            .collect()
    };
    let number = line_number.to_string();
    let margin = number.len();
    let behind = &behind[..behind.len().min(SHOWN_BEHIND)];
    let text = format!(
        "{head}{}{}{tail}",
        clean(&before[cut_before..]),
        clean(behind)
    );
    let pad = head.len() + before.len() - cut_before;
    format!(
        "{:margin$} |\n{number} | {}\n{:margin$} | {:pad$}{}",
        "",
        text.trim_end(),
        "",
        "",
        "^".repeat(marked),
    )
}

// === impl Gathered ===

impl Gathered {
    /// Notes a mistake, unless the same one is noted already (aliases repeat values).
    pub(crate) fn push(&mut self, spot: Spot, message: String, help: Option<String>) {
        if self.all.iter().any(|(s, m, _)| *s == spot && *m == message) {
            return;
        }
        if self.all.len() >= limits::MISTAKES {
            self.left_out += 1;
            return;
        }
        self.all.push((spot, message, help));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Sorted and rendered.
    pub(crate) fn render(self, source: &Source) -> Mistakes {
        let mut all: Vec<_> = self
            .all
            .into_iter()
            .map(|(spot, message, help)| Mistake::new(source, spot, message, help))
            .collect();
        all.sort_by_key(|m| m.spot.start);
        Mistakes {
            all,
            left_out: self.left_out,
        }
    }
}
