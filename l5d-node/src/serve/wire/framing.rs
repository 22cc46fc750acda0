//! Where a body ends, decided once, by RFC 9112 section 6, on the strict side (node-proxy 9.4, trap 1).

use super::field::{Field, Kind, list, values};
use super::head::Version;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    /// Responses only.
    UntilClose,
}

/// Framing that is refused. A connection with one is closed, whatever is still buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("invalid Content-Length")]
    BadLength,
    #[error("conflicting Content-Length values")]
    LengthsDiffer,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingIn10,
    #[error("unsupported Transfer-Encoding, only chunked is")]
    UnknownCoding,
}

/// The body of a request.
pub(crate) fn of_request(
    head: &[u8],
    fields: &[Field],
    version: Version,
) -> Result<Framing, FramingError> {
    let length = length(head, fields)?;
    match (coding(head, fields)?, length) {
        (true, _) if version == Version::Http10 => Err(FramingError::CodingIn10),
        (true, Some(_)) => Err(FramingError::LengthAndCoding),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(n)) => Ok(Framing::Length(n)),
        (false, None) => Ok(Framing::None),
    }
}

/// The body of a response to a request that was (`to_head`) or was not HEAD.
pub(crate) fn of_response(
    head: &[u8],
    fields: &[Field],
    version: Version,
    status: u16,
    to_head: bool,
) -> Result<Framing, FramingError> {
    let length = length(head, fields)?;
    let is_chunked = coding(head, fields)?;
    if to_head || status < 200 || status == 204 || status == 304 {
        return Ok(Framing::None);
    }
    match (is_chunked, length) {
        (true, _) if version == Version::Http10 => Err(FramingError::CodingIn10),
        (true, _) => Ok(Framing::Chunked),
        (false, Some(n)) => Ok(Framing::Length(n)),
        (false, None) => Ok(Framing::UntilClose),
    }
}

/// The value of all `Content-Length` fields: digits only; equal ones collapse to one.
pub(crate) fn length(head: &[u8], fields: &[Field]) -> Result<Option<u64>, FramingError> {
    let mut found = None;
    for value in values(head, fields, Kind::ContentLength) {
        let n = digits(value).ok_or(FramingError::BadLength)?;
        if found.is_some_and(|other| other != n) {
            return Err(FramingError::LengthsDiffer);
        }
        found = Some(n);
    }
    Ok(found)
}

/// Whether there is a `Transfer-Encoding`, which must be exactly `chunked`.
fn coding(head: &[u8], fields: &[Field]) -> Result<bool, FramingError> {
    let mut fields = fields.iter().filter(|f| f.kind == Kind::TransferEncoding);
    let Some(field) = fields.next() else {
        return Ok(false);
    };
    let mut codings = list(field.value(head));
    let is_chunked = codings
        .next()
        .is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"));
    if !is_chunked || codings.next().is_some() || fields.next().is_some() {
        return Err(FramingError::UnknownCoding);
    }
    Ok(true)
}

fn digits(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse::<i64>().ok().map(|n| n as u64)
}
