//! One identifier.

use l5d_naming::Path;
use l5d_resolver::ingress::Table;

use super::{HttpVersion, Identified, Outcome, RequestView, Segments, ingress};
use crate::config::Identifier;

pub(super) fn try_one(
    identifier: &Identifier,
    rules: Option<&Table>,
    request: &impl RequestView,
    out: &mut Segments,
) -> Outcome {
    match identifier {
        Identifier::HeaderToken { header, folds_case } => token(header, *folds_case, request, out),
        Identifier::Header { header } => header_value(header, request, out),
        Identifier::HeaderPath { header, segments } => header_path(header, *segments, request, out),
        Identifier::MethodAndHost { has_uri } => method_and_host(*has_uri, request, out),
        Identifier::Path { segments, consumes } => path(*segments, *consumes, request, out),
        Identifier::Static { path } => {
            push_path(path, out);
            FOUND
        }
        Identifier::Ingress(wanted) => ingress::find(wanted, rules, request, out),
    }
}

pub(super) const FOUND: Outcome = Outcome::Found(Identified { consumed: 0 });

/// A field, or what HTTP/2 has as one.
fn value<'a>(header: &str, request: &'a impl RequestView) -> Option<&'a [u8]> {
    let value = match header {
        ":method" => Some(request.method()),
        // Where a query matters nobody names a service by it.
        ":path" => Some(request.path()),
        _ if header.eq_ignore_ascii_case(":authority") || header.eq_ignore_ascii_case("host") => {
            request.host()
        }
        _ => request.field(header),
    };
    value.filter(|v| !v.is_empty())
}

fn absent(header: &str, request: &impl RequestView) -> Outcome {
    Outcome::NotFound(match request.version() {
        HttpVersion::Http2 => format!("missing header: '{header}'"),
        _ => format!("{header} header is absent"),
    })
}

/// 7.2
fn token(
    header: &str,
    folds_case: bool,
    request: &impl RequestView,
    out: &mut Segments,
) -> Outcome {
    let Some(value) = value(header, request) else {
        return absent(header, request);
    };
    match folds_case {
        true => out.push_lower(value),
        false => out.push(value),
    }
    FOUND
}

/// 7.3
fn header_value(header: &str, request: &impl RequestView, out: &mut Segments) -> Outcome {
    let Some(value) = value(header, request) else {
        return absent(header, request);
    };
    let wrong = |why: &dyn std::fmt::Display| {
        Outcome::Error(format!("the value of {header} is not a path: {why}"))
    };
    let Ok(text) = std::str::from_utf8(value) else {
        return wrong(&"not text");
    };
    match Path::parse(text) {
        Ok(path) => {
            push_path(&path, out);
            FOUND
        }
        Err(e) => wrong(&e),
    }
}

/// 7.4: taken literally, so that any legal URI works.
fn header_path(
    header: &str,
    segments: Option<usize>,
    request: &impl RequestView,
    out: &mut Segments,
) -> Outcome {
    let missing = || Outcome::NotFound("Missing destination path".to_owned());
    let Some(value) = value(header, request) else {
        return missing();
    };
    let path = value.split(|b| *b == b'?').next().unwrap_or_default();
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let Some(path) = path.strip_prefix(b"/") else {
        return missing();
    };
    let mut found = 0;
    for piece in path
        .split(|b| *b == b'/')
        .take(segments.unwrap_or(usize::MAX))
    {
        if piece.is_empty() {
            return Outcome::NotFound("the path has an empty segment".to_owned());
        }
        out.push(piece);
        found += 1;
    }
    match segments {
        Some(n) if found < n => {
            Outcome::NotFound(format!("Path must have at least {n} segment(s)"))
        }
        _ => FOUND,
    }
}

/// 7.5. A request over HTTP/2 has the name that it would have over 1.1, so that one dtab serves both.
fn method_and_host(has_uri: bool, request: &impl RequestView, out: &mut Segments) -> Outcome {
    if request.version() == HttpVersion::Http10 {
        out.push(b"1.0");
        out.push(request.method());
    } else {
        let Some(host) = request.host().filter(|h| !h.is_empty()) else {
            return Outcome::NotFound("HTTP/1.1 request missing hostname".to_owned());
        };
        out.push(b"1.1");
        out.push(request.method());
        out.push_lower(host);
    }
    if has_uri {
        let pieces = request.path().split(|b| *b == b'/');
        pieces.filter(|p| !p.is_empty()).for_each(|p| out.push(p));
    }
    FOUND
}

/// 7.6
fn path(
    segments: usize,
    consumes: bool,
    request: &impl RequestView,
    out: &mut Segments,
) -> Outcome {
    let path = request.path();
    let mut at = 0;
    for _ in 0..segments {
        // `at` is where a slash stands, or the end.
        let Some(rest) = path.get(at..).and_then(|rest| rest.strip_prefix(b"/")) else {
            return not_enough();
        };
        let len = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
        if len == 0 {
            let is_end = rest.iter().all(|b| *b == b'/');
            return match is_end {
                true => not_enough(),
                false => Outcome::NotFound("the path has an empty segment".to_owned()),
            };
        }
        out.push(&rest[..len]);
        at += 1 + len;
    }
    // Of slashes alone nothing remains.
    let remains = path[at..].iter().any(|b| *b != b'/');
    let consumed = match (consumes, remains) {
        (false, _) => 0,
        (true, true) => at,
        (true, false) => path.len(),
    };
    Outcome::Found(Identified { consumed })
}

fn not_enough() -> Outcome {
    Outcome::NotFound("not enough segments in path".to_owned())
}

pub(super) fn push_path(path: &Path, out: &mut Segments) {
    for elem in path.elems() {
        out.push(elem.as_bytes());
    }
}
