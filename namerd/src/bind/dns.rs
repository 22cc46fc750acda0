//! Host names to addresses, asked again for as long as somebody holds the answer (naming 4.5).
//!
//! [`Hosts`] gives one live cell for each host. A task for each asks a [`Dns`] when the answer's time is over; it ends
//! when nobody holds the cell any more. So many lookups run at a time, the others wait.

mod srv;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Duration, sleep, timeout};

use super::table::WeakTable;
use crate::store::Cell;

pub use srv::{SrvDns, Target, Targets};

/// An answer is asked for again after its time to live, but not sooner.
const SOONEST: Duration = Duration::from_secs(5);
/// And not later.
const LATEST: Duration = Duration::from_secs(60);
/// A lookup that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Lookups at a time.
const CONCURRENT: usize = 64;

/// The addresses of a host and how long they may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// All addresses, of both families.
    pub ips: Vec<IpAddr>,
    /// Time to live.
    pub ttl: Duration,
}

/// Why a host has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such host: an answer.
    #[error("unknown host")]
    Unknown,
    /// No answer; may be asked again.
    #[error("{0}")]
    Failed(String),
}

/// Asks for the addresses of hosts.
#[async_trait]
pub trait Dns: Send + Sync {
    /// One lookup. Cancel safe.
    async fn look_up(&self, host: &str) -> Result<Addresses, LookupError>;
}

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Not asked to the end yet.
    Pending,
    /// These addresses, sorted; the last good ones when later lookups fail.
    Known(Arc<[IpAddr]>),
    /// There is no such host.
    Unknown,
    /// It has never been known, and the last lookup failed.
    Failed(Arc<str>),
}

/// Live addresses of hosts. Cheap to clone.
#[derive(Clone)]
pub struct Hosts {
    shared: Arc<Shared>,
}

struct Shared {
    dns: Arc<dyn Dns>,
    /// By host, and whether the first answer is kept for ever.
    cells: WeakTable<(Box<str>, bool), Cell<HostState>>,
    turns: Semaphore,
    runtime: Option<Handle>,
}

/// Ends the lookups of a host when its cell goes.
struct Task(AbortHandle);

/// The system's resolver: `/etc/resolv.conf` with its search domains, and `/etc/hosts`; or servers of one's own.
#[derive(Default)]
pub struct SystemDns {
    /// Empty: the system's.
    servers: Vec<SocketAddr>,
    resolver: OnceLock<Result<TokioResolver, String>>,
}

// === impl Hosts ===

impl Hosts {
    /// Hosts looked up with `dns`. Lookups run on the runtime that this is called on, else on the one that asks.
    pub fn new(dns: Arc<dyn Dns>) -> Self {
        Self {
            shared: Arc::new(Shared {
                dns,
                cells: WeakTable::new(),
                turns: Semaphore::new(CONCURRENT),
                runtime: Handle::try_current().ok(),
            }),
        }
    }

    /// Hosts looked up as the system does.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemDns::default()))
    }

    /// The addresses of a host, looked up anew when their time is over; with `fixed`, kept once they are known. Literal
    /// addresses and `localhost` need no lookup. Never waits.
    pub fn get(&self, host: &str, fixed: bool) -> Arc<Cell<HostState>> {
        self.shared
            .cells
            .get_or((host.into(), fixed), || match literal(host) {
                Some(ip) => Cell::new(HostState::Known(Arc::new([ip]))),
                None => self.follow(host, fixed),
            })
    }

    /// Forgets hosts that nobody holds.
    pub(crate) fn sweep(&self) {
        self.shared.cells.sweep();
    }

    fn follow(&self, host: &str, fixed: bool) -> Arc<Cell<HostState>> {
        let runtime = self.shared.runtime.clone();
        let Some(runtime) = runtime.or_else(|| Handle::try_current().ok()) else {
            let message = format!("host {host} cannot be looked up: no runtime is running");
            return Cell::new(HostState::Failed(message.into()));
        };
        let cell = Cell::new(HostState::Pending);
        let run = Arc::clone(&self.shared).run(host.to_owned(), fixed, Arc::downgrade(&cell));
        cell.keep(Arc::new(Task(runtime.spawn(run).abort_handle())));
        cell
    }
}

impl Shared {
    async fn run(self: Arc<Self>, host: String, fixed: bool, cell: Weak<Cell<HostState>>) {
        loop {
            let answer = {
                let Ok(_turn) = self.turns.acquire().await else {
                    return;
                };
                timeout(TIMEOUT, self.dns.look_up(&host))
                    .await
                    .unwrap_or_else(|_| Err(LookupError::Failed("timed out".to_owned())))
            };
            let Some(cell) = cell.upgrade() else {
                return;
            };
            let wait = match answer {
                Ok(addresses) => {
                    let ips: BTreeSet<IpAddr> = addresses.ips.into_iter().collect();
                    cell.set(HostState::Known(ips.into_iter().collect()));
                    if fixed {
                        return;
                    }
                    addresses.ttl
                }
                Err(LookupError::Unknown) => {
                    cell.set(HostState::Unknown);
                    SOONEST
                }
                Err(LookupError::Failed(why)) => {
                    tracing::warn!(host, why, "host lookup failed");
                    if matches!(cell.value(), HostState::Pending | HostState::Failed(_)) {
                        let message = format!("host {host} cannot be looked up: {why}");
                        cell.set(HostState::Failed(message.into()));
                    }
                    SOONEST
                }
            };
            drop(cell);
            sleep(wait.clamp(SOONEST, LATEST)).await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An address that needs no lookup; an empty host or `localhost` is the loopback address.
fn literal(host: &str) -> Option<IpAddr> {
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.parse().ok()
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

// === impl SystemDns ===

impl SystemDns {
    /// Asks these servers instead of the system's, unless there are none.
    pub fn of(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            resolver: OnceLock::new(),
        }
    }

    fn resolver(&self) -> Result<&TokioResolver, LookupError> {
        let resolver = self.resolver.get_or_init(|| {
            let mut builder = if self.servers.is_empty() {
                TokioResolver::builder_tokio().map_err(|e| e.to_string())?
            } else {
                let servers = self.servers.iter().map(server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            };
            let options = builder.options_mut();
            // A zero time to live must not make a hot loop, a long one must not outlast our own.
            options.negative_min_ttl = Some(SOONEST);
            options.positive_max_ttl = Some(LATEST);
            options.negative_max_ttl = Some(LATEST);
            builder.build().map_err(|e| e.to_string())
        });
        resolver.as_ref().map_err(|why| {
            LookupError::Failed(format!("the system's resolver cannot be set up: {why}"))
        })
    }
}

#[async_trait]
impl Dns for SystemDns {
    async fn look_up(&self, host: &str) -> Result<Addresses, LookupError> {
        let found = self
            .resolver()?
            .lookup_ip(host)
            .await
            .map_err(|e| refused(&e))?;
        let ttl = found.as_lookup().answers().iter().map(|r| r.ttl).min();
        Ok(Addresses {
            ips: found.iter().collect(),
            ttl: Duration::from_secs(ttl.unwrap_or(0).into()),
        })
    }
}

/// Over UDP, and over TCP for long answers.
fn server(addr: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(addr.ip());
    let at = |connection: &mut ConnectionConfig| connection.port = addr.port();
    config.connections.iter_mut().for_each(at);
    config
}

fn refused(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => LookupError::Unknown,
            _ => LookupError::Failed(error.to_string()),
        },
        // A text that cannot be a host name.
        NetError::Proto(_) => LookupError::Unknown,
        _ => LookupError::Failed(error.to_string()),
    }
}

impl fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemDns").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    /// Answers from a table and counts the questions.
    #[derive(Default)]
    pub(in crate::bind) struct Scripted {
        pub(in crate::bind) answers: Mutex<HashMap<String, Result<Addresses, LookupError>>>,
        pub(in crate::bind) asked: Mutex<Vec<String>>,
    }

    impl Scripted {
        pub(in crate::bind) fn answer(&self, host: &str, ips: &[[u8; 4]], ttl: u64) {
            let addresses = Addresses {
                ips: ips.iter().map(|ip| IpAddr::from(*ip)).collect(),
                ttl: Duration::from_secs(ttl),
            };
            self.answers.lock().insert(host.to_owned(), Ok(addresses));
        }

        pub(in crate::bind) fn fail(&self, host: &str, error: LookupError) {
            self.answers.lock().insert(host.to_owned(), Err(error));
        }
    }

    #[async_trait]
    impl Dns for Scripted {
        async fn look_up(&self, host: &str) -> Result<Addresses, LookupError> {
            self.asked.lock().push(host.to_owned());
            let answers = self.answers.lock();
            answers
                .get(host)
                .cloned()
                .unwrap_or(Err(LookupError::Unknown))
        }
    }

    fn known(ips: &[[u8; 4]]) -> HostState {
        HostState::Known(ips.iter().map(|ip| IpAddr::from(*ip)).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_again_when_its_time_is_over() {
        let dns = Arc::new(Scripted::default());
        dns.answer("db", &[[10, 0, 0, 2], [10, 0, 0, 1]], 30);
        let hosts = Hosts::new(Arc::clone(&dns) as _);
        let cell = hosts.get("db", false);
        cell.wait_for(|s| *s == known(&[[10, 0, 0, 1], [10, 0, 0, 2]]))
            .await;
        dns.answer("db", &[[10, 0, 0, 3]], 0);
        sleep(Duration::from_secs(29)).await;
        assert_eq!(dns.asked.lock().len(), 1);
        cell.wait_for(|s| *s == known(&[[10, 0, 0, 3]])).await;
        sleep(Duration::from_secs(4)).await;
        assert_eq!(dns.asked.lock().len(), 2, "at least 5 s apart");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_the_last_good_answer_and_an_unknown_host_does_not() {
        let dns = Arc::new(Scripted::default());
        dns.answer("db", &[[10, 0, 0, 1]], 5);
        let hosts = Hosts::new(Arc::clone(&dns) as _);
        let cell = hosts.get("db", false);
        cell.wait_for(|s| *s == known(&[[10, 0, 0, 1]])).await;
        dns.fail("db", LookupError::Failed("no route".to_owned()));
        sleep(Duration::from_secs(20)).await;
        assert_eq!(cell.value(), known(&[[10, 0, 0, 1]]));
        dns.fail("db", LookupError::Unknown);
        cell.wait_for(|s| *s == HostState::Unknown).await;
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_end_when_nobody_holds_the_host() {
        let dns = Arc::new(Scripted::default());
        let hosts = Hosts::new(Arc::clone(&dns) as _);
        let cell = hosts.get("db", false);
        cell.wait_for(|s| *s == HostState::Unknown).await;
        drop(cell);
        let asked = dns.asked.lock().len();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(dns.asked.lock().len(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_host_is_asked_until_known_and_never_again() {
        let dns = Arc::new(Scripted::default());
        dns.fail("db", LookupError::Failed("no route".to_owned()));
        let hosts = Hosts::new(Arc::clone(&dns) as _);
        let cell = hosts.get("db", true);
        cell.wait_for(|s| matches!(s, HostState::Failed(_))).await;
        dns.answer("db", &[[10, 0, 0, 1]], 5);
        cell.wait_for(|s| *s == known(&[[10, 0, 0, 1]])).await;
        dns.answer("db", &[[10, 0, 0, 2]], 5);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(cell.value(), known(&[[10, 0, 0, 1]]));
    }

    #[test]
    fn literals_need_no_lookup() {
        let hosts = Hosts::new(Arc::new(Scripted::default()));
        assert_eq!(
            hosts.get("10.1.2.3", false).value(),
            known(&[[10, 1, 2, 3]])
        );
        assert_eq!(
            hosts.get("localhost", false).value(),
            known(&[[127, 0, 0, 1]])
        );
        assert_eq!(hosts.get("", false).value(), known(&[[127, 0, 0, 1]]));
    }
}
