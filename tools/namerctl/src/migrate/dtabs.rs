//! Dtabs that the input stores somewhere: namerd's memory, DTab objects, and scripts that call `namerctl dtab create`.

use l5d_naming::Dtab;

use super::input::{Found, Input, Program, object_name};
use super::linkerd::StoredDtab;
use super::report::{Fate, Report};
use super::tree::{Node, Style, Value};

/// All dtabs found, one for each namespace; the first of a name counts.
pub(crate) fn find(inputs: &[Input], found: &[Found], report: &mut Report) -> Vec<StoredDtab> {
    let mut dtabs: Vec<StoredDtab> = Vec::new();
    for config in found.iter().filter(|f| f.program == Program::Namerd) {
        let input = &inputs[config.input];
        let of = in_memory(&config.root);
        add(&mut dtabs, of, &input.name, &config.object, report);
    }
    for input in inputs {
        for document in &input.documents {
            let object = object_name(&document.root);
            let of = match document.root.word("kind") {
                Some("DTab" | "Dtab") => dtab_object(&document.root).into_iter().collect(),
                Some("ConfigMap") => scripts(&document.root),
                _ => Vec::new(),
            };
            add(&mut dtabs, of, &input.name, &object, report);
        }
    }
    dtabs
}

fn add(
    dtabs: &mut Vec<StoredDtab>,
    of: Vec<StoredDtab>,
    file: &str,
    object: &str,
    report: &mut Report,
) {
    for dtab in of {
        let key = format!("dtab {}", dtab.namespace);
        let mut noter = report.noter(file, object);
        if let Err(error) = Dtab::parse(&dtab.text) {
            let message = format!("this dtab cannot be read: {error}");
            let help = "correct it in the file below dtabs/ before it is stored";
            noter.note(Fate::Decide, dtab.line, &key, message, Some(help));
        }
        if dtabs.iter().any(|d| d.namespace == dtab.namespace) {
            let message = "a namespace of this name was found before; this one is left out";
            noter.note(Fate::Decide, dtab.line, &key, message, None);
            continue;
        }
        let message = format!("also written to dtabs/{}.dtab", dtab.namespace);
        noter.note(Fate::Note, dtab.line, &key, message, None);
        dtabs.push(dtab);
    }
}

fn in_memory(root: &Node) -> Vec<StoredDtab> {
    let namespaces = root.at(&["storage", "namespaces"]);
    let slots = namespaces.map_or(&[][..], Node::slots);
    let dtab = |slot: &super::tree::Slot| {
        Some(StoredDtab {
            namespace: slot.key.clone()?,
            text: slot.node.str()?.to_owned(),
            line: slot.line,
        })
    };
    slots.iter().filter_map(dtab).collect()
}

fn dtab_object(root: &Node) -> Option<StoredDtab> {
    let name = root.at(&["metadata", "name"])?.str()?;
    let entries = root.slot("dentries")?;
    let mut text = String::new();
    for entry in entries.node.items() {
        let (prefix, dst) = (entry.node.word("prefix")?, entry.node.word("dst")?);
        for comment in &entry.above {
            text.push_str(&format!("{comment}\n"));
        }
        text.push_str(&format!("{prefix} => {dst} ;\n"));
    }
    Some(StoredDtab {
        namespace: name.to_owned(),
        text,
        line: entries.line,
    })
}

/// `echo "DTAB" | namerctl dtab create NAMESPACE -` in scripts of a ConfigMap.
fn scripts(root: &Node) -> Vec<StoredDtab> {
    const CALL: &str = "namerctl dtab create ";
    let mut dtabs = Vec::new();
    for slot in root.get("data").map_or(&[][..], Node::slots) {
        let Value::Scalar(scalar) = &slot.node.value else {
            continue;
        };
        let first = slot.line + usize::from(scalar.style == Style::Block);
        for (at, _) in scalar.text.match_indices(CALL) {
            let mut words = scalar.text[at + CALL.len()..].split_whitespace();
            let (Some(namespace), Some("-")) = (words.next(), words.next()) else {
                continue;
            };
            let before = &scalar.text[..at];
            let Some(begin) = before.rfind("echo \"").map(|i| i + "echo \"".len()) else {
                continue;
            };
            let Some(end) = before[begin..].find('"').map(|i| i + begin) else {
                continue;
            };
            if before[end + 1..].trim() != "|" {
                continue;
            }
            dtabs.push(StoredDtab {
                namespace: namespace.to_owned(),
                text: outdented(&before[begin..end]),
                line: first + before[..begin].matches('\n').count(),
            });
        }
    }
    dtabs
}

/// Lines without the blanks that all of them begin with, and without empty ones around them.
pub(crate) fn outdented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().map(indent).min().unwrap_or(0);
    lines.iter().map(|l| format!("{}\n", &l[least..])).collect()
}
