//! Keeps one place of the program from filling the log: lines of a kind that come too often are left out and counted.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// So many lines of one place in the program are written in each [`WINDOW`]; what is more detailed than info is asked for by
/// somebody who wants all of it.
const LINES: u64 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// What was written and what was left out.
#[derive(Debug, Default)]
pub(super) struct Flood {
    places: DashMap<Identifier, Place>,
    levels: [AtomicU64; 5],
    left_out: AtomicU64,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    lines: u64,
    left_out: u64,
    name: &'static str,
}

const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warning"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

impl Flood {
    /// Whether a line of this place may be written now.
    fn admit(&self, of: &'static Metadata<'static>, now: Instant) -> bool {
        let level = LEVELS.iter().position(|(level, _)| level == of.level());
        if *of.level() <= Level::INFO {
            let mut place = self.places.entry(of.callsite()).or_insert_with(|| Place {
                since: now,
                lines: 0,
                left_out: 0,
                name: of.name(),
            });
            if now.saturating_duration_since(place.since) >= WINDOW {
                place.since = now;
                place.lines = 0;
            }
            place.lines += 1;
            if place.lines > LINES {
                place.left_out += 1;
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        self.levels[level.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Lines written, by level.
    pub(super) fn lines(&self) -> Vec<(&'static str, u64)> {
        let counts = LEVELS.iter().zip(&self.levels);
        counts
            .map(|((_, name), n)| (*name, n.load(Ordering::Relaxed)))
            .collect()
    }

    /// Lines left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Says, now and then, what was left out. Never ends.
    pub(super) async fn report(&self) {
        loop {
            tokio::time::sleep(WINDOW).await;
            let mut told = Vec::new();
            for mut place in self.places.iter_mut() {
                let n = std::mem::take(&mut place.left_out);
                if n > 0 {
                    told.push((place.name, n));
                }
            }
            for (place, lines) in told {
                tracing::warn!(place, lines, "the same came too often; lines were left out");
            }
        }
    }
}

/// As a filter of the log's lines.
#[derive(Clone, Debug)]
pub(super) struct Quiet(pub(super) std::sync::Arc<Flood>);

impl<S: Subscriber> Filter<S> for Quiet {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// Without a hint, nothing that another filter does not want would be left out beforehand.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.0.admit(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer as _, fmt};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_floods_is_cut_and_others_are_not() {
        let (flood, page) = (Arc::<Flood>::default(), Page::default());
        let writer = page.clone();
        let lines = fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .with_filter(Quiet(Arc::clone(&flood)));
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
        let round = || {
            for i in 0..LINES * 3 {
                tracing::warn!(i, "refused");
                tracing::debug!(i, "detail");
            }
            tracing::info!("another");
        };
        round();
        let count = |text: &str| {
            let page = page.0.lock();
            String::from_utf8_lossy(&page).matches(text).count() as u64
        };
        assert_eq!(
            (count("refused"), count("another"), count("detail")),
            (LINES, 1, LINES * 3)
        );
        tokio::time::advance(WINDOW).await;
        round();
        assert_eq!((count("refused"), count("another")), (LINES * 2, 2));
        assert_eq!(flood.left_out(), LINES * 4);
        let report = flood.report();
        let _ = tokio::time::timeout(WINDOW * 2, report).await;
        assert_eq!(count("lines were left out"), 1);
        assert_eq!(count(&format!("lines={}", LINES * 4)), 1);
        assert_eq!(flood.lines()[1], ("warning", LINES * 2 + 1));
    }
}
