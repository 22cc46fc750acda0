//! Heads between blocks of fields and the form of HTTP/1: requests out, responses and trailers in.
//!
//! What comes in is checked so far that no byte of it can become something else in a head of lines; what a head may look like
//! is decided by who reads the lines.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::hpack::Encoder;

/// A response's head in the form of HTTP/1.
#[derive(Debug)]
pub struct Head {
    /// The head, the empty line included.
    pub text: Vec<u8>,
    /// Its status.
    pub status: u16,
    /// Nothing comes behind it.
    pub ends: bool,
    /// A node says that it was one of HTTP/1.0 (node-proxy 14.3).
    pub is_http10: bool,
    pub(super) length: Option<u64>,
}

/// A response's fields as they come out of a block.
#[derive(Debug)]
pub(super) struct Reading {
    head: Head,
    list: List,
}

/// Trailers as they come.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    map: HeaderMap,
    list: List,
}

/// Why a list is not taken.
#[derive(Debug, Default)]
struct List {
    size: usize,
    most: usize,
    is_bad: bool,
}

/// What a field costs besides its bytes (RFC 9113 6.5.2).
const FIELD: usize = 32;

impl List {
    /// Whether the field may be taken.
    fn takes(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.size += name.len() + value.len() + FIELD;
        self.is_bad |= self.size > self.most;
        !self.is_bad
    }
}

impl Reading {
    /// Takes fields of so many bytes in all. `ends`: nothing comes behind the head.
    pub(super) fn new(most: usize, ends: bool) -> Self {
        let head = Head {
            text: Vec::with_capacity(512),
            status: 0,
            ends,
            is_http10: false,
            length: None,
        };
        let list = List {
            most,
            ..List::default()
        };
        Self { head, list }
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if !self.list.takes(name, value) {
            return;
        }
        let is_good = match name {
            b":status" => self.status(value),
            name => {
                self.head.status != 0 && is_name(name) && is_value(value) && self.other(name, value)
            }
        };
        self.list.is_bad |= !is_good;
    }

    fn status(&mut self, value: &[u8]) -> bool {
        let Ok(status) = StatusCode::from_bytes(value) else {
            return false;
        };
        let text = &mut self.head.text;
        let is_first = text.is_empty();
        self.head.status = status.as_u16();
        text.extend_from_slice(b"HTTP/1.1 ");
        text.extend_from_slice(value);
        text.push(b' ');
        text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        text.extend_from_slice(b"\r\n");
        is_first
    }

    fn other(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name {
            b"connection" | b"transfer-encoding" | b"keep-alive" | b"upgrade"
            | b"proxy-connection" => {
                return false;
            }
            b"content-length" => match number(value) {
                Some(n) if self.head.length.is_none_or(|other| other == n) => {
                    self.head.length = Some(n);
                }
                _ => return false,
            },
            b"l5d-orig-proto" => self.head.is_http10 = value.starts_with(b"HTTP/1.0"),
            _ => {}
        }
        let text = &mut self.head.text;
        text.extend_from_slice(name);
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
        true
    }

    /// The head; `None`: it is malformed, or too large.
    pub(super) fn end(mut self) -> Option<Head> {
        if self.list.is_bad || self.head.status == 0 {
            return None;
        }
        let is_open = !self.head.ends && self.head.status >= 200;
        if is_open && self.head.length.is_none() {
            self.head
                .text
                .extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        self.head.text.extend_from_slice(b"\r\n");
        Some(self.head)
    }
}

/// Fields of trailers: a map takes only so many, and we add one.
const MOST_TRAILERS: usize = 1024;

impl Trailers {
    /// Takes fields of so many bytes in all.
    pub(super) fn new(most: usize) -> Self {
        let list = List {
            most,
            ..List::default()
        };
        Self {
            map: HeaderMap::new(),
            list,
        }
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if !self.list.takes(name, value) {
            return;
        }
        if self.map.len() >= MOST_TRAILERS {
            self.list.is_bad = true;
            return;
        }
        match (
            is_name(name),
            HeaderName::from_bytes(name),
            HeaderValue::from_bytes(value),
        ) {
            (true, Ok(name), Ok(value)) => drop(self.map.append(name, value)),
            _ => self.list.is_bad = true,
        }
    }

    /// All of them; `None`: they are malformed, or too large.
    pub(super) fn end(self) -> Option<HeaderMap> {
        (!self.list.is_bad).then_some(self.map)
    }
}

/// A field's name as HTTP/2 sends it.
fn is_name(name: &[u8]) -> bool {
    let is_good =
        |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty() && name.iter().all(is_good)
}

fn is_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|b| (*b >= b' ' && *b != 0x7f) || *b == b'\t')
}

fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number
        .then(|| std::str::from_utf8(value).ok()?.parse().ok())
        .flatten()
}

/// Appends the block of a request whose head is `text` in the form of HTTP/1, with `added` fields. False: HTTP/2 cannot say it.
pub(super) fn put_request(
    text: &[u8],
    added: &[(&str, &str)],
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> bool {
    let mut lines = lines(text);
    let mut words = lines.next().unwrap_or_default().split(|b| *b == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return false;
    };
    let fields = || lines.clone().filter_map(split);
    let mut hosts = fields().filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let host = hosts.next().map_or(&b""[..], |(_, value)| value);
    let is_sayable = |text: &[u8]| text.iter().all(|b| *b > b' ' && *b != 0x7f);
    if method.is_empty() || target.is_empty() || !is_sayable(target) || !is_sayable(host) {
        return false;
    }
    encoder.begin(out);
    encoder.method(method, out);
    encoder.scheme(false, out);
    if !host.is_empty() {
        encoder.authority(host, out);
    }
    encoder.path(target, out);
    for (name, value) in fields() {
        let is_left_out = match name.len() {
            4 => name.eq_ignore_ascii_case(b"host"),
            10 => name.eq_ignore_ascii_case(b"connection"),
            17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
            _ => false,
        };
        if !is_left_out {
            encoder.field(name, value, out);
        }
    }
    for (name, value) in added {
        encoder.field(name.as_bytes(), value.as_bytes(), out);
    }
    true
}

/// Appends the block of trailers.
pub(super) fn put_trailers(trailers: &HeaderMap, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    for (name, value) in trailers {
        encoder.field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let lines = text.split(|b| *b == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::super::hpack::Decoder;
    use super::*;

    #[test]
    fn requests_keep_what_matters() {
        let text =
            b"POST /a?b=c HTTP/1.1\r\nX-Two: 1\r\nHost: web:80\r\nCookie: a=1; b=2\r\nx-two: 2\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let (mut encoder, mut block) = (Encoder::default(), Vec::new());
        assert!(put_request(
            text,
            &[("te", "trailers")],
            &mut encoder,
            &mut block
        ));
        let mut seen = String::new();
        let read = Decoder::new(0).decode(&block, &mut |name, value| {
            let text = String::from_utf8_lossy;
            seen += &format!("{}={} ", text(name), text(value));
        });
        assert_eq!(read, Ok(()));
        assert_eq!(
            seen,
            ":method=POST :scheme=http :authority=web:80 :path=/a?b=c x-two=1 cookie=a=1; b=2 x-two=2 te=trailers "
        );
    }

    #[test]
    fn what_http_2_cannot_say_is_not_sent() {
        for bad in [
            &b"GET /\x7f HTTP/1.1\r\n\r\n"[..],
            b"GET",
            b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        ] {
            let mut encoder = Encoder::default();
            assert!(!put_request(bad, &[], &mut encoder, &mut Vec::new()));
        }
    }
}
