//! The local time zone.

use std::env;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;

const HERE: &str = "/etc/localtime";
const ALL: &str = "/usr/share/zoneinfo";

/// The zone that `TZ` names, or that of `/etc/localtime`; UTC if neither can be read, as in most containers.
pub(crate) fn local() -> TimeZone {
    match env::var("TZ") {
        Ok(name) => named(&name),
        Err(_) => file(Path::new(HERE)),
    }
    .unwrap_or(TimeZone::UTC)
}

/// A name in the database, a path of a file, or rules as POSIX writes them, such as `EST5EDT,M3.2.0,M11.1.0`.
pub(crate) fn named(name: &str) -> Option<TimeZone> {
    let name = name.strip_prefix(':').unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    file(&Path::new(ALL).join(name)).or_else(|| TimeZone::posix(name).ok())
}

fn file(path: &Path) -> Option<TimeZone> {
    let bytes = fs::read(path).ok()?;
    TimeZone::tzif(&path.display().to_string(), &bytes).ok()
}
