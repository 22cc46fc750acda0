//! A follower of an xDS server by delta EDS: one stream, one subscription with all names, an acknowledgement for each answer.
//!
//! Assignments are not decoded: what is timed is their arrival, and a mark is found by its address as text.

use std::rc::Rc;

use bytes::Bytes;
use prost::Message;

use super::tally::{Marks, Tally, put};
use super::wire::Wire;
use crate::plan::{Followed, MARKS, Sizes};

const PATH: &str = "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints";
const TYPE: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const MARK_TEXT: &[u8] = b"10.254.";

/// What is used of `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, repeated, tag = "3")]
    subscribe: Vec<String>,
    #[prost(string, tag = "6")]
    nonce: String,
}

/// What is used of `envoy.config.core.v3.Node`.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

/// What is used of `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    resources: Vec<Bytes>,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// One follower.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Rc<Followed>,
    /// Assignments still to come in the beginning.
    missing: usize,
    nonces: Vec<String>,
    marks: Marks,
}

impl Follower {
    /// One that holds nothing yet.
    pub(super) fn new(followed: Rc<Followed>) -> Self {
        Self {
            missing: followed.outgoing.len(),
            followed,
            nonces: Vec::new(),
            marks: Marks::default(),
        }
    }

    /// The same for another connection.
    pub(super) fn again(self) -> Self {
        Self {
            marks: self.marks,
            ..Self::new(self.followed)
        }
    }

    /// Subscribes.
    pub(super) fn open(&self, wire: &mut Wire, authority: &str) {
        let names = self.followed.outgoing.iter();
        let request = Request {
            node: Some(Node {
                id: self.followed.node.clone(),
            }),
            type_url: TYPE.to_owned(),
            subscribe: names.map(|service| Sizes::service(*service)).collect(),
            nonce: String::new(),
        };
        wire.call(PATH, authority, &[request]);
    }

    /// Whether every name has an assignment.
    pub(super) fn is_ready(&self) -> bool {
        self.missing == 0
    }

    /// Takes a message that came in at this moment.
    pub(super) fn take(&mut self, bytes: &Bytes, at: u64, tally: &mut Tally) {
        let Ok(response) = Response::decode(bytes.clone()) else {
            tally.fail("an answer does not decode");
            return;
        };
        tally.report.messages += 1;
        tally.report.whole += response.resources.len() as u64;
        self.missing = self.missing.saturating_sub(response.resources.len());
        self.nonces.push(response.nonce);
        let mut has = Marks::default();
        for resource in &response.resources {
            find_marks(resource, &mut has);
        }
        tally.arrive(&mut self.marks, &has, at);
    }

    /// Acknowledges what came in.
    pub(super) fn acknowledge(&mut self, wire: &mut Wire) {
        for nonce in self.nonces.drain(..) {
            let request = Request {
                type_url: TYPE.to_owned(),
                nonce,
                ..Request::default()
            };
            wire.message(0, &request);
        }
    }
}

fn find_marks(resource: &[u8], marks: &mut Marks) {
    let mut rest = resource;
    while let Some(at) = rest.windows(MARK_TEXT.len()).position(|w| w == MARK_TEXT) {
        rest = &rest[at + MARK_TEXT.len()..];
        let mut number = [0_u32; 2];
        let mut part = 0;
        for byte in rest {
            match byte {
                b'0'..=b'9' => number[part] = number[part] * 10 + u32::from(byte - b'0'),
                b'.' if part == 0 => part = 1,
                _ => break,
            }
        }
        let mark = number[0] << 8 | number[1];
        if mark < MARKS {
            put(marks, mark);
        }
    }
}
