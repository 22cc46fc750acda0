//! Answers.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;

/// The content type of JSON.
pub const JSON: &str = "application/json";

/// A JSON string.
pub fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request that is not answered as it was meant: the status, and for people why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    /// With this status.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }

    /// The request is wrong.
    pub fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// For people: why.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What was waited for did not become known in time.
    pub fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Request timed out.")
    }
}

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        text(refusal.status, refusal.why)
    }
}

/// No body.
pub fn empty(status: StatusCode) -> Response<Body> {
    with(status, None, Empty::new().boxed_unsync())
}

/// A text for people, as it is.
pub fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(text.into())).boxed_unsync();
    with(status, Some("text/plain; charset=utf-8"), body)
}

/// A document of this type with status 200.
pub fn document(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed_unsync();
    with(StatusCode::OK, Some(content_type), body)
}

/// Pieces that come in time, with status 200; the head goes out at once.
pub fn stream(
    content_type: &'static str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Response<Body> {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    let body = StreamBody::new(frames).boxed_unsync();
    with(StatusCode::OK, Some(content_type), body)
}

/// A method that the route does not have; `methods` are those it has.
pub fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, methods);
    response
}

fn with(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}
