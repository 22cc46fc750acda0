//! What came in the last minute: a look at all distributions now and then, to be taken away from what is there now.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Sample, Value};
use crate::meter::HistogramView;

/// The last looks. A window reaches from the oldest one to now: 40 to 60 s, less at the start.
#[derive(Debug, Default)]
pub struct Window(Mutex<VecDeque<Look>>);

#[derive(Debug, Default)]
struct Look {
    at: Option<Instant>,
    /// By place in the tree.
    spreads: HashMap<String, Sparse>,
    counters: HashMap<String, u64>,
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
    pub(in crate::admin) fn look(&self, samples: &[Sample], now: Instant) {
        let mut look = Look {
            at: Some(now),
            ..Look::default()
        };
        for sample in samples {
            match &sample.value {
                Value::Spread(spread) => {
                    let sparse = Sparse::of(&spread.all);
                    look.spreads.insert(sample.place(), sparse);
                }
                Value::Whole(n) if is_kept(sample) => {
                    look.counters.insert(sample.place(), *n);
                }
                _ => {}
            }
        }
        let mut looks = self.0.lock();
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    /// Of a distribution that is `now`, what came in the window.
    pub(in crate::admin) fn recent(&self, place: &str, now: &HistogramView) -> HistogramView {
        let looks = self.0.lock();
        let before = looks.front().and_then(|look| look.spreads.get(place));
        match before.map(Sparse::full) {
            // It has begun anew: all of it is younger.
            Some(before) if before.count() <= now.count() => now.since(&before),
            _ => now.clone(),
        }
    }

    /// Of a counter that is `now`, what came in the window.
    pub(in crate::admin) fn grown(&self, place: &str, now: u64) -> u64 {
        let looks = self.0.lock();
        let before = looks.front().and_then(|look| look.counters.get(place));
        before.map_or(now, |before| now.checked_sub(*before).unwrap_or(now))
    }

    /// How long the window is, if the process began at `start`.
    pub(in crate::admin) fn length(&self, start: Instant, now: Instant) -> Duration {
        let looks = self.0.lock();
        let since = looks.front().and_then(|look| look.at).unwrap_or(start);
        now.saturating_duration_since(since)
    }
}

/// What the page shows rates of.
fn is_kept(sample: &Sample) -> bool {
    matches!(sample.of.name, "success" | "failures")
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
        let t = Instant::now();
        for look in 0..LOOKS as u32 {
            window.look(&[sample(&h)], t + look * EVERY);
            h.observe(Duration::from_micros(1000));
        }
        let recent = window.recent(&place, &h.view());
        assert_eq!((recent.count(), recent.sum_us), (3, 3000));
        assert_eq!(window.length(t, t + 3 * EVERY), 3 * EVERY);
        window.look(&[sample(&h)], t + 3 * EVERY);
        assert_eq!(window.recent(&place, &h.view()).count(), 2);
        // A label that went and came again.
        let again = Histogram::default();
        again.observe(Duration::from_micros(5));
        assert_eq!(window.recent(&place, &again.view()).count(), 1);
    }
}
