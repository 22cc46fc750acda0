//! `Forwarded` (node-proxy 8.7, RFC 7239): one element for each hop that wants one, behind those that are there.

use std::net::SocketAddr;

use crate::config::{Labeler, Server};

/// What stands for the two ends of one connection. Made once for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    by: Label,
    from: Label,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    Fixed(String),
    /// New for each request.
    Random,
}

/// What a request says of itself, as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) host: Option<&'a [u8]>,
    /// Of an absolute target, or of a connection that has one.
    pub(crate) scheme: Option<&'a [u8]>,
}

impl Labels {
    /// `None`: this server adds no field. `ends`: ours and the client's, if they can be told.
    pub(crate) fn new(
        server: &Server,
        router: &str,
        ends: (Option<SocketAddr>, Option<SocketAddr>),
        rng: &mut fastrand::Rng,
    ) -> Option<Self> {
        let forwarded = server.forwarded.as_ref()?;
        Some(Self {
            by: Label::new(&forwarded.by, router, ends.0, rng),
            from: Label::new(&forwarded.from, router, ends.1, rng),
        })
    }

    /// Appends the field.
    pub(crate) fn put(&self, said: Said<'_>, rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Forwarded: by=");
        self.by.put(rng, out);
        out.extend_from_slice(b";for=");
        self.from.put(rng, out);
        if let Some(host) = said.host {
            out.extend_from_slice(b";host=");
            put_value(host, out);
        }
        if let Some(scheme) = said.scheme {
            out.extend_from_slice(b";proto=");
            out.extend_from_slice(scheme);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Label {
    fn new(
        labeler: &Labeler,
        router: &str,
        addr: Option<SocketAddr>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let addr = addr.filter(|a| !a.ip().is_unspecified());
        let addr = addr.map(|a| SocketAddr::new(a.ip().to_canonical(), a.port()));
        let unknown = || "unknown".to_owned();
        Self::Fixed(match labeler {
            Labeler::RequestRandom => return Self::Random,
            Labeler::ConnectionRandom => {
                let mut text = Vec::new();
                put_random(rng, &mut text);
                String::from_utf8(text).unwrap_or_default()
            }
            Labeler::Ip => addr.map_or_else(unknown, |a| match a {
                SocketAddr::V4(a) => a.ip().to_string(),
                SocketAddr::V6(a) => format!("\"[{}]\"", a.ip()),
            }),
            Labeler::IpPort => addr.map_or_else(unknown, |a| format!("\"{a}\"")),
            Labeler::Router => format!("_{}", obfuscated(router)),
            Labeler::Static(label) => label.clone(),
        })
    }

    fn put(&self, rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(text) => out.extend_from_slice(text.as_bytes()),
            Self::Random => put_random(rng, out),
        }
    }
}

/// `_` and six letters or digits.
fn put_random(rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.push(b'_');
    out.extend((0..6).map(|_| rng.alphanumeric() as u8));
}

/// A label of a router may have more characters than an identifier (RFC 7239 6.3).
fn obfuscated(label: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let char = |c: char| if allowed(c) { c } else { '-' };
    label.chars().map(char).collect()
}

/// As a token, or quoted (RFC 7239 4).
fn put_value(value: &[u8], out: &mut Vec<u8>) {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if !value.is_empty() && value.iter().all(is_token) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Forwarded;

    fn field(by: Labeler, from: Labeler, ends: [&str; 2], said: Said<'_>) -> String {
        let server = Server {
            forwarded: Some(Forwarded { by, from }),
            ..Server::default()
        };
        let mut rng = fastrand::Rng::with_seed(7);
        let ends = ends.map(|end| end.parse().ok());
        let labels = Labels::new(&server, "my router", (ends[0], ends[1]), &mut rng);
        let mut out = Vec::new();
        labels.expect("it is on").put(said, &mut rng, &mut out);
        String::from_utf8(out).expect("text")
    }

    const BARE: Said<'_> = Said {
        host: None,
        scheme: None,
    };

    #[test]
    fn labels_are_those_of_the_table() {
        let ends = ["192.0.2.43:80", "[2001:db8::17]:80"];
        for (by, from, value) in [
            (
                Labeler::Ip,
                Labeler::Ip,
                r#"by=192.0.2.43;for="[2001:db8::17]""#,
            ),
            (
                Labeler::IpPort,
                Labeler::IpPort,
                r#"by="192.0.2.43:80";for="[2001:db8::17]:80""#,
            ),
            (
                Labeler::Router,
                Labeler::Static("_me".to_owned()),
                "by=_my-router;for=_me",
            ),
        ] {
            let expected = format!("Forwarded: {value}\r\n");
            assert_eq!(field(by, from, ends, BARE), expected);
        }
        let unknown = field(Labeler::Ip, Labeler::IpPort, ["0.0.0.0:1", "?"], BARE);
        assert_eq!(unknown, "Forwarded: by=unknown;for=unknown\r\n");
    }

    #[test]
    fn random_ones_change_as_they_should() {
        let server = Server {
            forwarded: Some(Forwarded {
                by: Labeler::ConnectionRandom,
                from: Labeler::RequestRandom,
            }),
            ..Server::default()
        };
        let mut rng = fastrand::Rng::with_seed(7);
        let labels = Labels::new(&server, "r", (None, None), &mut rng).expect("it is on");
        let mut fields = Vec::new();
        for _ in 0..2 {
            let mut out = Vec::new();
            labels.put(BARE, &mut rng, &mut out);
            let text = String::from_utf8(out).expect("text");
            let (by, from) = text.trim().split_once(";for=").expect("two");
            assert_eq!((by.len(), from.len()), ("Forwarded: by=_abcdef".len(), 7));
            fields.push((by.to_owned(), from.to_owned()));
        }
        assert_eq!(fields[0].0, fields[1].0);
        assert_ne!(fields[0].1, fields[1].1);
        assert_eq!(
            Labels::new(&Server::default(), "r", (None, None), &mut rng),
            None
        );
    }

    #[test]
    fn hosts_are_quoted_where_they_must() {
        let of = |host: &str, scheme: Option<&str>| {
            let said = Said {
                host: Some(host.as_bytes()),
                scheme: scheme.map(str::as_bytes),
            };
            let label = || Labeler::Static("_x".to_owned());
            field(label(), label(), ["?", "?"], said)
        };
        assert_eq!(of("web", None), "Forwarded: by=_x;for=_x;host=web\r\n");
        assert_eq!(
            of("web:80", Some("http")),
            "Forwarded: by=_x;for=_x;host=\"web:80\";proto=http\r\n"
        );
        assert!(of("", None).contains("host=\"\""));
    }
}
