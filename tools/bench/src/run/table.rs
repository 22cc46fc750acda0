//! The figures as a table, the targets beside them.

use comfy_table::{Table, presets};

use super::arm::Measured;

/// A row: what it is, its target, and how to read it.
type Row = (String, &'static str, Box<dyn Fn(&Measured) -> String>);

/// The table of all arms, as Markdown.
pub(crate) fn show(arms: &[(&str, Measured)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let heads = arms.iter().map(|(name, _)| (*name).to_owned());
    let heads = ["".to_owned(), "target".to_owned()]
        .into_iter()
        .chain(heads);
    table.set_header(heads.collect::<Vec<_>>());
    for (what, target, read) in rows() {
        let cells = arms.iter().map(|(_, measured)| read(measured));
        let cells = [what, target.to_owned()].into_iter().chain(cells);
        table.add_row(cells.collect::<Vec<_>>());
    }
    table.to_string()
}

fn rows() -> Vec<Row> {
    let mut rows = start();
    rows.extend(changes());
    rows.extend(moved());
    rows
}

fn row(what: &str, target: &'static str, read: impl Fn(&Measured) -> String + 'static) -> Row {
    (what.to_owned(), target, Box::new(read))
}

fn start() -> Vec<Row> {
    vec![
        row("followers x names", "", |m| {
            format!("{} x {}", m.followers, m.names)
        }),
        row("API server watches", "3", |m| m.watches.to_string()),
        row("start to ready, s (server CPU s)", "5", |m| {
            format!("{:.2} ({:.2})", m.ready_after, m.start_cpu)
        }),
        row("resident without followers, MB", "", |m| {
            mb(m.start_resident)
        }),
        row("all followers have all names, s (server CPU s)", "", |m| {
            format!("{:.2} ({:.2})", m.connected.seconds, m.connect_cpu)
        }),
        row("sent for that, MB", "", |m| mb(m.connected.bytes_down)),
        row("resident with followers, MB", "1,000", |m| mb(m.resident)),
        row("resident a follower, KB", "", |m| {
            let more = m.resident.saturating_sub(m.start_resident);
            format!("{:.1}", more as f64 / 1e3 / f64::from(m.followers))
        }),
    ]
}

fn changes() -> Vec<Row> {
    vec![
        row("one pod alone: p50 / p99 / p100, ms", "", |m| {
            millis(&m.alone.millis)
        }),
        row("bytes for each follower and change", "64", |m| {
            let all = m.alone.bytes_down.saturating_sub(m.alone.bytes_idle);
            let pairs = f64::from(m.followers) * f64::from(m.alone_marks);
            format!("{:.1}", all as f64 / pairs)
        }),
        row("server CPU for each follower and change, us", "", |m| {
            let pairs = f64::from(m.followers) * f64::from(m.alone_marks);
            format!("{:.1}", m.alone_cpu * 1e6 / pairs)
        }),
        row("changes a second in the flow", "1,000", |m| {
            format!("{:.0}", m.flow_changes as f64 / m.flow_seconds)
        }),
        row(
            "one pod in the flow: p50 / p99 / p100, ms",
            "p99 100",
            |m| millis(&m.flow.millis),
        ),
        row("arrived / expected", "all", |m| {
            format!("{} / {}", m.flow.arrived, m.flow.expected)
        }),
        row("server CPU in the flow, cores (load process)", "", |m| {
            let (server, load) = (
                m.flow_cpu / m.flow_seconds,
                m.flow_load_cpu / m.flow_seconds,
            );
            format!("{server:.2} ({load:.2})")
        }),
        row("messages to followers", "", |m| m.flow.messages.to_string()),
        row("frames, encodings, writes of namerd", "", |m| {
            format!(
                "{:.0}, {:.0}, {:.0}",
                m.flow_frames, m.flow_encodings, m.flow_writes
            )
        }),
        row("sent in the flow, MB", "", |m| mb(m.flow.bytes_down)),
        row("hashes that differed", "0", |m| {
            (m.connected.wrong + m.alone.wrong + m.flow.wrong).to_string()
        }),
        row("connections that ended and came again", "0", |m| {
            (m.connected.ended + m.alone.ended + m.flow.ended).to_string()
        }),
        row("resident after the flow, MB", "1,000", |m| {
            mb(m.resident_after)
        }),
    ]
}

fn moved() -> Vec<Row> {
    let read = |read: fn(&super::arm::Moved) -> String| {
        move |m: &Measured| m.moved.as_ref().map_or("-".to_owned(), read)
    };
    vec![
        row(
            "all move to another server (spread over 3 s), s (server CPU s)",
            "5",
            read(|m| format!("{:.2} ({:.2})", m.report.seconds, m.cpu)),
        ),
        row("sent for that, MB", "10", read(|m| mb(m.report.bytes_down))),
        row("received for that, MB", "", read(|m| mb(m.report.bytes_up))),
        row(
            "confirmed, sent whole",
            "all, 0",
            read(|m| format!("{}, {}", m.report.confirmed, m.report.whole)),
        ),
        row("messages", "", read(|m| m.report.messages.to_string())),
        row(
            "connections that ended and came again",
            "0",
            read(|m| m.report.ended.to_string()),
        ),
        row(
            "resident of the other, MB",
            "1,000",
            read(|m| mb(m.resident)),
        ),
    ]
}

fn mb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn millis(of: &[f64; 3]) -> String {
    format!("{:.1} / {:.1} / {:.1}", of[0], of[1], of[2])
}
