//! What came in the last minute: a look at all distributions now and then, to be taken away from what is there now.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Sample, Value};
use crate::meter::HistogramView;

/// The last looks. A window reaches from the oldest one to now: 40 to 60 s, less at the start.
#[derive(Debug, Default)]
pub struct Window(Mutex<VecDeque<Look>>);

#[derive(Debug, Default)]
struct Look {
    /// By place in the tree.
    spreads: HashMap<String, Sparse>,
}

/// Filled buckets only.
#[derive(Debug)]
struct Sparse {
    buckets: Box<[(u8, u64)]>,
    sum: u64,
}

/// How often to look.
pub(in crate::admin) const EVERY: Duration = Duration::from_secs(20);
const LOOKS: usize = 3;

impl Window {
    /// To be called every [`EVERY`].
    pub(in crate::admin) fn look(&self, samples: &[Sample]) {
        let mut look = Look::default();
        for sample in samples {
            if let Value::Spread(spread) = &sample.value {
                let sparse = Sparse::of(&spread.all);
                look.spreads.insert(sample.place(), sparse);
            }
        }
        let mut looks = self.0.lock();
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    /// Of a distribution that is `now`, what came in the window.
    pub(super) fn recent(&self, place: &str, now: &HistogramView) -> HistogramView {
        let looks = self.0.lock();
        let before = looks.front().and_then(|look| look.spreads.get(place));
        match before.map(Sparse::full) {
            // It has begun anew: all of it is younger.
            Some(before) if before.count() <= now.count() => now.since(&before),
            _ => now.clone(),
        }
    }
}

impl Sparse {
    fn of(view: &HistogramView) -> Self {
        let filled = view.buckets.iter().enumerate().filter(|(_, n)| **n > 0);
        Self {
            buckets: filled.map(|(i, n)| (i as u8, *n)).collect(),
            sum: view.sum_us,
        }
    }

    fn full(&self) -> HistogramView {
        let mut view = HistogramView::default();
        for (bucket, n) in &self.buckets {
            view.buckets[usize::from(*bucket)] = *n;
        }
        view.sum_us = self.sum;
        view
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::{Distribution, Place};
    use super::*;
    use crate::meter::{Histogram, Scope, table};

    fn sample(of: &Histogram) -> Sample {
        Sample {
            of: &table::REQUEST_LATENCY,
            scope: Scope::Server,
            part: "".into(),
            at: Rc::new(Place {
                labels: Vec::new(),
                path: "rt/a/server/b".to_owned(),
            }),
            value: Value::Spread(Box::new(Distribution {
                all: of.view(),
                recent: of.view(),
            })),
        }
    }

    #[test]
    fn the_window_moves_and_forgets() {
        let (window, h) = (Window::default(), Histogram::default());
        let place = sample(&h).place();
        h.observe(Duration::from_micros(10));
        assert_eq!(window.recent(&place, &h.view()).count(), 1);
        for _ in 0..LOOKS {
            window.look(&[sample(&h)]);
            h.observe(Duration::from_micros(1000));
        }
        let recent = window.recent(&place, &h.view());
        assert_eq!((recent.count(), recent.sum_us), (3, 3000));
        window.look(&[sample(&h)]);
        assert_eq!(window.recent(&place, &h.view()).count(), 2);
        // A label that went and came again.
        let again = Histogram::default();
        again.observe(Duration::from_micros(5));
        assert_eq!(window.recent(&place, &again.view()).count(), 1);
    }
}
