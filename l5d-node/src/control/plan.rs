//! Which namerds are followed for which routers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use l5d_resolver::v1;

use super::interfaces;
use super::position::Position;
use crate::cache::FollowSet;
use crate::config::{ClientTls, Config, Identifier, Identity, Router};

/// One namerd to be followed. Routers with equal candidates and proofs share one stream.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is followed there.
    pub set: Arc<FollowSet>,
    /// Candidates; each is looked up again before a connection.
    pub dst: Vec<(String, u16)>,
    pub(super) tls: Option<ClientTls>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) retry_max: Duration,
    /// Index of a router in the configuration to its index in `hello`.
    pub(super) routers: HashMap<usize, u32>,
    pub(super) hello: v1::Hello,
    pub(super) position: Position,
    pub(super) worked: Vec<SocketAddr>,
}

impl Plan {
    /// The plans for a configuration; together they have each router once.
    pub fn all(config: &Config, identity: &Identity) -> Vec<Plan> {
        let mut plans: Vec<Plan> = Vec::new();
        for (index, router) in config.routers.iter().enumerate() {
            let given = &router.interpreter;
            let (dst, tls, token_file) = if given.dst.is_empty() {
                let proof = (&identity.namerd_tls, &identity.namerd_token_file);
                (&identity.namerd, proof.0, proof.1)
            } else {
                (&given.dst, &given.tls, &given.token_file)
            };
            let class = ingress_class(router);
            let is_same = |plan: &Plan| {
                plan.dst == *dst
                    && plan.tls == *tls
                    && plan.token_file == *token_file
                    && plan.can_want(class)
            };
            let at = plans.iter().position(is_same);
            let at = at.unwrap_or_else(|| {
                let plan = Plan::new(dst.clone(), identity);
                plans.push(Plan {
                    tls: tls.clone(),
                    token_file: token_file.clone(),
                    ..plan
                });
                plans.len() - 1
            });
            plans[at].add(index, router);
            if let Some(class) = class {
                plans[at].set.want_ingress(class);
            }
            if config.identity.is_some() {
                plans[at].set.want_gateways();
            }
        }
        plans
    }

    fn new(dst: Vec<(String, u16)>, identity: &Identity) -> Self {
        let hello = v1::Hello {
            node: identity.node_name.clone().unwrap_or_default(),
            pod_ip: identity.pod_ip.map_or(Bytes::new(), octets),
            addresses: interfaces::addresses().into_iter().map(octets).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: [
                l5d_resolver::ingress::FEATURE,
                l5d_resolver::gateways::FEATURE,
            ]
            .map(str::to_owned)
            .to_vec(),
            ..v1::Hello::default()
        };
        Self {
            set: FollowSet::new(),
            dst,
            tls: None,
            token_file: None,
            retry_max: super::backoff::LONGEST,
            routers: HashMap::new(),
            hello,
            position: Position::default(),
            worked: Vec::new(),
        }
    }

    /// A stream has the Ingress rules of one class.
    fn can_want(&self, class: Option<&str>) -> bool {
        let wanted = self.set.ingress_class();
        class.is_none_or(|class| wanted.is_none_or(|wanted| *wanted == *class))
    }

    fn add(&mut self, index: usize, router: &Router) {
        let interpreter = &router.interpreter;
        self.retry_max = self.retry_max.min(interpreter.retry_max);
        self.routers.insert(index, self.hello.routers.len() as u32);
        self.hello.routers.push(v1::Router {
            label: router.label.clone(),
            root: interpreter.root.clone().unwrap_or_default(),
            dtab: if router.dtab.is_empty() {
                String::new()
            } else {
                router.dtab.show_exact()
            },
            transformers: interpreter.transformers.iter().map(Into::into).collect(),
        });
    }

    /// Whether the names of this router (by index in the configuration) are followed here.
    pub fn has_router(&self, index: usize) -> bool {
        self.routers.contains_key(&index)
    }

    /// What is known from an earlier process: versions told, and addresses that answered.
    pub fn remember(&mut self, position: &[(String, u64)], worked: Vec<SocketAddr>) {
        for (source, rv) in position {
            self.position.at_least(source, *rv);
        }
        self.worked = worked;
    }
}

/// The class whose Ingress rules a router matches requests with.
fn ingress_class(router: &Router) -> Option<&str> {
    router.identifiers.iter().find_map(|i| match i {
        Identifier::Ingress(rules) => Some(rules.class.as_str()),
        _ => None,
    })
}

fn octets(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}
