//! The tree that a file is read into.

use crate::source::Spot;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) node: Node,
    pub(crate) spot: Spot,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Scalar(Scalar),
    List(Vec<Value>),
    Map(Vec<Entry>),
}

/// One key of a map. A key that stands there twice is a mistake; the first one is kept.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_spot: Spot,
    pub(crate) value: Value,
}

/// Text that is not a collection.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar is written. Only plain ones can be numbers, booleans or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

impl Value {
    /// Whether this says "nothing" (`key:` or `null`), which counts as an absent key.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.node, Node::Scalar(s) if s.is_null())
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.node {
            Node::List(_) => "a list",
            Node::Map(_) => "a map",
            Node::Scalar(s) if s.is_null() => "nothing",
            Node::Scalar(s) if s.as_bool().is_some() => "a boolean",
            Node::Scalar(s) if s.is_number() => "a number",
            Node::Scalar(_) => "text",
        }
    }
}

impl Scalar {
    fn is_plain(&self) -> bool {
        self.style == Style::Plain
    }

    pub(crate) fn is_null(&self) -> bool {
        self.is_plain() && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if !self.is_plain() {
            return None;
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        self.is_plain()
            && self
                .text
                .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
            && self.text.parse::<f64>().is_ok()
    }
}
