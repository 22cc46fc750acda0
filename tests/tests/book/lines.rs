//! Whether an output is what a page shows.

/// Something within a line.
const WITHIN: &str = "[..]";
/// Any lines.
const ANY: &str = "...";

/// Whether the lines match the shown ones. Blanks at the end of a line do not count.
pub(crate) fn match_all(shown: &[String], said: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return said.is_empty();
    };
    if first.trim_end() == ANY {
        return (0..=said.len()).any(|n| match_all(rest, &said[n..]));
    }
    let Some((line, others)) = said.split_first() else {
        return false;
    };
    match_line(first.trim_end(), line.trim_end()) && match_all(rest, others)
}

fn match_line(shown: &str, said: &str) -> bool {
    let Some((before, rest)) = shown.split_once(WITHIN) else {
        return shown == said;
    };
    let Some(said) = said.strip_prefix(before) else {
        return false;
    };
    let ends = said.char_indices().map(|(i, _)| i).chain([said.len()]);
    ends.into_iter().any(|i| match_line(rest, &said[i..]))
}

#[test]
fn placeholders_stand_for_anything_else_does_not() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let is = |shown: &str, said: &str| match_all(&lines(shown), &lines(said));
    assert!(is("a\nb", "a \nb"));
    assert!(is("took [..] ms, [..]", "took 12 ms, then 3"));
    assert!(is("a\n...\nz", "a\nb\nc\nz") && is("...", "") && is("a\n...", "a"));
    assert!(!is("a", "a\nb") && !is("a\nb", "a") && !is("", "a"));
    assert!(!is("took [..] ms", "took 12 s") && !is("...\nz", "a\nb"));
}
