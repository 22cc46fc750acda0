//! The law of the report: every key of the input is in the output with its value, or the report says what became of it.

use crate::migrate::input::{self, Input};
use crate::migrate::report::{Fate, Finding};
use crate::migrate::tree::{Document, Node, Value};
use crate::migrate::write::Output;
use crate::migrate::{Made, migrate, parse};

use super::{args, examples};

/// All scalars below a node, with their way there.
fn leaves(node: &Node, name: &str, found: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Scalar(scalar) => found.push((name.to_owned(), scalar.text.trim_end().to_owned())),
        Value::List(_) | Value::Map(_) => {
            for (i, slot) in node.slots().iter().enumerate().filter(|(_, s)| !s.is_off) {
                let name = match &slot.key {
                    Some(key) if name.is_empty() => key.clone(),
                    Some(key) => format!("{name}.{key}"),
                    None => format!("{name}[{i}]"),
                };
                leaves(&slot.node, &name, found);
            }
        }
    }
}

fn all(node: &Node) -> Vec<(String, String)> {
    let mut found = Vec::new();
    leaves(node, "", &mut found);
    found
}

/// Whether a finding is about a key or what it stands below.
fn is_about(finding: &Finding, key: &str) -> bool {
    let rest = key.strip_prefix(finding.key.as_str());
    rest.is_some_and(|r| finding.key.is_empty() || r.is_empty() || r.starts_with(['.', '[']))
}

fn roots(made: &Made, ending: &str) -> Vec<Node> {
    let outputs = made.outputs.iter().filter(|o| o.name.ends_with(ending));
    let read = outputs.flat_map(|o| parse::documents(&o.text, 1).expect("YAML"));
    read.map(|d: Document| d.root).collect()
}

/// `namers[3].port` is `namers[].port`: items of these lists may have moved.
fn without_index(key: &str) -> String {
    let is_list = ["namers[", "interfaces[", "telemetry["]
        .iter()
        .any(|l| key.starts_with(l));
    match (key.find('['), key.find(']')) {
        (Some(a), Some(b)) if is_list => format!("{}[]{}", &key[..a], &key[b + 1..]),
        _ => key.to_owned(),
    }
}

/// Checks the law for all configurations of some files; how many keys they have.
fn nothing_is_lost(inputs: &[Input]) -> usize {
    let made = migrate(inputs, &args()).expect("it migrates");
    let configs = roots(&made, "node.yaml")
        .into_iter()
        .chain(roots(&made, "namerd.yaml"));
    let kept: Vec<(String, String)> = configs.flat_map(|r| all(&r)).collect();
    let is_kept = |key: &str, value: &str| {
        let key = without_index(key);
        kept.iter()
            .any(|(k, v)| without_index(k) == key && v == value)
    };
    let mut checked = 0;
    for config in input::find(inputs) {
        for (key, value) in all(&config.root)
            .into_iter()
            .filter(|(k, v)| !is_kept(k, v))
        {
            let file = &inputs[config.input].name;
            // That a namer moved is no excuse for what it lost on the way.
            let mut about = made.report.findings.iter().filter(|f| {
                f.file == *file
                    && f.object == config.object
                    && f.fate != Fate::Moved
                    && is_about(f, &key)
            });
            let first = about.next().map(|f| f.fate);
            assert!(
                first.is_some(),
                "{file}: {key}: {value} is lost\n{}",
                made.report.text(&[])
            );
            let line = value.lines().next().unwrap_or_default();
            let has = |o: &Output| {
                o.text
                    .lines()
                    .any(|l| l.trim_start().starts_with('#') && l.contains(line))
            };
            let is_comment = first != Some(Fate::NotYet) || made.outputs.iter().any(has);
            assert!(is_comment, "{file}: {key}: {value} is no comment");
        }
        checked += all(&config.root).len();
    }
    checked
}

#[test]
fn every_key_of_a_configuration_is_kept_or_reported() {
    let count = |file: &String| nothing_is_lost(&[input::read(file).expect("it is YAML")]);
    let checked: usize = examples().iter().map(count).sum();
    assert!(
        checked > 400 || examples().is_empty(),
        "only {checked} keys were looked at"
    );
}

/// Every key that Linkerd 1.7.5 knows (node-proxy 2 to 7 and 12 to 15, control plane 3 and 12).
#[test]
fn every_known_key_is_kept_or_reported_and_the_rest_loads() {
    for (name, text) in [
        ("linkerd.yaml", super::sink::LINKERD),
        ("namerd.yml", super::sink::NAMERD),
    ] {
        let stem = name.split('.').next().expect("a stem").to_owned();
        let inputs = [input::input(name, stem, name.to_owned(), text).expect("it is YAML")];
        assert!(nothing_is_lost(&inputs) > 60, "{name}");
        let made = migrate(&inputs, &args()).expect("it migrates");
        let decide = made
            .report
            .findings
            .iter()
            .filter(|f| f.fate == Fate::Decide);
        let decide: Vec<&str> = decide.map(|f| f.message.as_str()).collect();
        // ZooKeeper's dtabs are for people to move.
        let is_fine = |m: &&str| m.contains("the dtabs in this store are not moved");
        assert!(
            decide.iter().all(is_fine),
            "{name}: {decide:?}\n{}",
            made.outputs[0].text
        );
        assert_eq!(
            decide.len(),
            usize::from(name == "namerd.yml"),
            "{decide:?}"
        );
    }
}

#[test]
fn every_key_of_an_object_is_kept_or_reported() {
    for file in examples() {
        let inputs = [input::read(&file).expect("it is YAML")];
        let made = migrate(&inputs, &args()).expect("it migrates");
        let name = &inputs[0].base;
        let new: Vec<Node> = roots(&made, name);
        let configs = input::find(&inputs);
        for (d, document) in inputs[0].documents.iter().enumerate() {
            let object = input::object_name(&document.root);
            let twin = new.iter().find(|n| input::object_name(n) == object);
            let twin = twin.unwrap_or_else(|| panic!("{file}: {object} is gone"));
            let kept = all(twin);
            for (key, value) in all(&document.root) {
                let is_config = configs.iter().any(|c| {
                    c.document == d
                        && c.data_key
                            .as_ref()
                            .is_some_and(|k| key == format!("data.{k}"))
                });
                let is_kept = kept.contains(&(key.clone(), value.clone()));
                let is_told = made
                    .report
                    .findings
                    .iter()
                    .any(|f| f.object == object && is_about(f, &key));
                assert!(
                    is_config || is_kept || is_told,
                    "{file}: {object} {key}: {value} is lost"
                );
            }
        }
    }
}
