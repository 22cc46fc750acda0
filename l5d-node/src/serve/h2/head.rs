//! Heads of clients in HTTP/2 in the form of HTTP/1, and back; those of endpoints are the business of
//! [`crate::connect::h2::engine`]. What is made here is read again by the parser that reads HTTP/1: one place decides what a
//! head may look like, and nothing that it refuses gets further.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// What a request was before another node put it on a stream (node-proxy 14.3).
pub(super) const ORIG_PROTO: &str = "l5d-orig-proto";

/// The version that it says.
pub(super) fn original(headers: &HeaderMap) -> &'static str {
    let value = headers
        .get(ORIG_PROTO)
        .map_or(&b""[..], HeaderValue::as_bytes);
    if value.starts_with(b"HTTP/1.0") {
        "HTTP/1.0"
    } else {
        "HTTP/1.1"
    }
}

/// What a request becomes: `version` is that of its request line. `ends`: it has no body.
pub(super) fn put_request(
    head: &http::request::Parts,
    version: &str,
    ends: bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = match (head.uri.path_and_query(), head.uri.authority()) {
        (Some(path), _) => path.as_str(),
        (None, Some(authority)) => authority.as_str(),
        (None, None) => "*",
    };
    out.extend_from_slice(target.as_bytes());
    out.push(b' ');
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\r\n");
    let authority = head.uri.authority();
    if let Some(authority) = authority {
        put("host", authority.as_str().as_bytes(), out);
    } else if !head.headers.contains_key(header::HOST) {
        // A name may still be made of something else.
        put("host", b"", out);
    }
    for (name, value) in &head.headers {
        let is_left_out = name == header::COOKIE
            || name == header::TE
            || name == ORIG_PROTO
            || (name == header::HOST && authority.is_some());
        if !is_left_out {
            put(name.as_str(), value.as_bytes(), out);
        }
    }
    put_cookie(&head.headers, out);
    put_framing(&head.headers, ends, out);
}

/// One field, however many the peer made of it to save bytes (RFC 9113 8.2.3).
fn put_cookie(headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if let Some(first) = cookies.next() {
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for cookie in cookies {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(cookie.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn put_framing(headers: &HeaderMap, ends: bool, out: &mut Vec<u8>) {
    if !ends && !headers.contains_key(header::CONTENT_LENGTH) {
        put("transfer-encoding", b"chunked", out);
    }
    out.extend_from_slice(b"\r\n");
}

fn put(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A response's head to send.
pub(super) fn to_response(text: &[u8]) -> Option<Response<()>> {
    let (line, fields) = split(text)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(line.get(9..12)?).ok()?;
    *response.headers_mut() = to_headers(&fields);
    Some(response)
}

/// Trailers out of lines.
pub(super) fn to_trailers(lines: &[u8]) -> HeaderMap {
    to_headers(&Bytes::copy_from_slice(lines))
}

/// The first line and the fields behind it, copied once.
fn split(text: &[u8]) -> Option<(Bytes, Bytes)> {
    let mut text = Bytes::copy_from_slice(text);
    let end = text.windows(2).position(|w| w == b"\r\n")?;
    let line = text.split_to(end);
    Some((line, text.split_off(2)))
}

/// The fields that HTTP/2 has.
fn to_headers(lines: &Bytes) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(24);
    for line in lines.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let value = lines.slice_ref(line[colon + 1..].trim_ascii());
        let Ok(name) = HeaderName::from_bytes(&line[..colon]) else {
            continue;
        };
        let is_left_out = [header::HOST, header::TRANSFER_ENCODING, header::CONNECTION];
        if !is_left_out.contains(&name) {
            // Whatever was read as a field has the bytes of one.
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                headers.append(name, value);
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(build: http::request::Builder) -> http::request::Parts {
        build.body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_keep_what_matters() {
        let head = parts(
            http::Request::builder()
                .method("POST")
                .uri("http://web:80/a?b=c")
                .header("host", "other")
                .header("cookie", "a=1")
                .header("x-two", "1")
                .header("cookie", "b=2")
                .header("x-two", "2")
                .header("te", "trailers"),
        );
        let mut text = Vec::new();
        put_request(&head, "HTTP/1.1", false, &mut text);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "POST /a?b=c HTTP/1.1\r\nhost: web:80\r\nx-two: 1\r\nx-two: 2\r\ncookie: a=1; b=2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn responses_lose_what_is_of_http_1() {
        let text = b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nConnection: close\r\nx-a:  2 \r\n\r\n";
        let response = to_response(text).unwrap();
        assert_eq!(response.status(), 404);
        let all: Vec<_> = response.headers().iter().collect();
        let (name, one, two) = (HeaderName::from_static("x-a"), "1", "2");
        assert_eq!(all.len(), 2);
        assert!(
            all.iter()
                .zip([one, two])
                .all(|(field, value)| *field.0 == name && field.1 == value)
        );
    }
}
