//! The process as the system sees it.

use super::Value;
use crate::meter::{Described, table as t};

/// What the system tells of this process; what it does not tell is left out.
pub(super) fn each(mut put: impl FnMut(&'static Described, Value)) {
    if let Some(stat) = Stat::read() {
        put(&t::CPU, Value::Real(stat.cpu_seconds));
        put(&t::RESIDENT, Value::Whole(stat.resident_bytes));
        put(&t::THREADS, Value::Whole(stat.threads));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        let open = open.count().saturating_sub(1);
        put(&t::OPEN_FDS, Value::Whole(open as u64));
    }
    if let Some(most) = most_fds() {
        put(&t::MAX_FDS, Value::Whole(most));
    }
}

/// What `/proc/self/stat` tells, where the system has it.
struct Stat {
    cpu_seconds: f64,
    resident_bytes: u64,
    threads: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the name, which may contain anything: field 3 and on.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |i: usize| fields.get(i)?.parse::<u64>().ok();
        // Linux tells both in fixed units to programs: 100 ticks a second, pages of 4 KiB (more on some ARM kernels).
        Some(Self {
            cpu_seconds: (field(11)? + field(12)?) as f64 / 100.0,
            resident_bytes: field(21)? * 4_096,
            threads: field(17)?,
        })
    }
}

/// `Max open files   SOFT   HARD   files`; no number where there is no limit.
fn most_fds() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
