//! What the followers of a fleet count together.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use crate::orders::Report;
use crate::plan::MARKS;

/// Marks that something has, as bits.
pub(super) type Marks = [u64; MARKS.div_ceil(64) as usize];

/// The failures that are told one by one.
const TOLD: usize = 5;

/// Counters since the last order to begin anew.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) report: Report,
    /// Mark and moment, in the order of arrival.
    arrivals: Vec<(u32, u64)>,
    failed: u64,
}

impl Tally {
    /// A follower has a version that has these marks, `had` being what it had before.
    pub(super) fn arrive(&mut self, had: &mut Marks, has: &Marks, at: u64) {
        for (word, (had, has)) in had.iter_mut().zip(has).enumerate() {
            let mut fresh = *has & !*had;
            *had |= *has;
            while fresh != 0 {
                let mark = word as u32 * 64 + fresh.trailing_zeros();
                self.arrivals.push((mark, at));
                fresh &= fresh - 1;
            }
        }
    }

    /// A connection ended unasked.
    pub(super) fn end(&mut self, why: &str) {
        self.report.ended += 1;
        why.clone_into(&mut self.report.last_end);
    }

    /// Something is wrong that should not be.
    pub(super) fn fail(&mut self, why: &str) {
        self.failed += 1;
        if self.report.failures.len() < TOLD {
            self.report.failures.push(why.to_owned());
        }
    }

    /// The report with the marks that were written, each with its moment, for so many followers.
    pub(super) fn tell(&self, marks: &[(u32, u64)], followers: usize) -> Report {
        let written: HashMap<u32, u64> = marks.iter().copied().collect();
        let mut times = Histogram::<u64>::new(3).expect("three digits are a valid precision");
        for (mark, at) in &self.arrivals {
            if let Some(written) = written.get(mark) {
                let micros = at.saturating_sub(*written) / 1_000;
                times.record(micros).expect("it grows with its values");
            }
        }
        let millis = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
        let mut report = self.report.clone();
        report.expected = (marks.len() * followers) as u64;
        report.arrived = times.len();
        report.millis = [millis(0.5), millis(0.99), millis(1.0)];
        if self.failed > TOLD as u64 {
            report.failures.push(format!("{} in all", self.failed));
        }
        report
    }
}

/// Puts a mark among others.
pub(super) fn put(marks: &mut Marks, mark: u32) {
    marks[mark as usize / 64] |= 1 << (mark % 64);
}
