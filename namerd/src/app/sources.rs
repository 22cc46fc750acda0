//! The watched Kubernetes clusters and the dtab store as the stream sees them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::ingress::{IngressKind, Ingresses};
use crate::store::services::{Kind, Services};
use crate::store::{Cell, DtabStore, StoreStatus};
use crate::stream::{Positions, Sources};

/// All of them. The first cluster has the plain source names; those of others are numbered, so that positions are not
/// mixed up.
pub(super) struct Clusters {
    services: Vec<Services>,
    /// `store/` and its kind.
    store: String,
    status: Arc<Cell<StoreStatus>>,
    ingresses: Option<Ingresses>,
}

impl Clusters {
    pub(super) fn new(
        services: impl IntoIterator<Item = Services>,
        store: &dyn DtabStore,
        ingresses: Option<Ingresses>,
    ) -> Self {
        Self {
            services: services.into_iter().collect(),
            store: format!("store/{}", store.kind()),
            status: store.status(),
            ingresses,
        }
    }

    /// The version of the Ingress rules by this measure, where it is known. IngressClasses have no position: they choose
    /// among rules, and a replica that is behind with them says nothing that is not true of some moment.
    fn of_rules(&self, version: impl Fn(&Ingresses) -> u64) -> Option<(String, u64)> {
        let version = version(self.ingresses.as_ref()?);
        let source = IngressKind::Ingresses.source().to_owned();
        (version > 0).then_some((source, version))
    }

    fn each<T>(
        &self,
        see: impl Fn(&Services, Kind) -> Option<T>,
        store: impl Fn(&StoreStatus) -> Option<T>,
    ) -> Vec<(String, T)> {
        let mut all = Vec::new();
        for (i, services) in self.services.iter().enumerate() {
            for kind in Kind::ALL {
                let name = match i {
                    0 => kind.source().to_owned(),
                    _ => format!("{}#{i}", kind.source()),
                };
                all.extend(see(services, kind).map(|seen| (name, seen)));
            }
        }
        all.extend(store(&self.status.get().1).map(|seen| (self.store.clone(), seen)));
        all
    }
}

impl Sources for Clusters {
    fn served(&self) -> Positions {
        let newest =
            |services: &Services, kind| Some(services.newest(kind).value()).filter(|rv| *rv > 0);
        let all = self.each(newest, |store| store.position).into_iter();
        all.chain(self.of_rules(Ingresses::newest)).collect()
    }

    fn seen(&self) -> Positions {
        let seen = |services: &Services, kind| {
            let newest = services.newest(kind).value();
            let reached = services.watch_status(kind).rv.parse().unwrap_or(0);
            Some(newest.max(reached)).filter(|rv| *rv > 0)
        };
        let rules = |rules: &Ingresses| {
            let reached = rules.status(IngressKind::Ingresses).rv.parse();
            rules.newest().max(reached.unwrap_or(0))
        };
        let all = self.each(seen, |store| store.seen.max(store.position));
        all.into_iter().chain(self.of_rules(rules)).collect()
    }

    fn ages(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        // A store that lives in this process has no age.
        let store = |store: &StoreStatus| {
            let lives_elsewhere = store.position.is_some() || store.failure.is_some();
            let confirmed = store.confirmed.filter(|_| lives_elsewhere)?;
            Some(now.saturating_duration_since(confirmed))
        };
        let mut ages = self.each(|services, kind| services.watch_status(kind).age(now), store);
        if let Some(ingresses) = &self.ingresses {
            let age = |kind| ingresses.status(kind).age(now).map(|age| (kind, age));
            let known = ingresses.watches().iter().copied().filter_map(age);
            ages.extend(known.map(|(kind, age)| (kind.source().to_owned(), age)));
        }
        ages
    }
}
