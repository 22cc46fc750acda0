//! What a query of Prometheus asks for, as far as it can be checked against the tables: which series, by which labels.
//!
//! No parser of the language: Prometheus itself says whether a query is one. This finds selectors and groupings in one that is.

use std::collections::BTreeSet;

use super::names::{Names, TARGET};

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Each selector: a name and the labels that are matched.
    pub series: Vec<(String, Vec<String>)>,
    /// Labels that are grouped by or joined on.
    pub grouped: Vec<String>,
}

/// Words that are neither series nor functions.
const WORDS: [&str; 8] = [
    "and", "or", "unless", "bool", "offset", "atan2", "inf", "nan",
];
/// Words before a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Every series and label of a query must be in the tables.
///
/// # Errors
/// What is not.
pub fn check(query: &str, names: &Names) -> Result<(), String> {
    let asked = asked(query)?;
    let mut all: BTreeSet<&str> = TARGET.into();
    for (name, matched) in &asked.series {
        let labels = names.labels(name);
        let labels = labels.ok_or_else(|| format!("no table has {name}: {query}"))?;
        all.extend(labels);
        let is_known = |label: &str| labels.contains(label) || TARGET.contains(&label);
        if let Some(label) = matched.iter().find(|label| !is_known(label)) {
            return Err(format!("{name} has no label {label}: {query}"));
        }
    }
    match asked
        .grouped
        .iter()
        .find(|label| !all.contains(label.as_str()))
    {
        Some(label) => Err(format!("nothing here has a label {label}: {query}")),
        None if asked.series.is_empty() => Err(format!("it asks for nothing: {query}")),
        None => Ok(()),
    }
}

/// Finds what a query asks for.
///
/// # Errors
/// Something is not closed.
pub fn asked(query: &str) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        if c == '[' {
            rest = behind(rest, ']')?;
        } else if c == '"' || c == '\'' {
            rest = behind_text(rest)?;
        } else if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            let (word, after) = word(rest);
            rest = take(&mut asked, word, after)?;
        } else if c.is_ascii_digit() {
            // A number or a time such as 5m.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(asked)
}

fn take<'a>(asked: &mut Asked, word: &str, after: &'a str) -> Result<&'a str, String> {
    let next = after.trim_start();
    if LISTS.contains(&word) {
        let Some(list) = next.strip_prefix('(') else {
            return Ok(after);
        };
        let (list, rest) = list.split_once(')').ok_or("( without )")?;
        let labels = list.split(',').map(str::trim).filter(|l| !l.is_empty());
        asked.grouped.extend(labels.map(str::to_owned));
        return Ok(rest);
    }
    if WORDS.contains(&word.to_ascii_lowercase().as_str()) || is_call(next) {
        return Ok(after);
    }
    let Some(mut rest) = next.strip_prefix('{') else {
        asked.series.push((word.to_owned(), Vec::new()));
        return Ok(after);
    };
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\n']);
        if let Some(rest) = rest.strip_prefix('}') {
            asked.series.push((word.to_owned(), labels));
            return Ok(rest);
        }
        let (label, after) = self::word(rest);
        if label.is_empty() {
            return Err(format!("no label at {rest:?}"));
        }
        labels.push(label.to_owned());
        rest = behind_text(after.trim_start_matches(['=', '!', '~', ' ']))?;
    }
}

/// A function, or an aggregation: `(` or `by (` follows.
fn is_call(next: &str) -> bool {
    let (word, after) = word(next);
    next.starts_with('(')
        || ["by", "without"].contains(&word) && after.trim_start().starts_with('(')
}

fn word(text: &str) -> (&str, &str) {
    let is_in = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split_at(text.find(|c| !is_in(c)).unwrap_or(text.len()))
}

fn behind(text: &str, end: char) -> Result<&str, String> {
    let found = text.split_once(end).map(|(_, rest)| rest);
    found.ok_or_else(|| format!("no {end} in {text:?}"))
}

/// What follows a quoted text.
fn behind_text(text: &str) -> Result<&str, String> {
    let mut chars = text.char_indices();
    let quote = chars
        .next()
        .map(|(_, c)| c)
        .filter(|c| ['"', '\''].contains(c));
    let quote = quote.ok_or_else(|| format!("no text at {text:?}"))?;
    let mut is_escaped = false;
    for (at, c) in chars {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Ok(&text[at + 1..]),
            _ => {}
        }
    }
    Err(format!("a text does not end: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(query: &str) -> Vec<String> {
        let asked = asked(query).expect("it reads");
        asked.series.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn selectors_are_told_from_functions_words_labels_and_texts() {
        let query = r#"sum by (rt, service) (rate(rt:service:failures{exception="", rt=~"a\"}b"}[5m] offset 1h)) > 0.5 and on(rt) up or vector(1) * 60"#;
        let asked = asked(query).expect("it reads");
        let failures = (
            "rt:service:failures".to_owned(),
            vec!["exception".to_owned(), "rt".to_owned()],
        );
        assert_eq!(asked.series, [failures, ("up".to_owned(), Vec::new())]);
        assert_eq!(asked.grouped, ["rt", "service", "rt"]);
        assert_eq!(series("sum(a) by (x) / ignoring (x) b"), ["a", "b"]);
        assert_eq!(series("topk(5, a{})"), ["a"]);
    }

    #[test]
    fn what_the_tables_do_not_have_is_named() {
        let names = Names::all();
        let error = |query| check(query, &names).expect_err("it is refused");
        assert_eq!(
            check(r#"rt:server:requests{rt="a", node="b"}"#, &names),
            Ok(())
        );
        assert!(error("rt:server:request").contains("no table has rt:server:request"));
        assert!(error("rt:server:requests{service=\"a\"}").contains("no label service"));
        assert!(error("sum by (client) (rt:server:requests)").contains("a label client"));
        assert!(error("vector(1)").contains("asks for nothing"));
        assert!(error("rt:server:requests{rt=\"a}").contains("does not end"));
    }
}
