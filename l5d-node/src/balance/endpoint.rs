//! One endpoint as a worker sees it: its load, its health, its connections.
//!
//! What became of a request comes in, by its [`super::Lease`]. Three things can set an endpoint aside, each for its own reason:
//!
//! - **failure accrual** ([`super::accrual`]) for what it answers, by the service's classifier, and for failed connections;
//! - a failed connection for a moment (100 ms, doubling up to 60 s, half of it jitter), since the next would most likely fail
//!   too; with `failFast` instead until a connection opened in the background succeeds;
//! - an answer that says it could not hand the request on (`l5d-retryable`), for 0.5 s, doubling up to 30 s. That is what a
//!   gateway knows, not how it is: it reaches failure accrual as neither success nor failure. Otherwise five requests at once
//!   to a gateway that has not heard of a new pod would cost it 5 s.
//!
//! All of them only move traffic elsewhere: if nobody else is there, the endpoint is sent to all the same.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::accrual::{Accrual, Change, Mark, State};
use super::aperture::Aperture;
use super::background;
use super::cluster::ClientStats;
use super::load::PeakEwma;
use crate::config::{BalancerKind, ClientSettings};
use crate::connect::{ConnectionCounts, Pool, h2};

/// One endpoint: its load, its health and its idle connections.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub addr: SocketAddr,
    /// In 1/65536; changes without touching the rest (K8S-75).
    pub(super) weight: Cell<u32>,
    pub(super) load: PeakEwma,
    pool: Pool,
    multiplexed: h2::Shared,
    pub(super) accrual: Accrual,
    /// Failed connections in a row.
    failures: Cell<u32>,
    /// Requests in a row that it could not hand on.
    turned_away: Cell<u32>,
    out_until: Cell<Option<Instant>>,
    /// Set aside until a connection in the background opens (`failFast`).
    is_failing_fast: Cell<bool>,
    /// Since when it is new among old ones (`warmUpMs`).
    pub(super) warming: Cell<Option<Instant>>,
    /// Smooth weighted round robin: how far its turn has come.
    pub(super) turn: Cell<f64>,
    /// Discovery removed it, and it stays while it is healthy (`enableProbation`).
    pub(super) is_on_probation: Cell<bool>,
    is_removed: Cell<bool>,
    pub(super) shared: Rc<Shared>,
    /// Connects in the background; ends with the endpoint.
    task: RefCell<Option<AbortHandle>>,
}

/// What the endpoints of one balancer have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Arc<ClientSettings>,
    pub(super) stats: Arc<ClientStats>,
    pub(super) workers: usize,
    /// For kind `aperture`.
    pub(super) aperture: Option<Aperture>,
    /// Endpoints that failure accrual has removed and not revived.
    pub(super) dead: Cell<usize>,
    /// An endpoint on probation has failed: the set must be looked through.
    pub(super) has_failed_probation: Cell<bool>,
    pub(super) rng: RefCell<fastrand::Rng>,
}

/// Where an endpoint stands, for the admin pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Gets its share.
    Open,
    /// Set aside by failure accrual.
    Dead,
    /// The next request is a probe.
    Probing,
    /// A probe is out.
    Waiting,
    /// Set aside after a failed connection, or after requests that it could not hand on.
    Aside,
    /// Set aside until a connection succeeds (`failFast`).
    FailFast,
}

/// An endpoint as the admin pages show it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointView {
    /// Its address.
    pub addr: SocketAddr,
    /// Its weight, 1.0 by default.
    pub weight: f64,
    /// Requests that have not ended.
    pub pending: u32,
    /// Peak EWMA of the response time.
    pub cost: Duration,
    /// Idle connections.
    pub idle: usize,
    /// Failed connections, or requests that it could not hand on, in a row.
    pub failures: u32,
    /// Whether it is set aside.
    pub is_out: bool,
    /// Why.
    pub health: Health,
    /// Discovery removed it, and it is healthy.
    pub is_on_probation: bool,
}

/// After a failed connection (node-proxy 17): first and longest.
const CONNECT_MIN: Duration = Duration::from_millis(100);
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// After a request that could not be handed on.
const AWAY_MIN: Duration = Duration::from_millis(500);
const AWAY_MAX: Duration = Duration::from_secs(30);

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(
        addr: SocketAddr,
        weight: u32,
        shared: &Rc<Shared>,
        now: Instant,
    ) -> Rc<Self> {
        let settings = &shared.settings;
        let decay = match settings.load_balancer.kind {
            BalancerKind::Ewma { decay, .. } => decay,
            _ => Duration::from_secs(10),
        };
        Rc::new(Self {
            addr,
            weight: Cell::new(weight),
            load: PeakEwma::new(decay, now),
            pool: Pool::new(settings, shared.workers),
            multiplexed: h2::Shared::new(settings.session),
            accrual: Accrual::new(settings.failure_accrual, now),
            failures: Cell::new(0),
            turned_away: Cell::new(0),
            out_until: Cell::new(None),
            is_failing_fast: Cell::new(false),
            warming: Cell::new(None),
            turn: Cell::new(0.0),
            is_on_probation: Cell::new(false),
            is_removed: Cell::new(false),
            shared: shared.clone(),
            task: RefCell::default(),
        })
    }

    /// Its connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Its HTTP/2 connections.
    pub fn multiplexed(&self) -> &h2::Shared {
        &self.multiplexed
    }

    /// Whether it is set aside. `ignores_accrual`: so many are dead that this says nothing about each of them.
    pub(super) fn is_out(&self, ignores_accrual: bool, now: Instant) -> bool {
        self.is_failing_fast.get()
            || self.out_until.get().is_some_and(|until| now < until)
            || !ignores_accrual && self.accrual.is_busy(now)
    }

    /// Whether the cluster no longer has it: its connections are not kept.
    pub fn is_removed(&self) -> bool {
        self.is_removed.get()
    }

    /// A connection was opened: connections that failed before do not count.
    pub fn connected(&self) {
        self.failures.set(0);
        self.is_failing_fast.set(false);
        if self.turned_away.get() == 0 {
            self.out_until.set(None);
        }
    }

    /// No connection could be opened to it.
    pub(super) fn unreachable(self: &Rc<Self>, now: Instant) {
        if self.shared.settings.fail_fast {
            self.failures.set(self.failures.get().saturating_add(1));
            self.fail_fast();
        } else {
            self.set_aside(&self.failures, (CONNECT_MIN, CONNECT_MAX), now);
        }
    }

    /// It could not hand a request on.
    pub(super) fn knows_nothing(&self, now: Instant) {
        self.set_aside(&self.turned_away, (AWAY_MIN, AWAY_MAX), now);
    }

    /// Sets it aside, each time for twice as long.
    fn set_aside(&self, failures: &Cell<u32>, (min, max): (Duration, Duration), now: Instant) {
        failures.set(failures.get().saturating_add(1));
        let time = min
            .saturating_mul(1 << (failures.get() - 1).min(16))
            .min(max);
        let jitter = self.shared.rng.borrow_mut().f64() / 2.0;
        self.out_until.set(Some(now + time.mul_f64(1.0 - jitter)));
    }

    pub(super) fn succeeded(&self, mark: Mark, now: Instant) {
        if self.turned_away.replace(0) > 0 {
            self.out_until.set(None);
        }
        if self.accrual.success(mark, now) == Change::Revived {
            self.shared.dead.set(self.shared.dead.get() - 1);
            self.shared.stats.revivals.inc();
        }
    }

    pub(super) fn failed(&self, mark: Mark, now: Instant) {
        let was_dead = self.is_dead();
        let change = self
            .accrual
            .failure(mark, now, &mut self.shared.rng.borrow_mut());
        if let Change::Removed(wait) = change {
            if !was_dead && !self.is_removed() {
                self.shared.dead.set(self.shared.dead.get() + 1);
            }
            self.shared.stats.removals.inc();
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.shared.stats.removed_for_ms.add(ms);
            let (addr, wait) = (self.addr, wait);
            tracing::info!(endpoint = %addr, ?wait, "an endpoint fails and is set aside");
        }
        if self.is_on_probation.get() {
            self.shared.has_failed_probation.set(true);
        }
    }

    /// Whether failure accrual has removed it and not revived it.
    fn is_dead(&self) -> bool {
        self.accrual.is_removed()
    }

    /// Whether nothing speaks against it: then it may stay on probation.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        !self.is_dead() && self.failures.get() == 0 && !self.is_out(false, now)
    }

    /// How much of its share a new endpoint gets by now; `None`: all of it.
    pub(super) fn warmth(&self, now: Instant) -> Option<f64> {
        let since = self.warming.get()?;
        let time = self.shared.settings.load_balancer.warm_up;
        let age = now.saturating_duration_since(since);
        if age >= time {
            self.warming.set(None);
            return None;
        }
        Some(COLDEST.max(age.as_secs_f64() / time.as_secs_f64()))
    }

    pub(super) fn remove(&self) {
        if !self.is_removed.replace(true) {
            self.shared.stats.closed.inc();
            if self.is_dead() {
                self.shared.dead.set(self.shared.dead.get() - 1);
            }
        }
        self.pool.clear();
        self.multiplexed.clear();
        self.stop_task();
    }

    fn stop_task(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
    }

    /// Connects in the background until it succeeds: `failFast` (node-proxy 13.5).
    fn fail_fast(self: &Rc<Self>) {
        if self.is_failing_fast.replace(true) || self.is_removed() {
            return;
        }
        self.stop_task();
        let task = tokio::task::spawn_local(background::reconnect(Rc::downgrade(self)));
        *self.task.borrow_mut() = Some(task.abort_handle());
    }

    /// Closes old idle connections, and opens those that are to be there (`minSize`); in clear text only, since those in
    /// TLS are opened by who knows how.
    pub(super) fn sweep(self: &Rc<Self>, is_plain: bool, now: Instant) {
        self.pool.sweep(now);
        self.multiplexed.sweep(now);
        let is_wanted = is_plain && self.is_short() && !self.is_out(false, now);
        let is_busy = || {
            let task = self.task.borrow();
            task.as_ref().is_some_and(|task| !task.is_finished())
        };
        if is_wanted && !is_busy() {
            let task = tokio::task::spawn_local(background::fill(Rc::downgrade(self)));
            *self.task.borrow_mut() = Some(task.abort_handle());
        }
    }

    /// Whether there are fewer connections than there are to be.
    pub(super) fn is_short(&self) -> bool {
        let there = self.pool.len() + self.load.pending() as usize;
        self.pool.is_used() && there < self.pool.least()
    }

    /// What it takes to open a connection in the background.
    pub(super) fn connector(&self) -> (SocketAddr, Duration, Arc<ConnectionCounts>) {
        let counts = self.shared.stats.connections.clone();
        (self.addr, self.shared.settings.connect_timeout, counts)
    }

    pub(super) fn view(&self, now: Instant) -> EndpointView {
        EndpointView {
            addr: self.addr,
            weight: f64::from(self.weight.get()) / 65_536.0,
            pending: self.load.pending(),
            cost: self.load.cost(),
            idle: self.pool.len(),
            failures: self.failures.get().max(self.turned_away.get()),
            is_out: self.is_out(false, now),
            health: self.health(now),
            is_on_probation: self.is_on_probation.get(),
        }
    }

    fn health(&self, now: Instant) -> Health {
        if self.is_failing_fast.get() {
            return Health::FailFast;
        }
        match self.accrual.state(now) {
            State::Dead { .. } => Health::Dead,
            State::Waiting { .. } => Health::Waiting,
            _ if self.is_out(true, now) => Health::Aside,
            State::Probing(_) => Health::Probing,
            State::Alive => Health::Open,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop_task();
        if self.is_removed() {
            self.shared.stats.closed.dec();
        }
    }
}

/// The share that a new endpoint begins with.
const COLDEST: f64 = 0.1;
