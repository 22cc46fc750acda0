//! The admin server (node-proxy 15.3, 15.8): is it alive, may it serve, what happened, what is followed.
//!
//! In: HTTP requests of people and scrapers. Out: views of [`crate::cache`], [`crate::serve`] and [`crate::tell`], taken when
//! asked; what can be changed is levels of the log, sampling, and whether the process goes on. It runs on a thread of its own
//! and must never slow a request of the data plane. [`routes`] has the paths, [`guard`] says which are served.

mod delegator;
mod door;
mod files;
mod guard;
mod levels;
mod live;
mod metrics;
mod page;
mod ready;
mod requests;
mod routes;
mod state;
#[cfg(test)]
mod tests;
mod views;

use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::door::Door;
use crate::cache::{FollowSet, Table};
use crate::config::{Config, Identity, Telemeter};
use crate::serve::{Asker, Stats};
use crate::tell::{Teller, Traces};
use crate::tls::Tls;

pub use delegator::Delegator;
pub use levels::{LogLevel, LogLevels, NoLevels};
pub use live::Watchers;
pub use metrics::Window;

/// All that the pages show.
#[derive(Debug)]
pub struct Sight {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// What the process was told besides.
    pub identity: Identity,
    /// Names.
    pub table: Arc<Table>,
    /// The namerds that are followed.
    pub namerds: Vec<Arc<FollowSet>>,
    /// Counters of the data plane.
    pub stats: Arc<Stats>,
    /// Load of endpoints.
    pub asker: Asker,
    /// By router, then by server: where they really listen.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// TLS, and who this node is.
    pub tls: Arc<Tls>,
    /// Whether names came from the warm file.
    pub is_warm: bool,
    /// By router: who is told of single requests.
    pub tellers: Vec<Arc<Teller>>,
    /// Sampled requests, if a telemeter wants them.
    pub traces: Option<Arc<Traces>>,
    /// What came in the last minute.
    pub window: Window,
    /// Pages that follow changes.
    pub watchers: Watchers,
    /// Explains names.
    pub delegator: Delegator,
    /// Levels of the log.
    pub levels: Arc<dyn LogLevels>,
    /// When the process began to serve.
    pub started: tokio::time::Instant,
    /// Cancelled when a stop was asked for.
    pub stop: CancellationToken,
}

/// Serves until `end` is cancelled; requests under way then have ended or are cut by the caller.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    sight: Arc<Sight>,
    end: CancellationToken,
) -> std::io::Result<()> {
    let routes = routes::all(sight.clone());
    let end = end.cancelled_owned();
    let served = match sight.tls.admin() {
        None => axum::serve(listener, routes)
            .with_graceful_shutdown(end)
            .into_future(),
        Some(acceptor) => axum::serve(Door::new(listener, acceptor.clone()), routes)
            .with_graceful_shutdown(end)
            .into_future(),
    };
    tokio::select! {
        served = served => served,
        never = look(&sight) => match never {},
    }
}

/// Keeps the window of the last minute.
async fn look(sight: &Sight) -> Infallible {
    let mut ticks = tokio::time::interval(metrics::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        sight.window.look(&metrics::samples(sight), now);
    }
}

/// How the page of Prometheus looks (node-proxy 15.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PrometheusPage {
    /// Served here too, besides the usual places.
    path: Option<String>,
    /// In front of each name.
    prefix: String,
    /// Whether modern histograms are shown as well.
    histograms: bool,
}

impl PrometheusPage {
    fn of(telemetry: &[Telemeter]) -> Self {
        let asked = telemetry.iter().find_map(|telemeter| match telemeter {
            Telemeter::Prometheus {
                path,
                prefix,
                has_histograms,
            } => Some(Self {
                path: Some(path.clone()),
                prefix: prefix.clone(),
                histograms: *has_histograms,
            }),
            _ => None,
        });
        asked.unwrap_or_default()
    }
}
