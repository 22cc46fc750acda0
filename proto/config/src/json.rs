//! JSON text to a tree (RFC 8259, nothing beyond it).

use crate::limits;
use crate::mistakes::Gathered;
use crate::source::Spot;
use crate::value::{Entry, Node, Scalar, Style, Value};
use crate::yaml::{Broken, push_entry};

/// Reads one document. Duplicate keys go to `gathered`, since reading can go on behind them.
pub(crate) fn read(text: &str, gathered: &mut Gathered) -> Result<Value, Broken> {
    let mut cursor = Cursor {
        text,
        at: 0,
        values: 0,
        gathered,
    };
    let value = cursor.value(0)?;
    cursor.blank();
    if cursor.at < text.len() {
        return Err(cursor.broken("the end of the text"));
    }
    Ok(value)
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    gathered: &'a mut Gathered,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn broken(&self, expected: &str) -> Broken {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("`{}`", c.escape_debug()),
            None => "the end of the text".to_owned(),
        };
        (
            Spot::at(self.at),
            format!("this is not JSON: {expected} expected, found {found}"),
        )
    }

    fn expect(&mut self, byte: u8, name: &str) -> Result<(), Broken> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(self.broken(name));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Broken> {
        self.blank();
        let start = self.at;
        self.values += 1;
        if self.values > limits::VALUES {
            return Err((
                Spot::at(start),
                format!("more than {} values", limits::VALUES),
            ));
        }
        if depth > limits::DEPTH {
            return Err((
                Spot::at(start),
                format!("nested more than {} levels deep", limits::DEPTH),
            ));
        }
        let node = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Node::Scalar(Scalar {
                text: self.string()?,
                style: Style::Quoted,
            }),
            _ => Node::Scalar(Scalar {
                text: self.word()?,
                style: Style::Plain,
            }),
        };
        Ok(Value {
            node,
            spot: Spot::new(start, self.at),
        })
    }

    fn map(&mut self, depth: usize) -> Result<Node, Broken> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Map(entries));
        }
        loop {
            self.blank();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.broken("a key in double quotes"));
            }
            let key = self.string()?;
            let key_spot = Spot::new(start, self.at);
            self.expect(b':', "`:`")?;
            let value = self.value(depth + 1)?;
            push_entry(&mut entries, key, key_spot, value, self.gathered);
            if self.is_last(b'}', "`,` or `}`")? {
                return Ok(Node::Map(entries));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, Broken> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.is_last(b']', "`,` or `]`")? {
                return Ok(Node::List(items));
            }
        }
    }

    fn is_last(&mut self, close: u8, expected: &str) -> Result<bool, Broken> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.broken(expected)),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<String, Broken> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if !matches!(word, "true" | "false" | "null") && !is_number(word) {
            return Err(self.broken("a value"));
        }
        self.at += end;
        Ok(word.to_owned())
    }

    fn string(&mut self) -> Result<String, Broken> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                return Err(self.broken("`\"`"));
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                c if c < ' ' => return Err(self.broken("an escape instead of a control character")),
                c => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let c = match self.peek() {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.broken("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    /// `uXXXX`, or two of them for what lies beyond the first plane.
    fn unicode(&mut self) -> Result<char, Broken> {
        let first = self.four_digits()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 1;
            match self.four_digits()? {
                second @ 0xDC00..0xE000 => 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                // Half a pair is no character.
                _ => first,
            }
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.broken("a valid character"))
    }

    fn four_digits(&mut self) -> Result<u32, Broken> {
        let digits = self.text.get(self.at + 1..self.at + 5).unwrap_or("");
        if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.broken("four hexadecimal digits"));
        }
        self.at += 5;
        Ok(u32::from_str_radix(digits, 16).unwrap_or(0))
    }
}

/// JSON's numbers: no leading plus, no leading zero, digits on both sides of the dot.
fn is_number(word: &str) -> bool {
    let rest = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}
