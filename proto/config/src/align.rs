//! From a place in a scalar's content to the place in the file.
//!
//! YAML drops indentation, folds lines and decodes escapes, but keeps what is not white space in order. So a place is found
//! by counting the characters that are not white space in front of it.

use crate::source::Spot;

/// The byte of `source` where the byte `offset` of the scalar's `content` stands. `spot` is the scalar's, `escapes` says
/// whether a backslash begins an escape there.
pub(crate) fn locate(source: &str, spot: Spot, content: &str, offset: usize) -> usize {
    let raw = &source[spot.start.min(source.len())..spot.end.min(source.len())];
    let (skip, escapes) = opening(raw);
    let before = content.get(..offset).unwrap_or(content);
    let wanted = before.chars().filter(|c| !c.is_whitespace()).count();
    let is_at_char = content
        .get(offset..)
        .and_then(|rest| rest.chars().next())
        .is_some_and(|c| !c.is_whitespace());
    let mut seen = 0;
    let mut end_of_last = skip;
    let mut rest = skip;
    while rest < raw.len() {
        let (len, is_visible) = unit(&raw[rest..], escapes);
        if is_visible {
            if seen == wanted && is_at_char {
                return spot.start + rest;
            }
            if seen == wanted {
                break;
            }
            seen += 1;
            end_of_last = rest + len;
        }
        rest += len;
    }
    spot.start + end_of_last.min(raw.len())
}

/// How many bytes stand before the content, and whether it has escapes.
fn opening(raw: &str) -> (usize, bool) {
    match raw.as_bytes().first() {
        Some(b'"') => (1, true),
        Some(b'\'') => (1, false),
        Some(b'|' | b'>') => (raw.find('\n').map_or(raw.len(), |i| i + 1), false),
        _ => (0, false),
    }
}

/// Length of one character as written, and whether it is visible in the content.
fn unit(rest: &str, escapes: bool) -> (usize, bool) {
    let mut chars = rest.chars();
    let Some(c) = chars.next() else {
        return (1, false);
    };
    if !(escapes && c == '\\') {
        return (c.len_utf8(), !c.is_whitespace());
    }
    match chars.next() {
        Some('x') => (4, true),
        Some('u') => (6, true),
        Some('U') => (10, true),
        Some('n' | 'r' | 't' | 'v' | ' ' | '_' | 'N' | 'L' | 'P' | '\n' | '\r') => (2, false),
        Some(c) => (1 + c.len_utf8(), true),
        None => (1, false),
    }
}
