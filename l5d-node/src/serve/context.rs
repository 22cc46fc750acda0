//! Context that travels along with requests: trace and deadline (node-proxy 8.3, 8.4). Bytes in, bytes out.

// The path is written out because the fuzz target reads this file from elsewhere.
#[path = "context/propagate.rs"]
pub(crate) mod propagate;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tell::Ids;

/// A span of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: u64,
    /// High half of a trace id of 128 bits.
    high: Option<u64>,
    span: u64,
    parent: u64,
    flags: u64,
}

/// Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    timestamp: i64,
    deadline: i64,
}

const SAMPLING_DECIDED: u64 = 1 << 1;
const SAMPLED: u64 = 1 << 2;

impl Trace {
    /// This hop's span: under the received one, or the root of a new trace.
    pub(crate) fn receive(
        received: Option<Self>,
        sample: Option<&[u8]>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let mut trace = match received {
            Some(received) => received.child(rng),
            None => {
                let id = rng.u64(1..);
                Self {
                    id,
                    high: None,
                    span: id,
                    parent: id,
                    flags: 0,
                }
            }
        };
        if let Some(rate) = sample.and_then(parse_rate) {
            trace.decide(rate);
        }
        trace
    }

    /// Decides whether it is sampled, unless somebody has.
    pub(crate) fn decide_if_open(&mut self, rate: f64) {
        if self.flags & (SAMPLING_DECIDED | SAMPLED) == 0 {
            self.decide(rate);
        }
    }

    /// For those who are told of requests.
    pub(crate) fn ids(&self) -> Ids {
        let is_decided = self.flags & SAMPLING_DECIDED != 0;
        Ids {
            trace: u128::from(self.high.unwrap_or(0)) << 64 | u128::from(self.id),
            span: self.span,
            parent: self.parent,
            sampled: is_decided.then_some(self.flags & SAMPLED != 0),
        }
    }

    /// A new span under this one.
    pub(crate) fn child(&self, rng: &mut fastrand::Rng) -> Self {
        Self {
            span: rng.u64(1..),
            parent: self.span,
            ..self.clone()
        }
    }

    /// Appends the value of `l5d-ctx-trace`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut raw = [0; 40];
        let words = [
            self.span,
            self.parent,
            self.id,
            self.flags,
            self.high.unwrap_or(0),
        ];
        for (bytes, word) in raw.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        let raw = &raw[..if self.high.is_some() { 40 } else { 32 }];
        let mut text = [0; 56];
        if let Ok(n) = STANDARD.encode_slice(raw, &mut text) {
            out.extend_from_slice(&text[..n]);
        }
    }

    /// Appends the value of `l5d-reqid`: the trace id in 16 digits.
    pub(crate) fn write_id(&self, out: &mut Vec<u8>) {
        let digits = (0..16).rev().map(|i| self.id >> (4 * i) & 15);
        out.extend(digits.map(|d| b"0123456789abcdef"[d as usize]));
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let raw = STANDARD.decode(text).ok()?;
        let mut words = raw
            .chunks_exact(8)
            .map(|word| word.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut next = || words.next();
        let (span, parent, id, flags) = (next()?, next()?, next()?, next()?);
        let high = next();
        matches!(raw.len(), 32 | 40).then_some(Self {
            id,
            high,
            span,
            parent,
            flags,
        })
    }

    /// The same decision at each hop: it depends on the trace id alone.
    fn decide(&mut self, rate: f64) {
        let mixed = self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let is_sampled = (mixed as f64) < rate * (1u64 << 53) as f64;
        self.flags |= SAMPLING_DECIDED;
        if is_sampled {
            self.flags |= SAMPLED;
        } else {
            self.flags &= !SAMPLED;
        }
    }
}

fn parse_rate(text: &[u8]) -> Option<f64> {
    let rate: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (!rate.is_nan()).then(|| rate.clamp(0.0, 1.0))
}

impl Deadline {
    /// The latest timestamp and the earliest deadline of those that read.
    pub(crate) fn combine<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        values.filter_map(Self::parse).reduce(Self::and)
    }

    /// `timeout` from now.
    pub(crate) fn within(timeout: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = saturate(now.unwrap_or_default());
        Self {
            timestamp: now,
            deadline: now.saturating_add(saturate(timeout)),
        }
    }

    /// How much time is left until it.
    pub(crate) fn left(&self) -> Duration {
        let now = Self::within(Duration::ZERO).timestamp;
        let left = self.deadline.saturating_sub(now);
        Duration::from_nanos(u64::try_from(left).unwrap_or(0))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            timestamp: self.timestamp.max(other.timestamp),
            deadline: self.deadline.min(other.deadline),
        }
    }

    /// Appends the value of `l5d-ctx-deadline`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {}", self.timestamp, self.deadline).as_bytes());
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (timestamp, deadline) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        Some(Self {
            timestamp: parse_ns(timestamp)?,
            deadline: parse_ns(deadline)?,
        })
    }
}

/// A decimal number; absurd ones saturate.
fn parse_ns(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let limit = if digits.len() < text.len() {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(text.parse().unwrap_or(limit))
}

fn saturate(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(trace: &Trace) -> Vec<u8> {
        let mut out = Vec::new();
        trace.write(&mut out);
        out
    }

    #[test]
    fn a_hop_makes_its_span_under_the_received_one() {
        let mut rng = fastrand::Rng::with_seed(1);
        let root = Trace::receive(None, None, &mut rng);
        assert_eq!((root.span, root.parent), (root.id, root.id));
        let sent = root.child(&mut rng);
        assert_eq!(text(&sent).len(), 44);
        let next = Trace::receive(Trace::decode(&text(&sent)), None, &mut rng);
        assert_eq!((next.id, next.parent), (root.id, sent.span));
        assert!(next.span != sent.span && next.span != root.span);
        let mut id = Vec::new();
        next.write_id(&mut id);
        assert_eq!(id, format!("{:016x}", root.id).as_bytes());
    }

    #[test]
    fn the_high_half_and_the_flags_travel() {
        let mut rng = fastrand::Rng::with_seed(1);
        let wide = Trace {
            high: Some(7),
            flags: 1,
            ..Trace::receive(None, None, &mut rng)
        };
        assert_eq!(text(&wide).len(), 56);
        let next = Trace::receive(Trace::decode(&text(&wide)), None, &mut rng);
        assert_eq!((next.high, next.flags), (Some(7), 1));
    }

    #[test]
    fn what_does_not_decode_is_absent() {
        let mut rng = fastrand::Rng::with_seed(1);
        for bad in [&b""[..], b"xx", b"AAAAAAAAAAA=", b"not base64 at all!"] {
            let trace = Trace::receive(Trace::decode(bad), None, &mut rng);
            assert_eq!(trace.span, trace.id);
        }
    }

    #[test]
    fn sample_overrides_the_decision() {
        let mut rng = fastrand::Rng::with_seed(1);
        let flags =
            |sample: &str, rng: &mut _| Trace::receive(None, Some(sample.as_bytes()), rng).flags;
        assert_eq!(flags("1.0", &mut rng), SAMPLING_DECIDED | SAMPLED);
        assert_eq!(flags("7", &mut rng), SAMPLING_DECIDED | SAMPLED);
        assert_eq!(flags("-1", &mut rng), SAMPLING_DECIDED);
        assert_eq!(flags("x", &mut rng), 0);
        assert_eq!(flags("nan", &mut rng), 0);
        let sampled = (0..1000).filter(|_| flags("0.25", &mut rng) & SAMPLED != 0);
        let n = sampled.count();
        assert!((200..300).contains(&n), "{n}");
    }

    #[test]
    fn deadlines_combine_and_saturate() {
        let combine = |values: &[&str]| {
            let mut out = Vec::new();
            Deadline::combine(values.iter().map(|v| v.as_bytes()))?.write(&mut out);
            String::from_utf8(out).ok()
        };
        assert_eq!(
            combine(&["5 100", "7 90", "x", "1"]).as_deref(),
            Some("7 90")
        );
        assert_eq!(
            combine(&["99999999999999999999 -99999999999999999999"]).as_deref(),
            Some("9223372036854775807 -9223372036854775808")
        );
        assert_eq!(combine(&["a b", "1  2", ""]), None);
    }
}
