//! Reading heads: `httparse` for the characters, and on top of it what it lets pass: bare LF, limits.

use std::mem::MaybeUninit;
use std::ops::Range;

use smallvec::SmallVec;

use super::field::{Field, Fields, Kind};

/// What a head may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) line: usize,
    pub(crate) fields: usize,
}

/// What a message came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http10,
    Http11,
    /// Never on a connection of ours as such: a head of HTTP/2 in the form of HTTP/1 (`serve::h2`).
    Http2,
}

/// A request's head; offsets from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
    /// The empty line included.
    pub(crate) len: usize,
}

/// A response's head; offsets from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Range<usize>,
    pub(crate) fields: Fields,
    pub(crate) len: usize,
}

/// A head that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("initial line longer than {0} bytes (maxInitialLineKB)")]
    LineTooLong(usize),
    #[error("headers longer than {0} bytes (maxHeadersKB)")]
    FieldsTooLong(usize),
    #[error("more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("{0}")]
    Malformed(&'static str),
}

/// More fields than this are refused whatever their length.
pub(crate) const MAX_FIELDS: usize = 128;

type Uninit<'b> = [MaybeUninit<httparse::Header<'b>>; MAX_FIELDS];

/// A request's head at the beginning of `bytes`; `None`: it has not ended yet.
pub(crate) fn parse_request(
    bytes: &[u8],
    limits: Limits,
) -> Result<Option<RequestHead>, HeadError> {
    check_line(bytes, limits)?;
    let mut uninit: Uninit<'_> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut uninit) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return check_partial(bytes, limits).map(|()| None),
        Err(e) => return Err(malformed(e)),
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(HeadError::Malformed("incomplete request line"));
    };
    let fields = fields(bytes, len, request.headers, limits)?;
    let head = RequestHead {
        method: range(bytes, method.as_bytes()),
        target: range(bytes, target.as_bytes()),
        version: to_version(version),
        fields,
        len,
    };
    if head.method.start != 0 {
        return Err(HeadError::Malformed("bare LF before the request line"));
    }
    Ok(Some(head))
}

/// A response's head at the beginning of `bytes`; `None`: it has not ended yet.
pub(crate) fn parse_response(
    bytes: &[u8],
    limits: Limits,
) -> Result<Option<ResponseHead>, HeadError> {
    check_line(bytes, limits)?;
    let mut uninit: Uninit<'_> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut uninit,
    );
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return check_partial(bytes, limits).map(|()| None),
        Err(e) => return Err(malformed(e)),
    };
    let (Some(version), Some(status)) = (response.version, response.code) else {
        return Err(HeadError::Malformed("incomplete status line"));
    };
    if !(100..=999).contains(&status) || !bytes.starts_with(b"HTTP/1.") {
        return Err(HeadError::Malformed("invalid status line"));
    }
    let fields = fields(bytes, len, response.headers, limits)?;
    // The reason is what stands between the status and the end of the line.
    let line_end = fields.first().map_or(len - 2, |f| f.name.start as usize) - 2;
    let code_end = b"HTTP/1.1 200".len();
    Ok(Some(ResponseHead {
        version: to_version(version),
        status,
        reason: (code_end + 1).min(line_end)..line_end,
        fields,
        len,
    }))
}

/// The fields of a block that has no first line: trailers. `bytes` end with the empty line.
pub(crate) fn parse_trailers(bytes: &[u8]) -> Result<Fields, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((len, headers))) if len == bytes.len() => {
            to_fields(bytes, len, headers)
        }
        Ok(_) => Err(HeadError::Malformed("invalid trailers")),
        Err(e) => Err(malformed(e)),
    }
}

/// The first line's length, as far as it has come.
fn check_line(bytes: &[u8], limits: Limits) -> Result<(), HeadError> {
    let window = &bytes[..bytes.len().min(limits.line + 2)];
    if window.len() > limits.line && !window.contains(&b'\n') {
        return Err(HeadError::LineTooLong(limits.line));
    }
    Ok(())
}

fn check_partial(bytes: &[u8], limits: Limits) -> Result<(), HeadError> {
    let line = bytes.iter().position(|b| *b == b'\n');
    match line {
        Some(line) if bytes.len() - line > limits.fields + 4 => {
            Err(HeadError::FieldsTooLong(limits.fields))
        }
        _ => Ok(()),
    }
}

fn fields(
    bytes: &[u8],
    len: usize,
    headers: &[httparse::Header<'_>],
    limits: Limits,
) -> Result<Fields, HeadError> {
    let fields = to_fields(bytes, len, headers)?;
    let start = fields.first().map_or(len - 2, |f| f.name.start as usize);
    if !bytes[..start].ends_with(b"\r\n") {
        return Err(HeadError::Malformed("bare LF"));
    }
    if len - 2 - start > limits.fields {
        return Err(HeadError::FieldsTooLong(limits.fields));
    }
    Ok(fields)
}

/// Each line must end with CRLF, not with LF alone.
fn to_fields(
    bytes: &[u8],
    len: usize,
    headers: &[httparse::Header<'_>],
) -> Result<Fields, HeadError> {
    if !bytes[..len].ends_with(b"\r\n") {
        return Err(HeadError::Malformed("bare LF"));
    }
    let block_end = len - 2;
    let mut fields: Fields = SmallVec::with_capacity(headers.len());
    for header in headers {
        let name = range(bytes, header.name.as_bytes());
        if let Some(last) = fields.last_mut() {
            last.end = name.start as u32;
        }
        let value = range(bytes, header.value);
        fields.push(Field {
            kind: Kind::of(header.name.as_bytes()),
            name: name.start as u32..name.end as u32,
            value: value.start as u32..value.end as u32,
            end: block_end as u32,
        });
    }
    let is_strict = |f: &Field| f.line(bytes).ends_with(b"\r\n");
    if !fields.iter().all(is_strict) {
        return Err(HeadError::Malformed("bare LF"));
    }
    Ok(fields)
}

/// Where `part`, a slice of `whole`, stands in it.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start > whole.len() {
        // An empty part may be a constant of its own.
        return 0..0;
    }
    start..start + part.len()
}

fn to_version(version: u8) -> Version {
    match version {
        0 => Version::Http10,
        _ => Version::Http11,
    }
}

fn malformed(e: httparse::Error) -> HeadError {
    use httparse::Error;
    HeadError::Malformed(match e {
        Error::TooManyHeaders => return HeadError::TooManyFields,
        Error::HeaderName => "invalid header name",
        Error::HeaderValue => "invalid header value",
        Error::NewLine => "invalid line end",
        Error::Status => "invalid status",
        Error::Token => "invalid request line",
        Error::Version => "unsupported HTTP version",
    })
}
