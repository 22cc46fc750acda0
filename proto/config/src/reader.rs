//! One file being read.

use std::cell::RefCell;

use crate::asked::{Asked, Questions};
use crate::limits;
use crate::mistakes::{Gathered, Mistake, Mistakes};
use crate::section::Section;
use crate::source::{Source, Spot};
use crate::value::{Node, Value};
use crate::{json, yaml};

/// How strictly scalars are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalars {
    /// Numbers, booleans and text are three things.
    Strict,
    /// Numbers and booleans may be given as text, and the other way round.
    Lenient,
}

/// A file that is being read. Collects every mistake until [`Reader::finish`].
#[derive(Debug)]
pub struct Reader {
    source: Source,
    root: Value,
    scalars: Scalars,
    mistakes: RefCell<Gathered>,
    warnings: RefCell<Gathered>,
    questions: RefCell<Questions>,
}

impl Reader {
    /// Reads the syntax of a text: JSON if the first non-blank character is `{`, else YAML. `name` is what mistakes call it.
    pub fn open(name: &str, text: &str, scalars: Scalars) -> Result<Self, Mistakes> {
        let source = Source {
            name: name.to_owned(),
            text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        };
        if source.text.len() > limits::FILE_BYTES {
            let message = format!("the file is longer than {} bytes", limits::FILE_BYTES);
            return Err(Mistakes::one(&source, Spot::at(0), message));
        }
        let mut mistakes = Gathered::default();
        let read = if source.text.trim_start().starts_with('{') {
            json::read
        } else {
            yaml::read
        };
        let root = read(&source.text, &mut mistakes)
            .map_err(|(spot, message)| Mistakes::one(&source, spot, message))?;
        Ok(Self {
            source,
            root,
            scalars,
            mistakes: RefCell::new(mistakes),
            warnings: RefCell::default(),
            questions: RefCell::default(),
        })
    }

    /// The top level; `None`, with a mistake, if it is no map. An empty file is an empty map.
    pub fn top(&self) -> Option<Section<'_>> {
        let entries: &[_] = match &self.root.node {
            Node::Map(entries) => entries,
            _ if self.root.is_null() => &[],
            _ => {
                let found = self.root.describe();
                let message = format!("the top level must be a map of keys, this is {found}");
                self.mistake(self.root.spot, message, None);
                return None;
            }
        };
        let spot = Spot::at(self.root.spot.start.min(self.source.text.trim_end().len()));
        Some(Section::new(
            self,
            entries,
            spot,
            String::new(),
            String::new(),
        ))
    }

    /// Notes a mistake.
    pub fn mistake(&self, spot: Spot, message: impl Into<String>, help: Option<String>) {
        self.mistakes.borrow_mut().push(spot, message.into(), help);
    }

    /// Notes something that is accepted but should be known.
    pub fn warn(&self, spot: Spot, message: impl Into<String>, help: Option<String>) {
        self.warnings.borrow_mut().push(spot, message.into(), help);
    }

    /// The end: what was made of the file with its warnings, or all mistakes. `made` may be `None` only after a mistake.
    pub fn finish<T>(self, made: Option<T>) -> Result<(T, Vec<Mistake>), Mistakes> {
        let mistakes = self.mistakes.into_inner();
        match made {
            Some(made) if mistakes.is_empty() => {
                let warnings = self.warnings.into_inner().render(&self.source);
                Ok((made, warnings.all().to_vec()))
            }
            None if mistakes.is_empty() => Err(Mistakes::one(
                &self.source,
                Spot::at(0),
                "the configuration is incomplete".to_owned(),
            )),
            _ => Err(mistakes.render(&self.source)),
        }
    }

    /// Whether nothing is wrong so far. Later checks that cost something can wait for it.
    pub fn is_good(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// What the file was asked for so far.
    pub fn questions(&self) -> Questions {
        self.questions.borrow().clone()
    }

    pub(crate) fn note(&self, pattern: &str, change: impl FnOnce(&mut Asked)) {
        let mut questions = self.questions.borrow_mut();
        if !questions.keys.contains_key(pattern) {
            questions.keys.insert(pattern.to_owned(), Asked::default());
        }
        if let Some(asked) = questions.keys.get_mut(pattern) {
            change(asked);
        }
    }

    pub(crate) fn note_kinds(
        &self,
        pattern: &str,
        known: &[&'static str],
        had: Option<&'static str>,
    ) {
        let mut questions = self.questions.borrow_mut();
        let place = questions.kinds.entry(pattern.to_owned());
        let (_, all) = place.or_insert_with(|| (known.to_vec(), std::collections::BTreeSet::new()));
        all.extend(had);
    }

    pub(crate) fn is_lenient(&self) -> bool {
        self.scalars == Scalars::Lenient
    }

    pub(crate) fn text(&self) -> &str {
        &self.source.text
    }
}
