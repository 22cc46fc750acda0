//! What all sessions share.

use std::fmt;
use std::sync::Arc;

use l5d_resolver::ingress::Table;

use super::frames::FrameTable;
use super::gap::Gap;
use super::gateway_frames::GatewayFrames;
use super::ingress_frames::IngressFrames;
use super::limits::Limits;
use super::metrics::Metrics;
use super::pace::Pace;
use super::registry::Registry;
use super::sources::Sources;
use crate::bind::Binder;
use crate::meter::Meter;
use crate::store::Cell;
use crate::store::ingress::Ingresses;

/// The shared side of the sessions of this process.
pub struct Hub {
    pub(super) binder: Binder,
    pub(super) frames: Arc<FrameTable>,
    pub(super) sources: Arc<dyn Sources>,
    ingresses: Option<Ingresses>,
    pub(super) ingress_frames: IngressFrames,
    pub(super) gateway_frames: GatewayFrames,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    limits: Arc<Limits>,
    meter: Arc<Meter>,
    gap: Gap,
    pub(super) pace: Arc<Pace>,
    /// Held by the one who adapts the gap.
    pub(super) adapting: tokio::sync::Mutex<()>,
    replica: String,
}

impl Hub {
    /// A hub without sessions, whose refusals by a limit are counted in `meter`. The replica's name is random, new in each
    /// process.
    pub fn new(
        binder: Binder,
        sources: Arc<dyn Sources>,
        limits: Limits,
        meter: Arc<Meter>,
    ) -> Arc<Self> {
        Self::with_ingresses(binder, sources, limits, meter, None)
    }

    /// The same with Ingress rules for nodes that want them.
    pub fn with_ingresses(
        binder: Binder,
        sources: Arc<dyn Sources>,
        limits: Limits,
        meter: Arc<Meter>,
        ingresses: Option<Ingresses>,
    ) -> Arc<Self> {
        let metrics = Arc::new(Metrics::default());
        Arc::new(Self {
            binder,
            frames: FrameTable::new(Arc::clone(&metrics)),
            sources,
            ingresses,
            ingress_frames: IngressFrames::default(),
            gateway_frames: GatewayFrames::default(),
            registry: Arc::default(),
            metrics,
            limits: Arc::new(limits),
            meter,
            gap: Gap::default(),
            pace: Arc::default(),
            adapting: tokio::sync::Mutex::default(),
            replica: format!("{:016x}", fastrand::u64(..)),
        })
    }

    /// Who is connected.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The bounds of interfaces that have none of their own.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// One more refusal by this limit.
    pub(super) fn refused_by(&self, limit: &str) {
        self.meter.limits.count([limit]);
    }

    /// How long sessions gather before they write.
    pub fn gap(&self) -> &Gap {
        &self.gap
    }

    /// The random name of this process.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// The binder behind all sessions.
    pub fn binder(&self) -> &Binder {
        &self.binder
    }

    /// The sources behind the binder.
    pub fn sources(&self) -> &Arc<dyn Sources> {
        &self.sources
    }

    /// The Ingress rules, where they are configured.
    pub fn ingresses(&self) -> Option<&Ingresses> {
        self.ingresses.as_ref()
    }

    /// The table of Ingress rules of this class (`None`: of whichever is served), or why there is none.
    pub fn ingress_table(&self, class: Option<&str>) -> Result<Arc<Cell<Option<Table>>>, String> {
        let Some(ingresses) = self.ingresses() else {
            return Err(
                "this namerd serves no Ingress rules: add `ingress: {}` to its configuration"
                    .to_owned(),
            );
        };
        let ours = &ingresses.claim().class;
        match class.filter(|class| **class != **ours) {
            None => Ok(Arc::clone(ingresses.table())),
            Some(class) => Err(format!(
                "this namerd serves Ingress rules of class {ours}, not of {}: set `ingress: {{class: ...}}` in its \
                 configuration",
                super::limits::clip(class)
            )),
        }
    }

    /// Clusters and trees that have an encoder now, that is, that are followed.
    pub fn followed(&self) -> (usize, usize) {
        self.frames.len()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("replica", &self.replica)
            .field("sessions", &self.registry.len())
            .finish_non_exhaustive()
    }
}
