//! A request head and what follows from it, decided before anything is done with it.

use std::ops::Range;

use super::respond::Failure;
use super::wire::field::{Field, Fields, Kind, Options, list, values};
use super::wire::framing::{self, Framing};
use super::wire::head::{RequestHead, Version};

/// A request whose head was read and accepted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Range<usize>,
    /// The target to send: origin form, or `*`.
    pub(crate) target: Range<usize>,
    /// Whether `/` must be put before the target: the path of the absolute form was empty.
    pub(crate) adds_slash: bool,
    /// The authority of an absolute target: replaces Host.
    pub(crate) authority: Option<Range<usize>>,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
    /// Length of the head.
    pub(crate) head_len: usize,
    pub(crate) framing: Framing,
    /// Known length up to the limit: read before anything else, so that it can be sent again.
    pub(crate) is_buffered: bool,
    pub(crate) is_head: bool,
    pub(crate) is_connect: bool,
    /// May be sent again although the server may have seen it.
    pub(crate) is_idempotent: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// Asks for another protocol on this connection, which is joined to the server's if the server agrees (node-proxy 9.6).
    pub(crate) upgrades: bool,
}

impl Request {
    /// Checks a head that parsed; `head` are its bytes.
    pub(crate) fn accept(
        head: &[u8],
        parsed: RequestHead,
        stream_after: usize,
    ) -> Result<Self, Failure> {
        let fields = &parsed.fields;
        let framing =
            framing::of_request(head, fields, parsed.version).map_err(Failure::framing)?;
        check_host(head, fields, parsed.version)?;
        let method = &head[parsed.method.clone()];
        let is_connect = method == b"CONNECT";
        if is_connect && framing != Framing::None {
            return Err(Failure::malformed("CONNECT with a body"));
        }
        let target = Target::read(head, parsed.target.clone(), is_connect)?;
        let options = Options::read(head, fields);
        let expects_continue = parsed.version == Version::Http11
            && values(head, fields, Kind::Expect).any(|v| v.eq_ignore_ascii_case(b"100-continue"));
        Ok(Self {
            is_head: method == b"HEAD",
            is_connect,
            is_idempotent: matches!(
                method,
                b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
            ),
            keep_alive: match parsed.version {
                Version::Http11 | Version::Http2 => !options.close,
                Version::Http10 => options.keep_alive && !options.close,
            },
            is_buffered: match framing {
                Framing::None => true,
                Framing::Length(n) => n <= stream_after as u64,
                Framing::Chunked | Framing::UntilClose => false,
            },
            expects_continue: expects_continue && framing != Framing::None,
            upgrades: parsed.version == Version::Http11
                && framing == Framing::None
                && options.upgrade
                && asks_for_protocol(head, fields),
            framing,
            method: parsed.method,
            target: target.path,
            adds_slash: target.adds_slash,
            authority: target.authority,
            version: parsed.version,
            fields: parsed.fields,
            head_len: parsed.len,
        })
    }

    /// Whether another node asks for the way of sending that [`super::h2`] has between nodes.
    pub(crate) fn asks_http2(&self) -> bool {
        self.fields.iter().any(|f| f.kind == Kind::Node)
    }

    /// Bytes of head and buffered body.
    pub(crate) fn buffered_len(&self) -> usize {
        match self.framing {
            Framing::Length(n) if self.is_buffered => self.head_len + n as usize,
            _ => self.head_len,
        }
    }

    /// The host that names the destination, after the rewriting of node-proxy 7.9.
    pub(crate) fn host<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        match &self.authority {
            Some(authority) => Some(&head[authority.clone()]),
            None => {
                let field = self.fields.iter().find(|f| f.kind == Kind::Host)?;
                Some(field.value(head))
            }
        }
    }

    /// The first value of a field, Host as rewritten.
    pub(crate) fn field<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        if name.eq_ignore_ascii_case("host") || name == ":authority" {
            return self.host(head);
        }
        let is = |f: &&Field| f.name(head).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(is).map(|f| f.value(head))
    }

    /// Elements of all `Via` fields (node-proxy 8.6).
    pub(crate) fn call_depth(&self, head: &[u8]) -> usize {
        values(head, &self.fields, Kind::Via)
            .map(|v| list(v).count())
            .sum()
    }
}

struct Target {
    path: Range<usize>,
    adds_slash: bool,
    authority: Option<Range<usize>>,
}

impl Target {
    /// A host and a port, and nothing else.
    fn of_connect(range: Range<usize>, target: &[u8]) -> Result<Self, Failure> {
        let colon = target.iter().rposition(|b| *b == b':');
        let is_port = |port: &[u8]| !port.is_empty() && port.iter().all(u8::is_ascii_digit);
        match colon {
            Some(at) if at > 0 && is_host(target) && is_port(&target[at + 1..]) => Ok(Self {
                path: range.clone(),
                adds_slash: false,
                authority: Some(range),
            }),
            _ => Err(Failure::malformed(
                "the target of CONNECT is no host and port",
            )),
        }
    }

    /// Takes an absolute target apart (node-proxy 7.9); the bytes stay as they are.
    fn read(head: &[u8], range: Range<usize>, is_connect: bool) -> Result<Self, Failure> {
        let target = &head[range.clone()];
        if target.contains(&b'#') {
            return Err(Failure::malformed("fragment in the request target"));
        }
        let as_is = Self {
            path: range.clone(),
            adds_slash: false,
            authority: None,
        };
        if is_connect {
            return Self::of_connect(range, target);
        }
        if target.first() == Some(&b'/') || target == b"*" {
            return Ok(as_is);
        }
        let rest = after_scheme(target)
            .ok_or_else(|| Failure::malformed("request target is no path and no URI"))?;
        let end = target[rest..]
            .iter()
            .position(|b| matches!(b, b'/' | b'?'))
            .map_or(target.len(), |n| rest + n);
        // Credentials are dropped, and never logged.
        let host = target[rest..end]
            .iter()
            .rposition(|b| *b == b'@')
            .map_or(rest, |n| rest + n + 1);
        if !is_host(&target[host..end]) {
            return Err(Failure::malformed(
                "invalid authority in the request target",
            ));
        }
        Ok(Self {
            path: range.start + end..range.end,
            adds_slash: target.get(end) != Some(&b'/'),
            authority: Some(range.start + host..range.start + end),
        })
    }
}

/// Whether there is a protocol to switch to. Not HTTP/2: requests in it would pass unseen.
fn asks_for_protocol(head: &[u8], fields: &[Field]) -> bool {
    let mut protocols = fields
        .iter()
        .filter(|f| f.is_upgrade(head))
        .flat_map(|f| list(f.value(head)))
        .peekable();
    let is_http2 = |p: &[u8]| p.len() >= 3 && p[..3].eq_ignore_ascii_case(b"h2c");
    protocols.peek().is_some() && !protocols.any(is_http2)
}

/// Where the authority begins, if the target starts with `scheme://`.
fn after_scheme(target: &[u8]) -> Option<usize> {
    let colon = target.iter().position(|b| *b == b':')?;
    let (scheme, rest) = target.split_at(colon);
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
    (is_scheme && rest.starts_with(b"://")).then_some(colon + 3)
}

/// One Host in HTTP/1.1, valid (RFC 9112 3.2).
fn check_host(head: &[u8], fields: &[Field], version: Version) -> Result<(), Failure> {
    let mut hosts = values(head, fields, Kind::Host);
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Failure::malformed("more than one Host")),
        (Some(host), None) if !is_host(host) => Err(Failure::malformed("invalid Host")),
        (None, None) if version == Version::Http11 => Err(Failure::malformed("no Host")),
        _ => Ok(()),
    }
}

/// Whether these may be the bytes of a host and a port; empty is allowed.
fn is_host(value: &[u8]) -> bool {
    value
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(b))
}
