//! The forms of numbers: Prometheus text (node-proxy 15.3) and JSON (15.4).

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use serde_json::{Map, Value as Json};

use super::{Distribution, Sample, Value};
use crate::meter::{Described, HistogramView, Kind, Scope};

/// By value and by their names in JSON.
const QUANTILES: [(f64, &str); 8] = [
    (0.0, "min"),
    (0.5, "p50"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p9990"),
    (0.9999, "p9999"),
    (1.0, "max"),
];

/// Bounds of the modern histograms are these powers of two of microseconds: 256 us to 16.8 s.
const EXPONENTS: std::ops::RangeInclusive<usize> = 8..=24;
/// The distributions that have one.
const MODERN: [(Scope, &str); 3] = [
    (Scope::Server, "l5d_request_duration_seconds"),
    (Scope::Service, "l5d_service_duration_seconds"),
    (Scope::Client, "l5d_attempt_duration_seconds"),
];

/// The text format of Prometheus, grouped by name; each begins with `prefix`. `histograms`: also the modern ones.
pub(in crate::admin) fn prometheus(samples: &[Sample], prefix: &str, histograms: bool) -> String {
    let mut groups: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let name = name(sample, prefix);
        groups.entry(name).or_default().push(sample);
    }
    let mut out = String::new();
    for (name, group) in groups {
        let kind = match group[0].of.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        head(&mut out, &name, kind, group[0].of.help);
        for sample in &group {
            write_sample(&mut out, &name, sample);
        }
        if kind == "summary" {
            averages(&mut out, &name, &group);
        }
    }
    if histograms {
        modern(&mut out, samples, prefix);
    }
    out
}

fn name(sample: &Sample, prefix: &str) -> String {
    let (plain, _) = sample.of.pattern();
    let mut name = format!(
        "{prefix}{}{}",
        sample.scope.prefix(),
        plain.replace('/', ":")
    );
    if !sample.part.is_empty() && !sample.of.is_labelled() {
        name.push(':');
        name.push_str(&sample.part);
    }
    legal(&name)
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn write_sample(out: &mut String, name: &str, sample: &Sample) {
    let plain = Labels(sample, None);
    match &sample.value {
        Value::Whole(n) => line(out, format_args!("{name}{plain} {n}")),
        Value::Real(x) => line(out, format_args!("{name}{plain} {x}")),
        Value::Spread(spread) => {
            for (quantile, _) in QUANTILES {
                if let Some(value) = spread.quantile(sample.of, quantile) {
                    let labels = Labels(sample, Some(("quantile", quantile)));
                    line(out, format_args!("{name}{labels} {value}"));
                }
            }
            let sum = scaled(sample.of, spread.all.sum_us);
            line(out, format_args!("{name}_sum{plain} {sum}"));
            let count = spread.all.count();
            line(out, format_args!("{name}_count{plain} {count}"));
        }
    }
}

fn averages(out: &mut String, name: &str, group: &[&Sample]) {
    let average = |sample: &&&Sample| match &sample.value {
        Value::Spread(spread) => spread.average(sample.of),
        Value::Whole(_) | Value::Real(_) => None,
    };
    let mut all = group.iter().filter(|s| average(s).is_some()).peekable();
    if all.peek().is_none() {
        return;
    }
    head(
        out,
        &format!("{name}_avg"),
        "gauge",
        "The mean of it over the last minute",
    );
    for sample in all {
        let (labels, value) = (Labels(sample, None), average(&sample).unwrap_or_default());
        line(out, format_args!("{name}_avg{labels} {value}"));
    }
}

fn modern(out: &mut String, samples: &[Sample], prefix: &str) {
    for (scope, name) in MODERN {
        let name = format!("{}{name}", legal(prefix));
        let is_one = |s: &&Sample| s.scope == scope && s.of.name == "request_latency_ms";
        let mut all = samples.iter().filter(is_one).peekable();
        if all.peek().is_some() {
            head(out, &name, "histogram", "Time to the end of the response");
        }
        for sample in all {
            if let Value::Spread(spread) = &sample.value {
                buckets(out, &name, sample, &spread.all);
            }
        }
    }
}

fn buckets(out: &mut String, name: &str, sample: &Sample, view: &HistogramView) {
    for exponent in EXPONENTS {
        let bound = (1u64 << exponent) as f64 / 1e6;
        let (labels, n) = (Labels(sample, Some(("le", bound))), view.below(exponent));
        line(out, format_args!("{name}_bucket{labels} {n}"));
    }
    let (plain, count) = (Labels(sample, None), view.count());
    let all = Labels(sample, Some(("le", f64::INFINITY)));
    line(out, format_args!("{name}_bucket{all} {count}"));
    let sum = view.sum_us as f64 / 1e6;
    line(out, format_args!("{name}_sum{plain} {sum}"));
    line(out, format_args!("{name}_count{plain} {count}"));
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes everything");
}

/// The labels of a sample, with one more.
struct Labels<'a>(&'a Sample, Option<(&'static str, f64)>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels(sample, more) = self;
        let mut separator = "{";
        for (name, value) in &sample.at.labels {
            write!(f, "{separator}{name}=\"{}\"", Escaped(value))?;
            separator = ", ";
        }
        if let (_, Some(name)) = sample.of.pattern()
            && sample.of.is_labelled()
        {
            write!(f, "{separator}{name}=\"{}\"", Escaped(&sample.part))?;
            separator = ", ";
        }
        match more {
            Some((name, x)) if x.is_infinite() => write!(f, "{separator}{name}=\"+Inf\"")?,
            Some((name, x)) => write!(f, "{separator}{name}=\"{x}\"")?,
            None if separator == "{" => return Ok(()),
            None => {}
        }
        f.write_str("}")
    }
}

/// A label value as the format demands.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

fn legal(name: &str) -> String {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == ':';
    name.chars()
        .map(|c| if is_legal(c) { c } else { '_' })
        .collect()
}

/// In the unit of the table: times are counted in microseconds.
fn scaled(of: &Described, value: u64) -> f64 {
    match of.unit {
        "ms" => value as f64 / 1000.0,
        _ => value as f64,
    }
}

impl Distribution {
    fn quantile(&self, of: &Described, quantile: f64) -> Option<f64> {
        Some(scaled(of, self.recent.quantile_us(quantile)?))
    }

    fn average(&self, of: &Described) -> Option<f64> {
        let count = self.recent.count();
        (count > 0).then(|| scaled(of, self.recent.sum_us) / count as f64)
    }
}

/// The flat form; with `within`, only what stands at or below that place.
pub(in crate::admin) fn flat(samples: &[Sample], within: Option<&str>) -> Map<String, Json> {
    let within = within.map_or("", |w| w.trim_matches('/'));
    let is_within = |place: &str| {
        let rest = place.strip_prefix(within);
        within.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut all = Map::new();
    for sample in samples {
        let place = sample.place();
        if !is_within(&place) {
            continue;
        }
        match &sample.value {
            Value::Whole(n) => drop(all.insert(place, (*n).into())),
            Value::Real(x) => drop(all.insert(place, (*x).into())),
            Value::Spread(spread) => insert_spread(&mut all, &place, sample.of, spread),
        }
    }
    all
}

fn insert_spread(all: &mut Map<String, Json>, place: &str, of: &Described, spread: &Distribution) {
    all.insert(format!("{place}.count"), spread.all.count().into());
    if spread.all.count() > 0 {
        let sum = scaled(of, spread.all.sum_us);
        all.insert(format!("{place}.sum"), sum.into());
    }
    if let Some(average) = spread.average(of) {
        all.insert(format!("{place}.avg"), average.into());
    }
    for (quantile, name) in QUANTILES {
        if let Some(value) = spread.quantile(of, quantile) {
            all.insert(format!("{place}.{name}"), value.into());
        }
    }
}

/// The same as a tree.
pub(in crate::admin) fn nested(flat: &Map<String, Json>) -> Json {
    let mut root = Map::new();
    for (place, value) in flat {
        insert(&mut root, place, value);
    }
    Json::Object(root)
}

/// Where something is a number and a folder, such as `failures` and `failures/timeout`, the number stands inside under an
/// empty name.
fn insert(at: &mut Map<String, Json>, place: &str, value: &Json) {
    let (folder, rest) = match place.split_once('/') {
        Some((folder, rest)) => (folder, Some(rest)),
        None => (place, None),
    };
    match (at.get_mut(folder), rest) {
        (Some(Json::Object(next)), None) => drop(next.insert(String::new(), value.clone())),
        (_, None) => drop(at.insert(folder.to_owned(), value.clone())),
        (Some(Json::Object(next)), Some(rest)) => insert(next, rest, value),
        (held, Some(rest)) => {
            let mut next = Map::new();
            if let Some(held) = held {
                next.insert(String::new(), held.take());
            }
            insert(&mut next, rest, value);
            at.insert(folder.to_owned(), Json::Object(next));
        }
    }
}
