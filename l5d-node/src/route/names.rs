//! What one worker has looked up for one router: overrides by their text, and routes by identified value and override.
//!
//! The shared cache must see that a name is in use, and must be able to let go of one that is not: an entry is looked up
//! there again after [`RECHECK`], and dropped here after [`UNUSED`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use l5d_naming::{Dtab, Elem, ParseError, Path, limits};
use tokio::time::Instant;

use super::identify::{Identified, RequestView, Segments, Unidentified, identify, needs_rules};
use crate::balance::Budget;
use crate::cache::{Name, NameState, Names, Rules};
use crate::config::{Router, ServiceSettings};
use crate::meter::{
    Counter, FailureCounts, Histogram, Measured, Pairs, Reading, Registry, RequestCounts, table,
};

/// The routes of one router, of one worker.
pub struct Routes {
    index: usize,
    router: Arc<Router>,
    names: Arc<dyn Names>,
    registry: Arc<Registry<ServiceStats>>,
    routes: RefCell<HashMap<Box<[u8]>, Rc<Route>, RandomState>>,
    overrides: RefCell<HashMap<Box<[u8]>, Rc<Override>, RandomState>>,
    /// By name, with the time of the last use.
    budgets: RefCell<HashMap<String, (Rc<Budget>, Instant), RandomState>>,
    /// How many share what the configuration gives to the process.
    workers: usize,
    /// Where keys are put together, so that a hit allocates nothing.
    key: RefCell<Vec<u8>>,
    segments: RefCell<Segments>,
    /// Ingress rules, if an identifier needs them.
    rules: Option<Arc<Rules>>,
}

/// One logical name with one override, in use by this worker.
#[derive(Debug)]
pub struct Route {
    /// Logical name.
    pub path: Path,
    /// Its printed form.
    pub shown: String,
    /// The request's override.
    pub local: Rc<Override>,
    /// What holds for the name.
    pub service: Arc<ServiceSettings>,
    /// What happened.
    pub stats: Arc<ServiceStats>,
    /// The same by client.
    pub pairs: Pairs,
    /// For retries; shared with the other overrides of the name.
    pub budget: Rc<Budget>,
    name: RefCell<Arc<Name>>,
    checked: Cell<Instant>,
    used: Cell<Instant>,
}

/// A request's own dtab.
#[derive(Debug, Default)]
pub struct Override {
    /// `None`: the request brought none, or an empty one.
    pub dtab: Option<Dtab>,
    /// What goes on in `l5d-ctx-dtab`: canonical text, in which weights are rounded (naming 8.1). This hop binds with the
    /// numbers as received.
    pub shown: String,
    /// The same with all digits: two overrides that differ in them are two.
    exact: String,
}

/// A request's dtab that does not read.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// A field is not text.
    #[error("invalid dtab override: not UTF-8")]
    NotText,
    /// All fields together.
    #[error("invalid dtab override: longer than {} bytes", limits::DTAB_BYTES)]
    TooLong,
    /// Where and what.
    #[error("invalid dtab override: {0}")]
    Syntax(#[from] ParseError),
}

/// Counters of one logical name (`rt/<router>/service/<name>`), of one worker. Each request counts once.
#[derive(Debug, Default)]
pub struct ServiceStats {
    /// Requests, however many attempts they took.
    pub requests: RequestCounts,
    /// Requests without a response that could be passed on, by reason.
    pub failures: FailureCounts,
    /// Attempts after the first.
    pub retries: Counter,
    /// Requests not retried because the budget was used up.
    pub budget_exhausted: Counter,
    /// Requests not retried because they had been as often as one may be.
    pub retry_limit: Counter,
    /// How many retries there could be now.
    pub retry_budget: Counter,
    /// Of each request.
    pub retries_per_request: Histogram,
}

/// How long a name that is in use is not looked up again in the shared cache.
const RECHECK: Duration = Duration::from_secs(1);
/// How long an unused route is kept.
const UNUSED: Duration = Duration::from_secs(5);
/// How long a budget is remembered that nobody uses: the longest time for which a deposit counts.
const BUDGET_UNUSED: Duration = Duration::from_secs(60);

impl Routes {
    /// No routes yet, for the router at `index` of the configuration.
    pub fn new(
        index: usize,
        router: Arc<Router>,
        names: Arc<dyn Names>,
        registry: Arc<Registry<ServiceStats>>,
        workers: usize,
    ) -> Self {
        let rules = needs_rules(&router.identifiers).then(|| names.rules(index));
        Self {
            budgets: RefCell::default(),
            workers,
            index,
            router,
            names,
            rules,
            segments: RefCell::default(),
            registry,
            routes: RefCell::default(),
            overrides: RefCell::default(),
            key: RefCell::default(),
        }
    }

    /// The override in these field values, in order (node-proxy 8.2). The text of an override in use is read once.
    pub fn local<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Rc<Override>, OverrideError> {
        let mut text = self.key.borrow_mut();
        text.clear();
        for value in values.filter(|v| !v.is_empty()) {
            if !matches!(text.last(), None | Some(b';')) {
                text.push(b';');
            }
            text.extend_from_slice(value);
        }
        if let Some(found) = self.overrides.borrow().get(&text[..]) {
            return Ok(found.clone());
        }
        let local = Rc::new(Override::parse(&text)?);
        let mut all = self.overrides.borrow_mut();
        if all.len() >= self.router.cache.paths {
            all.clear();
        }
        all.insert(text.as_slice().into(), local.clone());
        Ok(local)
    }

    /// Ingress rules that have not come yet: to be waited for before a request is identified.
    pub fn rules_to_come(&self) -> Option<&Arc<Rules>> {
        let rules = self.rules.as_ref()?;
        rules.table().is_none().then_some(rules)
    }

    /// Names a request, and looks its name up.
    ///
    /// # Errors
    /// Why it has none.
    pub fn identify(
        &self,
        request: &impl RequestView,
        local: &Rc<Override>,
        now: Instant,
    ) -> Result<(Rc<Route>, Identified), Unidentified> {
        let rules = self.rules.as_ref().and_then(|rules| rules.table());
        let mut segments = self.segments.borrow_mut();
        let identifiers = &self.router.identifiers;
        let found = identify(identifiers, rules.as_deref(), request, &mut segments)?;
        Ok((self.route(&segments, local, now), found))
    }

    /// The route of an identified name: the prefix and these segments.
    fn route(&self, segments: &Segments, local: &Rc<Override>, now: Instant) -> Rc<Route> {
        let mut key = self.key.borrow_mut();
        key.clear();
        key.extend_from_slice(segments.key());
        if local.dtab.is_some() {
            // No segment is that long.
            key.extend_from_slice(&u32::MAX.to_be_bytes());
            key.extend_from_slice(local.exact.as_bytes());
        }
        let found = self.routes.borrow().get(&key[..]).cloned();
        if let Some(route) = found {
            route.used.set(now);
            if now.saturating_duration_since(route.checked.get()) > RECHECK {
                self.recheck(&route, now);
            }
            return route;
        }
        let elems = segments.iter().filter_map(Elem::new);
        let prefix = self.router.dst_prefix.clone();
        let path = elems.fold(prefix, |path, elem| path.child(elem));
        let route = Rc::new(self.open(path, local, now));
        let mut all = self.routes.borrow_mut();
        if all.len() >= self.router.cache.paths {
            all.clear();
        }
        all.insert(key.as_slice().into(), route.clone());
        route
    }

    /// The name's state now. One that is not bound is looked up again, since the shared cache may know of another try.
    pub fn state(&self, route: &Route, now: Instant) -> Arc<NameState> {
        let state = route.name.borrow().state();
        if matches!(*state, NameState::Bound(_)) {
            return state;
        }
        self.recheck(route, now);
        route.name.borrow().state()
    }

    /// For messages while a name is pending.
    pub fn why_pending(&self) -> String {
        self.names.why_pending(self.index)
    }

    /// Lets go of what has not been used for a while. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        self.routes.borrow_mut().retain(|_, route| {
            now.saturating_duration_since(route.used.get()) <= UNUSED || Rc::strong_count(route) > 1
        });
        self.overrides
            .borrow_mut()
            .retain(|_, local| Rc::strong_count(local) > 1);
        self.budgets.borrow_mut().retain(|_, (budget, used)| {
            if Rc::strong_count(budget) > 1 {
                *used = now;
            }
            now.saturating_duration_since(*used) <= BUDGET_UNUSED
        });
        self.registry.expire(self.router.cache.idle_ttl, now);
    }

    /// The budget of a name with these settings, kept for a while after its last route has gone.
    fn budget(&self, name: &str, service: &ServiceSettings, now: Instant) -> Rc<Budget> {
        let mut all = self.budgets.borrow_mut();
        if let Some((found, used)) = all.get_mut(name) {
            *used = now;
            return found.clone();
        }
        if all.len() >= self.router.cache.paths {
            all.clear();
        }
        let budget = Rc::new(Budget::new(&service.retry_budget, self.workers, now));
        all.insert(name.to_owned(), (budget.clone(), now));
        budget
    }

    fn open(&self, path: Path, local: &Rc<Override>, now: Instant) -> Route {
        let shown = path.to_string();
        let stats = self.registry.get(
            shown.trim_start_matches('/'),
            self.router.cache.paths.saturating_mul(2),
        );
        let service = self.router.service.of(&path);
        Route {
            name: RefCell::new(self.look_up(&path, local)),
            budget: self.budget(&shown, &service, now),
            service,
            path,
            shown,
            local: local.clone(),
            stats,
            pairs: Pairs::default(),
            checked: Cell::new(now),
            used: Cell::new(now),
        }
    }

    fn recheck(&self, route: &Route, now: Instant) {
        let name = self.look_up(&route.path, &route.local);
        *route.name.borrow_mut() = name;
        route.checked.set(now);
    }

    fn look_up(&self, path: &Path, local: &Override) -> Arc<Name> {
        match &local.dtab {
            Some(dtab) => self.names.name(self.index, path, dtab),
            None => self.names.name(self.index, path, &Dtab::empty()),
        }
    }
}

impl Route {
    /// The name, to wait for its first state.
    pub fn name(&self) -> Arc<Name> {
        self.name.borrow().clone()
    }
}

impl Measured for ServiceStats {
    fn read(&self, to: &mut Reading) {
        self.requests.read(to);
        self.failures.read_seen(&table::EXCEPTIONS, to);
        to.add(&table::RETRIES, &self.retries);
        to.add(&table::RETRIES_BUDGET_EXHAUSTED, &self.budget_exhausted);
        to.add(&table::RETRIES_LIMIT, &self.retry_limit);
        to.add(&table::RETRIES_BUDGET, &self.retry_budget);
        to.spread(&table::RETRIES_PER_REQUEST, &self.retries_per_request);
    }
}

impl Override {
    fn parse(text: &[u8]) -> Result<Self, OverrideError> {
        let text = std::str::from_utf8(text).map_err(|_| OverrideError::NotText)?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if text.len() > limits::DTAB_BYTES {
            return Err(OverrideError::TooLong);
        }
        let dtab = Dtab::parse(text)?;
        if dtab.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            shown: dtab.to_string(),
            exact: dtab.show_exact(),
            dtab: Some(dtab),
        })
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Routes({})", self.router.label)
    }
}
