//! Versions of dtabs in headers: standard base64, without quotes (control plane 7.3).

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{ETAG, HeaderName, HeaderValue};
use http::{HeaderMap, Response};

use crate::store::DtabToken;
use crate::web::Body;

/// What a condition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// `*`: any version.
    Any,
    /// These versions; empty if none could be read, which no version matches.
    These(Vec<DtabToken>),
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Adds the version.
pub(super) fn with_etag(mut response: Response<Body>, token: &DtabToken) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(&token.0)) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// The condition in this header: bare, quoted or weak values, or `*`.
pub(super) fn condition(headers: &HeaderMap, name: HeaderName) -> Option<Condition> {
    if !headers.contains_key(&name) {
        return None;
    }
    let texts = headers
        .get_all(name)
        .into_iter()
        .map(|v| v.to_str().unwrap_or_default());
    let mut tokens = Vec::new();
    for text in texts.flat_map(|text| text.split(',')) {
        let text = text.trim();
        if text == "*" {
            return Some(Condition::Any);
        }
        tokens.extend(token(text));
    }
    Some(Condition::These(tokens))
}

/// One version: bare, quoted or weak.
pub(super) fn token(text: &str) -> Option<DtabToken> {
    let text = text.strip_prefix("W/").unwrap_or(text);
    // Characters outside of the alphabet, quotes among them, do not count.
    let clean: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'))
        .collect();
    let bytes = LENIENT.decode(clean).ok()?;
    Some(DtabToken(bytes.into()))
}

impl Condition {
    /// Whether this version is asked for.
    pub(super) fn matches(&self, token: &DtabToken) -> bool {
        match self {
            Condition::Any => true,
            Condition::These(tokens) => tokens.contains(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::IF_MATCH;

    use super::*;

    fn read(value: &str) -> Option<Condition> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_str(value).expect("a header"));
        condition(&headers, IF_MATCH)
    }

    #[test]
    fn versions_are_read_bare_quoted_and_weak() {
        let one = DtabToken(std::sync::Arc::new([0, 0, 0, 0, 0, 0, 0, 1]));
        for text in [
            "AAAAAAAAAAE=",
            "\"AAAAAAAAAAE=\"",
            "W/\"AAAAAAAAAAE=\"",
            " AAAAAAAAAAE ",
        ] {
            assert!(read(text).expect("a condition").matches(&one), "{text}");
        }
        for text in ["AAAAAAAAAAI=", "yolo", "", "\u{e4}", "A"] {
            assert!(!read(text).expect("a condition").matches(&one), "{text}");
        }
        assert_eq!(read("*"), Some(Condition::Any));
        assert_eq!(condition(&HeaderMap::new(), IF_MATCH), None);
    }
}
