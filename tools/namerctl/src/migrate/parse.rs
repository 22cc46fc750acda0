//! YAML or JSON text to [`Document`]s, comments included.
//!
//! Aliases are written out; tags other than the plain ones are refused, as the programs refuse them. Bounds as in
//! [`l5d_config::limits`].

use std::collections::HashMap;

use anyhow::bail;
use granit_parser::{Event, Parser, ScalarStyle, Span};
use l5d_config::limits;

use super::tree::{Document, Node, Scalar, Slot, Style, Value, is_plain};

/// Reads all documents of a text. `first_line` is the line of the file on which the text begins.
pub(crate) fn documents(text: &str, first_line: usize) -> anyhow::Result<Vec<Document>> {
    if text.len() > limits::FILE_BYTES {
        bail!("longer than {} bytes", limits::FILE_BYTES);
    }
    let mut builder = Builder::new(text, first_line);
    for next in Parser::new_from_str(text) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(e) => {
                let at = e.marker().byte_offset().unwrap_or(text.len());
                bail!("line {}: this is not YAML: {}", builder.line(at), e.info());
            }
        };
        builder.event(event, span)?;
    }
    Ok(builder.documents())
}

struct Builder<'a> {
    text: &'a str,
    first_line: usize,
    /// Where each line begins.
    lines: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    /// Parts of the text that scalars take: no comment can stand there.
    scalars: Vec<(usize, usize)>,
    /// Where each document's text begins, and its root.
    done: Vec<(usize, Option<Node>)>,
    values: usize,
}

struct Open {
    at: usize,
    anchor: usize,
    is_map: bool,
    is_flow: bool,
    slots: Vec<Slot>,
    /// The text, line and column of a key whose value is to come.
    key: Option<(String, usize, usize)>,
}

struct Comment {
    line: usize,
    column: usize,
    text: String,
    is_alone: bool,
    is_apart: bool,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, first_line: usize) -> Self {
        let ends = text.match_indices('\n').map(|(i, _)| i + 1);
        Self {
            text,
            first_line,
            lines: std::iter::once(0).chain(ends).collect(),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            scalars: Vec::new(),
            done: Vec::new(),
            values: 0,
        }
    }

    /// The line of the file that holds a byte.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) - 1 + self.first_line
    }

    fn column(&self, at: usize) -> usize {
        at - self.lines[self.lines.partition_point(|start| *start <= at) - 1]
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> anyhow::Result<()> {
        let range = span
            .byte_range()
            .unwrap_or(self.text.len()..self.text.len());
        let line = self.line(range.start);
        match event {
            Event::DocumentStart(..) => self.done.push((range.start, None)),
            Event::DocumentEnd => {
                if let Some(last) = self.done.last_mut() {
                    last.1 = self.root.take();
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                self.scalars.push((range.start, range.end));
                let node = Node {
                    value: Value::Scalar(Scalar {
                        text: text.into_owned(),
                        style: style_of(style),
                    }),
                    line,
                    is_flow: false,
                };
                self.finish(node, anchor, self.column(range.start))?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(range.start, anchor, false)?,
            Event::MappingStart(_, anchor, _) => self.begin(range.start, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let value = if open.is_map {
                        Value::Map(open.slots)
                    } else {
                        Value::List(open.slots)
                    };
                    let (line, is_flow) = (self.line(open.at), open.is_flow);
                    let node = Node {
                        value,
                        line,
                        is_flow,
                    };
                    self.finish(node, open.anchor, self.column(open.at))?;
                }
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    bail!("line {line}: an alias may not stand inside what it repeats");
                };
                self.values += count(&node);
                self.finish(node, 0, self.column(range.start))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, anchor: usize, is_map: bool) -> anyhow::Result<()> {
        if self.open.len() >= limits::DEPTH {
            bail!(
                "line {}: nested more than {} levels deep",
                self.line(at),
                limits::DEPTH
            );
        }
        self.open.push(Open {
            at,
            anchor,
            is_map,
            is_flow: self.text[at..].starts_with(['[', '{']),
            slots: Vec::new(),
            key: None,
        });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize, column: usize) -> anyhow::Result<()> {
        self.values += 1;
        if self.values > limits::VALUES {
            bail!("line {}: more than {} values", node.line, limits::VALUES);
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if !open.is_map {
            let mut slot = Slot::new(None, node);
            slot.column = column.saturating_sub("- ".len());
            open.slots.push(slot);
            return Ok(());
        }
        match open.key.take() {
            None => {
                let Value::Scalar(scalar) = node.value else {
                    bail!("line {}: a key must be text", node.line);
                };
                open.key = Some((scalar.text, node.line, column));
            }
            Some((key, line, column)) => {
                if open
                    .slots
                    .iter()
                    .any(|s| s.key.as_deref() == Some(key.as_str()))
                {
                    bail!("line {line}: key `{key}` is given twice in one object");
                }
                let mut slot = Slot::new(Some(&key), node);
                slot.line = line;
                slot.column = column;
                open.slots.push(slot);
            }
        }
        Ok(())
    }

    fn documents(self) -> Vec<Document> {
        let mut comments = self.comments().into_iter().peekable();
        let starts: Vec<usize> = self.done.iter().map(|(at, _)| *at).collect();
        let mut documents = Vec::new();
        for (i, (at, root)) in self.done.iter().enumerate() {
            let Some(mut root) = root.clone() else {
                continue;
            };
            let begin = if i == 0 { 0 } else { *at };
            let end = starts.get(i + 1).copied().unwrap_or(self.text.len());
            if self.text[begin..end].trim_start().starts_with('{') {
                unquote(&mut root);
            }
            // Up to the last line of this document.
            let mut own = Vec::new();
            let last = self.line(end.max(1) - 1);
            while let Some(comment) = comments.next_if(|c| c.line <= last) {
                own.push(comment);
            }
            let tail = attach(&mut root, own);
            documents.push(Document {
                root,
                tail,
                text: self.text[begin..end].to_owned(),
            });
        }
        documents
    }

    /// Comments, in order; they stand outside of scalars only.
    fn comments(&self) -> Vec<Comment> {
        let mut found = Vec::new();
        let mut is_apart = false;
        for (i, start) in self.lines.iter().enumerate() {
            let end = self.lines.get(i + 1).map_or(self.text.len(), |e| e - 1);
            let line = &self.text[*start..end.max(*start)];
            let inner = self.scalar_at(*start).filter(|(s, _)| s < start);
            if inner.is_some_and(|(_, e)| !self.text[*start..e].trim_end().is_empty()) {
                is_apart = false;
                continue;
            }
            if line.trim().is_empty() {
                is_apart = true;
                continue;
            }
            if let Some(at) = self.comment_in(*start, line) {
                found.push(Comment {
                    line: i + self.first_line,
                    column: at,
                    text: line[at..].trim_end().to_owned(),
                    is_alone: line[..at].trim().is_empty(),
                    is_apart,
                });
            } else if is_apart {
                // An empty line above a value: a comment without text.
                found.push(Comment {
                    line: i + self.first_line,
                    column: 0,
                    text: String::new(),
                    is_alone: false,
                    is_apart,
                });
            }
            is_apart = false;
        }
        found
    }

    /// The scalar that a byte belongs to.
    fn scalar_at(&self, at: usize) -> Option<(usize, usize)> {
        let next = self.scalars.partition_point(|(start, _)| *start <= at);
        let (start, end) = *self.scalars.get(next.checked_sub(1)?)?;
        (at < end).then_some((start, end))
    }

    fn comment_in(&self, start: usize, line: &str) -> Option<usize> {
        let is_free = |at: usize| self.scalar_at(start + at).is_none();
        let bytes = line.as_bytes();
        line.match_indices('#')
            .map(|(i, _)| i)
            .find(|i| (*i == 0 || bytes[*i - 1].is_ascii_whitespace()) && is_free(*i))
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

fn count(node: &Node) -> usize {
    1 + node.slots().iter().map(|s| count(&s.node)).sum::<usize>()
}

/// JSON needs quotes where YAML does not.
fn unquote(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(s) if s.style == Style::Double && s.text.contains('\n') => {
            s.style = Style::Block;
        }
        Value::Scalar(s) if s.style == Style::Double && is_plain(&s.text) => {
            s.style = Style::Plain;
        }
        Value::Scalar(_) => {}
        Value::List(slots) | Value::Map(slots) => {
            slots.iter_mut().for_each(|s| unquote(&mut s.node));
        }
    }
}

/// Gives each comment to what stands below or beside it; what is left stands at the end.
fn attach(root: &mut Node, comments: Vec<Comment>) -> Vec<String> {
    let mut waiting: Vec<Comment> = comments;
    waiting.reverse();
    walk(root, &mut waiting, None);
    waiting.reverse();
    waiting
        .into_iter()
        .filter(|c| !c.text.is_empty())
        .map(|c| c.text)
        .collect()
}

/// `next` is the line and column of what stands behind the whole node.
fn walk(node: &mut Node, waiting: &mut Vec<Comment>, next: Option<(usize, usize)>) {
    let Some(slots) = node.slots_mut() else {
        return;
    };
    for i in 0..slots.len() {
        let behind = slots.get(i + 1).map(|s| (s.line, s.column)).or(next);
        let slot = &mut slots[i];
        while let Some(comment) = waiting.pop_if(|c| {
            c.line < slot.line || (c.line == slot.line && c.text.is_empty() && !c.is_alone)
        }) {
            slot.is_apart |= comment.is_apart && slot.above.is_empty();
            if !comment.text.is_empty() {
                slot.above.push(comment.text);
            }
        }
        let is_flat = slot.node.slots().is_empty();
        let first = slot.node.slots().first().map(|s| s.line);
        // `key:  # comment` and `- key: value  # comment`: the innermost slot of the line takes it.
        if (is_flat || first != Some(slot.line)) && behind.map(|b| b.0) != Some(slot.line) {
            let line = slot.line;
            if let Some(comment) = waiting.pop_if(|c| c.line == line && !c.is_alone) {
                slot.beside = Some(comment.text).filter(|t| !t.is_empty());
            }
        }
        walk(&mut slot.node, waiting, behind);
    }
    // Comments at the end of this list or map, and not about what follows.
    let Some(last) = slots.last_mut() else { return };
    let (line, column) = next.unwrap_or((usize::MAX, 0));
    while let Some(comment) = waiting.pop_if(|c| {
        let is_deeper = last.column > column || !c.is_apart;
        c.is_alone && c.line < line && c.column >= last.column.max(1) && is_deeper
    }) {
        last.below.push(comment.text);
    }
}
