//! One request as one line, in the format of 1.x with the client's bytes made harmless.

use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Which of the two formats of 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `HOST IP - - [06/01/2016:21:21:26 GMT] "HEAD /foo HTTP/1.1" 402 304374 "-" "-"`
    Http,
    /// `AUTHORITY IP - - [06/01/2016:21:21:26 +0000] "POST /foo HTTP/2" 200 - "-" "-"`
    H2,
}

/// One request and its answer. What is empty or `None` is written as `-`.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When; by default now.
    pub at: Timestamp,
    /// The `Host` field, or `:authority`.
    pub host: &'a [u8],
    /// The client.
    pub remote: Option<IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The target as it was sent.
    pub target: &'a [u8],
    /// The version of HTTP, if it is not the usual one of the format.
    pub version: Option<&'a str>,
    /// The status of the answer.
    pub status: u16,
    /// The `Content-Length` of the answer; [`Form::H2`] never has it.
    pub length: Option<u64>,
    /// `Referer`.
    pub referer: &'a [u8],
    /// `User-Agent`.
    pub user_agent: &'a [u8],
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self {
            at: Timestamp::now(),
            host: b"",
            remote: None,
            method: "",
            target: b"",
            version: None,
            status: 0,
            length: None,
            referer: b"",
            user_agent: b"",
        }
    }
}

/// Text for the file. The time is put in by the writer, which formats each second once.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// When, and where in the text it goes.
    pub(crate) time: Option<(Timestamp, usize)>,
}

/// What is kept of one field: longer ones are cut, and end with `...`.
const FIELD_BYTES: usize = 2_048;

impl Line {
    pub(crate) fn of(entry: &Entry<'_>, form: Form) -> Self {
        let mut text = String::with_capacity(128);
        field(&mut text, entry.host, Place::Bare);
        // Writing to a string does not fail.
        let _ = match entry.remote {
            Some(ip) => write!(text, " {ip} - - ["),
            None => write!(text, " - - - ["),
        };
        let at = text.len();
        text.push_str("] \"");
        field(&mut text, entry.method.as_bytes(), Place::Bare);
        text.push(' ');
        field(&mut text, entry.target, Place::Bare);
        let version = entry.version.unwrap_or(match form {
            Form::Http => "HTTP/1.1",
            Form::H2 => "HTTP/2",
        });
        let _ = write!(text, " {version}\" {} ", entry.status);
        match entry.length.filter(|_| form == Form::Http) {
            Some(length) => drop(write!(text, "{length}")),
            None => text.push('-'),
        }
        for value in [entry.referer, entry.user_agent] {
            text.push_str(" \"");
            field(&mut text, value, Place::Quoted);
            text.push('"');
        }
        text.push('\n');
        let time = Some((entry.at, at));
        Self { text, time }
    }
}

/// Where a field stands: outside of quotes a space would begin the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Bare,
    Quoted,
}

fn field(text: &mut String, value: &[u8], place: Place) {
    if value.is_empty() {
        return text.push('-');
    }
    for &byte in value.iter().take(FIELD_BYTES) {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' ' if place == Place::Quoted => text.push(' '),
            0x21..=0x7e => text.push(char::from(byte)),
            // Control characters, and bytes that may be of any encoding.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    if value.len() > FIELD_BYTES {
        text.push_str("...");
    }
}

/// Times as they stand in lines; each second is formatted once.
#[derive(Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
    format: &'static str,
    second: i64,
    text: String,
}

impl Clock {
    pub(crate) fn new(form: Form, zone: TimeZone) -> Self {
        Self {
            zone,
            format: match form {
                Form::Http => "%d/%m/%Y:%H:%M:%S %Z",
                Form::H2 => "%d/%m/%Y:%H:%M:%S %z",
            },
            second: i64::MIN,
            text: String::new(),
        }
    }

    pub(crate) fn text(&mut self, at: Timestamp) -> &str {
        let second = at.as_second();
        if self.second != second {
            self.second = second;
            let zoned = at.to_zoned(self.zone.clone());
            self.text = zoned.strftime(self.format).to_string();
        }
        &self.text
    }
}
