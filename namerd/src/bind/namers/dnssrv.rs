//! `io.l5d.dnssrv`: services by their SRV records, `/<name>`, such as `/_http._tcp.web.example.com`.
//!
//! Records of the lowest priority number are used (RFC 2782); their weights are those of the endpoints. Hosts are looked up
//! as for files. Records are asked for again when their time is over. A name without records does not exist; a server
//! that does not answer changes nothing that is known.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use l5d_naming::{ClusterId, EndpointWeight, Path};
use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep, timeout};

use super::follow::{Followed, Sink, Source};
use super::under_hash;
use crate::bind::dns::{Hosts, LookupError, SrvDns, Target};
use crate::bind::namers::Line;
use crate::bind::{Answer, Namer};
use crate::meter::Meter;
use crate::store::{Caller, Engine, Reads};

const KIND: &str = "io.l5d.dnssrv";
/// A lookup that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Records are not believed longer.
const LATEST: Duration = Duration::from_secs(60);
/// Lookups at a time.
const CONCURRENT: usize = 64;
/// The share of a record with weight 0 beside others that have one: RFC 2782 wants a very small one.
const SMALL: f64 = 0.1;

/// The `io.l5d.dnssrv` namer.
pub struct DnsSrvNamer {
    prefix: Path,
    services: Followed<Records>,
}

struct Records {
    dns: Arc<dyn SrvDns>,
    /// Shortest time between two lookups of one name.
    refresh: Duration,
    turns: Semaphore,
}

impl DnsSrvNamer {
    /// A namer that asks nobody before it is asked. Records are asked for again after their time to live, but not before
    /// `refresh`.
    pub fn new(
        prefix: &Path,
        dns: Arc<dyn SrvDns>,
        refresh: Duration,
        engine: Engine,
        hosts: Hosts,
        meter: Arc<Meter>,
    ) -> Arc<Self> {
        let records = Records {
            dns,
            refresh,
            turns: Semaphore::new(CONCURRENT),
        };
        Arc::new(Self {
            prefix: under_hash(prefix),
            services: Followed::new(records, KIND, engine, hosts, meter),
        })
    }
}

impl Namer for DnsSrvNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        KIND
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, reads: &mut Reads) -> Answer {
        let Some(name) = rest.elems().first() else {
            return Answer::neg();
        };
        let key = name.to_text().to_lowercase();
        let id = ClusterId(self.prefix.concat(&rest.take(1)));
        self.services.answer(&key, id, rest.skip(1), reads)
    }
}

impl fmt::Debug for DnsSrvNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsSrvNamer({})", self.prefix)
    }
}

impl Source for Records {
    type Key = String;

    fn follow(self: Arc<Self>, key: String, sink: Sink) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let (is_wanted, wait) = match self.look_up(&key).await {
                    Ok((lines, ttl)) => (sink.addresses(lines, None).await, ttl),
                    Err(LookupError::Unknown) => {
                        (sink.addresses(Vec::new(), None).await, Duration::ZERO)
                    }
                    Err(LookupError::Failed(why)) => {
                        tracing::warn!(name = key, why, "SRV records cannot be looked up");
                        let message =
                            format!("the SRV records of {key} cannot be looked up: {why}");
                        (sink.failed(&message), Duration::ZERO)
                    }
                };
                if !is_wanted {
                    return;
                }
                sleep(wait.clamp(self.refresh, LATEST.max(self.refresh))).await;
            }
        })
    }
}

impl Records {
    async fn look_up(&self, name: &str) -> Result<(Vec<Line>, Duration), LookupError> {
        let failed = |why: &str| LookupError::Failed(why.to_owned());
        let _turn = self.turns.acquire().await;
        let answer = timeout(TIMEOUT, self.dns.targets(name)).await;
        let targets = answer.map_err(|_| failed("timed out"))??;
        Ok((lines(targets.all), targets.ttl))
    }
}

/// Those of the lowest priority number, with their shares.
fn lines(mut targets: Vec<Target>) -> Vec<Line> {
    targets.retain(|target| !target.host.is_empty() && target.port != 0);
    let first = targets.iter().map(|target| target.priority).min();
    targets.retain(|target| Some(target.priority) == first);
    targets.sort_by(|a, b| (&a.host, a.port, a.weight).cmp(&(&b.host, b.port, b.weight)));
    let one = targets.first().map(|target| target.weight);
    let are_equal = targets.iter().all(|target| Some(target.weight) == one);
    let weight = |weight: u16| match weight {
        _ if are_equal => EndpointWeight::ONE,
        0 => EndpointWeight::from_f64(SMALL),
        weight => EndpointWeight::from_f64(weight.into()),
    };
    let line = |target: Target| Line {
        weight: weight(target.weight),
        host: target.host.into(),
        port: target.port,
    };
    targets.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests;
