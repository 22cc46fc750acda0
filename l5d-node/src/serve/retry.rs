//! The verdict on an attempt, and whether another one follows: retries above the binding (node-proxy 13.6, 13.7).
//!
//! What is seen of an answer comes in, in the order in which it is seen: its head, its end, or that there is none. Out comes
//! whether it goes on to the client. A retry is decided when an answer is judged, because that is the last moment at which
//! the answer can still be kept from the client; it takes from the budget of the logical name, and waits before the name's
//! tree is drawn from anew. Never after a byte has gone to the client, never when something of the request is lost, never
//! when the time limit of the whole request would end the wait.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

use super::classify::{self, Class, Head, Method, Missing};
use crate::balance::{Budget, Waits};
use crate::config::{Classifier, ServiceSettings};
use crate::route::ServiceStats;

/// Judges the attempts of one request.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    service: &'a ServiceSettings,
    budget: &'a Budget,
    stats: &'a ServiceStats,
    rng: &'a RefCell<fastrand::Rng>,
    method: Method,
    start: Instant,
    /// When the whole request must have its answer.
    end: Option<Instant>,
    waits: Waits,
    /// Retries so far.
    made: Cell<u32>,
    has_deposited: Cell<bool>,
    /// Of this attempt: whether nothing of the request is lost.
    can_repeat: Cell<bool>,
    class: Cell<Option<Class>>,
    /// What the answer says in `grpc-status`, as far as somebody has looked.
    grpc_status: Cell<Option<u32>>,
    /// Of the answer.
    status: Cell<u16>,
    /// It says that its destination has not seen the request.
    is_turned_away: Cell<bool>,
    /// It ended before its end.
    is_cut: Cell<bool>,
    /// What the answer says about when to come again.
    retry_after: Cell<Option<Duration>>,
    /// Another attempt follows, after this.
    wait: Cell<Option<Duration>>,
    /// The answer that is not passed on was read to its end: its connection can be used again.
    is_drained: Cell<bool>,
}

/// What of a name and a request a judge goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) service: &'a ServiceSettings,
    pub(crate) budget: &'a Budget,
    pub(crate) stats: &'a ServiceStats,
    pub(crate) method: Method,
    /// When it came.
    pub(crate) start: Instant,
    /// When the whole request must have its answer.
    pub(crate) end: Option<Instant>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(case: Case<'a>, rng: &'a RefCell<fastrand::Rng>) -> Self {
        Self {
            service: case.service,
            budget: case.budget,
            stats: case.stats,
            rng,
            method: case.method,
            start: case.start,
            end: case.end,
            waits: Waits::default(),
            made: Cell::new(0),
            has_deposited: Cell::new(false),
            can_repeat: Cell::new(false),
            class: Cell::new(None),
            grpc_status: Cell::new(None),
            status: Cell::new(0),
            is_turned_away: Cell::new(false),
            is_cut: Cell::new(false),
            retry_after: Cell::new(None),
            wait: Cell::new(None),
            is_drained: Cell::new(false),
        }
    }

    /// An attempt begins.
    pub(crate) fn begin(&self, can_repeat: bool) {
        self.can_repeat.set(can_repeat);
        self.class.set(None);
        self.grpc_status.set(None);
        self.status.set(0);
        self.is_turned_away.set(false);
        self.is_cut.set(false);
        self.retry_after.set(None);
        self.wait.set(None);
        self.is_drained.set(false);
    }

    /// Part of the request's body is gone: from now on it cannot be repeated.
    pub(crate) fn lost(&self) {
        self.can_repeat.set(false);
    }

    /// How many bytes of a body that streams are to be kept for another attempt.
    pub(crate) fn request_bytes(&self) -> usize {
        self.service.retry_request_bytes
    }

    /// The head of an answer has this status; `is_turned_away`: its destination has not seen the request.
    pub(crate) fn saw(&self, status: u16, is_turned_away: bool) {
        self.status.set(status);
        self.is_turned_away.set(is_turned_away);
    }

    /// The head of an answer is there. True: it is kept from the client, another attempt follows.
    pub(crate) fn head(&self, head: Head, retry_after: Option<Duration>) -> bool {
        self.retry_after.set(retry_after);
        self.grpc_status.set(head.grpc_status);
        let classifier = &self.service.classifier;
        let class = classify::by_head(classifier, self.method, head, self.can_repeat.get());
        self.class.set(class);
        class.is_some_and(|class| self.follows(class))
    }

    /// Whether the end of the answer decides: a head that said nothing has come.
    pub(crate) fn awaits_end(&self) -> bool {
        self.class.get().is_none()
    }

    /// The end of an answer is there, with the `grpc-status` of its trailers. `is_held`: nothing has gone to the client. True
    /// as for the head.
    pub(crate) fn end(&self, grpc_status: Option<u32>, is_held: bool) -> bool {
        if grpc_status.is_some() {
            self.grpc_status.set(grpc_status);
        }
        if !self.awaits_end() {
            return false;
        }
        let can_repeat = self.can_repeat.get() && is_held;
        let class = classify::by_trailers(&self.service.classifier, grpc_status, can_repeat);
        self.class.set(Some(class));
        is_held && self.follows(class)
    }

    /// There is no answer. True: another attempt follows. `can_repeat`: nothing of the request is lost by now.
    pub(crate) fn absence(&self, missing: Missing, can_repeat: bool) -> bool {
        let classifier = &self.service.classifier;
        let class = classify::by_absence(classifier, self.method, missing, can_repeat);
        self.class.set(Some(class));
        self.follows(class)
    }

    /// The answer that is kept from the client was read to its end.
    pub(crate) fn drained(&self) {
        self.is_drained.set(true);
    }

    /// The endpoint has ended its answer before its end: whatever the head said, that is a failure.
    pub(crate) fn cut(&self) {
        self.is_cut.set(true);
        self.class.set(Some(Class::Failure));
    }

    /// See [`Judge::cut`].
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// The status of the answer, 0 without one.
    pub(crate) fn status(&self) -> u16 {
        self.status.get()
    }

    /// What the answer says in `grpc-status`, as far as somebody has looked.
    pub(crate) fn grpc_status(&self) -> Option<u32> {
        self.grpc_status.get()
    }

    /// See [`Judge::saw`].
    pub(crate) fn is_turned_away(&self) -> bool {
        self.is_turned_away.get()
    }

    /// Whether nothing of the request is lost.
    pub(crate) fn can_repeat(&self) -> bool {
        self.can_repeat.get()
    }

    /// Whether the classifier goes by `grpc-status`.
    pub(crate) fn wants_grpc_status(&self) -> bool {
        matches!(self.service.classifier, Classifier::Grpc { .. })
    }

    /// See [`Judge::drained`].
    pub(crate) fn is_drained(&self) -> bool {
        self.is_drained.get()
    }

    /// The verdict on an answer with this status: where nobody could judge, 5XX is a failure.
    pub(crate) fn class(&self, status: u16) -> Class {
        self.class.get().unwrap_or(match status {
            500.. => Class::Failure,
            _ => Class::Success,
        })
    }

    /// What the answer says about when to come again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.get()
    }

    /// How long to wait before the attempt that follows; `None`: none does.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait.get()
    }

    /// Whether another attempt follows one of this class, and pays for it.
    fn follows(&self, class: Class) -> bool {
        let wait = match class {
            Class::RetryableFailure => self.allowed(Instant::now()),
            Class::Success | Class::Failure => None,
        };
        // A request's own deposit does not pay for its own retry (acceptance 8).
        self.deposit();
        self.wait.set(wait);
        if wait.is_some() {
            self.made.set(self.made.get() + 1);
            self.stats.retries.inc();
        }
        wait.is_some()
    }

    fn allowed(&self, now: Instant) -> Option<Duration> {
        if self.made.get() >= self.service.retries_per_request {
            self.stats.retry_limit.inc();
            return None;
        }
        let wait = self
            .waits
            .next(self.service.retry_backoff, &mut self.rng.borrow_mut());
        if self.end.is_some_and(|end| now + wait >= end) {
            return None;
        }
        if !self.budget.withdraw(now) {
            self.stats.budget_exhausted.inc();
            return None;
        }
        Some(wait)
    }

    fn deposit(&self) {
        if !self.has_deposited.replace(true) {
            self.budget.deposit(self.start);
        }
    }
}

impl Drop for Judge<'_> {
    /// A request that nobody judged, since it was not answered or had no destination, was a request all the same.
    fn drop(&mut self) {
        self.deposit();
        let retries = u64::from(self.made.get());
        self.stats.retry_budget.set(self.budget.balance(self.start));
        self.stats.retries_per_request.observe_number(retries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Backoff};

    struct Bench {
        service: ServiceSettings,
        budget: Budget,
        stats: ServiceStats,
        rng: RefCell<fastrand::Rng>,
        end: Option<Instant>,
    }

    impl Bench {
        fn new(min_per_sec: u32, percent: f64) -> Self {
            let budget = config::Budget {
                min_per_sec,
                percent,
                ..config::Budget::default()
            };
            Self {
                service: ServiceSettings {
                    classifier: Classifier::RetryableRead5xx,
                    ..ServiceSettings::default()
                },
                budget: Budget::new(&budget, 1, Instant::now()),
                stats: ServiceStats::default(),
                rng: RefCell::new(fastrand::Rng::with_seed(1)),
                end: None,
            }
        }

        fn judge(&self, method: &[u8]) -> Judge<'_> {
            let case = Case {
                service: &self.service,
                budget: &self.budget,
                stats: &self.stats,
                method: Method::of(method),
                start: Instant::now(),
                end: self.end,
            };
            Judge::new(case, &self.rng)
        }

        /// Whether a GET that is answered with `status` is tried again.
        fn get(&self, status: u16) -> bool {
            let judge = self.judge(b"GET");
            judge.begin(true);
            judge.head(head(status), None)
        }
    }

    fn head(status: u16) -> Head {
        Head {
            status,
            ..Head::default()
        }
    }

    /// Acceptance 8: one in two may be sent again; after one success the first failure is not, the second is.
    #[test]
    fn a_request_does_not_pay_for_its_own_retry() {
        let bench = Bench::new(0, 0.5);
        assert!(!bench.get(200));
        assert_eq!(bench.stats.retry_budget.get(), 0);
        assert!(!bench.get(500));
        assert_eq!(bench.stats.retry_budget.get(), 1);
        assert!(bench.get(500));
        assert_eq!(bench.stats.retry_budget.get(), 0);
        assert_eq!(bench.stats.budget_exhausted.get(), 1);
        assert_eq!(bench.stats.retries.get(), 1);
    }

    #[test]
    fn only_what_may_be_repeated_is() {
        let bench = Bench::new(100, 0.2);
        let judge = bench.judge(b"POST");
        judge.begin(true);
        assert!(!judge.head(head(500), None));
        let judge = bench.judge(b"GET");
        judge.begin(false);
        assert!(!judge.head(head(500), None) && !judge.absence(Missing::Broken, false));
        judge.begin(true);
        assert!(judge.absence(Missing::Broken, true));
        assert_eq!(judge.wait(), Some(Duration::ZERO));
    }

    #[test]
    fn a_request_is_retried_so_many_times_and_no_more() {
        let mut bench = Bench::new(100, 0.2);
        bench.service.retries_per_request = 3;
        let judge = bench.judge(b"GET");
        let n = (0..10).filter(|_| {
            judge.begin(true);
            judge.head(head(503), None)
        });
        assert_eq!(n.count(), 3);
        let counts = [&bench.stats.retries, &bench.stats.retry_limit];
        assert_eq!(counts.map(|c| c.get()), [3, 7]);
    }

    #[test]
    fn waits_grow_and_begin_anew_with_each_request() {
        let mut bench = Bench::new(100, 0.2);
        let (min, max) = (Duration::from_millis(10), Duration::from_secs(1));
        bench.service.retry_backoff = Backoff::Jittered { min, max };
        for _ in 0..2 {
            let judge = bench.judge(b"GET");
            let mut last = Duration::ZERO;
            for i in 0..5 {
                judge.begin(true);
                assert!(judge.head(head(503), None));
                let wait = judge.wait().unwrap();
                assert!(wait >= last && (i > 0 || wait == min));
                last = wait;
            }
        }
        // A wait beyond the limit of the whole request would be in vain.
        bench.end = Some(Instant::now() + min / 2);
        assert!(!bench.get(503));
    }

    #[test]
    fn grpc_is_judged_by_its_end_while_that_is_held() {
        let mut bench = Bench::new(100, 0.2);
        bench.service.classifier = Classifier::Grpc {
            retryable: config::GrpcRetries::Default,
            successes: vec![0],
        };
        let judge = bench.judge(b"POST");
        judge.begin(true);
        assert!(!judge.head(head(200), None) && judge.awaits_end());
        assert!(judge.end(Some(14), true));
        judge.begin(true);
        judge.head(head(200), None);
        assert!(!judge.end(Some(14), false));
        assert_eq!(judge.class(200), Class::Failure);
        judge.begin(true);
        judge.head(head(200), None);
        assert!(!judge.end(Some(0), true));
        assert_eq!(judge.class(200), Class::Success);
    }
}
