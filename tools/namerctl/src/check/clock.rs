//! Clocks: `Date` headers beside our own. Certificates and tokens are refused by clocks that are wrong.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::outcome::Outcomes;

/// `Date` counts whole seconds, and the answer took a while.
const FINE_SECS: u64 = 3;
/// Kubernetes lets tokens be this young or old.
const BAD_SECS: u64 = 60;

/// Compares a `Date` header with our own clock.
pub(crate) fn compare(whose: &str, date: Option<&str>, outcomes: &mut Outcomes) {
    compare_at(whose, date, Timestamp::now(), outcomes);
}

fn compare_at(whose: &str, date: Option<&str>, now: Timestamp, outcomes: &mut Outcomes) {
    let read = date.and_then(|d| {
        DateTimeParser::new()
            .parse_timestamp(d.replace("GMT", "+0000"))
            .ok()
    });
    let Some(theirs) = read else {
        outcomes.skip(
            "clock",
            whose,
            "its answer has no date",
            "nothing to compare with",
        );
        return;
    };
    let ahead = theirs.as_second() - now.as_second();
    let apart = ahead.unsigned_abs();
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    let seen = format!("{apart} s {word} this machine");
    let hint =
        "let NTP set the clocks of both machines: certificates and tokens are judged by them";
    if apart <= FINE_SECS {
        outcomes.ok("clock", whose, seen);
    } else if apart <= BAD_SECS {
        outcomes.warn("clock", whose, seen, hint);
    } else {
        outcomes.fail("clock", whose, seen, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Outcomes, Status};
    use super::compare_at;

    #[test]
    fn clocks_are_judged_by_their_distance() {
        let now = "2026-11-27T18:00:00Z".parse().expect("a time");
        for (date, status) in [
            ("Fri, 27 Nov 2026 18:00:02 GMT", Status::Ok),
            ("Fri, 27 Nov 2026 17:59:30 GMT", Status::Warn),
            ("Fri, 27 Nov 2026 18:05:00 GMT", Status::Fail),
            ("yesterday", Status::Skip),
        ] {
            let mut outcomes = Outcomes::default();
            compare_at("it", Some(date), now, &mut outcomes);
            assert_eq!(outcomes.0[0].status, status, "{date}: {:?}", outcomes.0);
        }
    }
}
