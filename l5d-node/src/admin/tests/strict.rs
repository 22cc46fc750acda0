//! A reader of the Prometheus text format that takes nothing but what the format's paper allows.

use std::collections::{BTreeMap, HashSet};

/// By name, in order: type, help, and each line's full name, labels and value.
pub(super) type Families = BTreeMap<String, Family>;

#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) lines: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// Reads a page; panics with the line that is wrong.
pub(super) fn read(text: &str) -> Families {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut families = Families::new();
    let mut series = HashSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(is_name(name) && !text.is_empty(), "{line}");
            name.clone_into(&mut current);
            let new = families.insert(current.clone(), Family::default());
            assert!(new.is_none(), "{line}: a group must not come twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, current, "{line}: help comes first");
            assert!(
                ["counter", "gauge", "summary", "histogram"].contains(&kind),
                "{line}"
            );
            let family = families.get_mut(name).expect("opened by its help");
            assert!(family.kind.is_empty() && family.lines.is_empty(), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect("in a group");
            assert!(
                belongs(&name, &current, &family.kind),
                "{line} in {current}"
            );
            assert!(
                series.insert((name.clone(), labels.clone())),
                "{line}: twice"
            );
            family.lines.push((name, labels, value));
        }
    }
    families
}

fn belongs(name: &str, family: &str, kind: &str) -> bool {
    let end = name.strip_prefix(family).unwrap_or("-");
    match kind {
        "summary" => ["", "_sum", "_count"].contains(&end),
        "histogram" => ["_bucket", "_sum", "_count"].contains(&end),
        _ => end.is_empty(),
    }
}

fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(is_good) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(
                is_name(label.trim_start()) && !label.contains(':'),
                "{line}"
            );
            let (value, after) = quoted(after, line);
            let new = labels.insert(label.trim_start().to_owned(), value);
            assert!(new.is_none(), "{line}: a label twice");
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').expect(line);
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    (name.to_owned(), labels, value.parse().expect(line))
}

/// A label value up to its quote, and what stands behind it.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next().expect(line) {
            '"' => return (value, chars.as_str()),
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("{line}: escape {other:?}"),
            }),
            c => value.push(c),
        }
    }
}
