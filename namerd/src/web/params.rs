//! Parameters from query and form, and bodies.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use l5d_naming::{Dtab, Path};
use tokio::time::timeout;

use super::reply::Refusal;

/// Parameters of one request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BadBody {
    /// More than [`BODY_BYTES`].
    #[error("the body is longer than {BODY_BYTES} bytes")]
    TooLong,
    /// It did not come in time.
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    /// It was cut off or badly framed.
    #[error("the body could not be read: {0}")]
    Broken(String),
}

/// Longest body, in bytes.
const BODY_BYTES: usize = 5 << 20;
/// How much of a longer one is read, and for how long, before the connection is closed.
const THROW_BYTES: usize = 32 << 20;
const THROW_TIME: Duration = Duration::from_secs(2);
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl Params {
    /// Those of the query string: percent-decoded, `+` is a blank.
    pub fn of_query(uri: &Uri) -> Self {
        Self(pairs(uri.query().unwrap_or_default().as_bytes()))
    }

    /// Those of the query string and, winning over them, of a form in the body.
    pub async fn of_request(
        uri: &Uri,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Self, BadBody> {
        let mut params = Vec::new();
        let has_body =
            headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        if has_body && media_type(headers).as_deref() == Some("application/x-www-form-urlencoded") {
            params = pairs(&read_body(body).await?);
        }
        params.extend(Self::of_query(uri).0);
        Ok(Self(params))
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The parameter `path`; absent or unreadable: refused.
    pub fn path(&self) -> Result<Path, Refusal> {
        let text = self
            .get("path")
            .ok_or_else(|| Refusal::bad("Invalid path: the parameter `path` is missing"))?;
        Path::parse(text).map_err(|e| Refusal::bad(format!("Invalid path: {text} / {e}")))
    }

    /// The parameter `dtab`; absent: no entries; unreadable: refused.
    pub fn dtab(&self) -> Result<Dtab, Refusal> {
        let text = self.get("dtab").unwrap_or_default();
        Dtab::parse(text).map_err(|e| Refusal::bad(format!("Invalid dtab: {e}")))
    }

    /// A boolean parameter: true for `1`, `t`, `true` in any case.
    pub fn is_true(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().to_ascii_lowercase();
        matches!(value.as_str(), "1" | "t" | "true")
    }
}

/// The media type of `Content-Type` without parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = value.split(';').next().unwrap_or_default();
    Some(bare.trim().to_ascii_lowercase())
}

/// The whole body, whether its length was announced or it comes in chunks. What is too long is read on for a while and
/// thrown away: a client that is still sending would not read the answer.
pub async fn read_body(mut body: Incoming) -> Result<Bytes, BadBody> {
    let read = timeout(BODY_TIMEOUT, collect(&mut body)).await;
    let read = read.unwrap_or(Err(BadBody::TooSlow));
    if matches!(read, Err(BadBody::TooLong)) {
        // Whether the client has been seen to the end or not, it is told the same.
        let _ = timeout(THROW_TIME, throw_away(&mut body)).await;
    }
    read
}

async fn collect(body: &mut Incoming) -> Result<Bytes, BadBody> {
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(BadBody::TooLong);
    }
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(BadBody::TooLong),
        Err(e) => Err(BadBody::Broken(e.to_string())),
    }
}

async fn throw_away(body: &mut Incoming) {
    let mut thrown = 0;
    while let Some(Ok(frame)) = body.frame().await {
        thrown += frame.data_ref().map_or(0, Bytes::len);
        if thrown > THROW_BYTES {
            return;
        }
    }
}

impl From<BadBody> for Refusal {
    fn from(error: BadBody) -> Self {
        let status = match error {
            BadBody::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            BadBody::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BadBody::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    text.split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let key = decode(halves.next().unwrap_or_default());
            (key, decode(halves.next().unwrap_or_default()))
        })
        .collect()
}

/// Percent decoding; what is no escape stays as it is.
fn decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escape = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (escape, first) {
            (Some(byte), _) => {
                out.push(byte);
                rest = &tail[2..];
            }
            (None, b'+') => out.push(b' '),
            (None, byte) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_percent_decoded_and_plus_is_a_blank() {
        let uri: Uri = "/x?path=/%23/io.l5d.fs/a&dtab=/a%3D%3E/b+%26+/c&bad=%zz%4&flag&watch=TRUE"
            .parse()
            .expect("a uri");
        let params = Params::of_query(&uri);
        assert_eq!(params.get("path"), Some("/#/io.l5d.fs/a"));
        assert_eq!(params.get("dtab"), Some("/a=>/b & /c"));
        assert_eq!(params.get("bad"), Some("%zz%4"));
        assert_eq!(params.get("flag"), Some(""));
        assert!(params.is_true("watch"));
        assert!(!params.is_true("flag"));
        assert_eq!(params.get("nothing"), None);
    }
}
