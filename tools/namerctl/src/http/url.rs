//! The base URL, and what is put behind it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap};
use hyper::{StatusCode, Uri};

use crate::fail::Failure;
use crate::tls::Target;

/// Where a controller is.
#[derive(Clone, Debug)]
pub(super) struct BaseUrl {
    /// Host, port and scheme.
    pub(super) target: Target,
    uri: Uri,
}

impl BaseUrl {
    /// Needs scheme and host (control plane 8.2).
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() {
            return Err(Failure::new("empty base URL")
                .hint(
                    "say where namerd's HTTP controller is with --base-url, NAMERCTL_BASE_URL or .namerctl.yaml, \
                     such as http://127.0.0.1:4180",
                )
                .into());
        }
        let parsed = text.parse().ok();
        let parsed = parsed.and_then(|uri: Uri| Some((Target::of(&uri, [80, 443])?, uri)));
        let invalid = || {
            Failure::new(format!("invalid base URL: {text}")).hint(
                "it begins with http:// or https:// and a host, such as http://127.0.0.1:4180",
            )
        };
        let (target, uri) = parsed.ok_or_else(invalid)?;
        Ok(Self { target, uri })
    }

    /// The URL of something below `api/1/`; a path in the base URL is kept.
    pub(super) fn join(&self, path: &str, query: &str) -> anyhow::Result<Uri> {
        let base = self.uri.path().trim_end_matches('/');
        let scheme = self.uri.scheme_str().unwrap_or("http");
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!(
            "{scheme}://{}{base}/api/1/{path}{mark}{query}",
            self.authority()
        );
        url.parse().with_context(|| format!("invalid URL: {url}"))
    }

    /// Host and port, without user and password.
    pub(super) fn authority(&self) -> String {
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        let bare = authority
            .rsplit_once('@')
            .map_or(authority, |(_, bare)| bare);
        bare.to_owned()
    }

    /// The user and password in the URL as a header's value.
    pub(super) fn credentials(&self) -> Option<String> {
        let (user, _) = self.uri.authority()?.as_str().rsplit_once('@')?;
        let user = if user.contains(':') {
            user.to_owned()
        } else {
            format!("{user}:")
        };
        Some(format!("Basic {}", STANDARD.encode(unescaped(&user))))
    }

    /// Where an answer sends on to, if it does.
    pub(super) fn redirected(
        &self,
        from: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<anyhow::Result<(Self, Uri)>> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let to = headers.get(header::LOCATION)?.to_str().ok()?;
        let scheme = from.scheme_str().unwrap_or("http");
        let url = if to.starts_with("//") {
            format!("{scheme}:{to}")
        } else if to.starts_with('/') {
            format!("{scheme}://{}{to}", self.authority())
        } else {
            to.to_owned()
        };
        let next = || {
            let base = Self::parse(&url)?;
            let uri = base.uri.clone();
            anyhow::Ok((base, uri))
        };
        Some(next().with_context(|| format!("sent on to {to}")))
    }
}

/// A name as part of a URL's path, as Go writes it: what may not stand there, a question mark and a percent sign are
/// escaped, slashes are not.
pub(crate) fn escaped(name: &str) -> String {
    escape(name, b"-_.~$&+,/:;=@")
}

/// `key=value&...`.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key}={}", escape(value, b"-_.~/")));
    pairs.collect::<Vec<_>>().join("&")
}

fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, path: &str) -> String {
        let base = BaseUrl::parse(base).expect(base);
        base.join(path, "").expect(path).to_string()
    }

    #[test]
    fn a_path_in_the_base_url_is_kept() {
        for base in ["http://proxy/namerd", "http://proxy/namerd/"] {
            assert_eq!(joined(base, "dtabs"), "http://proxy/namerd/api/1/dtabs");
        }
        assert_eq!(joined("https://[::1]:1", "a"), "https://[::1]:1/api/1/a");
        assert_eq!(joined("http://u:p@h:1", "a"), "http://h:1/api/1/a");
    }

    #[test]
    fn a_base_url_needs_scheme_and_host() {
        for bad in [
            "localhost:4180",
            "http://",
            "/x",
            "ftp://h",
            "127.0.0.1:4180",
        ] {
            let error = BaseUrl::parse(bad).expect_err(bad).to_string();
            assert_eq!(error, format!("invalid base URL: {bad}"));
        }
        assert_eq!(
            BaseUrl::parse("").expect_err("").to_string(),
            "empty base URL"
        );
    }

    #[test]
    fn names_are_escaped_as_go_does() {
        assert_eq!(escaped("a/b c?%(é)"), "a/b%20c%3F%25%28%C3%A9%29");
        assert_eq!(
            query(&[("path", "/#/a&b"), ("dtab", "+")]),
            "path=/%23/a%26b&dtab=%2B"
        );
    }

    #[test]
    fn a_password_in_the_url_is_sent_as_go_sends_it() {
        let base = BaseUrl::parse("http://u:p%40@h").expect("reads");
        assert_eq!(base.credentials().as_deref(), Some("Basic dTpwQA=="));
        assert_eq!(
            BaseUrl::parse("http://h").expect("reads").credentials(),
            None
        );
    }
}
