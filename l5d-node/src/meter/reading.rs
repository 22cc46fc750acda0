//! Numbers as they are read: each under its row of the table, added up over the workers.

use std::borrow::Cow;

use super::{Counter, Described, Histogram, HistogramView};

/// Something whose numbers can be shown.
pub trait Measured {
    /// Adds the numbers now to `to`. Disturbs nobody who counts.
    fn read(&self, to: &mut Reading);
}

/// The numbers of one scope.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Counters and gauges.
    pub numbers: Vec<Number>,
    /// Distributions.
    pub spreads: Vec<Spread>,
}

/// A counter or a gauge.
#[derive(Clone, Debug)]
pub struct Number {
    /// Which.
    pub of: &'static Described,
    /// What stands for the variable part of its name, such as `503`; mostly empty.
    pub part: Cow<'static, str>,
    /// Its value.
    pub value: u64,
}

/// A distribution.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Which.
    pub of: &'static Described,
    /// What stands for the variable part of its name.
    pub part: Cow<'static, str>,
    /// Since the beginning.
    pub view: HistogramView,
}

impl Reading {
    /// Adds a counter, or a gauge that sums up over the workers.
    pub fn add(&mut self, of: &'static Described, counter: &Counter) {
        self.part(of, "", counter.get());
    }

    /// Adds a gauge of which all workers have much the same: the largest counts.
    pub fn most(&mut self, of: &'static Described, counter: &Counter) {
        self.most_of(of, counter.get());
    }

    /// The same for a value.
    pub fn most_of(&mut self, of: &'static Described, value: u64) {
        match self.numbers.iter_mut().find(|n| std::ptr::eq(n.of, of)) {
            Some(number) => number.value = number.value.max(value),
            None => self.part(of, "", value),
        }
    }

    /// Adds a number.
    pub fn put(&mut self, of: &'static Described, value: u64) {
        self.part(of, "", value);
    }

    /// Adds a number whose name has a variable part.
    pub fn part(&mut self, of: &'static Described, part: impl Into<Cow<'static, str>>, value: u64) {
        let part = part.into();
        let is_same = |n: &&mut Number| std::ptr::eq(n.of, of) && n.part == part;
        match self.numbers.iter_mut().find(is_same) {
            Some(number) => number.value += value,
            None => self.numbers.push(Number { of, part, value }),
        }
    }

    /// Adds a distribution.
    pub fn spread(&mut self, of: &'static Described, histogram: &Histogram) {
        self.spread_part(of, "", histogram);
    }

    /// Adds a distribution whose name has a variable part.
    pub fn spread_part(&mut self, of: &'static Described, part: &'static str, from: &Histogram) {
        let is_same = |s: &&mut Spread| std::ptr::eq(s.of, of) && s.part == part;
        match self.spreads.iter_mut().find(is_same) {
            Some(spread) => spread.view.add(&from.view()),
            None => self.spreads.push(Spread {
                of,
                part: part.into(),
                view: from.view(),
            }),
        }
    }

    /// The value of a number without a variable part; 0 if nobody has added it.
    pub fn value(&self, of: &'static Described) -> u64 {
        let found = self.numbers.iter().find(|n| std::ptr::eq(n.of, of));
        found.map_or(0, |n| n.value)
    }
}
