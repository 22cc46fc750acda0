//! [`Node`]s to YAML for people: block style, two blanks a level, comments where they were.

use super::tree::{Node, Place, Scalar, Slot, Style, Value};

/// Text, and what stands on each of its lines.
#[derive(Debug, Default)]
pub(crate) struct Emitted {
    lines: Vec<String>,
    /// The innermost slot that begins on the line.
    places: Vec<Option<Place>>,
}

/// Writes a node with comments behind it.
pub(crate) fn document(root: &Node, tail: &[String]) -> Emitted {
    let mut emitted = Emitted::default();
    match &root.value {
        Value::Scalar(_) => emitted.push(inline(root).unwrap_or_default(), None),
        _ if is_empty(root) => {
            emitted.off_only(root, 0);
            emitted.push(brackets(root).to_owned(), None);
        }
        _ => emitted.slots(root, 0, &mut Vec::new()),
    }
    for comment in tail {
        emitted.push(comment.clone(), None);
    }
    emitted
}

impl Emitted {
    /// The whole text, with a newline at its end.
    pub(crate) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }

    /// What begins on a line (from 1), or on the nearest one above it.
    pub(crate) fn place(&self, line: usize) -> Option<&Place> {
        let upto = line.min(self.places.len());
        self.places[..upto].iter().rev().find_map(Option::as_ref)
    }

    fn push(&mut self, line: String, place: Option<&Place>) {
        self.lines.push(line);
        self.places.push(place.cloned());
    }

    fn slots(&mut self, node: &Node, indent: usize, place: &mut Place) {
        for (i, slot) in node.slots().iter().enumerate() {
            place.push(i);
            if slot.is_apart && !self.lines.is_empty() {
                self.push(String::new(), None);
            }
            if slot.is_off {
                self.off(slot, indent);
            } else {
                self.comments(slot, indent);
                self.slot(slot, indent, place);
            }
            for comment in &slot.below {
                self.push(format!("{:indent$}{comment}", ""), None);
            }
            place.pop();
        }
    }

    fn comments(&mut self, slot: &Slot, indent: usize) {
        for comment in &slot.above {
            self.push(format!("{:indent$}{comment}", ""), None);
        }
    }

    /// A slot that is not in force, as comment lines.
    fn off(&mut self, slot: &Slot, indent: usize) {
        let mut inner = Emitted::default();
        let mut shown = slot.clone();
        shown.is_off = false;
        shown.above.clear();
        inner.slot(&shown, 0, &mut vec![0]);
        self.comments(slot, indent);
        for line in inner.lines {
            let line = format!("{:indent$}# {line}", "");
            self.push(line.trim_end().to_owned(), None);
        }
    }

    /// All slots of a node whose slots are all off.
    fn off_only(&mut self, node: &Node, indent: usize) {
        for slot in node.slots() {
            self.off(slot, indent);
        }
    }

    fn slot(&mut self, slot: &Slot, indent: usize, place: &mut Place) {
        let head = match &slot.key {
            Some(key) => format!("{:indent$}{}:", "", key_text(key)),
            None => format!("{:indent$}-", ""),
        };
        let beside = slot
            .beside
            .as_ref()
            .map_or(String::new(), |b| format!(" {b}"));
        if let Value::Scalar(scalar) = &slot.node.value {
            self.scalar(&head, scalar, &beside, indent, place);
            return;
        }
        if is_empty(&slot.node) {
            if slot.key.is_some() {
                self.off_only(&slot.node, indent);
            }
            let line = format!("{head} {}{beside}", brackets(&slot.node));
            self.push(line, Some(place));
            return;
        }
        if let Some(words) = flow(&slot.node) {
            self.push(format!("{head} {words}{beside}"), Some(place));
            return;
        }
        if slot.key.is_some() {
            self.push(format!("{head}{beside}"), Some(place));
            let deeper = if slot.node.is_map() {
                indent + 2
            } else {
                indent
            };
            self.slots(&slot.node, deeper, place);
            return;
        }
        self.item(&slot.node, &head, indent, place);
    }

    /// A list or map that is an item: its first line goes behind the dash.
    fn item(&mut self, node: &Node, head: &str, indent: usize, place: &mut Place) {
        let mut inner = Emitted::default();
        inner.slots(node, indent + 2, place);
        let first = inner.places.iter().position(Option::is_some);
        let Some(first) = first else { return };
        for (i, (line, at)) in inner.lines.into_iter().zip(inner.places).enumerate() {
            if i == first {
                self.push(format!("{head} {}", line.trim_start()), at.as_ref());
            } else {
                self.push(line, at.as_ref());
            }
        }
    }

    fn scalar(&mut self, head: &str, scalar: &Scalar, beside: &str, indent: usize, place: &Place) {
        if scalar.style == Style::Block && is_block(&scalar.text) {
            let end = match scalar
                .text
                .bytes()
                .rev()
                .take_while(|b| *b == b'\n')
                .count()
            {
                0 => "-",
                1 => "",
                _ => "+",
            };
            self.push(format!("{head} |{end}{beside}"), Some(place));
            let body = scalar.text.strip_suffix('\n').unwrap_or(&scalar.text);
            for line in body.split('\n') {
                let deeper = indent + 2;
                let line = if line.is_empty() {
                    String::new()
                } else {
                    format!("{:deeper$}{line}", "")
                };
                self.push(line, None);
            }
            return;
        }
        let text = shown(scalar);
        let gap = if text.is_empty() { "" } else { " " };
        self.push(format!("{head}{gap}{text}{beside}"), Some(place));
    }
}

fn is_empty(node: &Node) -> bool {
    node.slots().iter().all(|s| s.is_off)
}

fn brackets(node: &Node) -> &'static str {
    if node.is_map() { "{}" } else { "[]" }
}

fn inline(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) => Some(shown(scalar)),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// A short list of words on one line, if it was or is to be written so.
fn flow(node: &Node) -> Option<String> {
    let is_bare =
        |s: &Slot| s.above.is_empty() && s.below.is_empty() && s.beside.is_none() && !s.is_off;
    if !node.is_flow || node.is_map() || !node.slots().iter().all(is_bare) {
        return None;
    }
    let words: Option<Vec<String>> = node.slots().iter().map(|s| inline(&s.node)).collect();
    let text = format!("[{}]", words?.join(", "));
    (text.len() < 100).then_some(text)
}

/// Whether a block shows the text as it is.
fn is_block(text: &str) -> bool {
    let is_shown = |c: char| !c.is_control() || c == '\n' || c == '\t';
    !text.is_empty()
        && !text.starts_with([' ', '\t', '\n'])
        && text.trim_end_matches('\n').len() + 1 >= text.len()
        && text.chars().all(is_shown)
}

fn shown(scalar: &Scalar) -> String {
    match scalar.style {
        Style::Plain => scalar.text.clone(),
        Style::Single if !scalar.text.contains('\n') => {
            format!("'{}'", scalar.text.replace('\'', "''"))
        }
        // YAML takes the strings of JSON.
        _ => serde_json::Value::from(scalar.text.as_str()).to_string(),
    }
}

fn key_text(key: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let is_number = key.parse::<f64>().is_ok();
    if !key.is_empty() && key.chars().all(is_word) && !key.starts_with('-') && !is_number {
        key.to_owned()
    } else {
        serde_json::Value::from(key).to_string()
    }
}
