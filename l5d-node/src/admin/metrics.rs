//! Numbers: the metric tree of node-proxy 15.2 as Prometheus text (15.3) and as flat JSON (15.4).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use l5d_naming::Replicas;
use serde_json::{Map, Value};

use super::Sight;
use crate::cache::Cluster;
use crate::serve::{RouterView, Scope};

/// One number, or one distribution.
#[derive(Debug)]
pub(super) struct Sample {
    /// Such as `rt:server:requests`.
    pub(super) name: String,
    pub(super) labels: Vec<(&'static str, String)>,
    /// Place in the metric tree, such as `rt/outgoing/server/0.0.0.0/4140/requests`.
    pub(super) place: String,
    pub(super) value: Measured,
}

#[derive(Debug)]
pub(super) enum Measured {
    Counter(u64),
    Gauge(u64),
    Summary(Summary),
}

/// A distribution in milliseconds.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// By quantile.
    pub(super) values: Vec<(f64, f64)>,
}

const QUANTILES: [(f64, &str); 6] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p9990"),
    (0.9999, "p9999"),
];

/// All numbers now.
pub(super) fn samples(sight: &Sight) -> Vec<Sample> {
    let mut all = Vec::new();
    let sizes = sizes(sight);
    for (index, router) in sight.stats.view().iter().enumerate() {
        routed(router, &sizes, &mut all);
        cached(sight, index, &router.label, &mut all);
    }
    followed(sight, &mut all);
    process(sight, &mut all);
    all
}

/// How many endpoints each bound cluster has, by its label as a client.
fn sizes(sight: &Sight) -> HashMap<String, usize> {
    let clusters = sight.namerds.iter().flat_map(|set| set.clusters.live());
    let size = |cluster: Arc<Cluster>| match &cluster.state().replicas {
        Replicas::Bound(set) => {
            let label = cluster.id.to_string().trim_start_matches('/').to_owned();
            Some((label, set.len()))
        }
        _ => None,
    };
    clusters.filter_map(size).collect()
}

fn routed(router: &RouterView, sizes: &HashMap<String, usize>, all: &mut Vec<Sample>) {
    let kinds = [
        ("server", &router.servers),
        ("service", &router.services),
        ("client", &router.clients),
    ];
    for (kind, scopes) in kinds {
        for scope in scopes {
            scoped(&router.label, kind, scope, all);
        }
    }
    for client in &router.clients {
        let size = sizes.get(&client.label).copied().unwrap_or_default();
        all.push(Sample {
            name: "rt:client:loadbalancer:size".to_owned(),
            labels: vec![
                ("rt", router.label.clone()),
                ("client", client.label.clone()),
            ],
            place: format!(
                "rt/{}/client/{}/loadbalancer/size",
                router.label, client.label
            ),
            value: Measured::Gauge(size as u64),
        });
    }
    for (reason, count) in &router.failures {
        all.push(Sample {
            name: "rt:responses_made".to_owned(),
            labels: vec![
                ("rt", router.label.clone()),
                ("reason", (*reason).to_owned()),
            ],
            place: format!("rt/{}/responses_made/{reason}", router.label),
            value: Measured::Counter(*count),
        });
    }
}

fn scoped(router: &str, kind: &'static str, scope: &Scope, all: &mut Vec<Sample>) {
    let labels = vec![("rt", router.to_owned()), (kind, scope.label.clone())];
    let place = format!("rt/{router}/{kind}/{}", scope.label);
    for number in &scope.numbers {
        all.push(Sample {
            name: format!("rt:{kind}:{}", number.name.replace('/', ":")),
            labels: labels.clone(),
            place: format!("{place}/{}", number.name),
            value: match number.is_gauge {
                true => Measured::Gauge(number.value),
                false => Measured::Counter(number.value),
            },
        });
    }
    let latency = &scope.latency;
    let quantile = |(q, _): &(f64, &str)| Some((*q, latency.quantile_us(*q)? as f64 / 1000.0));
    all.push(Sample {
        name: format!("rt:{kind}:request_latency_ms"),
        labels,
        place: format!("{place}/request_latency_ms"),
        value: Measured::Summary(Summary {
            count: latency.count(),
            sum: latency.sum_us as f64 / 1000.0,
            values: QUANTILES.iter().filter_map(quantile).collect(),
        }),
    });
}

fn cached(sight: &Sight, index: usize, router: &str, all: &mut Vec<Sample>) {
    let cached = &sight.table.routers()[index];
    let counts = cached.counts();
    for (name, count) in [
        ("misses", counts.misses),
        ("evicts", counts.evicts),
        ("expires", counts.expires),
        ("oneshots", counts.oneshots),
    ] {
        all.push(Sample {
            name: format!("rt:bindcache:path:{name}"),
            labels: vec![("rt", router.to_owned())],
            place: format!("rt/{router}/bindcache/path/{name}"),
            value: Measured::Counter(count),
        });
    }
    let names = cached.entries();
    let stale = names.iter().filter(|n| n.is_stale()).count();
    for (name, count) in [("names", names.len()), ("stale_names", stale)] {
        all.push(Sample {
            name: format!("rt:bindcache:path:{name}"),
            labels: vec![("rt", router.to_owned())],
            place: format!("rt/{router}/bindcache/path/{name}"),
            value: Measured::Gauge(count as u64),
        });
    }
}

fn followed(sight: &Sight, all: &mut Vec<Sample>) {
    for set in &sight.namerds {
        let contact = set.contact();
        let hosts: Vec<_> = contact
            .candidates
            .iter()
            .map(|(h, p)| format!("{h}:{p}"))
            .collect();
        let namerd = hosts.join(",");
        let mut push = |name: &str, value| {
            all.push(Sample {
                name: format!("l5d_node_control_{name}"),
                labels: vec![("namerd", namerd.clone())],
                place: format!("control/{namerd}/{name}"),
                value,
            });
        };
        let counts = contact.counts;
        for (name, count) in [
            ("streams_total", counts.streams),
            ("failures_total", counts.failures),
            ("denied_total", counts.denied),
            ("messages_total", counts.messages),
            ("hash_mismatches_total", counts.hash_mismatches),
            ("digest_mismatches_total", counts.digest_mismatches),
            ("refetches_total", counts.refetches),
            ("unknown_numbers_total", counts.unknown_numbers),
            ("refusals_total", counts.refusals),
        ] {
            push(name, Measured::Counter(count));
        }
        let clusters = set.clusters.live();
        let stale = clusters.iter().filter(|c| c.is_stale()).count();
        let oldest = clusters
            .iter()
            .filter(|c| c.is_stale())
            .map(|c| c.confirmed());
        let oldest = oldest
            .min()
            .and_then(|at| at.elapsed().ok())
            .unwrap_or_default();
        push("connected", Measured::Gauge(contact.is_connected().into()));
        push("clusters", Measured::Gauge(clusters.len() as u64));
        push("stale_clusters", Measured::Gauge(stale as u64));
        push("staleness_seconds", Measured::Gauge(oldest.as_secs()));
    }
}

fn process(sight: &Sight, all: &mut Vec<Sample>) {
    let mut push = |name: &str, value: u64| {
        all.push(Sample {
            name: format!("process_{name}"),
            labels: Vec::new(),
            place: format!("process/{name}"),
            value: Measured::Gauge(value),
        });
    };
    push("uptime_seconds", sight.started.elapsed().as_secs());
    if let Some(bytes) = resident_bytes() {
        push("resident_memory_bytes", bytes);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// The text format of Prometheus, grouped by name.
pub(super) fn prometheus(samples: &[Sample]) -> String {
    let mut groups: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        groups.entry(legal(&sample.name)).or_default().push(sample);
    }
    let mut out = String::new();
    for (name, group) in groups {
        let kind = match group[0].value {
            Measured::Counter(_) => "counter",
            Measured::Gauge(_) => "gauge",
            Measured::Summary(_) => "summary",
        };
        line(&mut out, format_args!("# TYPE {name} {kind}"));
        for sample in &group {
            write_sample(&mut out, &name, sample);
        }
        if kind == "summary" {
            line(&mut out, format_args!("# TYPE {name}_avg gauge"));
            for sample in &group {
                if let Measured::Summary(s) = &sample.value
                    && s.count > 0
                {
                    let labels = labels(&sample.labels, None);
                    line(
                        &mut out,
                        format_args!("{name}_avg{labels} {}", s.sum / s.count as f64),
                    );
                }
            }
        }
    }
    out
}

fn write_sample(out: &mut String, name: &str, sample: &Sample) {
    let plain = labels(&sample.labels, None);
    match &sample.value {
        Measured::Counter(n) => line(out, format_args!("{name}{plain} {n}")),
        Measured::Gauge(x) => line(out, format_args!("{name}{plain} {x}")),
        Measured::Summary(summary) => {
            for (quantile, value) in &summary.values {
                let labels = labels(&sample.labels, Some(*quantile));
                line(out, format_args!("{name}{labels} {value}"));
            }
            line(out, format_args!("{name}_sum{plain} {}", summary.sum));
            line(out, format_args!("{name}_count{plain} {}", summary.count));
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes everything");
}

fn labels(labels: &[(&'static str, String)], quantile: Option<f64>) -> String {
    let escape = |v: &str| {
        v.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let mut all: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    all.extend(quantile.map(|q| format!("quantile=\"{q}\"")));
    if all.is_empty() {
        return String::new();
    }
    format!("{{{}}}", all.join(", "))
}

fn legal(name: &str) -> String {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == ':';
    name.chars()
        .map(|c| if is_legal(c) { c } else { '_' })
        .collect()
}

/// The flat form; with `within`, only what stands at or below that place.
pub(super) fn flat(samples: &[Sample], within: Option<&str>) -> Map<String, Value> {
    let mut all = Map::new();
    for sample in samples {
        let place = &sample.place;
        match &sample.value {
            Measured::Counter(n) => drop(all.insert(place.clone(), (*n).into())),
            Measured::Gauge(x) => drop(all.insert(place.clone(), (*x).into())),
            Measured::Summary(summary) => {
                all.insert(format!("{place}.count"), summary.count.into());
                if summary.count == 0 {
                    continue;
                }
                all.insert(format!("{place}.sum"), summary.sum.into());
                let avg = summary.sum / summary.count as f64;
                all.insert(format!("{place}.avg"), avg.into());
                for ((_, name), (_, value)) in QUANTILES.iter().zip(&summary.values) {
                    all.insert(format!("{place}.{name}"), (*value).into());
                }
            }
        }
    }
    if let Some(within) = within
        .map(|w| w.trim_matches('/'))
        .filter(|w| !w.is_empty())
    {
        all.retain(|place, _| {
            place
                .strip_prefix(within)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
        });
    }
    all
}

/// The same as a tree.
pub(super) fn nested(flat: &Map<String, Value>) -> Value {
    let mut root = Map::new();
    for (place, value) in flat {
        insert(&mut root, place, value);
    }
    Value::Object(root)
}

fn insert(at: &mut Map<String, Value>, place: &str, value: &Value) {
    let Some((folder, rest)) = place.split_once('/') else {
        at.insert(place.to_owned(), value.clone());
        return;
    };
    let next = at
        .entry(folder)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(next) = next {
        insert(next, rest, value);
    }
}
