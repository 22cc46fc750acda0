//! A YAML document as people wrote it: values with their comments, blank lines and places.
//!
//! [`parse`](super::parse) makes it, the converters change it, [`emit`](super::emit) writes it. Nothing here knows a key.

/// A value and the line of the file on which it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// From 1; 0 for what no file says.
    pub(crate) line: usize,
    /// A list on one line, in brackets.
    pub(crate) is_flow: bool,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Slot>),
    Map(Vec<Slot>),
}

/// Text and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// An item of a list, or an entry of a map with its key.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) key: Option<String>,
    pub(crate) line: usize,
    /// Where its key or dash stands, from 0.
    pub(crate) column: usize,
    pub(crate) node: Node,
    /// Comment lines above it, with their `#`.
    pub(crate) above: Vec<String>,
    /// The comment at the end of its first line, with its `#`.
    pub(crate) beside: Option<String>,
    /// Comment lines behind it, before its list or map ends.
    pub(crate) below: Vec<String>,
    /// Whether an empty line stands above it.
    pub(crate) is_apart: bool,
    /// Written as a comment: there to be read, not in force.
    pub(crate) is_off: bool,
}

/// One document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Comments behind the last value.
    pub(crate) tail: Vec<String>,
    /// The document's bytes, for documents that are kept as they are.
    pub(crate) text: String,
}

/// The way to a slot: its index at each level.
pub(crate) type Place = Vec<usize>;

// === impl Node ===

impl Node {
    pub(crate) fn text(text: &str) -> Self {
        let style = if text.contains('\n') {
            Style::Block
        } else if is_plain(text) {
            Style::Plain
        } else {
            Style::Double
        };
        Self::scalar(text, style)
    }

    /// Text that is a number, a boolean or nothing unless it is quoted, written so.
    pub(crate) fn plain(text: &str) -> Self {
        Self::scalar(text, Style::Plain)
    }

    fn scalar(text: &str, style: Style) -> Self {
        Self {
            value: Value::Scalar(Scalar {
                text: text.to_owned(),
                style,
            }),
            line: 0,
            is_flow: false,
        }
    }

    pub(crate) fn map() -> Self {
        Self {
            value: Value::Map(Vec::new()),
            line: 0,
            is_flow: false,
        }
    }

    pub(crate) fn list(items: Vec<Node>) -> Self {
        Self {
            value: Value::List(items.into_iter().map(|n| Slot::new(None, n)).collect()),
            line: 0,
            is_flow: false,
        }
    }

    /// A list of words on one line.
    pub(crate) fn words(words: &[&str]) -> Self {
        Self {
            is_flow: true,
            ..Self::list(words.iter().map(|w| Node::text(w)).collect())
        }
    }

    /// All slots of a list or map, those that are off included.
    pub(crate) fn slots(&self) -> &[Slot] {
        match &self.value {
            Value::Scalar(_) => &[],
            Value::List(slots) | Value::Map(slots) => slots,
        }
    }

    pub(crate) fn slots_mut(&mut self) -> Option<&mut Vec<Slot>> {
        match &mut self.value {
            Value::Scalar(_) => None,
            Value::List(slots) | Value::Map(slots) => Some(slots),
        }
    }

    /// Items of a list, or nothing.
    pub(crate) fn items(&self) -> &[Slot] {
        match &self.value {
            Value::List(slots) => slots,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The items of a list, to be changed; `None` for anything else.
    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Slot>> {
        match &mut self.value {
            Value::List(slots) => Some(slots),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The text of a scalar that says something.
    pub(crate) fn str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(s) if s.is_null() => None,
            Value::Scalar(s) => Some(&s.text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn slot(&self, key: &str) -> Option<&Slot> {
        let is_it = |s: &&Slot| s.key.as_deref() == Some(key) && !s.is_off;
        self.slots().iter().find(is_it)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.slot(key).map(|s| &s.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let is_it = |s: &&mut Slot| s.key.as_deref() == Some(key) && !s.is_off;
        let slots = self.slots_mut()?;
        slots.iter_mut().find(is_it).map(|s| &mut s.node)
    }

    /// Follows keys.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn at_mut(&mut self, keys: &[&str]) -> Option<&mut Node> {
        keys.iter().try_fold(self, |node, key| node.get_mut(key))
    }

    /// The text below a key.
    pub(crate) fn word(&self, key: &str) -> Option<&str> {
        self.get(key)?.str()
    }

    /// Replaces the value of a key, or adds the key at the end. The key keeps its comments.
    pub(crate) fn set(&mut self, key: &str, mut node: Node) {
        let Some(slots) = self.slots_mut() else {
            return;
        };
        let is_it = |s: &&mut Slot| s.key.as_deref() == Some(key) && !s.is_off;
        match slots.iter_mut().find(is_it) {
            Some(slot) => {
                node.line = slot.node.line;
                slot.node = node;
            }
            None => slots.push(Slot::new(Some(key), node)),
        }
    }

    /// `set`, for building.
    pub(crate) fn with(mut self, key: &str, node: Node) -> Self {
        self.set(key, node);
        self
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Slot> {
        let slots = self.slots_mut()?;
        let at = slots
            .iter()
            .position(|s| s.key.as_deref() == Some(key) && !s.is_off)?;
        Some(slots.remove(at))
    }

    /// Gives a key another name.
    pub(crate) fn rename(&mut self, key: &str, name: &str) {
        if let Some(slots) = self.slots_mut()
            && let Some(slot) = slots.iter_mut().find(|s| s.key.as_deref() == Some(key))
        {
            slot.key = Some(name.to_owned());
        }
    }

    /// The slot at a place.
    pub(crate) fn slot_at(&self, place: &[usize]) -> Option<&Slot> {
        let (last, way) = place.split_last()?;
        let node = way
            .iter()
            .try_fold(self, |node, i| node.slots().get(*i).map(|slot| &slot.node))?;
        node.slots().get(*last)
    }

    pub(crate) fn slot_at_mut(&mut self, place: &[usize]) -> Option<&mut Slot> {
        let (first, rest) = place.split_first()?;
        let slot = self.slots_mut()?.get_mut(*first)?;
        if rest.is_empty() {
            Some(slot)
        } else {
            slot.node.slot_at_mut(rest)
        }
    }

    /// A place in words: `routers[0].servers[1].port`.
    pub(crate) fn name_of(&self, place: &[usize]) -> String {
        let mut node = self;
        let mut name = String::new();
        for i in place {
            let Some(slot) = node.slots().get(*i) else {
                break;
            };
            match &slot.key {
                Some(key) if name.is_empty() => name.push_str(key),
                Some(key) => name.push_str(&format!(".{key}")),
                None => name.push_str(&format!("[{i}]")),
            }
            node = &slot.node;
        }
        name
    }

    /// Whether both say the same, whatever their comments and style.
    pub(crate) fn is_same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => a.text == b.text,
            (Value::List(a), Value::List(b)) | (Value::Map(a), Value::Map(b)) => {
                let on = |slots: &[Slot]| -> Vec<Slot> {
                    slots.iter().filter(|s| !s.is_off).cloned().collect()
                };
                let (a, b) = (on(a), on(b));
                let is_pair = |(a, b): (&Slot, &Slot)| a.key == b.key && a.node.is_same(&b.node);
                a.len() == b.len() && a.iter().zip(&b).all(is_pair)
            }
            _ => false,
        }
    }
}

// === impl Slot ===

impl Slot {
    pub(crate) fn new(key: Option<&str>, node: Node) -> Self {
        Self {
            key: key.map(str::to_owned),
            line: node.line,
            column: 0,
            node,
            above: Vec::new(),
            beside: None,
            below: Vec::new(),
            is_apart: false,
            is_off: false,
        }
    }

    /// Writes it as a comment from now on, below a reason.
    pub(crate) fn turn_off(&mut self, reason: &str) {
        self.is_off = true;
        self.above.push(format!("# {reason}"));
    }
}

// === impl Scalar ===

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.style == Style::Plain
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Whether a text means itself when it is written without quotes.
pub(crate) fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "/_.$-%:=@+".contains(c);
    let first = text.chars().next().unwrap_or(' ');
    let is_other = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    (first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(is_word)
        && !text.ends_with(':')
        && !is_other
}
