//! Shapes of values that many keys have.

use std::time::Duration;

use l5d_config::{Field, Section};

/// A number of things.
pub(super) fn count(field: Field<'_>, least: usize) -> Option<usize> {
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    let read = field.integer(least..=i64::from(i32::MAX));
    read.and_then(|n| usize::try_from(n).ok())
}

/// A small number of things.
pub(super) fn small(field: Field<'_>, least: u32) -> Option<u32> {
    let read = field.integer(i64::from(least)..=i64::from(i32::MAX));
    read.and_then(|n| u32::try_from(n).ok())
}

/// A timeout; 0 or a negative number means none (node-proxy 5).
pub(super) fn limit(field: Field<'_>) -> Option<Duration> {
    let ms = field.integer(i64::from(i32::MIN)..=i64::from(u32::MAX))?;
    u64::try_from(ms)
        .ok()
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
}

/// A time in milliseconds; 0 means none.
pub(super) fn time(field: Field<'_>) -> Option<Duration> {
    field.millis().filter(|t| !t.is_zero())
}

/// A switch.
pub(super) fn flag(section: &Section<'_>, key: &'static str, default: bool) -> bool {
    section.key(key).boolean().unwrap_or(default)
}

/// A header name, as written.
pub(super) fn header(field: Field<'_>, section: &Section<'_>) -> Option<String> {
    let spot = field.spot();
    let name = field.string()?;
    // HTTP/2 has fields for what HTTP/1 has in the request line and Host.
    let is_pseudo = [":authority", ":path", ":method", ":scheme"].contains(&name.as_str());
    if is_pseudo || http::HeaderName::from_bytes(name.as_bytes()).is_ok() {
        return Some(name);
    }
    let message = format!("`{}` is not a header name", name.escape_debug());
    section.reader().mistake(spot, message, None);
    None
}
