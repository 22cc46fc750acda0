//! Time, cores, file descriptors, and what `/proc` tells of a process.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The cores that this process may use.
pub fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot ask for the cores")?;
    Ok((0..CpuSet::MAX_CPU).filter(|n| set.is_set(*n)).collect())
}

/// Keeps this process, and what it starts, on these cores.
pub fn stay_on(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).with_context(|| format!("cannot stay on the cores {cores:?}"))
}

/// Moves another process, with all threads that it has now, to these cores.
pub fn move_to(pid: u32, cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name();
        let thread = thread.to_str().and_then(|name| name.parse().ok());
        let thread = thread.and_then(Pid::from_raw);
        let thread = thread.with_context(|| format!("a thread of {pid} has no number"))?;
        sched_setaffinity(Some(thread), &set)
            .with_context(|| format!("cannot move {pid} to the cores {cores:?}"))?;
    }
    Ok(())
}

/// Raises the number of files that may be open to what is allowed; gives it.
pub fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // It stays as it is, and connections fail with a clear error.
    let _refused = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds of a core.
    pub cpu: f64,
    /// Bytes of resident memory.
    pub resident: u64,
}

impl Usage {
    /// Of the process with this number and of all that it has started, as far as they run.
    pub fn of_tree(pid: u32) -> Result<Self> {
        let mut sum = Self::of(pid)?;
        for child in children(pid) {
            // One that has just ended has no more to tell.
            if let Ok(usage) = Self::of_tree(child) {
                sum.cpu += usage.cpu;
                sum.resident += usage.resident;
            }
        }
        Ok(sum)
    }

    /// Of the process with this number.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |what: &str| {
            fs::read_to_string(format!("/proc/{pid}/{what}"))
                .with_context(|| format!("process {pid} is gone"))
        };
        let stat = read("stat")?;
        // The fields behind the name, which is in parentheses.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
        let ticks = ticks(11).zip(ticks(12)).context("no CPU time in stat")?;
        let status = read("status")?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Self {
            cpu: (ticks.0 + ticks.1) as f64 / rustix::param::clock_ticks_per_second() as f64,
            resident: resident.context("no resident memory in status")? << 10,
        })
    }
}

/// The processes that one has started, by any of its threads.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let lists = tasks.flatten().filter_map(|task| {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        let numbers = list.split_whitespace().filter_map(|n| n.parse().ok());
        Some(numbers.collect::<Vec<u32>>())
    });
    lists.flatten().collect()
}
