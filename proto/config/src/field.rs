//! One value of a file, asked for what it must be.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use l5d_naming::{Dtab, ParseError, Path};

use crate::align::locate;
use crate::reader::Reader;
use crate::section::{Section, entries_of};
use crate::source::Spot;
use crate::value::{Node, Scalar, Value};

/// A value that may be absent. Each question uses it up and gives `None` when it is absent or, with a mistake, wrong.
#[derive(Debug)]
#[must_use = "ask it for a value"]
pub struct Field<'a> {
    reader: &'a Reader,
    value: Option<&'a Value>,
    key_spot: Spot,
    name: String,
    /// Its place among all that is asked ([`crate::asked`]).
    pattern: String,
}

impl<'a> Field<'a> {
    pub(crate) fn new(
        reader: &'a Reader,
        value: Option<&'a Value>,
        key_spot: Spot,
        name: String,
        pattern: String,
    ) -> Self {
        Self {
            reader,
            value,
            key_spot,
            name,
            pattern,
        }
    }

    /// Whether there is a value.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the value is a list: for keys that take one or several.
    pub fn is_list(&self) -> bool {
        self.value.is_some_and(|v| matches!(v.node, Node::List(_)))
    }

    /// Whether the value is this text: for keys that take a word or something else.
    pub fn is_text(&self, text: &str) -> bool {
        self.value
            .is_some_and(|v| matches!(&v.node, Node::Scalar(scalar) if scalar.text == text))
    }

    /// Where the value stands; the key, or the section, if there is none.
    pub fn spot(&self) -> Spot {
        self.value.map_or(self.key_spot, |v| v.spot)
    }

    /// Where its key stands; the section, if there is none.
    pub fn key_spot(&self) -> Spot {
        self.key_spot
    }

    /// What messages call it: `interfaces[1].port`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Text. Strict readers refuse numbers and booleans.
    pub fn string(self) -> Option<String> {
        self.takes("text");
        let scalar = self.scalar("text")?;
        let is_other = scalar.is_number() || scalar.as_bool().is_some();
        if is_other && !self.reader.is_lenient() {
            let help = format!("write it in quotes: \"{}\"", scalar.text);
            self.wrong("text", Some(help));
            return None;
        }
        Some(scalar.text.clone())
    }

    /// Text or a number, as text: for keys that take both, such as a port by name or number.
    pub fn word(self) -> Option<String> {
        self.takes("text or a number");
        let scalar = self.scalar("text or a number")?;
        if scalar.as_bool().is_some() && !self.reader.is_lenient() {
            self.wrong("text or a number", None);
            return None;
        }
        Some(scalar.text.clone())
    }

    /// `true` or `false`.
    pub fn boolean(self) -> Option<bool> {
        self.takes("true or false");
        let scalar = self.scalar("true or false")?;
        let found = match scalar.text.as_str() {
            // Those of YAML 1.1 (node-proxy trap 31).
            "true" | "yes" | "on" if self.reader.is_lenient() => Some(true),
            "false" | "no" | "off" if self.reader.is_lenient() => Some(false),
            _ => scalar.as_bool(),
        };
        if found.is_none() {
            self.wrong("true or false", None);
        }
        found
    }

    /// A whole number in this range.
    pub fn integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let expected = between(*range.start(), *range.end());
        self.takes(&expected);
        self.whole(range, &expected)
    }

    fn whole(self, range: RangeInclusive<i64>, expected: &str) -> Option<i64> {
        let scalar = self.scalar(expected)?;
        let is_allowed = scalar.is_number() || self.reader.is_lenient();
        let found = scalar
            .text
            .parse::<i64>()
            .ok()
            .filter(|n| is_allowed && range.contains(n));
        if found.is_none() {
            let is_quoted = !is_allowed && scalar.text.parse::<i64>().is_ok();
            let help = is_quoted.then(|| "write it without quotes".to_owned());
            self.wrong(expected, help);
        }
        found
    }

    /// A finite number in this range.
    pub fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.takes(&expected);
        let scalar = self.scalar(&expected)?;
        let is_allowed = scalar.is_number() || self.reader.is_lenient();
        let found = scalar
            .text
            .parse::<f64>()
            .ok()
            .filter(|n| is_allowed && range.contains(n));
        if found.is_none() {
            self.wrong(&expected, None);
        }
        found
    }

    /// A port, 0 to 65535.
    pub fn port(self) -> Option<u16> {
        self.takes("a port");
        let port = self.whole(0..=65_535, &between(0, 65_535));
        port.and_then(|n| u16::try_from(n).ok())
    }

    /// An IP address, not a host name.
    pub fn ip(self) -> Option<IpAddr> {
        self.takes("an IP address");
        let expected = "an IP address such as 0.0.0.0 or ::1, not a host name";
        let scalar = self.scalar(expected)?;
        let found = scalar.text.parse().ok();
        if found.is_none() {
            self.wrong(expected, None);
        }
        found
    }

    /// Milliseconds.
    pub fn millis(self) -> Option<Duration> {
        self.takes("milliseconds");
        self.whole(0..=MAX_MILLIS, &between(0, MAX_MILLIS))
            .map(|ms| Duration::from_millis(ms.unsigned_abs()))
    }

    /// Seconds.
    pub fn secs(self) -> Option<Duration> {
        self.takes("seconds");
        self.whole(0..=MAX_MILLIS / 1_000, &between(0, MAX_MILLIS / 1_000))
            .map(|s| Duration::from_secs(s.unsigned_abs()))
    }

    /// A path.
    pub fn path(self) -> Option<Path> {
        self.takes("a path");
        let scalar = self.scalar("a path")?;
        match Path::parse(&scalar.text) {
            Ok(path) => Some(path),
            Err(e) => {
                let message = format!("{} is not a path: {}", self.name, explain(&e, &scalar.text));
                self.at_error(&e, &scalar.text, message);
                None
            }
        }
    }

    /// A dtab.
    pub fn dtab(self) -> Option<Dtab> {
        self.takes("a dtab");
        let scalar = self.scalar("a dtab")?;
        match Dtab::parse(&scalar.text) {
            Ok(dtab) => Some(dtab),
            Err(e) => {
                let message = format!(
                    "invalid dtab in {}, entry {}: {}",
                    self.name,
                    entry_number(&scalar.text, e.offset),
                    explain(&e, &scalar.text),
                );
                self.at_error(&e, &scalar.text, message);
                None
            }
        }
    }

    /// A map of keys.
    pub fn section(self) -> Option<Section<'a>> {
        self.takes("a map");
        let value = self.value?;
        let Some(entries) = entries_of(&value.node) else {
            self.wrong("a map of keys", None);
            return None;
        };
        Some(Section::new(
            self.reader,
            entries,
            value.spot,
            self.name,
            self.pattern,
        ))
    }

    /// A list, each item with its place. `None` only if it is absent or wrong.
    pub fn list(self) -> Option<Vec<Field<'a>>> {
        self.takes("a list");
        let Node::List(items) = &self.value?.node else {
            self.wrong("a list", None);
            return None;
        };
        let field = |(i, item): (usize, &'a Value)| {
            let name = format!("{}[{i}]", self.name);
            let pattern = format!("{}[]", self.pattern);
            Field::new(self.reader, Some(item), item.spot, name, pattern)
        };
        Some(items.iter().enumerate().map(field).collect())
    }

    /// A list of maps. Items that are no maps are mistakes and left out.
    pub fn sections(self) -> Option<Vec<Section<'a>>> {
        Some(
            self.list()?
                .into_iter()
                .filter_map(Field::section)
                .collect(),
        )
    }

    /// A list of texts. Items that are none are mistakes and left out.
    pub fn strings(self) -> Option<Vec<String>> {
        Some(self.list()?.into_iter().filter_map(Field::string).collect())
    }

    /// Notes what the program asks of it.
    fn takes(&self, what: &str) {
        self.reader.note(&self.pattern, |asked| {
            asked.takes.insert(what.to_owned());
            asked.is_present |= self.value.is_some();
        });
    }

    fn scalar(&self, expected: &str) -> Option<&'a Scalar> {
        match &self.value?.node {
            Node::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => {
                self.wrong(expected, None);
                None
            }
        }
    }

    fn wrong(&self, expected: &str, help: Option<String>) {
        let Some(value) = self.value else { return };
        let found = match &value.node {
            Node::Scalar(s) if !s.is_null() => format!("{} `{}`", value.describe(), clip(&s.text)),
            _ => value.describe().to_owned(),
        };
        let message = format!("{} must be {expected}, not {found}", self.name);
        self.reader.mistake(value.spot, message, help);
    }

    fn at_error(&self, error: &ParseError, content: &str, message: String) {
        let Some(value) = self.value else { return };
        let at = locate(self.reader.text(), value.spot, content, error.offset);
        self.reader.mistake(Spot::at(at), message, None);
    }
}

/// About 292 years in milliseconds would still fit; a century is enough for anybody.
const MAX_MILLIS: i64 = 100 * 365 * 24 * 3_600 * 1_000;

fn between(from: i64, to: i64) -> String {
    match (from, to) {
        (0, i64::MAX) => "an integer that is not negative".to_owned(),
        (from, i64::MAX) => format!("an integer of at least {from}"),
        (from, to) => format!("an integer from {from} to {to}"),
    }
}

/// What the parser expected and what it found.
fn explain(error: &ParseError, content: &str) -> impl fmt::Display {
    let found = match content.get(error.offset..).and_then(|s| s.chars().next()) {
        Some(c) => format!("`{}`", c.escape_debug()),
        None => "the end".to_owned(),
    };
    format!("{} expected, found {found}", error.expected)
}

/// Which entry of a dtab, from 1, the byte `offset` belongs to.
fn entry_number(dtab: &str, offset: usize) -> usize {
    let mut entry = 1;
    let mut is_comment = false;
    let mut before = ';';
    for c in dtab.get(..offset).unwrap_or(dtab).chars() {
        match c {
            '\n' => is_comment = false,
            // Inside a label, or at its beginning, it is an ordinary character.
            '#' if !(before == '/'
                || before.is_ascii_alphanumeric()
                || "_:.#$%-".contains(before)) =>
            {
                is_comment = true;
            }
            ';' if !is_comment => entry += 1,
            _ => {}
        }
        before = c;
    }
    entry
}

fn clip(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(60)
        .collect::<String>()
        .escape_debug()
        .to_string();
    if text.chars().count() > 60 {
        shown.push_str("...");
    }
    shown
}
