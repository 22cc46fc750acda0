//! One map of a file, read key by key.

use std::cell::RefCell;

use crate::asked::Standing;
use crate::field::Field;
use crate::reader::Reader;
use crate::source::Spot;
use crate::value::{Entry, Node};

/// A map of the file. When it goes out of scope, keys that nobody has asked for are mistakes.
#[derive(Debug)]
pub struct Section<'a> {
    reader: &'a Reader,
    entries: &'a [Entry],
    spot: Spot,
    name: String,
    /// Its place among all that is asked ([`crate::asked`]).
    pattern: String,
    /// Keys that were asked for, whether they are there or not: the known ones.
    known: RefCell<Vec<&'static str>>,
    is_ignored: bool,
}

/// The kinds that one list of plugins knows.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// What they are, for messages: `namer`.
    pub what: &'static str,
    /// Those that can be used.
    pub known: &'static [&'static str],
    /// Those that are known by name but cannot be used, and why or what to do instead.
    pub others: &'static [(&'static str, &'static str)],
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        reader: &'a Reader,
        entries: &'a [Entry],
        spot: Spot,
        name: String,
        pattern: String,
    ) -> Self {
        Self {
            reader,
            entries,
            spot,
            name,
            pattern,
            known: RefCell::default(),
            is_ignored: false,
        }
    }

    /// A key that may be absent. A key without a value counts as absent.
    pub fn key(&self, key: &'static str) -> Field<'a> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let entry = self.entries.iter().find(|e| e.key == key);
        let value = entry.map(|e| &e.value).filter(|v| !v.is_null());
        let spot = entry.map_or(self.spot, |e| e.key_spot);
        let pattern = self.pattern_of(key);
        self.reader
            .note(&pattern, |asked| asked.is_present |= value.is_some());
        Field::new(self.reader, value, spot, self.place(key), pattern)
    }

    /// A key that must be there.
    pub fn need(&self, key: &'static str) -> Field<'a> {
        let field = self.key(key);
        self.reader
            .note(&self.pattern_of(key), |asked| asked.is_needed = true);
        if !field.is_present() {
            let of = match self.name.as_str() {
                "" => String::new(),
                name => format!(" in {name}"),
            };
            self.reader.mistake(
                field.key_spot(),
                format!("'{key}' field is required{of}"),
                None,
            );
        }
        field
    }

    /// A key that is known but cannot be used yet: a mistake if it is there.
    pub fn not_yet(&self, key: &'static str) {
        self.refuse(key, &format!("`{key}` is not supported yet"), None);
    }

    /// A key that is known but cannot be used: a mistake with this message if it is there.
    pub fn refuse(&self, key: &'static str, message: &str, help: Option<&str>) {
        let field = self.key(key);
        self.stands(key, Standing::Refused);
        if field.is_present() {
            let help = help.map(str::to_owned);
            self.reader.mistake(field.key_spot(), message, help);
        }
    }

    /// A key of earlier days that has no effect: a warning if it is there, whatever its value.
    pub fn legacy(&self, key: &'static str, why: &str) {
        let field = self.key(key);
        self.stands(key, Standing::WithoutEffect);
        if field.is_present() {
            let message = format!("`{key}` has no effect: {why}");
            self.reader.warn(field.key_spot(), message, None);
        }
    }

    /// Reads `kind`. If it is absent or cannot be used, that is a mistake and the other keys are not looked at.
    pub fn kind(&mut self, kinds: &Kinds) -> Option<&'static str> {
        let place = self.pattern.clone();
        let field = self.need("kind");
        let spot = field.spot();
        let kind = field.string();
        let known = kind
            .as_deref()
            .and_then(|kind| kinds.known.iter().find(|k| **k == kind).copied());
        self.reader.note_kinds(&place, kinds.known, known);
        match known {
            Some(kind) => self.pattern = format!("{place}{{{kind}}}"),
            None => self.is_ignored = true,
        }
        if let (None, Some(kind)) = (known, kind) {
            let (message, help) = kinds.explain(&kind);
            self.reader.mistake(spot, message, Some(help));
        }
        known
    }

    /// All entries, for maps whose keys are the user's: each key with its value.
    pub fn entries(&mut self) -> Vec<(&'a str, Field<'a>)> {
        self.is_ignored = true;
        self.entries
            .iter()
            .map(|e| {
                let name = self.place(&e.key);
                let pattern = self.pattern_of("*");
                let field = Field::new(self.reader, Some(&e.value), e.key_spot, name, pattern);
                (e.key.as_str(), field)
            })
            .collect()
    }

    /// Does not report keys that nobody asked for; for sections that are wrong as a whole.
    pub fn ignore_rest(&mut self) {
        self.is_ignored = true;
    }

    /// The file.
    pub fn reader(&self) -> &'a Reader {
        self.reader
    }

    /// Where it begins.
    pub fn spot(&self) -> Spot {
        self.spot
    }

    /// What messages call it: `interfaces[1]`; empty for the top level.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reports unknown keys now.
    pub fn finish(self) {}

    fn place(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    fn pattern_of(&self, key: &str) -> String {
        match self.pattern.as_str() {
            "" => key.to_owned(),
            pattern => format!("{pattern}.{key}"),
        }
    }

    /// Notes that a key does nothing.
    fn stands(&self, key: &str, standing: Standing) {
        self.reader
            .note(&self.pattern_of(key), |asked| asked.standing = standing);
    }

    fn report_unknown(&self) {
        let known = self.known.borrow();
        for entry in self
            .entries
            .iter()
            .filter(|e| !known.contains(&e.key.as_str()))
        {
            let of = match self.name.as_str() {
                "" => "at the top level".to_owned(),
                name => format!("in {name}"),
            };
            let message = format!("unknown key `{}` {of}", entry.key.escape_debug());
            let help = nearest(&entry.key, &known).map_or_else(
                || format!("known keys: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.reader.mistake(entry.key_spot, message, Some(help));
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if !self.is_ignored {
            self.report_unknown();
        }
    }
}

impl Kinds {
    fn explain(&self, kind: &str) -> (String, String) {
        let what = self.what;
        if let Some((_, why)) = self.others.iter().find(|(k, _)| *k == kind) {
            return (
                format!("{what} kind `{kind}` {why}"),
                format!("kinds that can be used: {}", self.known.join(", ")),
            );
        }
        let known = self.known.join(", ");
        let help = nearest(kind, self.known).map_or_else(
            || format!("known kinds: {known}"),
            |near| format!("did you mean `{near}`? known kinds: {known}"),
        );
        (
            format!("unknown {what} kind `{}`", kind.escape_debug()),
            help,
        )
    }
}

/// The candidate that somebody who wrote `word` most likely meant.
fn nearest(word: &str, candidates: &[&'static str]) -> Option<&'static str> {
    let word = word.to_lowercase();
    candidates
        .iter()
        .map(|c| (strsim::damerau_levenshtein(&word, &c.to_lowercase()), *c))
        .filter(|(distance, c)| *distance <= (c.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// The entries of a map value.
pub(crate) fn entries_of(node: &Node) -> Option<&[Entry]> {
    match node {
        Node::Map(entries) => Some(entries),
        Node::Scalar(_) | Node::List(_) => None,
    }
}
