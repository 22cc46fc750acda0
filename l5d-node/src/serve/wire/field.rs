//! Header fields: where they are in a head, which of them mean something to a proxy.

use std::ops::Range;

use smallvec::SmallVec;

/// A field of a head, as offsets from the head's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) name: Range<u32>,
    pub(crate) value: Range<u32>,
    /// Behind the line's CRLF. The line begins with its name.
    pub(crate) end: u32,
}

/// The fields of a head in order.
pub(crate) type Fields = SmallVec<[Field; 24]>;

/// What a field is to a proxy (node-proxy 8.1, 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    /// Ends at this hop, whatever it says.
    HopByHop,
    Expect,
    Via,
    Location,
    Dtab,
    CtxDtab,
    CtxTrace,
    CtxDeadline,
    Sample,
    ReqId,
    /// `l5d-dst-service`, `l5d-dst-client`, `l5d-dst-residual`.
    Dst,
    SuccessClass,
    Retryable,
    Err,
    /// `l5d-orig-proto`, `l5d-node-http2`: between two nodes.
    Node,
    /// Any other `l5d-` field.
    OtherL5d,
    ClientCert,
    DtabLocal,
    /// Needed end to end: `Connection` cannot take it away.
    EndToEnd,
    Other,
}

impl Field {
    pub(crate) fn name<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.name.start as usize..self.name.end as usize]
    }

    pub(crate) fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.value.start as usize..self.value.end as usize]
    }

    /// Whether it is `Upgrade`, which ends at this hop unless the connection is to switch protocols.
    pub(crate) fn is_upgrade(&self, head: &[u8]) -> bool {
        self.kind == Kind::HopByHop && self.name(head).eq_ignore_ascii_case(b"upgrade")
    }

    /// The whole line, CRLF included.
    pub(crate) fn line<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.name.start as usize..self.end as usize]
    }
}

impl Kind {
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match (name.len(), name[0] | 0x20) {
            (2, b't') if is("te") => Self::HopByHop,
            (3, b'v') if is("via") => Self::Via,
            (4, b'h') if is("host") => Self::Host,
            (4, b'd') if is("date") => Self::EndToEnd,
            (6, b'e') if is("expect") => Self::Expect,
            (6, b'c') if is("cookie") => Self::EndToEnd,
            (7, b't') if is("trailer") => Self::HopByHop,
            (7, b'u') if is("upgrade") => Self::HopByHop,
            (7, b'r') if is("refresh") => Self::Location,
            (8, b'l') if is("location") => Self::Location,
            (9, b'f') if is("forwarded") => Self::EndToEnd,
            (10, b'c') if is("connection") => Self::Connection,
            (10, b'k') if is("keep-alive") => Self::HopByHop,
            (10, b's') if is("set-cookie") => Self::EndToEnd,
            (10, b'd') if is("dtab-local") => Self::DtabLocal,
            (12, b'c') if is("content-type") => Self::EndToEnd,
            (13, b'a') if is("authorization") => Self::EndToEnd,
            (13, b'c') if is("cache-control") || is("content-range") => Self::EndToEnd,
            (14, b'c') if is("content-length") => Self::ContentLength,
            (16, b'c') if is("content-encoding") => Self::EndToEnd,
            (16, b'p') if is("proxy-connection") => Self::HopByHop,
            (17, b't') if is("transfer-encoding") => Self::TransferEncoding,
            (18, b'p') if is("proxy-authenticate") => Self::HopByHop,
            (19, b'p') if is("proxy-authorization") => Self::HopByHop,
            (23, b'x') if is("x-forwarded-client-cert") => Self::ClientCert,
            (len, b'x') if len > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-") => {
                Self::EndToEnd
            }
            (len, b'l') if len > 4 && name[..4].eq_ignore_ascii_case(b"l5d-") => Self::l5d(name),
            _ => Self::Other,
        }
    }

    fn l5d(name: &[u8]) -> Self {
        let is = |other: &str| name[4..].eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            7 if is("err") => Self::Err,
            8 if is("dtab") => Self::Dtab,
            9 if is("reqid") => Self::ReqId,
            10 if is("sample") => Self::Sample,
            12 if is("ctx-dtab") => Self::CtxDtab,
            13 if is("ctx-trace") => Self::CtxTrace,
            13 if is("retryable") => Self::Retryable,
            14 if is("dst-client") => Self::Dst,
            14 if is("orig-proto") || is("node-http2") => Self::Node,
            15 if is("dst-service") => Self::Dst,
            16 if is("dst-residual") => Self::Dst,
            16 if is("ctx-deadline") => Self::CtxDeadline,
            17 if is("success-class") => Self::SuccessClass,
            _ => Self::OtherL5d,
        }
    }

    pub(crate) fn is_l5d(self) -> bool {
        matches!(
            self,
            Self::Dtab
                | Self::CtxDtab
                | Self::CtxTrace
                | Self::CtxDeadline
                | Self::Sample
                | Self::ReqId
                | Self::Dst
                | Self::SuccessClass
                | Self::Retryable
                | Self::Err
                | Self::Node
                | Self::OtherL5d
        )
    }
}

/// What the `Connection` fields say.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    named: SmallVec<[&'a [u8]; 4]>,
}

impl<'a> Options<'a> {
    pub(crate) fn read(head: &'a [u8], fields: &[Field]) -> Self {
        let mut options = Self::default();
        for field in fields.iter().filter(|f| f.kind == Kind::Connection) {
            for option in list(field.value(head)) {
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else {
                    options.named.push(option);
                }
            }
        }
        options
    }

    /// Whether the field ends at this hop because `Connection` names it. Fields needed end to end do not: it would be a
    /// way to strip them (node-proxy trap 4).
    pub(crate) fn removes(&self, field: &Field, head: &[u8]) -> bool {
        !self.named.is_empty()
            && field.kind == Kind::Other
            && self
                .named
                .iter()
                .any(|n| n.eq_ignore_ascii_case(field.name(head)))
    }
}

/// The elements of a comma-separated list, trimmed, empty ones left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(|e| e.trim_ascii())
        .filter(|e| !e.is_empty())
}

/// The values of all fields of a kind, in order.
pub(crate) fn values<'a>(
    head: &'a [u8],
    fields: &'a [Field],
    kind: Kind,
) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |f| f.kind == kind)
        .map(|f| f.value(head))
}

/// Appends the lines of the fields that `keep` wants, byte for byte; neighbours are copied at once.
pub(crate) fn copy(
    head: &[u8],
    fields: &[Field],
    out: &mut Vec<u8>,
    mut keep: impl FnMut(&Field) -> bool,
) {
    let mut run: Option<(u32, u32)> = None;
    for field in fields {
        if keep(field) {
            run = Some((run.map_or(field.name.start, |r| r.0), field.end));
        } else if let Some((from, to)) = run.take() {
            out.extend_from_slice(&head[from as usize..to as usize]);
        }
    }
    if let Some((from, to)) = run {
        out.extend_from_slice(&head[from as usize..to as usize]);
    }
}
