//! Who is where and who follows what: all of it computed from the sizes, alike in both programs.
//!
//! ```text
//!   endpoint e of service e % services, address 10.0.0.0 + e          gateway of node n: 10.224.0.0 + n
//!   service 0 is hot: every follower follows it, and pods that become ready there are what is timed ("marks")
//!   mark m: pod 10.254.0.0 + m on a node of its own, whose gateway is 10.255.0.0 + m
//! ```

use std::net::Ipv4Addr;

use clap::Args;
use serde::{Deserialize, Serialize};

/// How big everything is.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Sizes {
    /// Services
    #[arg(long, default_value_t = 2_000)]
    pub services: u32,
    /// Endpoints of all services together
    #[arg(long, default_value_t = 30_000)]
    pub endpoints: u32,
    /// Nodes of the cluster
    #[arg(long, default_value_t = 1_000)]
    pub nodes: u32,
    /// `Follow` streams, each on a connection of its own
    #[arg(long, default_value_t = 1_000)]
    pub followers: u32,
    /// Names that each follower follows
    #[arg(long, default_value_t = 100)]
    pub interests: u32,
    /// Of them, names followed through the incoming router (the follower's own pods)
    #[arg(long, default_value_t = 20)]
    pub incoming: u32,
    /// Pods of the service that everybody follows
    #[arg(long, default_value_t = 200)]
    pub hot: u32,
    /// Endpoint changes a second, beside those that are timed
    #[arg(long, default_value_t = 1_000)]
    pub rate: u32,
    /// Seconds that changes flow
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// Cores for the server that is measured; followers and cluster get the others
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// Marks that there can be: pods of the hot service that are not ready in the beginning.
pub const MARKS: u32 = 500;
/// The port of every pod.
pub const POD_PORT: u16 = 8080;
/// The port of every gateway.
pub const GATEWAY_PORT: u16 = 4141;
/// Endpoints that a slice has at most.
pub const SLICE: usize = 100;

const GATEWAYS: u32 = 0x0ae0_0000;
const MARK_PODS: u32 = 0x0afe_0000;
const MARK_GATEWAYS: u32 = 0x0aff_0000;

/// The hot service.
pub const HOT: u32 = 0;

/// What a mark's addresses begin with, on the wire: pods and gateways.
pub const MARK_BYTES: [[u8; 2]; 2] = [[10, 254], [10, 255]];

impl Sizes {
    /// A service's name.
    pub fn service(service: u32) -> String {
        format!("s{service:05}")
    }

    /// A node's name.
    pub fn node(node: u32) -> String {
        format!("node-{node:05}")
    }

    /// The name of the node of a mark.
    pub fn mark_node(mark: u32) -> String {
        format!("mark-{mark:05}")
    }

    /// The address of an endpoint.
    pub fn pod(endpoint: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 + endpoint)
    }

    /// The address of a node's gateway.
    pub fn gateway(node: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(GATEWAYS + node)
    }

    /// The addresses of a mark: pod and gateway.
    pub fn mark(mark: u32) -> (Ipv4Addr, Ipv4Addr) {
        (
            Ipv4Addr::from_bits(MARK_PODS + mark),
            Ipv4Addr::from_bits(MARK_GATEWAYS + mark),
        )
    }

    /// The mark that has this address, as pod or gateway.
    pub fn mark_of(address: Ipv4Addr) -> Option<u32> {
        let bits = address.to_bits();
        let is_mark = bits & 0xffff_0000 == MARK_PODS || bits & 0xffff_0000 == MARK_GATEWAYS;
        let mark = bits & 0xffff;
        (is_mark && mark < MARKS).then_some(mark)
    }

    /// The endpoints of a service, as numbers; the hot one's come last.
    pub fn pods_of(&self, service: u32) -> Vec<u32> {
        match service {
            HOT => (self.endpoints..self.endpoints + self.hot).collect(),
            _ => (0..self.endpoints)
                .skip(service as usize)
                .step_by(self.services as usize)
                .collect(),
        }
    }

    /// Where an endpoint runs.
    pub fn node_of(&self, endpoint: u32) -> u32 {
        // Mixed, so that the pods of a service are on nodes that have nothing to do with each other.
        let mixed = u64::from(endpoint).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (mixed % u64::from(self.nodes)) as u32
    }

    /// What every follower follows: services through the outgoing router, and through the incoming one. The hot one is
    /// the first.
    pub fn followed(&self) -> Vec<Followed> {
        let mut local = vec![Vec::new(); self.nodes as usize];
        for endpoint in (0..self.endpoints).filter(|e| e % self.services != HOT) {
            let services: &mut Vec<u32> = &mut local[self.node_of(endpoint) as usize];
            let service = endpoint % self.services;
            if services.len() < self.incoming as usize && !services.contains(&service) {
                services.push(service);
            }
        }
        let outgoing = self.interests.saturating_sub(self.incoming).max(1);
        let outgoing = outgoing.min(self.services) as usize;
        (0..self.followers)
            .map(|follower| {
                let node = follower % self.nodes;
                let mut random = fastrand::Rng::with_seed(u64::from(follower));
                let mut services = vec![HOT];
                while services.len() < outgoing {
                    let service = random.u32(1..self.services);
                    if !services.contains(&service) {
                        services.push(service);
                    }
                }
                Followed {
                    node: Self::node(node),
                    outgoing: services,
                    incoming: local[node as usize].clone(),
                }
            })
            .collect()
    }
}

/// What one follower follows.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Its node.
    pub node: String,
    /// Services through the outgoing router.
    pub outgoing: Vec<u32>,
    /// Services through the incoming router.
    pub incoming: Vec<u32>,
}
