//! Heads of HTTP/2 in the form of HTTP/1, and back. What is made here is read again by the parser that reads HTTP/1: one
//! place decides what a head may look like, and nothing that it refuses gets further.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};

/// What a request was before another node put it on a stream (node-proxy 14.3).
pub(super) const ORIG_PROTO: HeaderName = HeaderName::from_static("l5d-orig-proto");

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

/// What a response becomes.
pub(super) fn put_response(status: StatusCode, headers: &HeaderMap, ends: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let reason = status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        put(name.as_str(), value.as_bytes(), out);
    }
    put_framing(headers, ends, out);
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

/// A request's head to send, out of what [`crate::serve::forward`] made. `None`: HTTP/2 cannot say it.
pub(super) fn to_request(text: &[u8], scheme: Scheme) -> Option<Request<()>> {
    let (line, fields) = split(text)?;
    let mut words = line.split(|b| *b == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(method).ok()?;
    let (headers, host) = to_headers(&fields);
    let target = line.slice_ref(target);
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(target).ok()?);
    if let Some(host) = host.filter(|h| !h.is_empty()) {
        uri.scheme = Some(scheme);
        uri.authority = Some(Authority::from_maybe_shared(host).ok()?);
        *request.version_mut() = Version::HTTP_2;
    }
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

/// A response's head to send.
pub(super) fn to_response(text: &[u8]) -> Option<Response<()>> {
    let (line, fields) = split(text)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(line.get(9..12)?).ok()?;
    *response.headers_mut() = to_headers(&fields).0;
    Some(response)
}

/// Trailers out of lines.
pub(super) fn to_trailers(lines: &[u8]) -> HeaderMap {
    to_headers(&Bytes::copy_from_slice(lines)).0
}

/// The first line and the fields behind it, copied once.
fn split(text: &[u8]) -> Option<(Bytes, Bytes)> {
    let mut text = Bytes::copy_from_slice(text);
    let end = text.windows(2).position(|w| w == b"\r\n")?;
    let line = text.split_to(end);
    Some((line, text.split_off(2)))
}

/// The fields that HTTP/2 has, and the host.
fn to_headers(lines: &Bytes) -> (HeaderMap, Option<Bytes>) {
    let mut headers = HeaderMap::with_capacity(24);
    let mut host = None;
    for line in lines.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let value = lines.slice_ref(line[colon + 1..].trim_ascii());
        let Ok(name) = HeaderName::from_bytes(&line[..colon]) else {
            continue;
        };
        if name == header::HOST {
            host = Some(value);
        } else if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
            // Whatever was read as a field has the bytes of one.
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                headers.append(name, value);
            }
        }
    }
    (headers, host)
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
            Request::builder()
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
            String::from_utf8(text.clone()).unwrap(),
            "POST /a?b=c HTTP/1.1\r\nhost: web:80\r\nx-two: 1\r\nx-two: 2\r\ncookie: a=1; b=2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let back = to_request(&text, Scheme::HTTP).unwrap();
        assert_eq!(back.uri(), "http://web:80/a?b=c");
        assert_eq!(back.headers().get_all("x-two").iter().count(), 2);
        assert_eq!(back.headers()["cookie"], "a=1; b=2");
        assert_eq!(back.headers().len(), 3);
    }

    #[test]
    fn responses_end_or_do_not() {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", HeaderValue::from_static("3"));
        let mut text = Vec::new();
        put_response(StatusCode::OK, &headers, false, &mut text);
        assert_eq!(text, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
        let back = to_response(&text).unwrap();
        assert_eq!((back.status(), back.headers()), (StatusCode::OK, &headers));
        text.clear();
        put_response(StatusCode::NO_CONTENT, &HeaderMap::new(), true, &mut text);
        assert_eq!(text, b"HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn what_http_2_cannot_say_is_not_sent() {
        for bad in [
            &b"GET /\x7f HTTP/1.1\r\n\r\n"[..],
            b"GET",
            b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        ] {
            assert!(to_request(bad, Scheme::HTTP).is_none());
        }
    }
}
