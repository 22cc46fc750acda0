//! What Consul's store and namer say of Consul (control plane 12.4; the manual of 1.x for the namer).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use l5d_config::{Field, Section};

use super::ClientTls;

/// A Consul agent, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulAccess {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Sent with each request.
    pub token: Option<Secret>,
    /// Which data center is asked; `None`: the agent's own.
    pub datacenter: Option<String>,
    /// How fresh answers must be.
    pub consistency: Consistency,
    /// TLS, if it is spoken.
    pub tls: Option<ClientTls>,
}

/// Dtabs in Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulStorage {
    /// Where it is.
    pub access: ConsulAccess,
    /// Keys are this without its slash in front, a slash and the namespace.
    pub path_prefix: String,
}

/// What the namer makes of Consul's answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsulNaming {
    /// Paths have a tag before the service.
    pub include_tag: bool,
    /// Only instances whose checks have one of these states; `None`: checks do not count.
    pub health: Option<BTreeSet<HealthStatus>>,
    /// Requests are to name the service's host in Consul's DNS.
    pub set_host: bool,
    /// A service's own address is used where it has one, instead of its node's.
    pub prefer_service_address: bool,
    /// Weights of instances by their tags.
    pub weights: BTreeMap<String, f64>,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// How fresh answers of Consul must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers, as long as it believes to be one.
    #[default]
    Default,
    /// Any server answers.
    Stale,
    /// The leader answers and makes sure that it is one.
    Consistent,
}

/// The state of an instance: the worst of its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// All is well.
    Passing,
    /// So so.
    Warning,
    /// Not well.
    Critical,
    /// Taken out by hand.
    Maintenance,
}

const STATUSES: [HealthStatus; 4] = [
    HealthStatus::Passing,
    HealthStatus::Warning,
    HealthStatus::Critical,
    HealthStatus::Maintenance,
];

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Consistency {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            Consistency::Default => "default",
            Consistency::Stale => "stale",
            Consistency::Consistent => "consistent",
        }
    }

    /// The parameter of a request, if it needs one.
    pub fn parameter(self) -> Option<&'static str> {
        (self != Consistency::Default).then(|| self.name())
    }
}

impl HealthStatus {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            HealthStatus::Passing => "passing",
            HealthStatus::Warning => "warning",
            HealthStatus::Critical => "critical",
            HealthStatus::Maintenance => "maintenance",
        }
    }
}

/// The keys that store and namer have in common; the consistency stands under another name in each.
pub(super) fn access(section: &Section<'_>, consistency: &'static str) -> ConsulAccess {
    let port = section.key("port").integer(1..=65_535);
    section.legacy("failFast", "a request that fails is never queued");
    section.legacy(
        "backoff",
        "after a failure it is tried again with full jitter, from 0.1 s to 10 s",
    );
    ConsulAccess {
        host: (section.key("host").string()).unwrap_or_else(|| "localhost".to_owned()),
        port: port.and_then(|p| u16::try_from(p).ok()).unwrap_or(8500),
        token: section.key("token").string().map(Secret),
        datacenter: None,
        consistency: mode(section, section.key(consistency)),
        tls: l5d_tls::read::client(section.key("tls")),
    }
}

fn mode(section: &Section<'_>, field: Field<'_>) -> Consistency {
    let (spot, name) = (field.spot(), field.name().to_owned());
    match field.string().as_deref() {
        None | Some("default") => Consistency::Default,
        Some("stale") => Consistency::Stale,
        Some("consistent") => Consistency::Consistent,
        Some(_) => {
            let message = format!("{name} must be default, stale or consistent");
            section.reader().mistake(spot, message, None);
            Consistency::Default
        }
    }
}

/// What only the namer has.
pub(super) fn naming(section: &Section<'_>) -> ConsulNaming {
    let flag = |key, default| section.key(key).boolean().unwrap_or(default);
    let statuses = statuses(section);
    let is_checked = flag("useHealthCheck", false);
    ConsulNaming {
        include_tag: flag("includeTag", false),
        health: is_checked.then_some(statuses),
        set_host: flag("setHost", false),
        prefer_service_address: flag("preferServiceAddress", true),
        weights: weights(section),
    }
}

fn statuses(section: &Section<'_>) -> BTreeSet<HealthStatus> {
    let Some(items) = section.key("healthStatuses").list() else {
        return BTreeSet::from([HealthStatus::Passing]);
    };
    let status = |item: Field<'_>| {
        let (spot, name) = (item.spot(), item.name().to_owned());
        let text = item.string()?;
        let found = STATUSES.into_iter().find(|status| status.name() == text);
        if found.is_none() {
            let message = format!("{name} must be passing, warning, critical or maintenance");
            section.reader().mistake(spot, message, None);
        }
        found
    };
    items.into_iter().filter_map(status).collect()
}

fn weights(section: &Section<'_>) -> BTreeMap<String, f64> {
    let items = section.key("weights").sections().unwrap_or_default();
    let weight = |item: Section<'_>| {
        let weight = item.need("weight").number(0.0..=1_000_000.0);
        Some((item.need("tag").string()?, weight?))
    };
    items.into_iter().filter_map(weight).collect()
}
