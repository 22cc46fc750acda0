//! The tables say what the readers do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// Documented keys by the pattern of their place.
fn documented(program: &Program) -> BTreeMap<String, &'static Key> {
    let mut all = BTreeMap::new();
    for group in program.groups {
        for place in program.places(group).expect("places") {
            for key in group.keys {
                let place = join(&place, key.name);
                assert!(
                    all.insert(place.clone(), key).is_none(),
                    "{place} stands twice"
                );
            }
        }
    }
    all
}

/// A `kind` is documented by the kinds in the places, and items of lists by their list.
fn needs_no_words(pattern: &str) -> bool {
    pattern.ends_with(".kind") || pattern.ends_with("[]")
}

fn every_key_that_is_read_is_documented(program: &Program) {
    let questions = program.questions().expect("samples are read");
    let documented = documented(program);
    let missing: Vec<_> = questions
        .keys
        .keys()
        .filter(|pattern| !needs_no_words(pattern) && !documented.contains_key(*pattern))
        .collect();
    assert!(
        missing.is_empty(),
        "{}: say what these keys mean in tools/reference/src/keys: {missing:#?}",
        program.name
    );
    let gone: Vec<_> = documented
        .keys()
        .filter(|pattern| !questions.keys.contains_key(*pattern))
        .collect();
    assert!(
        gone.is_empty(),
        "{}: these are not read (or no sample of tools/reference/src/keys/samples leads there): {gone:#?}",
        program.name
    );
}

/// Else a part of the file could have keys that nobody has been asked about.
fn samples_have_everything(program: &Program) {
    let questions = program.questions().expect("samples are read");
    for (place, (known, had)) in &questions.kinds {
        let missing: Vec<_> = known.iter().filter(|k| !had.contains(*k)).collect();
        assert!(
            missing.is_empty(),
            "{}: no sample has at {place} the kinds {missing:?}",
            program.name
        );
    }
    for (pattern, asked) in &questions.keys {
        let has_more = asked.takes.contains("a map") || asked.takes.contains("a list");
        assert!(
            !has_more || asked.is_present,
            "{}: no sample has {pattern}",
            program.name
        );
    }
}

/// A default that is written as a value is what a file without the key comes to.
fn defaults_are_those_of_the_code(program: &Program) {
    let (mut tried, mut wrong) = (0, Vec::new());
    let samples = program.samples.iter();
    let samples: Vec<Value> = samples
        .map(|text| serde_saphyr::from_str(text).expect("YAML"))
        .collect();
    for (pattern, key) in documented(program) {
        let default = key.default.strip_prefix('`');
        let Some(default) = default.and_then(|d| d.strip_suffix('`')) else {
            continue;
        };
        // Where it holds by name, the entries before it count.
        if pattern.contains("{io.l5d.static}.configs[]") {
            continue;
        }
        let default: Value = serde_saphyr::from_str(default).expect("a value");
        match is_default(program, &samples, &pattern, key.name, &default) {
            Some(true) => tried += 1,
            Some(false) => wrong.push(format!("{pattern}: {default}")),
            None => wrong.push(format!("{pattern}: no sample takes it")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{}: a file without the key comes to something else: {wrong:#?}",
        program.name
    );
    assert!(tried > 50, "{}: only {tried} defaults", program.name);
}

/// Whether a file is the same with this value of a key and without it; `None` if no sample takes the value.
fn is_default(
    program: &Program,
    samples: &[Value],
    pattern: &str,
    key: &str,
    default: &Value,
) -> Option<bool> {
    let place = pattern.strip_suffix(key)?.trim_end_matches('.');
    for sample in samples {
        let mut found = Vec::new();
        find(sample, &steps(place), "", &mut found);
        for at in found {
            let (sample, at) = alone(sample, &at);
            let read = |value: Option<&Value>| {
                let mut sample = sample.clone();
                let section = sample.pointer_mut(&at)?.as_object_mut()?;
                match value {
                    Some(value) => section.insert(key.to_owned(), value.clone()),
                    None => section.remove(key),
                };
                let read = (program.ask)(&sample.to_string());
                read.ok().map(|(config, _)| config)
            };
            if let (Some(without), Some(with)) = (read(None), read(Some(default))) {
                return Some(without == with);
            }
        }
    }
    None
}

/// A file with only that router that the pointer leads into, and the pointer there: it is read faster.
fn alone(file: &Value, at: &str) -> (Value, String) {
    let mut file = file.clone();
    let parts: Vec<&str> = at.split('/').collect();
    if let [_, list @ "routers", index, rest @ ..] = &parts[..]
        && let Ok(index) = index.parse::<usize>()
        && let Some(items) = file.get_mut(*list).and_then(Value::as_array_mut)
    {
        items.swap(0, index);
        items.truncate(1);
        let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
        return (file, format!("/{list}/0{rest}"));
    }
    (file, at.to_owned())
}

/// `a[]{kind}.b` as `a`, `[]`, `{kind}`, `b`. Kinds have dots.
fn steps(place: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut rest = place;
    while !rest.is_empty() {
        let end = match rest.as_bytes()[0] {
            b'[' => 2,
            b'{' => rest.find('}').expect("its end") + 1,
            b'.' => {
                rest = &rest[1..];
                continue;
            }
            _ => rest.find(['.', '[', '{']).unwrap_or(rest.len()),
        };
        steps.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    steps
}

/// JSON pointers to all sections at a place.
fn find(value: &Value, steps: &[String], at: &str, found: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        if value.is_object() {
            found.push(at.to_owned());
        }
        return;
    };
    if step == "[]" {
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            find(item, rest, &format!("{at}/{i}"), found);
        }
    } else if let Some(kind) = step.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
        if value.get("kind").is_some_and(|k| k == kind) {
            find(value, rest, at, found);
        }
    } else if let Some(value) = value.get(step.as_str()) {
        find(value, rest, &format!("{at}/{step}"), found);
    }
}

#[test]
fn keys_of_the_node() {
    every_key_that_is_read_is_documented(&NODE);
    samples_have_everything(&NODE);
    defaults_are_those_of_the_code(&NODE);
}

#[test]
fn keys_of_namerd() {
    every_key_that_is_read_is_documented(&NAMERD);
    samples_have_everything(&NAMERD);
    defaults_are_those_of_the_code(&NAMERD);
}

#[test]
fn places_come_apart() {
    assert_eq!(
        steps("a[]{io.l5d.x}.b"),
        ["a", "[]", "{io.l5d.x}", "b"].map(str::to_owned)
    );
}
