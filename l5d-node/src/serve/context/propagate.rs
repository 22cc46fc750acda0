//! Trace context in the fields of others (node-proxy 8.4): `x-b3-*` of Zipkin, `traceparent` of W3C.

use super::{SAMPLED, SAMPLING_DECIDED, Trace};
use crate::config::TracePropagator;

const DEBUG: u64 = 1;

const B3: [&str; 5] = [
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The context that came with a request; `field` gives the first value of a field, `own` is that of `l5d-ctx-trace`.
pub(crate) fn received<'a>(
    propagator: TracePropagator,
    own: Option<&'a [u8]>,
    field: impl Fn(&str) -> Option<&'a [u8]>,
) -> Option<Trace> {
    match propagator {
        TracePropagator::L5d => own.and_then(Trace::decode),
        TracePropagator::Zipkin => b3(field),
        TracePropagator::W3c => {
            let own = own.and_then(Trace::decode);
            let Some(theirs) = field(TRACEPARENT).and_then(traceparent) else {
                return own;
            };
            // Of the same span, ours says more: whether the sampling was decided at all.
            let is_same = |own: &Trace| own.id == theirs.id && own.span == theirs.span;
            Some(own.filter(is_same).unwrap_or(theirs))
        }
    }
}

/// Whether a field of a request is replaced by [`write`]. `is_new`: the trace begins here, so nothing of another one stays.
pub(crate) fn replaces(propagator: TracePropagator, is_new: bool, name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match propagator {
        TracePropagator::L5d => false,
        TracePropagator::Zipkin => B3.into_iter().any(is),
        TracePropagator::W3c => is(TRACEPARENT) || is_new && is(TRACESTATE),
    }
}

/// Appends the fields that a request is sent on with.
pub(crate) fn write(propagator: TracePropagator, trace: &Trace, out: &mut Vec<u8>) {
    if propagator == TracePropagator::Zipkin {
        return write_b3(trace, out);
    }
    out.extend_from_slice(b"l5d-ctx-trace: ");
    trace.write(out);
    out.extend_from_slice(b"\r\n");
    if propagator == TracePropagator::W3c {
        let sampled = if trace.flags & SAMPLED != 0 {
            "01"
        } else {
            "00"
        };
        let (high, id, span) = (trace.high.unwrap_or(0), trace.id, trace.span);
        let value = format!("{TRACEPARENT}: 00-{high:016x}{id:016x}-{span:016x}-{sampled}\r\n");
        out.extend_from_slice(value.as_bytes());
    }
}

fn write_b3(trace: &Trace, out: &mut Vec<u8>) {
    let high = trace.high.map(|high| format!("{high:016x}"));
    let mut text = format!(
        "{}: {}{:016x}\r\n{}: {:016x}\r\n{}: {:016x}\r\n",
        B3[0],
        high.unwrap_or_default(),
        trace.id,
        B3[1],
        trace.span,
        B3[2],
        trace.parent,
    );
    // What is not decided is left to those who come.
    if trace.flags & SAMPLING_DECIDED != 0 {
        let sampled = u64::from(trace.flags & SAMPLED != 0);
        text.push_str(&format!("{}: {sampled}\r\n", B3[3]));
    }
    text.push_str(&format!("{}: {}\r\n", B3[4], trace.flags & DEBUG));
    out.extend_from_slice(text.as_bytes());
}

/// The five fields of B3; the span must be there.
fn b3<'a>(field: impl Fn(&str) -> Option<&'a [u8]>) -> Option<Trace> {
    let span = field(B3[1]).and_then(hex)?;
    let (high, id) = match field(B3[0]) {
        Some(text) if text.len() == 32 => (Some(hex(&text[..16])?), hex(&text[16..])?),
        Some(text) => (None, hex(text)?),
        None => (None, span),
    };
    let mut flags = 0;
    match field(B3[3]) {
        Some(b"1" | b"true") => flags |= SAMPLING_DECIDED | SAMPLED,
        Some(b"0" | b"false") => flags |= SAMPLING_DECIDED,
        _ => {}
    }
    let debug = field(B3[4]).and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
    if debug.is_some_and(|flags| flags & DEBUG != 0) {
        flags |= DEBUG | SAMPLING_DECIDED | SAMPLED;
    }
    Some(Trace {
        id,
        high,
        span,
        parent: field(B3[2]).and_then(hex).unwrap_or(span),
        flags,
    })
}

/// `VERSION-TRACE-SPAN-FLAGS` (W3C Trace Context 3.2); later versions may have more behind it.
fn traceparent(text: &[u8]) -> Option<Trace> {
    let mut parts = text.split(|b| *b == b'-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version.len(), trace.len(), span.len(), flags.len()];
    let is_whole = lengths == [2, 32, 16, 2] && version != b"ff";
    if !is_whole || version == b"00" && parts.next().is_some() {
        return None;
    }
    hex(version)?;
    let (high, id, span) = (hex(&trace[..16])?, hex(&trace[16..])?, hex(span)?);
    if (high | id) == 0 || span == 0 {
        return None;
    }
    let sampled = if hex(flags)? & 1 != 0 { SAMPLED } else { 0 };
    Some(Trace {
        id,
        high: Some(high).filter(|high| *high != 0),
        span,
        parent: span,
        flags: SAMPLING_DECIDED | sampled,
    })
}

/// Up to 16 hexadecimal digits.
fn hex(text: &[u8]) -> Option<u64> {
    let is_hex = (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_hex)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn take(
        propagator: TracePropagator,
        own: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Option<Trace> {
        let find = |name: &str| {
            let found = fields.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| v.as_bytes())
        };
        received(propagator, own.map(str::as_bytes), find)
    }

    fn sent(propagator: TracePropagator, trace: &Trace) -> String {
        let mut out = Vec::new();
        write(propagator, trace, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn w3c_goes_in_and_out() {
        use TracePropagator::W3c;
        let trace = take(W3c, None, &[("traceparent", PARENT)]).expect("a parent");
        assert_eq!(
            (trace.high, trace.id),
            (Some(0x0af7_6519_16cd_43dd), 0x8448_eb21_1c80_319c)
        );
        assert_eq!(trace.flags, SAMPLING_DECIDED | SAMPLED);
        let mut rng = fastrand::Rng::with_seed(1);
        let child = trace.child(&mut rng);
        let text = sent(W3c, &child);
        let span = format!("{:016x}", child.span);
        assert!(
            text.contains(&PARENT.replace("b7ad6b7169203331", &span)),
            "{text}"
        );
        assert!(text.starts_with("l5d-ctx-trace: "));
        for bad in [
            "",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(take(W3c, None, &[("traceparent", bad)]), None, "{bad}");
        }
        let later = format!("cc{}-more", &PARENT[2..]);
        assert!(take(W3c, None, &[("traceparent", &later)]).is_some());
    }

    /// Two hops: what was not decided is still open at the second, although `traceparent` cannot say so.
    #[test]
    fn what_is_not_decided_stays_open() {
        use TracePropagator::{W3c, Zipkin};
        let mut rng = fastrand::Rng::with_seed(1);
        let open = Trace::receive(None, None, &mut rng);
        let mut own = Vec::new();
        open.write(&mut own);
        let own = String::from_utf8(own).expect("text");
        let text = sent(W3c, &open);
        let parent = text.split("traceparent: ").nth(1).expect("a parent").trim();
        let second = take(W3c, Some(&own), &[("traceparent", parent)]).expect("a parent");
        assert_eq!(second.flags, 0);
        let app = take(W3c, Some(&own), &[("traceparent", PARENT)]).expect("a parent");
        assert_eq!(
            app.id, 0x8448_eb21_1c80_319c,
            "a span of the application's own"
        );
        assert!(!sent(Zipkin, &open).contains("x-b3-sampled"));
    }

    #[test]
    fn b3_goes_in_and_out() {
        use TracePropagator::Zipkin;
        let fields = [
            ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
            ("x-b3-spanid", "a2fb4a1d1a96d312"),
            ("x-b3-parentspanid", "0020000000000001"),
            ("x-b3-sampled", "1"),
            ("x-b3-flags", "1"),
        ];
        let trace = take(Zipkin, Some("ignored"), &fields).expect("a span");
        let text = sent(Zipkin, &trace);
        for (name, value) in fields {
            assert!(text.contains(&format!("{name}: {value}\r\n")), "{text}");
        }
        assert!(!text.contains("l5d-ctx-trace"));
        assert_eq!(
            take(Zipkin, None, &fields[..1]),
            None,
            "the span is missing"
        );
        let small = [
            ("x-b3-traceid", "a"),
            ("x-b3-spanid", "b"),
            ("x-b3-sampled", "0"),
        ];
        let small = take(Zipkin, None, &small).expect("a span");
        assert_eq!((small.high, small.id, small.span), (None, 10, 11));
        assert_eq!(small.flags, SAMPLING_DECIDED);
    }

    #[test]
    fn each_replaces_its_own_fields_only() {
        use TracePropagator::{L5d, W3c, Zipkin};
        assert!(replaces(W3c, false, b"TraceParent") && replaces(Zipkin, false, b"X-B3-SpanId"));
        assert!(!replaces(W3c, false, b"x-b3-spanid") && !replaces(L5d, false, b"traceparent"));
        assert!(!replaces(W3c, false, b"tracestate") && replaces(W3c, true, b"tracestate"));
    }
}
