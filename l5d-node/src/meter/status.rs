//! Responses by status code.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counter, Reading, table};

/// How many responses had which status: the first [`CODES`] different codes each for itself, all by their class. One
/// writer; any number of readers.
#[derive(Debug, Default)]
pub struct StatusCounts {
    /// The code in the upper 16 bits, its count below; 0: free.
    codes: [AtomicU64; CODES],
    /// By first digit, of codes that found no room; 0: no response.
    others: [Counter; CLASSES.len()],
}

/// What real services answer with; an endpoint that makes codes up costs no more memory.
const CODES: usize = 16;
const COUNT: u64 = (1 << 48) - 1;
const CLASSES: [&str; 6] = ["error", "1XX", "2XX", "3XX", "4XX", "5XX"];

impl StatusCounts {
    /// Counts one response; 0 and what is no status: there was none.
    pub fn count(&self, status: u16) {
        let class = class(status);
        if class == 0 {
            self.others[0].inc();
            return;
        }
        for slot in &self.codes {
            let held = slot.load(Ordering::Relaxed);
            let code = held >> 48;
            if code == u64::from(status) || held == 0 {
                slot.store(
                    u64::from(status) << 48 | (held + 1) & COUNT,
                    Ordering::Relaxed,
                );
                return;
            }
        }
        self.others[class].inc();
    }

    /// `status/<code>`, `status/<n>XX` and `status/error`.
    pub fn read(&self, to: &mut Reading) {
        let mut classes: [u64; CLASSES.len()] = std::array::from_fn(|i| self.others[i].get());
        for slot in &self.codes {
            let held = slot.load(Ordering::Relaxed);
            if held != 0 {
                let code = (held >> 48) as u16;
                classes[class(code)] += held & COUNT;
                to.part(&table::STATUS, code.to_string(), held & COUNT);
            }
        }
        for (name, count) in CLASSES.into_iter().zip(classes) {
            to.part(&table::STATUS_CLASS, name, count);
        }
    }
}

fn class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_for_themselves_until_there_are_too_many_and_always_in_their_class() {
        let counts = StatusCounts::default();
        counts.count(200);
        counts.count(200);
        counts.count(0);
        counts.count(999);
        for code in 400..430 {
            counts.count(code);
        }
        let mut reading = Reading::default();
        counts.read(&mut reading);
        let value = |part: &str| {
            let found = reading.numbers.iter().find(|n| n.part == part);
            found.map(|n| n.value)
        };
        assert_eq!((value("200"), value("2XX")), (Some(2), Some(2)));
        assert_eq!((value("414"), value("415")), (Some(1), None));
        assert_eq!((value("4XX"), value("error")), (Some(30), Some(2)));
    }
}
