//! The figures of an arm as a table: medians of the rounds, and ours beside the best of the others.

use comfy_table::{Table, presets};

use super::arm::Arm;
use super::round::Measured;
use super::{Proxy, Row};

/// A column: what it is, how to read it from a turn, digits behind the point, and whether more is better.
struct Column {
    head: &'static str,
    read: fn(&Measured) -> Option<f64>,
    digits: usize,
    more_is_better: bool,
}

const COLUMNS: [Column; 7] = [
    column("requests/s", |m| Some(m.full.per_second), 0, true),
    column("CPU us/request", |m| Some(m.cpu), 1, false),
    column("p50 us", |m| latency(m, 0), 0, false),
    column("p99 us", |m| latency(m, 1), 0, false),
    column("p99.9 us", |m| latency(m, 2), 0, false),
    column("idle MB", |m| Some(m.idle as f64 / 1e6), 1, false),
    column(
        "KB/idle connection",
        |m| m.connection.map(|n| n as f64 / 1e3),
        1,
        false,
    ),
];

const fn column(
    head: &'static str,
    read: fn(&Measured) -> Option<f64>,
    digits: usize,
    more_is_better: bool,
) -> Column {
    Column {
        head,
        read,
        digits,
        more_is_better,
    }
}

/// The table, as Markdown, below its heading.
pub(super) fn show(arm: Arm, seconds: u32, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let heads = COLUMNS.iter().map(|c| c.head);
    table.set_header(["proxy"].into_iter().chain(heads).chain(["failed"]));
    for (proxy, turns) in rows {
        let cells = COLUMNS.iter().map(|c| match median(c, turns) {
            Some(value) => format!("{value:.*}", c.digits),
            None => "-".to_owned(),
        });
        let failed: u64 = turns.iter().map(Measured::failed).sum();
        let cells = [proxy.name().to_owned()].into_iter().chain(cells);
        table.add_row(cells.chain([failed.to_string()]).collect::<Vec<_>>());
    }
    if let Some(ratios) = ratios(rows) {
        table.add_row(ratios);
    }
    let rounds = rows.iter().map(|(_, turns)| turns.len()).max().unwrap_or(0);
    format!("### {arm}\n\nMedians of {rounds} rounds of {seconds} s.\n\n{table}\n")
}

/// Ours divided by the best peer's, column by column.
fn ratios(rows: &[Row]) -> Option<Vec<String>> {
    let (_, ours) = rows.iter().find(|(proxy, _)| *proxy == Proxy::Ours)?;
    let others: Vec<&Row> = rows
        .iter()
        .filter(|(proxy, _)| *proxy != Proxy::Ours)
        .collect();
    if ours.is_empty() || others.is_empty() {
        return None;
    }
    let cells = COLUMNS.iter().map(|c| {
        let values = others.iter().filter_map(|(_, turns)| median(c, turns));
        let best = values.reduce(if c.more_is_better { f64::max } else { f64::min });
        match (median(c, ours), best) {
            (Some(ours), Some(best)) if best > 0.0 => format!("{:.2}", ours / best),
            _ => "-".to_owned(),
        }
    });
    let cells = ["ours / best peer".to_owned()].into_iter().chain(cells);
    Some(cells.chain([String::new()]).collect())
}

fn median(column: &Column, turns: &[Measured]) -> Option<f64> {
    let mut all: Vec<f64> = turns.iter().filter_map(column.read).collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match all.len() % 2 {
        0 if all.is_empty() => None,
        0 => Some(f64::midpoint(all[middle - 1], all[middle])),
        _ => Some(all[middle]),
    }
}

fn latency(measured: &Measured, which: usize) -> Option<f64> {
    Some(measured.fixed.latency?[which] as f64)
}

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::*;

    fn turn(per_second: f64, cpu: f64) -> Measured {
        let full = Load {
            per_second,
            done: 1,
            ..Load::default()
        };
        Measured {
            full,
            cpu,
            fixed: Load::default(),
            idle: 5_000_000,
            connection: None,
        }
    }

    #[test]
    fn ours_stands_beside_the_best_of_the_others() {
        let rows = vec![
            (
                Proxy::Ours,
                vec![turn(100.0, 10.0), turn(300.0, 30.0), turn(200.0, 20.0)],
            ),
            (Proxy::Nginx, vec![turn(400.0, 16.0)]),
            (Proxy::Envoy, vec![turn(100.0, 40.0), turn(200.0, 50.0)]),
        ];
        let ratios = ratios(&rows).unwrap();
        assert_eq!(ratios[..3], ["ours / best peer", "0.50", "1.25"]);
        assert_eq!(ratios[3], "-");
        let shown = show("h1".parse().unwrap(), 2, &rows);
        assert!(shown.contains("| Envoy "), "{shown}");
        assert!(shown.contains(" 45.0 "), "{shown}");
    }

    #[test]
    fn a_peer_alone_has_no_ratio() {
        assert_eq!(ratios(&[(Proxy::Nginx, vec![turn(1.0, 1.0)])]), None);
        assert_eq!(ratios(&[(Proxy::Ours, vec![turn(1.0, 1.0)])]), None);
    }
}
