//! SRV records (RFC 2782).

use async_trait::async_trait;
use hickory_resolver::proto::rr::RData;
use tokio::time::Duration;

use super::{LookupError, SystemDns, refused};

/// Where a service is, says one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The lowest number is to be used.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host's name, without a dot at its end; empty: the service is not there on purpose.
    pub host: String,
}

/// All records of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// In no order.
    pub all: Vec<Target>,
    /// Time to live.
    pub ttl: Duration,
}

/// Asks where services are.
#[async_trait]
pub trait SrvDns: Send + Sync {
    /// One lookup. Cancel safe.
    async fn targets(&self, service: &str) -> Result<Targets, LookupError>;
}

#[async_trait]
impl SrvDns for SystemDns {
    async fn targets(&self, service: &str) -> Result<Targets, LookupError> {
        let found = self.resolver()?.srv_lookup(service).await;
        let found = found.map_err(|e| refused(&e))?;
        let mut targets = Targets {
            all: Vec::new(),
            ttl: Duration::MAX,
        };
        for record in found.answers() {
            if let RData::SRV(srv) = &record.data {
                targets.all.push(Target {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: srv.target.to_utf8().trim_end_matches('.').to_owned(),
                });
                let ttl = Duration::from_secs(record.ttl.into());
                targets.ttl = targets.ttl.min(ttl);
            }
        }
        Ok(targets)
    }
}
