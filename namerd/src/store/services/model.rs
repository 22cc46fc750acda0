//! What is kept of Kubernetes objects: what lookups read, already checked and with null defaults applied.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// A kind of object. Each is watched and synced on its own (K8S-123).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// EndpointSlices.
    Slices,
    /// Services.
    Services,
    /// Nodes.
    Nodes,
}

/// A namespace and a name; the namespace of a Node is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

/// What identifies one version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Of which kind.
    pub kind: Kind,
    /// Which object.
    pub name: ObjectName,
    /// Which incarnation; empty if the source did not say.
    pub uid: Arc<str>,
    /// Its resource version as an integer; 0 if it is not one, then no order is known.
    pub rv: u64,
}

/// One object as it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which one.
    pub meta: Meta,
    /// What it says. `None`: it could not be read; the last good content stays (K8S-125).
    pub content: Option<Content>,
}

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An EndpointSlice.
    Slice(Arc<Slice>),
    /// A Service.
    Service(Arc<Service>),
    /// A Node.
    Node(Arc<Node>),
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// The Service it belongs to, in its own namespace (K8S-84). `None`: ignored.
    pub service: Option<Arc<str>>,
    /// `None`: no addresses that could be used (K8S-90, K8S-92); ignored.
    pub family: Option<Family>,
    /// Its TCP ports (K8S-26).
    pub ports: Box<[SlicePort]>,
    /// Its endpoints, one for each address, sorted by address.
    pub endpoints: Box<[SliceEndpoint]>,
    /// The labels that lookups may ask for.
    pub labels: Labels,
}

/// A TCP port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The Service port's name; may be empty.
    pub name: Arc<str>,
    /// The container's port. `None`: all ports (K8S-27).
    pub number: Option<u16>,
}

/// One endpoint of a slice; its conditions are read with the defaults for null (K8S 6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Its first address (K8S-91).
    pub ip: IpAddr,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
    /// The zone it is in.
    pub zone: Option<Arc<str>>,
    /// Takes new requests.
    pub ready: bool,
    /// Answers requests, perhaps while it ends.
    pub serving: bool,
    /// Is about to end.
    pub terminating: bool,
    /// For whom it is meant (K8S-98); kept only if lookups ask for it.
    pub hints: Option<Arc<Hints>>,
}

/// `hints` of an endpoint. An empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones`.
    pub zones: Box<[Arc<str>]>,
    /// `forNodes`.
    pub nodes: Box<[Arc<str>]>,
}

/// One Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// `type: ExternalName`: has no endpoints, whatever slices say.
    pub external_name: bool,
    /// Its TCP ports.
    pub ports: Box<[Port]>,
    /// `spec.ipFamilies[0]`.
    pub family: Option<Family>,
    /// `spec.internalTrafficPolicy: Local`.
    pub local: bool,
    /// The labels that lookups may ask for.
    pub labels: Labels,
    /// `status.loadBalancer.ingress`: where callers outside of the cluster reach it.
    pub balancers: Box<[Balancer]>,
}

/// One address of a Service's load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Balancer {
    /// `ip`.
    Ip(IpAddr),
    /// `hostname`.
    Host(Arc<str>),
}

/// What is known of a Service.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceState {
    /// Services have never been listed.
    Pending,
    /// There is none of this name.
    Absent,
    /// This one.
    Known(Arc<Service>),
}

/// A TCP port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// The Service's port number.
    pub number: u16,
    /// A numeric target port (absent in the object: the port itself). `None`: the target is a name.
    pub target: Option<u16>,
}

/// What is kept of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// `spec.podCIDRs`; none if only metadata is watched (K8S-82).
    pub pod_cidrs: Box<[Cidr]>,
}

/// A network: an address with nothing but zeros behind `len` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    pub(super) ip: IpAddr,
    pub(super) len: u8,
}

/// A text is not a network.
#[derive(Debug, thiserror::Error)]
#[error("not a network such as 10.1.0.0/24")]
pub struct NotACidr;

/// Labels, as key and value.
pub type Labels = Box<[(Arc<str>, Arc<str>)]>;

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Slices, Kind::Services, Kind::Nodes];

    /// The name of this source in positions and pages (resolver API 2).
    pub fn source(self) -> &'static str {
        match self {
            Kind::Slices => "k8s/endpointslices",
            Kind::Services => "k8s/services",
            Kind::Nodes => "k8s/nodes",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

// === impl ObjectName ===

impl ObjectName {
    /// A name of these parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl Slice ===

impl Slice {
    /// Puts the endpoints into the order that the model relies on; the best of several with one address stays.
    #[must_use]
    fn sorted(mut self) -> Self {
        let mut endpoints = std::mem::take(&mut self.endpoints).into_vec();
        endpoints.sort_by_key(|e| (e.ip, !e.ready, !e.is_usable(), e.node.is_none()));
        endpoints.dedup_by_key(|e| e.ip);
        self.endpoints = endpoints.into_boxed_slice();
        self
    }

    /// The node of its endpoint with this address.
    pub(super) fn node_of(&self, ip: IpAddr) -> Option<Arc<str>> {
        let at = self.endpoints.binary_search_by_key(&ip, |e| e.ip).ok()?;
        self.endpoints[at].node.clone()
    }
}

// === impl Cidr ===

impl Cidr {
    /// The network of this length that has the address. `None`: the family has no such length.
    pub(super) fn new(ip: IpAddr, len: u8) -> Option<Self> {
        let len32 = u32::from(len);
        let ip = match ip {
            IpAddr::V4(ip) if len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - len32).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) if len <= 128 => {
                let mask = u128::MAX.checked_shl(128 - len32).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { ip, len })
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let (ip, len) = text.split_once('/').ok_or(NotACidr)?;
        let (ip, len) = (ip.parse(), len.parse());
        let (Ok(ip), Ok(len)) = (ip, len) else {
            return Err(NotACidr);
        };
        Self::new(ip, len).ok_or(NotACidr)
    }
}

// === impl Content ===

impl From<Slice> for Content {
    fn from(slice: Slice) -> Self {
        Content::Slice(Arc::new(slice.sorted()))
    }
}

impl From<Service> for Content {
    fn from(service: Service) -> Self {
        Content::Service(Arc::new(service))
    }
}

impl From<Node> for Content {
    fn from(node: Node) -> Self {
        Content::Node(Arc::new(node))
    }
}

// === impl SliceEndpoint ===

impl SliceEndpoint {
    /// Whether any rule could use it (K8S-94).
    pub(super) fn is_usable(&self) -> bool {
        self.ready || (self.serving && self.terminating)
    }
}
