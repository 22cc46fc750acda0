//! The process as the system sees it.

use super::{Sheet, size, t};
use crate::admin::Admin;

pub(super) fn put(sheet: &mut Sheet, admin: &Admin) {
    sheet.label(&t::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    sheet.put(&t::READY, admin.ready.value().into());
    sheet.put(&t::UPTIME, admin.started.elapsed().as_secs_f64());
    if let Some(stat) = Stat::read() {
        sheet.put(&t::CPU, stat.cpu_seconds);
        sheet.put(&t::RESIDENT, stat.resident_bytes);
        sheet.put(&t::THREADS, stat.threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        sheet.put(&t::OPEN_FDS, size(open.count().saturating_sub(1)));
    }
    if let Some(most) = most_fds() {
        sheet.put(&t::MAX_FDS, most);
    }
}

/// What `/proc/self/stat` tells, where the system has it.
struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    threads: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the name, which may contain anything: field 3 and on.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |i: usize| fields.get(i)?.parse::<f64>().ok();
        // Linux tells both in fixed units to programs: 100 ticks a second, pages of 4 KiB (more on some ARM kernels).
        Some(Self {
            cpu_seconds: (field(11)? + field(12)?) / 100.0,
            resident_bytes: field(21)? * 4_096.0,
            threads: field(17)?,
        })
    }
}

/// `Max open files   SOFT   HARD   files`; no number where there is no limit.
fn most_fds() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
