//! A node's first message, checked: who it is, its routers, what it holds from before.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;
use l5d_naming::Dtab;
use l5d_resolver::v1;

use super::limits::{Limits, clip};
use super::session::End;
use crate::bind::Transformers;
use crate::store::Caller;

/// A router of the node, ready to bind with.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) root: Option<Arc<str>>,
    pub(super) dtab: Dtab,
    pub(super) transformers: Transformers,
}

/// A cluster that the node kept from before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) index: u32,
    pub(super) hash: u64,
}

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) caller: Caller,
    /// A badly given router refuses its own interests only (RES-10).
    pub(super) routers: Vec<Result<Router, v1::Error>>,
    /// By H8 of the id.
    pub(super) held: HashMap<u64, Held>,
}

/// Interfaces of one host, at most: they are part of the key of what is shared between nodes.
const MOST_ADDRESSES: usize = 4_096;

pub(super) fn check(hello: &v1::Hello, limits: &Limits) -> Result<Checked, End> {
    let address = |what: &str, bytes: &[u8]| {
        address(bytes).ok_or_else(|| {
            End::Fault(format!(
                "hello: {what} has {} bytes; an address has 4 or 16",
                bytes.len()
            ))
        })
    };
    if hello.addresses.len() > MOST_ADDRESSES {
        return Err(End::Fault(format!(
            "hello: {} addresses; a node may name {MOST_ADDRESSES}",
            hello.addresses.len()
        )));
    }
    let mut addresses = hello
        .addresses
        .iter()
        .map(|bytes| address("an entry of addresses", bytes))
        .collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    if !hello.held_clusters.len().is_multiple_of(2) {
        return Err(End::Fault(
            "hello: held_clusters has an id without a hash".to_owned(),
        ));
    }
    let pod_ip = match &*hello.pod_ip {
        [] => None,
        bytes => Some(address("pod_ip", bytes)?),
    };
    Ok(Checked {
        caller: Caller {
            node: (!hello.node.is_empty()).then(|| hello.node.as_str().into()),
            pod_ip,
            addresses: addresses.into(),
        },
        routers: hello.routers.iter().map(|r| router(r, limits)).collect(),
        held: held(&hello.held_clusters),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn held(pairs: &[u64]) -> HashMap<u64, Held> {
    let entry = |(index, pair): (usize, &[u64])| {
        let index = index as u32;
        (
            pair[0],
            Held {
                index,
                hash: pair[1],
            },
        )
    };
    pairs.chunks_exact(2).enumerate().map(entry).collect()
}

fn router(router: &v1::Router, limits: &Limits) -> Result<Router, v1::Error> {
    let label = clip(&router.label);
    if router.dtab.len() > limits.router_bytes {
        let max = limits.router_bytes;
        return Err(refusal(
            v1::Code::Invalid,
            &format!("router {label}: its dtab is longer than {max} bytes"),
        ));
    }
    if router.root.contains('/') {
        return Err(refusal(
            v1::Code::Router,
            &format!(
                "router {label}: root {} must have no slash",
                clip(&router.root)
            ),
        ));
    }
    let dtab = Dtab::parse(&router.dtab)
        .map_err(|e| refusal(v1::Code::Router, &format!("router {label}: dtab: {e}")))?;
    Ok(Router {
        root: (!router.root.is_empty()).then(|| router.root.as_str().into()),
        dtab,
        transformers: router
            .transformers
            .iter()
            .cloned()
            .map(Into::into)
            .collect(),
    })
}

pub(super) fn refusal(code: v1::Code, message: &str) -> v1::Error {
    v1::Error {
        code: code as i32,
        message: clip(message),
        retry_ms: 0,
    }
}
