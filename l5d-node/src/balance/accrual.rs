//! Failure accrual: when an endpoint is set aside for what it answers, and how it comes back (node-proxy 13.4).
//!
//! ```text
//!            policy says so                 time is over              a request goes out
//!   Alive ------------------> Dead --------------------> Probing ----------------------> Waiting
//!     ^                        ^                            ^      nothing learnt           | |
//!     |                        |                            +-------------------------------+ |
//!     |                        +------------------ it failed ---------------------------------+
//!     +---------------------------------- it succeeded ---------------------------------------+
//! ```
//!
//! What requests that were sent before the last removal say is old news and changes nothing; nor does what a request says
//! that was sent anyway while the endpoint was dead. A probe that has no end, such as a stream, blocks the endpoint for no
//! longer than it was dead. It must never keep traffic from flowing: who chooses may send to a dead endpoint all the same.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Waits;
use crate::config::{AccrualPolicy, FailureAccrual};

/// The health of one endpoint, by its answers.
#[derive(Debug)]
pub(super) struct Accrual {
    settings: FailureAccrual,
    state: Cell<State>,
    history: History,
    waits: Waits,
    /// Removals so far.
    epoch: Cell<u32>,
}

/// Where an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As good as any.
    Alive,
    /// Set aside until then, for this long.
    Dead {
        /// When it may be probed.
        until: Instant,
        /// How long in all.
        wait: Duration,
    },
    /// The next request is a probe; after a removal of this length.
    Probing(Duration),
    /// A probe is out; when this is over another may go.
    Waiting {
        /// When another probe may go.
        until: Instant,
        /// How long the endpoint had been dead.
        wait: Duration,
    },
}

/// When a request went out, as far as its result's meaning depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    epoch: u32,
    /// Whether its result decides.
    pub(super) is_probe: bool,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing to speak of.
    None,
    /// The endpoint is dead for this long.
    Removed(Duration),
    /// It is alive again.
    Revived,
}

/// What a policy remembers.
#[derive(Debug)]
enum History {
    Row(Cell<u32>),
    Average { ema: Cell<f64>, seen: Cell<u32> },
    Window(RefCell<Buckets>),
    Nothing,
}

/// Successes and requests of the last window, exactly, in slices of a tenth.
#[derive(Debug)]
struct Buckets {
    slices: [(u32, u32); SLICES],
    /// Of the last change, counted from `start`.
    slice: u64,
    /// The beginning, or the last revival.
    start: Instant,
}

const SLICES: usize = 10;
/// Fewer requests in a window say nothing (node-proxy 13.4).
const LEAST_IN_WINDOW: u32 = 5;

impl Accrual {
    /// Alive, without history.
    pub(super) fn new(settings: FailureAccrual, now: Instant) -> Self {
        Self {
            settings,
            state: Cell::new(State::Alive),
            history: History::new(settings.policy, now),
            waits: Waits::default(),
            epoch: Cell::new(0),
        }
    }

    /// Where it stands now.
    pub(super) fn state(&self, now: Instant) -> State {
        match self.state.get() {
            State::Dead { until, wait } | State::Waiting { until, wait } if now >= until => {
                self.state.set(State::Probing(wait));
            }
            _ => {}
        }
        self.state.get()
    }

    /// Whether it should get no request.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        match self.state.get() {
            State::Alive => false,
            _ => matches!(self.state(now), State::Dead { .. } | State::Waiting { .. }),
        }
    }

    /// Whether it has been removed and not revived.
    pub(super) fn is_removed(&self) -> bool {
        self.state.get() != State::Alive
    }

    /// A request goes out. What is returned is to be given back with its result.
    pub(super) fn dispatch(&self, now: Instant) -> Mark {
        let mut is_probe = false;
        if self.state.get() != State::Alive
            && let State::Probing(wait) = self.state(now)
        {
            let until = now + wait;
            self.state.set(State::Waiting { until, wait });
            is_probe = true;
        }
        Mark {
            epoch: self.epoch.get(),
            is_probe,
        }
    }

    /// It succeeded.
    pub(super) fn success(&self, mark: Mark, now: Instant) -> Change {
        match self.state.get() {
            State::Alive if mark.epoch == self.epoch.get() => {
                self.history.record(self.settings.policy, true, now);
                Change::None
            }
            // A probe that took longer than its time revives as well.
            State::Waiting { .. } | State::Probing(_) if self.is_decisive(mark) => {
                self.state.set(State::Alive);
                self.history.forget(now);
                self.waits.restart();
                Change::Revived
            }
            _ => Change::None,
        }
    }

    /// It failed, or no connection could be opened.
    pub(super) fn failure(&self, mark: Mark, now: Instant, rng: &mut fastrand::Rng) -> Change {
        let is_removed = match self.state.get() {
            State::Alive if mark.epoch == self.epoch.get() => {
                self.history.record(self.settings.policy, false, now)
            }
            State::Waiting { .. } | State::Probing(_) => self.is_decisive(mark),
            _ => false,
        };
        if !is_removed {
            return Change::None;
        }
        let wait = self.waits.next(self.settings.backoff, rng);
        let until = now + wait;
        self.state.set(State::Dead { until, wait });
        self.epoch.set(self.epoch.get().wrapping_add(1));
        Change::Removed(wait)
    }

    /// It ended without saying anything about the endpoint.
    pub(super) fn ignored(&self, mark: Mark) {
        if let State::Waiting { wait, .. } = self.state.get()
            && self.is_decisive(mark)
        {
            self.state.set(State::Probing(wait));
        }
    }

    fn is_decisive(&self, mark: Mark) -> bool {
        mark.is_probe && mark.epoch == self.epoch.get()
    }
}

// === impl History ===

impl History {
    fn new(policy: AccrualPolicy, now: Instant) -> Self {
        match policy {
            AccrualPolicy::ConsecutiveFailures(_) => Self::Row(Cell::new(0)),
            AccrualPolicy::SuccessRate { .. } => Self::Average {
                ema: Cell::new(0.0),
                seen: Cell::new(0),
            },
            AccrualPolicy::SuccessRateWindowed { .. } => {
                Self::Window(RefCell::new(Buckets::new(now)))
            }
            AccrualPolicy::Never => Self::Nothing,
        }
    }

    /// Takes a result; whether it is the failure too many: policies decide at failures only.
    fn record(&self, policy: AccrualPolicy, is_success: bool, now: Instant) -> bool {
        match (self, policy) {
            (Self::Row(failures), AccrualPolicy::ConsecutiveFailures(limit)) => {
                failures.set(if is_success {
                    0
                } else {
                    failures.get().saturating_add(1)
                });
                !is_success && failures.get() >= limit
            }
            (Self::Average { ema, seen }, AccrualPolicy::SuccessRate { rate, requests }) => {
                let sample = f64::from(u8::from(is_success));
                let kept = match seen.get() {
                    0 => 0.0,
                    _ => (-1.0 / f64::from(requests.max(1))).exp(),
                };
                ema.set(sample * (1.0 - kept) + ema.get() * kept);
                seen.set(seen.get().saturating_add(1));
                !is_success && seen.get() >= requests && ema.get() < rate
            }
            (Self::Window(buckets), AccrualPolicy::SuccessRateWindowed { rate, window }) => {
                let (successes, all, age) = buckets.borrow_mut().add(is_success, window, now);
                let share = f64::from(successes) / f64::from(all);
                !is_success && age >= window && all >= LEAST_IN_WINDOW && share < rate
            }
            _ => false,
        }
    }

    fn forget(&self, now: Instant) {
        match self {
            Self::Row(failures) => failures.set(0),
            Self::Average { seen, .. } => seen.set(0),
            Self::Window(buckets) => *buckets.borrow_mut() = Buckets::new(now),
            Self::Nothing => {}
        }
    }
}

// === impl Buckets ===

impl Buckets {
    fn new(start: Instant) -> Self {
        Self {
            slices: [(0, 0); SLICES],
            slice: 0,
            start,
        }
    }

    /// Counts a result. Gives the successes and all results of the window that ends now, and the time since the start.
    fn add(&mut self, is_success: bool, window: Duration, now: Instant) -> (u32, u32, Duration) {
        let age = now.saturating_duration_since(self.start);
        let slice = (window / SLICES as u32).max(Duration::from_nanos(1));
        let current = (age.as_nanos() / slice.as_nanos()) as u64;
        for n in 0..current.saturating_sub(self.slice).min(SLICES as u64) {
            self.slices[((current - n) % SLICES as u64) as usize] = (0, 0);
        }
        self.slice = current.max(self.slice);
        let (successes, all) = &mut self.slices[(self.slice % SLICES as u64) as usize];
        *successes += u32::from(is_success);
        *all += 1;
        let sum = |total: (u32, u32), s: &(u32, u32)| (total.0 + s.0, total.1 + s.1);
        let (successes, all) = self.slices.iter().fold((0, 0), sum);
        (successes, all, age)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Backoff;

    const S: Duration = Duration::from_secs(1);

    fn accrual(policy: AccrualPolicy, now: Instant) -> Accrual {
        let backoff = Backoff::Constant(5 * S);
        Accrual::new(FailureAccrual { policy, backoff }, now)
    }

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    fn fail(accrual: &Accrual, now: Instant) -> Change {
        accrual.failure(accrual.dispatch(now), now, &mut rng())
    }

    fn succeed(accrual: &Accrual, now: Instant) -> Change {
        accrual.success(accrual.dispatch(now), now)
    }

    #[test]
    fn five_in_a_row_remove_and_a_probe_revives() {
        let t = Instant::now();
        let a = accrual(AccrualPolicy::ConsecutiveFailures(5), t);
        for _ in 0..4 {
            assert_eq!(fail(&a, t), Change::None);
        }
        succeed(&a, t);
        for _ in 0..4 {
            assert_eq!(fail(&a, t), Change::None);
        }
        assert_eq!(fail(&a, t), Change::Removed(5 * S));
        assert!(a.is_busy(t + 5 * S - Duration::from_nanos(1)));
        assert!(!a.is_busy(t + 5 * S));
        let probe = a.dispatch(t + 5 * S);
        assert!(probe.is_probe && a.is_busy(t + 5 * S));
        // Sent anyway meanwhile: not the one that decides.
        assert_eq!(succeed(&a, t + 6 * S), Change::None);
        assert_eq!(a.success(probe, t + 6 * S), Change::Revived);
        assert!(!a.is_busy(t + 6 * S));
        // With the history of a new one.
        for _ in 0..4 {
            assert_eq!(fail(&a, t), Change::None);
        }
    }

    #[test]
    fn a_failed_probe_waits_for_longer_and_an_ignored_one_lets_the_next_go() {
        let t = Instant::now();
        let backoff = Backoff::EqualJittered {
            min: 5 * S,
            max: 300 * S,
        };
        let policy = AccrualPolicy::ConsecutiveFailures(1);
        let a = Accrual::new(FailureAccrual { policy, backoff }, t);
        assert_eq!(fail(&a, t), Change::Removed(5 * S));
        let now = t + 5 * S;
        let probe = a.dispatch(now);
        a.ignored(probe);
        let probe = a.dispatch(now);
        assert!(probe.is_probe);
        let Change::Removed(wait) = a.failure(probe, now, &mut rng()) else {
            panic!("{a:?}")
        };
        assert!(wait > 5 * S && wait < 10 * S, "{wait:?}");
        let now = now + wait;
        assert_eq!(a.success(a.dispatch(now), now), Change::Revived);
        assert_eq!(fail(&a, now), Change::Removed(5 * S));
    }

    #[test]
    fn a_probe_without_end_blocks_no_longer_than_the_removal() {
        let t = Instant::now();
        let a = accrual(AccrualPolicy::ConsecutiveFailures(1), t);
        fail(&a, t);
        let stream = a.dispatch(t + 5 * S);
        assert!(a.is_busy(t + 9 * S) && !a.is_busy(t + 10 * S));
        let second = a.dispatch(t + 10 * S);
        assert!(second.is_probe);
        assert_eq!(a.success(stream, t + 11 * S), Change::Revived);
        // Alive again: the other one counts like any failure.
        assert_eq!(
            a.failure(second, t + 12 * S, &mut rng()),
            Change::Removed(5 * S)
        );
    }

    #[test]
    fn old_news_changes_nothing() {
        let t = Instant::now();
        let a = accrual(AccrualPolicy::ConsecutiveFailures(2), t);
        let old = [a.dispatch(t), a.dispatch(t)];
        fail(&a, t);
        fail(&a, t);
        let probe = a.dispatch(t + 5 * S);
        assert_eq!(a.failure(old[0], t + 5 * S, &mut rng()), Change::None);
        assert_eq!(a.success(old[1], t + 5 * S), Change::None);
        assert_eq!(a.success(probe, t + 5 * S), Change::Revived);
        assert_eq!(a.failure(old[0], t + 5 * S, &mut rng()), Change::None);
        assert_eq!(fail(&a, t + 5 * S), Change::None);
    }

    #[test]
    fn a_success_rate_needs_its_requests() {
        let t = Instant::now();
        let policy = AccrualPolicy::SuccessRate {
            rate: 0.8,
            requests: 10,
        };
        let a = accrual(policy, t);
        for _ in 0..9 {
            assert_eq!(fail(&a, t), Change::None);
        }
        assert_eq!(fail(&a, t), Change::Removed(5 * S));
        // Nine in ten is enough for 0.8: the average over ten requests stays above it.
        let a = accrual(policy, t);
        for i in 1..200 {
            let change = match i % 10 {
                0 => fail(&a, t),
                _ => succeed(&a, t),
            };
            assert_eq!(change, Change::None, "{i}");
        }
        fail(&a, t);
        assert!(matches!(fail(&a, t), Change::Removed(_)), "{a:?}");
    }

    #[test]
    fn a_windowed_rate_needs_its_window_and_five_requests() {
        let t = Instant::now();
        let policy = AccrualPolicy::SuccessRateWindowed {
            rate: 0.5,
            window: 10 * S,
        };
        let a = accrual(policy, t);
        for i in 0..10 {
            assert_eq!(fail(&a, t + i * S), Change::None);
        }
        assert_eq!(fail(&a, t + 10 * S), Change::Removed(5 * S));
        let a = accrual(policy, t);
        for i in 0..4 {
            assert_eq!(fail(&a, t + (10 + i) * S), Change::None);
        }
        assert_eq!(fail(&a, t + 14 * S), Change::Removed(5 * S));
        // What lies further back than the window does not count.
        let a = accrual(policy, t);
        for _ in 0..1000 {
            fail(&a, t);
        }
        for _ in 0..6 {
            succeed(&a, t + 11 * S);
        }
        for _ in 0..6 {
            assert_eq!(fail(&a, t + 11 * S), Change::None);
        }
        assert_eq!(fail(&a, t + 11 * S), Change::Removed(5 * S));
    }

    #[test]
    fn none_never_removes() {
        let t = Instant::now();
        let a = accrual(AccrualPolicy::Never, t);
        assert!((0..1000).all(|_| fail(&a, t) == Change::None));
    }

    proptest! {
        /// Whatever happens in whatever order: an endpoint that gets a success as a probe is alive, one that is busy becomes
        /// open again by the passing of time alone, and there is one probe at a time.
        #[test]
        fn nobody_stays_out_for_ever(steps in proptest::collection::vec((0u8..4, 0u64..4000), 1..200)) {
            let mut now = Instant::now();
            let a = accrual(AccrualPolicy::ConsecutiveFailures(2), now);
            let mut out = std::collections::VecDeque::new();
            let mut rng = rng();
            for (what, ms) in steps {
                now += Duration::from_millis(ms);
                match (what, out.pop_front()) {
                    (1, Some(mark)) => { a.success(mark, now); }
                    (2, Some(mark)) => { a.failure(mark, now, &mut rng); }
                    (3, Some(mark)) => a.ignored(mark),
                    (_, mark) => {
                        out.extend(mark);
                        let probing = matches!(a.state(now), State::Probing(_));
                        let mark = a.dispatch(now);
                        prop_assert_eq!(mark.is_probe, probing);
                        prop_assert!(!probing || a.is_busy(now));
                        out.push_back(mark);
                    }
                }
                prop_assert!(!a.is_busy(now + 5 * S));
            }
            now += 5 * S;
            let mark = a.dispatch(now);
            if mark.is_probe {
                prop_assert_eq!(a.success(mark, now), Change::Revived);
            }
            prop_assert_eq!(a.state(now), State::Alive);
        }
    }
}
