//! YAML text to a tree. What the language offers beyond plain data (tags, several documents) is refused.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::limits;
use crate::mistakes::Gathered;
use crate::source::Spot;
use crate::value::{Entry, Node, Scalar, Style, Value};

/// Why the text is no YAML that we read: stops everything.
pub(crate) type Broken = (Spot, String);

/// Reads one document. Duplicate keys go to `gathered`, since reading can go on behind them.
pub(crate) fn read(text: &str, gathered: &mut Gathered) -> Result<Value, Broken> {
    let mut builder = Builder {
        text,
        gathered,
        open: Vec::new(),
        done: None,
        anchors: HashMap::new(),
        values: 0,
    };
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|e| {
            let at = e.marker().byte_offset().unwrap_or(text.len());
            (Spot::at(at), format!("this is not YAML: {}", e.info()))
        })?;
        builder.event(event, span)?;
    }
    Ok(builder.done.unwrap_or_else(|| nothing(text.len())))
}

/// Long texts count as several values, so that aliases of one cannot fill the memory.
const BYTES_PER_VALUE: usize = 64;

fn too_many(spot: Spot) -> Broken {
    (spot, format!("more than {} values", limits::VALUES))
}

fn nothing(at: usize) -> Value {
    Value {
        node: Node::Scalar(Scalar {
            text: String::new(),
            style: Style::Plain,
        }),
        spot: Spot::at(at),
    }
}

struct Builder<'a> {
    text: &'a str,
    gathered: &'a mut Gathered,
    open: Vec<Open>,
    done: Option<Value>,
    /// Finished values that have an anchor, with how many values they hold.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

/// A collection that has begun.
struct Open {
    start: usize,
    anchor: usize,
    values_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Value>),
    Map(Vec<Entry>, Option<(String, Spot)>),
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let range = span
            .byte_range()
            .unwrap_or(self.text.len()..self.text.len());
        let spot = Spot::new(range.start, range.end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.tag(tag.as_deref(), spot)?;
                let style = match style {
                    ScalarStyle::Plain if is_text => Style::Quoted,
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let node = Node::Scalar(Scalar {
                    text: text.into_owned(),
                    style,
                });
                let size = 1 + spot.end.saturating_sub(spot.start) / BYTES_PER_VALUE;
                self.finish(Value { node, spot }, anchor, size)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), spot)?;
                self.begin(spot, anchor, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), spot)?;
                self.begin(spot, anchor, OpenKind::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(spot),
            Event::Alias(id) => {
                let Some((value, size)) = self.anchors.get(&id) else {
                    let message = "an alias may not stand inside what it repeats";
                    return Err((spot, message.to_owned()));
                };
                let (value, size) = (value, *size);
                if self.values + size > limits::VALUES {
                    return Err(too_many(spot));
                }
                let value = value.clone();
                self.finish(value, 0, size)
            }
            Event::DocumentStart(..) if self.done.is_some() => {
                Err((spot, "only one document can be given".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the tag says "this is text".
    fn tag(&self, tag: Option<&Tag>, spot: Spot) -> Result<bool, Broken> {
        let Some(tag) = tag else { return Ok(false) };
        match (tag.handle(), tag.suffix()) {
            ("tag:yaml.org,2002:", "str") => Ok(true),
            ("tag:yaml.org,2002:", "map" | "seq" | "int" | "bool" | "float" | "null") => Ok(false),
            _ => Err((spot, "tags are not supported".to_owned())),
        }
    }

    fn begin(&mut self, spot: Spot, anchor: usize, kind: OpenKind) -> Result<(), Broken> {
        if self.open.len() >= limits::DEPTH {
            return Err((
                spot,
                format!("nested more than {} levels deep", limits::DEPTH),
            ));
        }
        self.count(1, spot)?;
        self.open.push(Open {
            start: spot.start,
            anchor,
            values_before: self.values - 1,
            kind,
        });
        Ok(())
    }

    fn end(&mut self, spot: Spot) -> Result<(), Broken> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let node = match open.kind {
            OpenKind::List(items) => Node::List(items),
            OpenKind::Map(entries, _) => Node::Map(entries),
        };
        let value = Value {
            node,
            spot: Spot::new(open.start, spot.end),
        };
        let size = self.values - open.values_before;
        // Its values are counted already.
        self.values -= size;
        self.finish(value, open.anchor, size)
    }

    fn count(&mut self, size: usize, spot: Spot) -> Result<(), Broken> {
        self.values += size;
        if self.values > limits::VALUES {
            return Err(too_many(spot));
        }
        Ok(())
    }

    /// A whole value: remembers it under its anchor and puts it where it belongs.
    fn finish(&mut self, value: Value, anchor: usize, size: usize) -> Result<(), Broken> {
        self.count(size, value.spot)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.done = Some(value),
            Some(OpenKind::List(items)) => items.push(value),
            Some(OpenKind::Map(_, key @ None)) => {
                let Node::Scalar(scalar) = value.node else {
                    return Err((value.spot, "a key must be text".to_owned()));
                };
                *key = Some((scalar.text, value.spot));
            }
            Some(OpenKind::Map(entries, key)) => {
                if let Some((key, key_spot)) = key.take() {
                    push_entry(entries, key, key_spot, value, self.gathered);
                }
            }
        }
        Ok(())
    }
}

/// Adds an entry, or notes that its key is there already.
pub(crate) fn push_entry(
    entries: &mut Vec<Entry>,
    key: String,
    key_spot: Spot,
    value: Value,
    gathered: &mut Gathered,
) {
    if entries.iter().any(|e| e.key == key) {
        gathered.push(
            key_spot,
            format!("key `{}` is given twice in one object", key.escape_debug()),
            Some("keep one of the two".to_owned()),
        );
        return;
    }
    entries.push(Entry {
        key,
        key_spot,
        value,
    });
}
