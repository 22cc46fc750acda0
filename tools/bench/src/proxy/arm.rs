//! What is measured: protocol, number of hops, TLS or not, size of the body.

use std::fmt;
use std::str::FromStr;

/// One table of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arm {
    pub(super) protocol: Protocol,
    /// Proxies one behind the other, all on the core that is measured.
    pub(super) hops: usize,
    /// From the client to the last proxy; the origin is always plain.
    pub(super) tls: bool,
    /// 1 MiB instead of 1 KiB.
    pub(super) large: bool,
}

/// What client and origin speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 all the way.
    Http1,
    /// HTTP/2 all the way; nginx, which has no such upstreams, goes on with HTTP/1.1.
    Http2,
    /// HTTP/2 to an origin of HTTP/1.1.
    Http2To1,
    /// HTTP/2 all the way, a POST with a message of 1 KiB in both directions, and trailers.
    Grpc,
}

/// The arms of a run without `--arms`.
pub(super) const DEFAULT: [&str; 9] = [
    "h1", "h1-2hops", "h1-tls", "h1-large", "h2", "h2-2hops", "h2-tls", "h2-to-h1", "grpc",
];

const PROTOCOLS: [(&str, Protocol); 4] = [
    // The longer name before the one that it begins with.
    ("h2-to-h1", Protocol::Http2To1),
    ("h1", Protocol::Http1),
    ("h2", Protocol::Http2),
    ("grpc", Protocol::Grpc),
];

impl Arm {
    pub(super) fn is_http2(self) -> bool {
        self.protocol != Protocol::Http1
    }

    /// What the proxies are asked for.
    pub(super) fn path(self) -> &'static str {
        match (self.protocol, self.large) {
            (Protocol::Grpc, _) => "/bench.Bench/Small",
            (_, false) => "/small",
            (_, true) => "/large",
        }
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let find =
            |(name, protocol): &(&str, Protocol)| Some((text.strip_prefix(name)?, *protocol));
        let (mut rest, protocol) = PROTOCOLS
            .iter()
            .find_map(find)
            .ok_or_else(|| format!("`{text}` begins with none of h1, h2, h2-to-h1, grpc"))?;
        let mut has = |word: &str| match rest.strip_prefix(word) {
            Some(behind) => {
                rest = behind;
                true
            }
            None => false,
        };
        let arm = Self {
            protocol,
            hops: if has("-2hops") { 2 } else { 1 },
            tls: has("-tls"),
            large: has("-large"),
        };
        match rest {
            "" if arm.large && protocol == Protocol::Grpc => {
                Err(format!("`{text}`: messages are small"))
            }
            "" => Ok(arm),
            rest => Err(format!(
                "`{rest}` in `{text}` is none of -2hops, -tls, -large, in this order"
            )),
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PROTOCOLS.iter().find(|(_, p)| *p == self.protocol);
        f.write_str(name.map_or("", |(name, _)| name))?;
        for (is_set, word) in [
            (self.hops == 2, "-2hops"),
            (self.tls, "-tls"),
            (self.large, "-large"),
        ] {
            if is_set {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_read_as_they_are_shown() {
        for (_, protocol) in PROTOCOLS {
            for bits in 0..8 {
                let (hops, tls, large) = (1 + (bits & 1), bits & 2 != 0, bits & 4 != 0);
                let arm = Arm {
                    protocol,
                    hops,
                    tls,
                    large,
                };
                if large && protocol == Protocol::Grpc {
                    continue;
                }
                assert_eq!(arm.to_string().parse(), Ok(arm));
            }
        }
        for text in DEFAULT {
            assert_eq!(text.parse::<Arm>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "h3",
            "h1-tls-2hops",
            "h1-small",
            "h12hops",
            "grpc-large",
        ] {
            assert!(text.parse::<Arm>().is_err(), "{text}");
        }
    }
}
