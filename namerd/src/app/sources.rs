//! The watched Kubernetes clusters as the stream sees them.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::services::{Kind, Services};
use crate::stream::{Positions, Sources};

/// All of them. The first has the plain source names; those of others are numbered, so that positions are not mixed up.
pub(super) struct Clusters(Vec<Services>);

impl Clusters {
    pub(super) fn new(services: impl IntoIterator<Item = Services>) -> Self {
        Self(services.into_iter().collect())
    }

    fn each<T>(&self, see: impl Fn(&Services, Kind) -> Option<T>) -> Vec<(String, T)> {
        let mut all = Vec::new();
        for (i, services) in self.0.iter().enumerate() {
            for kind in Kind::ALL {
                let name = match i {
                    0 => kind.source().to_owned(),
                    _ => format!("{}#{i}", kind.source()),
                };
                all.extend(see(services, kind).map(|seen| (name, seen)));
            }
        }
        all
    }
}

impl Sources for Clusters {
    fn served(&self) -> Positions {
        let newest =
            |services: &Services, kind| Some(services.newest(kind).value()).filter(|rv| *rv > 0);
        self.each(newest).into_iter().collect()
    }

    fn seen(&self) -> Positions {
        let seen = |services: &Services, kind| {
            let newest = services.newest(kind).value();
            let reached = services.status(kind).rv.parse().unwrap_or(0);
            Some(newest.max(reached)).filter(|rv| *rv > 0)
        };
        self.each(seen).into_iter().collect()
    }

    fn ages(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        self.each(|services, kind| services.status(kind).age(now))
    }
}
