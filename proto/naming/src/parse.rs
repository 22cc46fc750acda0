//! The one parser: a cursor over the text, shared by paths, prefixes, trees and dtabs.

/// A text that does not read: what was expected, what was found, where.
///
/// Displays as `EXPECTED expected but FOUND found at line L, column C: 'TEXT'`, with the offending character of the line
/// in square brackets, or `[]` at its end.
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
