//! Endpoints and the state of a cluster's set of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Relative load of an endpoint inside its set, in 1/65536 (resolver API 1), so that sums are exact and replicas agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointWeight(pub u32);

/// One address of a cluster. Ordered by address, then weight, then the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where to connect.
    pub addr: SocketAddr,
    /// Its share of the load.
    pub weight: EndpointWeight,
    /// The machine it runs on, if known (metadata `nodeName`).
    pub node: Option<Arc<str>>,
    /// The zone it is in, if known (metadata `zone`).
    pub zone: Option<Arc<str>>,
    /// Further metadata, as text.
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
}

/// The endpoints of a cluster, sorted. Equality leaves [`EndpointSet::at`] out.
#[derive(Clone, Debug, Default)]
pub struct EndpointSet {
    endpoints: Vec<Endpoint>,
    authority: Option<Arc<str>>,
    at: u64,
}

/// The state of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// Not known yet.
    Pending,
    /// Does not exist, or a filter left nothing.
    Neg,
    /// Cannot be known, and why.
    Failed(Arc<str>),
    /// These, now.
    Bound(Arc<EndpointSet>),
}

impl PartialEq for EndpointSet {
    fn eq(&self, other: &Self) -> bool {
        self.endpoints == other.endpoints && self.authority == other.authority
    }
}

impl Eq for EndpointSet {}

impl EndpointWeight {
    /// The default weight 1.
    pub const ONE: EndpointWeight = EndpointWeight(65_536);

    /// The nearest unit, half up; a positive number never becomes 0, a too big one is cut at the largest.
    pub fn from_f64(value: f64) -> Self {
        let units = (value * 65_536.0 + 0.5).floor();
        if value > 0.0 && units < 1.0 {
            return Self(1);
        }
        Self(units as u32)
    }

    /// The shortest decimal number that reads back as this weight: 0.1 stays 0.1.
    pub fn to_f64(self) -> f64 {
        let exact = f64::from(self.0) / 65_536.0;
        (0..=6)
            .map(|digits| {
                let scale = 10f64.powi(digits);
                (exact * scale).round() / scale
            })
            .find(|x| Self::from_f64(*x) == self)
            .unwrap_or(exact)
    }

    /// The sum, cut at the largest.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Endpoint {
    /// An endpoint of weight 1 without metadata.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            weight: EndpointWeight::ONE,
            node: None,
            zone: None,
            metadata: None,
        }
    }
}

impl EndpointSet {
    /// A set of these; exact duplicates (address, weight, metadata) are one.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut endpoints: Vec<Endpoint> = endpoints.into_iter().collect();
        endpoints.sort();
        endpoints.dedup();
        Self {
            endpoints,
            authority: None,
            at: 0,
        }
    }

    /// The same with a host header to use for these endpoints.
    #[must_use]
    pub fn with_authority(mut self, authority: Option<Arc<str>>) -> Self {
        self.authority = authority;
        self
    }

    /// The same with the source's version that it shows (0: none). Not part of what makes two sets equal on the wire.
    #[must_use]
    pub fn with_at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    /// One endpoint for each address: weights of equal addresses add up, the first one's metadata stays.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.endpoints.dedup_by(|next, kept| {
            let same = next.addr == kept.addr;
            if same {
                kept.weight = kept.weight.saturating_add(next.weight);
            }
            same
        });
        self
    }

    /// The endpoints, sorted.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Number of endpoints.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The host header to use, if any.
    pub fn authority(&self) -> Option<&Arc<str>> {
        self.authority.as_ref()
    }

    /// The source's version that this shows (0: none).
    pub fn at(&self) -> u64 {
        self.at
    }
}
