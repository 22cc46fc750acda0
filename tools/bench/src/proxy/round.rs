//! One proxy's turn: started, loaded to the full, loaded at a fixed rate, left alone with many connections, ended.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use super::arm::{Arm, Protocol};
use super::load::{Load, Speed};
use super::origin::Origin;
use super::ours::{self, Namerd};
use super::peers::Hop;
use super::program::{Cores, Program, free_port};
use super::{Proxy, idle};

/// What all turns have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) cores: &'a Cores,
    pub(super) folder: &'a Path,
    pub(super) origin: &'a Origin,
    pub(super) namerd: Option<&'a Namerd>,
    pub(super) programs: &'a Path,
    pub(super) envoy: Option<&'a Path>,
    pub(super) seconds: u32,
    pub(super) rate: u32,
}

/// What a turn has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) full: Load,
    /// Microseconds of CPU for each request of the full load, all hops together.
    pub(super) cpu: f64,
    pub(super) fixed: Load,
    /// Bytes of one hop that has had one request.
    pub(super) idle: u64,
    /// Bytes more for each idle connection to one hop; not measured with HTTP/2 or TLS.
    pub(super) connection: Option<u64>,
}

/// How long a proxy may take until it has answered once.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before the full load is counted.
const WARM_UP: u32 = 1;

impl Ground<'_> {
    pub(super) fn turn(&self, proxy: Proxy, arm: Arm) -> Result<Measured> {
        let (hops, addr) = self.start(proxy, arm)?;
        self.answers(arm, addr)?;
        let usage = || -> Result<(f64, u64)> {
            let all = hops
                .iter()
                .map(Program::usage)
                .collect::<Result<Vec<_>>>()?;
            let resident: u64 = all.iter().map(|u| u.resident).sum();
            Ok((all.iter().map(|u| u.cpu).sum(), resident))
        };
        let idle = usage()?.1 / hops.len() as u64;
        let connection = match arm.is_http2() || arm.tls || arm.large || arm.hops > 1 {
            true => None,
            false => {
                let held = idle::hold(addr)?;
                Some(usage()?.1.saturating_sub(idle) / held.len() as u64)
            }
        };
        arm.load(addr, Speed::Full(WARM_UP), self.folder)?;
        let before = usage()?.0;
        let full = arm.load(addr, Speed::Full(self.seconds), self.folder)?;
        let cpu = (usage()?.0 - before) * 1e6 / full.done.max(1) as f64;
        let rate = if arm.large { self.rate / 50 } else { self.rate };
        let fixed = arm.load(addr, Speed::Fixed(rate, self.seconds), self.folder)?;
        Ok(Measured {
            full,
            cpu,
            fixed,
            idle,
            connection,
        })
    }

    /// Starts the hops, the last one first; the address is that of the first one.
    fn start(&self, proxy: Proxy, arm: Arm) -> Result<(Vec<Program>, SocketAddr)> {
        let mut hops = Vec::new();
        let mut next = match (proxy, arm.protocol) {
            (Proxy::Nginx, Protocol::Http2) => self.origin.http1(),
            (_, protocol) => self.origin.addr(protocol),
        };
        // Of several hops of nginx only the first is asked for HTTP/2, unless it is gRPC.
        for hop in (0..arm.hops).rev() {
            let at = free_port()?;
            let is_last = hop + 1 == arm.hops;
            let spoken = match (proxy, arm.protocol) {
                (Proxy::Nginx, Protocol::Http2 | Protocol::Http2To1) if hop > 0 => Arm {
                    protocol: Protocol::Http1,
                    ..arm
                },
                _ => arm,
            };
            let mut command = self.command(proxy, spoken, (at, next), is_last)?;
            let log = self
                .folder
                .join(format!("{}-{}.log", proxy.name(), at.port()));
            let mut program =
                Program::start(&mut command, &log, &self.cores.proxy, &self.cores.rest)?;
            program.wait_for(at, &log)?;
            hops.push(program);
            next = at;
        }
        Ok((hops, next))
    }

    fn command(
        &self,
        proxy: Proxy,
        arm: Arm,
        (at, next): (SocketAddr, SocketAddr),
        is_last: bool,
    ) -> Result<Command> {
        let hop = Hop {
            arm,
            at,
            next,
            is_last,
            tls: &self.origin.tls,
            folder: self.folder,
        };
        match proxy {
            Proxy::Nginx => hop.nginx(),
            Proxy::Haproxy => hop.haproxy(),
            Proxy::Envoy => hop.envoy(self.envoy),
            Proxy::Ours => {
                let namerd = self.namerd.context("no namerd runs")?;
                let folders = (self.programs, self.folder);
                ours::command(
                    arm,
                    is_last,
                    (at, next),
                    folders,
                    (namerd, &self.origin.tls),
                )
            }
        }
    }

    /// Waits until a request is answered well.
    fn answers(&self, arm: Arm, addr: SocketAddr) -> Result<()> {
        let begun = Instant::now();
        loop {
            let tried = arm.load(addr, Speed::Once, self.folder);
            match tried {
                Ok(Load { failed: 0, .. }) => return Ok(()),
                Ok(_) if begun.elapsed() > PATIENCE => bail!("it does not answer with 200"),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Measured {
    /// Requests that were not answered well, of both loads.
    pub(super) fn failed(&self) -> u64 {
        self.full.failed + self.fixed.failed
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            full, cpu, fixed, ..
        } = self;
        write!(
            f,
            "{:.0} requests/s, {cpu:.1} us of CPU each",
            full.per_second
        )?;
        if let Some([p50, p99, _]) = fixed.latency {
            write!(f, ", p50 {p50} us, p99 {p99} us")?;
        }
        write!(f, ", {} failed", self.failed())
    }
}
