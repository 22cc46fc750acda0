//! Reading all numbers from where they are counted.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use l5d_naming::Replicas;

use super::{Distribution, Place, Sample, Value, process};
use crate::admin::Sight;
use crate::cache::{Cluster, FollowSet};
use crate::meter::{Described, Measured as _, Reading, Scope, table as t};
use crate::serve::{RouterView, ScopeView};

/// Samples being gathered.
struct Sheet<'a> {
    sight: &'a Sight,
    all: Vec<Sample>,
}

/// All numbers now. Asks no worker.
pub(in crate::admin) fn samples(sight: &Sight) -> Vec<Sample> {
    let mut sheet = Sheet {
        sight,
        all: Vec::new(),
    };
    let sizes = sizes(sight);
    for (index, router) in sight.stats.view().iter().enumerate() {
        sheet.router(router, index, &sizes);
    }
    for set in &sight.namerds {
        sheet.followed(set);
    }
    sheet.process();
    sheet.all
}

/// How many endpoints each bound cluster has, by its label as a client.
fn sizes(sight: &Sight) -> HashMap<String, u64> {
    let clusters = sight.namerds.iter().flat_map(|set| set.clusters.live());
    let size = |cluster: Arc<Cluster>| match &cluster.state().replicas {
        Replicas::Bound(set) => {
            let label = cluster.id.to_string().trim_start_matches('/').to_owned();
            Some((label, set.len() as u64))
        }
        _ => None,
    };
    clusters.filter_map(size).collect()
}

impl Sheet<'_> {
    fn router(&mut self, router: &RouterView, index: usize, sizes: &HashMap<String, u64>) {
        for (kind, scopes) in [
            (Scope::Server, &router.servers),
            (Scope::Service, &router.services),
            (Scope::Client, &router.clients),
            (Scope::Pair, &router.pairs),
        ] {
            for scope in scopes {
                let at = place(&router.label, kind, scope);
                if kind == Scope::Client {
                    let size = sizes.get(&scope.label).copied().unwrap_or_default();
                    self.put(&t::LB_SIZE, kind, &at, Value::Whole(size));
                }
                self.reading(kind, &at, &scope.reading);
            }
        }
        let at = Rc::new(Place {
            labels: vec![("rt", router.label.clone())],
            path: format!("rt/{}", router.label),
        });
        self.reading(Scope::Router, &at, &router.own);
        if self.sight.config.routers[index].is_originator {
            self.put(&t::ORIGINATOR, Scope::Router, &at, Value::Whole(1));
        }
        self.cached(index, &at);
    }

    fn cached(&mut self, index: usize, at: &Rc<Place>) {
        let cached = &self.sight.table.routers()[index];
        let counts = cached.counts();
        let names = cached.entries();
        let stale = names.iter().filter(|n| n.is_stale()).count();
        for (of, n) in [
            (&t::CACHE_MISSES, counts.misses),
            (&t::CACHE_EVICTS, counts.evicts),
            (&t::CACHE_EXPIRES, counts.expires),
            (&t::CACHE_ONESHOTS, counts.oneshots),
            (&t::CACHE_NAMES, names.len() as u64),
            (&t::CACHE_STALE, stale as u64),
        ] {
            self.put(of, Scope::Router, at, Value::Whole(n));
        }
    }

    fn followed(&mut self, set: &FollowSet) {
        let contact = set.contact();
        let hosts = contact.candidates.iter().map(|(h, p)| format!("{h}:{p}"));
        let namerd = hosts.collect::<Vec<_>>().join(",");
        let at = Rc::new(Place {
            path: format!("control/{namerd}"),
            labels: vec![("namerd", namerd)],
        });
        let counts = contact.counts;
        let clusters = set.clusters.live();
        let stale: Vec<_> = clusters.iter().filter(|c| c.is_stale()).collect();
        let oldest = stale.iter().map(|c| c.confirmed()).min();
        let oldest = oldest.and_then(|at| at.elapsed().ok()).unwrap_or_default();
        for (of, n) in [
            (&t::CONTROL_STREAMS, counts.streams),
            (&t::CONTROL_FAILURES, counts.failures),
            (&t::CONTROL_DENIED, counts.denied),
            (&t::CONTROL_MESSAGES, counts.messages),
            (&t::CONTROL_HASHES, counts.hash_mismatches),
            (&t::CONTROL_DIGESTS, counts.digest_mismatches),
            (&t::CONTROL_REFETCHES, counts.refetches),
            (&t::CONTROL_UNKNOWN, counts.unknown_numbers),
            (&t::CONTROL_REFUSALS, counts.refusals),
            (&t::CONTROL_CONNECTED, contact.is_connected().into()),
            (&t::CONTROL_CLUSTERS, clusters.len() as u64),
            (&t::CONTROL_STALE, stale.len() as u64),
            (&t::CONTROL_STALENESS, oldest.as_secs()),
        ] {
            self.put(of, Scope::Control, &at, Value::Whole(n));
        }
    }

    fn process(&mut self) {
        let place = |path: &str| {
            Rc::new(Place {
                labels: Vec::new(),
                path: path.to_owned(),
            })
        };
        let at = place("process");
        let up = self.sight.started.elapsed();
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = started.unwrap_or_default().saturating_sub(up);
        self.put(&t::UPTIME, Scope::Process, &at, Value::Whole(up.as_secs()));
        let started = Value::Whole(started.as_secs());
        self.put(&t::STARTED, Scope::Process, &at, started);
        process::each(|of, value| self.put(of, Scope::Process, &at, value));
        let at = place("node");
        let mut own = self.sight.stats.own();
        own.put(&t::ADMIN_WATCHERS, self.sight.watchers.open() as u64);
        self.sight.tls.read(&mut own);
        own.part(&t::BUILD_INFO, env!("CARGO_PKG_VERSION"), 1);
        for lines in self
            .sight
            .tellers
            .iter()
            .filter_map(|teller| teller.lines())
        {
            own.part(&t::ACCESS_LINES, "written", lines.written);
            own.part(&t::ACCESS_LINES, "dropped", lines.dropped);
            own.part(&t::ACCESS_LINES, "failed", lines.failed);
        }
        if let Some(traces) = &self.sight.traces {
            let counts = traces.counts();
            own.part(&t::TOLD, "told", counts.told);
            own.part(&t::TOLD, "dropped", counts.dropped);
            own.part(&t::SPANS, "exported", counts.exported);
            own.part(&t::SPANS, "failed", counts.failed);
        }
        self.reading(Scope::Node, &at, &own);
    }

    fn reading(&mut self, scope: Scope, at: &Rc<Place>, reading: &Reading) {
        for number in &reading.numbers {
            self.all.push(Sample {
                of: number.of,
                scope,
                part: number.part.clone(),
                at: at.clone(),
                value: Value::Whole(number.value),
            });
        }
        for spread in &reading.spreads {
            let mut sample = Sample {
                of: spread.of,
                scope,
                part: spread.part.clone(),
                at: at.clone(),
                value: Value::Whole(0),
            };
            let recent = self.sight.window.recent(&sample.place(), &spread.view);
            sample.value = Value::Spread(Box::new(Distribution {
                all: spread.view.clone(),
                recent,
            }));
            self.all.push(sample);
        }
    }

    fn put(&mut self, of: &'static Described, scope: Scope, at: &Rc<Place>, value: Value) {
        self.all.push(Sample {
            of,
            scope,
            part: "".into(),
            at: at.clone(),
            value,
        });
    }
}

/// Where a scope of a router stands.
pub(in crate::admin) fn place(router: &str, kind: Scope, scope: &ScopeView) -> Rc<Place> {
    let label = &scope.label;
    let name = match kind {
        Scope::Server => "server",
        Scope::Service => "service",
        _ => "client",
    };
    let mut labels = vec![("rt", router.to_owned()), (name, label.clone())];
    let mut path = format!("rt/{router}/{name}/{label}");
    if kind == Scope::Pair {
        labels.push(("service", scope.service.clone()));
        path = format!("{path}/service/{}", scope.service);
    }
    Rc::new(Place { labels, path })
}
