//! The series that a scrape of the two programs can give, by name, with their labels.

use std::collections::{BTreeMap, BTreeSet};

use l5d_node::meter::{Described, Kind, METRICS as NODE, Scope};
use namerd::meter::{METRICS as NAMERD, Type};

use super::rules::RECORDED;

/// Labels that a scraper adds: who was asked.
pub const TARGET: [&str; 5] = ["job", "instance", "namespace", "pod", "node"];

/// The classes of `status/<class>` and `time/<class>`.
const CLASSES: [&str; 6] = ["error", "1XX", "2XX", "3XX", "4XX", "5XX"];

/// Every series by its name, and the labels that it may have besides those of its target.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, BTreeSet<&'static str>>);

impl Names {
    /// What the programs show, and what the rules record.
    pub fn all() -> Self {
        let mut names = Self::shown();
        for recorded in RECORDED {
            names.put(recorded.name.to_owned(), recorded.labels);
        }
        for name in ["up", "ALERTS", "ALERTS_FOR_STATE"] {
            names.put(name.to_owned(), &["alertname", "alertstate", "severity"]);
        }
        names
    }

    /// What the programs show.
    pub fn shown() -> Self {
        let mut names = Self::default();
        for metric in NODE {
            metric.scopes.iter().for_each(|s| names.node(metric, *s));
        }
        for metric in NAMERD {
            match metric.kind {
                Type::Counter | Type::Gauge => names.put(metric.name.to_owned(), metric.labels),
                Type::Histogram => {
                    let labels = [metric.labels, &["le"]].concat();
                    names.put(format!("{}_bucket", metric.name), &labels);
                    names.put(format!("{}_sum", metric.name), metric.labels);
                    names.put(format!("{}_count", metric.name), metric.labels);
                }
            }
        }
        names
    }

    fn node(&mut self, metric: &Described, scope: Scope) {
        let (plain, part) = metric.pattern();
        let base = format!("{}{}", scope.prefix(), plain.replace('/', ":"));
        let mut labels = scope.labels().to_vec();
        let mut bases = Vec::new();
        match part {
            Some("class") => bases.extend(CLASSES.map(|class| format!("{base}:{class}"))),
            // Three digits: see `labels`.
            Some("code") => bases.push(format!("{base}:000")),
            Some(part) => {
                labels.push(part);
                bases.push(base);
            }
            None => bases.push(base),
        }
        for base in bases {
            if metric.kind == Kind::Summary {
                self.put(base.clone(), &[&labels[..], &["quantile"]].concat());
                for end in ["sum", "count", "avg"] {
                    self.put(format!("{base}_{end}"), &labels);
                }
            } else {
                self.put(base, &labels);
            }
        }
    }

    fn put(&mut self, name: String, labels: &[&'static str]) {
        self.0.entry(name).or_default().extend(labels);
    }

    /// The labels of a series; `None`: there is none of this name.
    pub fn labels(&self, name: &str) -> Option<&BTreeSet<&'static str>> {
        if let Some((base, code)) = name.rsplit_once(':')
            && code.len() == 3
            && code.bytes().all(|b| b.is_ascii_digit())
        {
            return self.0.get(&format!("{base}:000"));
        }
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_tables() {
        let names = Names::all();
        let of = |name: &str| names.labels(name).map(|l| l.iter().copied().collect());
        let labels = |l: &[&'static str]| Some(l.to_vec());
        assert_eq!(of("rt:server:status:503"), labels(&["rt", "server"]));
        assert_eq!(of("rt:server:status:5XX"), labels(&["rt", "server"]));
        assert_eq!(
            of("rt:service:failures"),
            labels(&["exception", "rt", "service"])
        );
        let latency = "rt:client:request_latency_ms";
        assert_eq!(of(latency), labels(&["client", "quantile", "rt"]));
        assert_eq!(of(&format!("{latency}_count")), labels(&["client", "rt"]));
        assert_eq!(of("l5d_node_control_connected"), labels(&["namerd"]));
        assert_eq!(
            of("namerd_api_grpc_call_seconds_bucket"),
            labels(&["le", "method"])
        );
        assert_eq!(of("rt:server:status:5"), None);
        assert_eq!(of("rt:service:connects"), None);
    }
}
