//! Dtab texts checked for the editor: every mistake and doubt with its place.

use l5d_naming::{Dtab, ParseError, Path};
use serde_json::{Value, json};

use super::Admin;

/// Mistakes and doubts that are told.
const MOST: usize = 100;

/// Something to mark in a text: byte offset, length in bytes, whether it prevents saving, and why.
#[derive(Debug, PartialEq)]
struct Mark {
    offset: usize,
    len: usize,
    is_mistake: bool,
    message: String,
}

/// `{"ok":...,"entries":N,"marks":[{"line","column","offset","length","level","message"}]}`: lines and columns from 1,
/// columns, offset and length in characters of UTF-16, as scripts count.
pub(super) fn check(admin: &Admin, text: &str) -> Value {
    let (entries, mut marks) = mistakes(text);
    if marks.is_empty() {
        marks = doubts(admin, text);
    }
    marks.truncate(MOST);
    let is_good = !marks.iter().any(|mark| mark.is_mistake);
    let marks: Vec<Value> = marks.iter().map(|mark| mark.show(text)).collect();
    json!({"ok": is_good, "entries": entries, "marks": marks})
}

impl Mark {
    fn show(&self, text: &str) -> Value {
        let before = &text[..self.offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let units = |text: &str| text.encode_utf16().count();
        json!({
            "line": before.matches('\n').count() + 1,
            "column": units(&before[line_start..]) + 1,
            "offset": units(before),
            "length": units(&text[self.offset..self.offset + self.len]),
            "level": if self.is_mistake { "error" } else { "warning" },
            "message": self.message,
        })
    }
}

/// The number of entries, and what is wrong: each entry is read by itself, so that one mistake does not hide the next.
fn mistakes(text: &str) -> (usize, Vec<Mark>) {
    let whole = match Dtab::parse(text) {
        Ok(dtab) => return (dtab.entries().len(), Vec::new()),
        Err(e) => e,
    };
    let mut marks = Vec::new();
    let mut entries = 0;
    for (at, entry) in segments(text) {
        match Dtab::parse(entry) {
            Ok(dtab) => entries += dtab.entries().len(),
            Err(e) => marks.push(mark(text, at, &e)),
        }
    }
    if marks.is_empty() {
        marks.push(mark(text, 0, &whole));
    }
    (entries, marks)
}

fn mark(text: &str, base: usize, error: &ParseError) -> Mark {
    let mut offset = (base + error.offset).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let ends = |c: char| c.is_whitespace() || ";|&()".contains(c);
    let rest = &text[offset..];
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let len = rest.find(ends).unwrap_or(rest.len()).max(first);
    // The message of the library ends with where it is, which the mark shows.
    let message = error.message.split(" at line ").next().unwrap_or_default();
    Mark {
        offset,
        len,
        is_mistake: true,
        message: message.to_owned(),
    }
}

/// The entries with their offsets, separators left out. A `#` begins a comment where a blank may stand, that is not behind
/// a character of a path.
fn segments(text: &str) -> Vec<(usize, &str)> {
    let mut segments = Vec::new();
    let (mut start, mut in_comment, mut before) = (0, false, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '\n' => in_comment = false,
            '#' if !is_of_a_path(before) => in_comment = true,
            ';' if !in_comment => {
                segments.push((start, &text[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    segments.push((start, &text[start..]));
    segments
}

fn is_of_a_path(c: char) -> bool {
    c.is_alphanumeric() || "/_:.#$%-\\".contains(c)
}

/// What can be saved and may still not be meant.
fn doubts(admin: &Admin, text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (at, segment) in segments(text) {
        let Ok(dtab) = Dtab::parse(segment) else {
            continue;
        };
        let lead = segment.len() - skip(segment).len();
        for entry in dtab.entries() {
            let prefix = entry.prefix.to_string();
            entry.dst.for_each_leaf(&mut |leaf| {
                let message = if leaf.to_string() == prefix {
                    format!("{prefix} leads to itself")
                } else if let Some(unknown) = unknown_namer(admin, leaf) {
                    unknown
                } else {
                    return;
                };
                let shown = leaf.to_string();
                let place = segment.rfind(&shown).unwrap_or(lead);
                let len = match segment[place..].starts_with(&shown) {
                    true => shown.len(),
                    false => segment[place..].lines().next().map_or(0, str::len),
                };
                marks.push(Mark {
                    offset: at + place,
                    len,
                    is_mistake: false,
                    message,
                });
            });
        }
    }
    marks
}

/// Behind blanks and comments.
fn skip(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

fn unknown_namer(admin: &Admin, leaf: &Path) -> Option<String> {
    let shown = leaf.to_string();
    let rest = shown.strip_prefix("/#")?;
    let known = |prefix: &str| {
        rest.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // A rule may also lead to a part of a namer's prefix that further labels complete.
    let all: Vec<String> = admin.namers.iter().map(|n| n.prefix.to_string()).collect();
    if all
        .iter()
        .any(|prefix| known(prefix) || prefix.starts_with(rest))
    {
        return None;
    }
    Some(format!("no namer of this namerd answers for {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_tells_its_own_mistake_where_it_is() {
        let text = "/a => /b ;\n# a ; comment\n/c = /d ;\n/ok => /#/x ;\n/e => /f | | /g";
        let (entries, marks) = mistakes(text);
        assert_eq!(entries, 2);
        let shown: Vec<Value> = marks.iter().map(|m| m.show(text)).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert_eq!(
            (&shown[0]["line"], &shown[0]["column"]),
            (&json!(3), &json!(5))
        );
        assert_eq!(
            (&shown[1]["line"], &shown[1]["column"]),
            (&json!(5), &json!(12))
        );
        assert!(!marks[0].message.contains("line"), "{}", marks[0].message);
    }

    #[test]
    fn places_are_told_as_scripts_count_and_at_the_end_too() {
        let text = "# \u{1f600}\u{e4}\n/a => \u{1f600}";
        let (_, marks) = mistakes(text);
        let shown = marks[0].show(text);
        assert_eq!(
            (&shown["line"], &shown["column"], &shown["length"]),
            (&json!(2), &json!(7), &json!(2))
        );
        let (_, marks) = mistakes("/a =>");
        assert_eq!((marks[0].offset, marks[0].len), (5, 0));
        assert_eq!(mistakes("/a => /b").1, []);
    }
}
