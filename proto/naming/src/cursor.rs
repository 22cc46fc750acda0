//! A place in a text, and the error that tells it.

use crate::limits::ERROR_CONTEXT;

/// A text that does not read: what was expected, what was found, where.
///
/// Displays as `EXPECTED expected but FOUND found at line L, column C: 'TEXT'`. TEXT is the line with the offending
/// character in square brackets, or `[]` at the end of input; of a long line only what is near, with `...` for the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The whole message, as displayed.
    pub message: String,
    /// What would have been right.
    pub expected: String,
    /// Byte offset into the text.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Reads a text from left to right, never back. Always stands between two characters.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Whether this byte may stand for itself in a label (naming 1.1).
pub(crate) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'#' | b'$' | b'%' | b'-')
}

/// Unicode whitespace without the non-breaking spaces (naming 1.1).
fn is_space(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

impl<'a> Cursor<'a> {
    /// At the start of a text of at most `limit` bytes.
    pub(crate) fn new(text: &'a str, limit: usize) -> Result<Self, ParseError> {
        if text.len() > limit {
            let at = (0..=limit)
                .rev()
                .find(|i| text.is_char_boundary(*i))
                .unwrap_or(0);
            let found = format!("{} bytes", text.len());
            return Err(Self { text, at }.error(&format!("at most {limit} bytes"), &found));
        }
        Ok(Self { text, at: 0 })
    }

    /// The byte offset.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from an earlier offset to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// The next byte, or 0 at the end. (A NUL in the text fits nothing either, so the two need not be told apart.)
    pub(crate) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Takes one ASCII byte, if it is the next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        debug_assert!(byte.is_ascii() && byte != 0);
        let hit = self.peek() == byte;
        self.at += usize::from(hit);
        hit
    }

    /// Takes one ASCII byte, which must come next; `expected` is for the error.
    pub(crate) fn expect(&mut self, byte: u8, expected: &str) -> Result<(), ParseError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.fail(expected))
        }
    }

    /// Takes all bytes that fit, which must be ASCII.
    pub(crate) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest
            .iter()
            .position(|b| !(b.is_ascii() && fits(*b)))
            .unwrap_or(rest.len());
        self.since(start)
    }

    /// Skips whitespace and comments.
    pub(crate) fn skip_space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            match rest.chars().next() {
                Some('#') => self.at += rest.find('\n').map_or(rest.len(), |i| i + 1),
                Some(c) if is_space(c) => self.at += c.len_utf8(),
                _ => return,
            }
        }
    }

    /// Whether everything was read.
    pub(crate) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// Everything must have been read; `expected` is for the error.
    pub(crate) fn finish(&self, expected: &str) -> Result<(), ParseError> {
        if self.is_done() {
            Ok(())
        } else {
            Err(self.fail(expected))
        }
    }

    /// The error that something else was expected here.
    pub(crate) fn fail(&self, expected: &str) -> ParseError {
        let found = match self.text[self.at..].chars().next() {
            Some(c) if c.is_control() => format!("'{}'", c.escape_default()),
            Some(c) => format!("'{c}'"),
            None => "end of input".to_owned(),
        };
        self.error(expected, &found)
    }

    /// The error that something else was expected at an earlier offset.
    pub(crate) fn fail_at(&self, at: usize, expected: &str) -> ParseError {
        let text = self.text;
        Self { text, at }.fail(expected)
    }

    fn error(&self, expected: &str, found: &str) -> ParseError {
        let (before, after) = self.text.split_at(self.at);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let column = 1 + before[line_start..].chars().count();
        let shown = bracketed(&before[line_start..], after);
        ParseError {
            message: format!(
                "{expected} expected but {found} found at line {line}, column {column}: '{shown}'"
            ),
            expected: expected.to_owned(),
            offset: self.at,
            line,
            column,
        }
    }
}

/// One line, cut around the place between `before` and `after`, with the character there in brackets.
fn bracketed(before: &str, after: &str) -> String {
    let mut out = String::new();
    let skipped = before.chars().count().saturating_sub(ERROR_CONTEXT);
    if skipped > 0 {
        out.push_str("...");
    }
    let mut push = |text: &str| {
        for c in text.chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
    };
    let here = after.chars().next().map_or(0, char::len_utf8);
    let rest = after[here..].lines().next().unwrap_or_default();
    let rest = if after.starts_with('\n') { "" } else { rest };
    let cut = rest
        .char_indices()
        .nth(ERROR_CONTEXT)
        .map_or(rest.len(), |(i, _)| i);
    let before_start = before
        .char_indices()
        .nth(skipped)
        .map_or(before.len(), |(i, _)| i);
    push(&before[before_start..]);
    push("[");
    push(&after[..here]);
    push("]");
    push(&rest[..cut]);
    if cut < rest.len() {
        push("...");
    }
    out
}
