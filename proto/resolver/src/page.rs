//! A cluster's whole state as messages of at most [`MESSAGE_BYTES`], and back (resolver API 2).

use std::mem::take;
use std::sync::Arc;

use l5d_naming::{ClusterId, Endpoint, EndpointSet, EndpointWeight, Replicas};
use prost::Message as _;
use prost::encoding::encoded_len_varint;

use crate::convert::{BadText, read_path, state};
use crate::hash::{cluster_hash, h8};
use crate::record::{Packed, RECORD4, RECORD6, Record, RecordError, read_puts, records};
use crate::v1::{Cluster, State};
use crate::{ENVELOPE, MESSAGE_BYTES};

/// Longest message of a failure that is sent, in bytes.
const FAILURE_BYTES: usize = 1 << 10;
/// Most bytes that keys and lengths of the packed fields take.
const FIELD_HEADS: usize = 3 * 4;

/// The pages of a state, at least one. `hash` is that of the state; all but the last page say that more follow.
pub fn pages(number: u32, id: &ClusterId, replicas: &Replicas, hash: u64) -> Vec<Cluster> {
    let mut first = Cluster {
        number,
        id: id.to_string(),
        state: state(replicas).into(),
        hash,
        more: true,
        ..Cluster::default()
    };
    let mut all = Vec::new();
    match replicas {
        Replicas::Pending | Replicas::Neg => {}
        Replicas::Failed(message) => first.message = cut(message).to_owned(),
        Replicas::Bound(set) => {
            first.authority = set.authority().map_or(String::new(), |a| (**a).to_owned());
            first.at = set.at();
            all.extend(records(set));
        }
    }
    let next = Cluster {
        number,
        more: true,
        ..Cluster::default()
    };
    let is_plain = all.iter().all(|r| r.weight == EndpointWeight::ONE);
    let mut rest = all.as_slice();
    let mut pages = Vec::new();
    loop {
        let mut page = if pages.is_empty() {
            first.clone()
        } else {
            next.clone()
        };
        let used = page.encoded_len() + ENVELOPE + FIELD_HEADS;
        let here;
        (here, rest) = rest.split_at(fitting(rest, MESSAGE_BYTES.saturating_sub(used), is_plain));
        let packed = Packed::new(here);
        (page.put4, page.put6, page.weights) = (packed.v4, packed.v6, packed.weights);
        page.more = !rest.is_empty();
        pages.push(page);
        if rest.is_empty() {
            return pages;
        }
    }
}

/// How many records fit into this many bytes.
fn fitting(records: &[Record], mut bytes: usize, is_plain: bool) -> usize {
    let fits = |record: &&Record| {
        let addr = if record.addr.is_ipv4() {
            RECORD4
        } else {
            RECORD6
        };
        let weight = encoded_len_varint(record.weight.0.into());
        let size = if is_plain { addr } else { addr + weight };
        let left = bytes.checked_sub(size);
        bytes = left.unwrap_or(0);
        left.is_some()
    };
    records.iter().take_while(fits).count()
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(FAILURE_BYTES)]
}

/// A state that cannot be taken over. What was there before stays in use (RES-8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Fields that do not fit together.
    #[error("cluster {number}: {source}")]
    Records {
        /// The cluster.
        number: u32,
        /// What is wrong.
        source: RecordError,
    },
    /// The id is no path.
    #[error("cluster {number}: {source}")]
    Id {
        /// The cluster.
        number: u32,
        /// What is wrong.
        source: BadText,
    },
    /// A state that this release does not know.
    #[error("cluster {number}: state {state} is unknown")]
    State {
        /// The cluster.
        number: u32,
        /// The number of the state.
        state: i32,
    },
    /// Another cluster's page came before the last one of this.
    #[error("cluster {number}: its pages were cut off by cluster {by}")]
    Interrupted {
        /// The cluster.
        number: u32,
        /// The other cluster.
        by: u32,
    },
    /// The content has another hash than the message says.
    #[error("cluster {number}: hash {found:016x}, but {told:016x} told")]
    Hash {
        /// The cluster.
        number: u32,
        /// The hash that the message says.
        told: u64,
        /// The hash of the content.
        found: u64,
    },
}

/// One cluster's whole state, with its hash checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its number in this stream.
    pub number: u32,
    /// Its lasting name.
    pub id: ClusterId,
    /// The state.
    pub replicas: Replicas,
    /// Its hash.
    pub hash: u64,
}

/// Puts pages together: nothing of a cluster takes effect before its last page.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    first: Cluster,
    records: Vec<Record>,
}

impl Assembly {
    /// Takes the next page; gives the state with the last one. After an error the next page begins a new cluster.
    pub fn push(&mut self, mut page: Cluster) -> Result<Option<Whole>, PageError> {
        let (number, more) = (page.number, page.more);
        // The bytes belong to a whole network buffer: they are read and let go.
        let (put4, put6) = (take(&mut page.put4), take(&mut page.put6));
        let weights = take(&mut page.weights);
        let mut open = match self.open.take() {
            None => Open {
                first: page,
                records: Vec::new(),
            },
            Some(open) if open.first.number == number => open,
            Some(open) => {
                return Err(PageError::Interrupted {
                    number: open.first.number,
                    by: number,
                });
            }
        };
        let records = read_puts(&put4, &put6, &weights)
            .map_err(|source| PageError::Records { number, source })?;
        open.records.extend(records);
        if more {
            self.open = Some(open);
            return Ok(None);
        }
        open.close().map(Some)
    }

    /// Whether a cluster's last page is still to come.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Open {
    fn close(self) -> Result<Whole, PageError> {
        let Cluster {
            number,
            id,
            state,
            message,
            authority,
            hash,
            at,
            ..
        } = self.first;
        let kind = State::try_from(state).map_err(|_| PageError::State { number, state })?;
        let replicas = match kind {
            State::Pending => Replicas::Pending,
            State::Neg => Replicas::Neg,
            State::Failed => Replicas::Failed(message.into()),
            State::Bound => {
                let endpoints = self.records.into_iter().map(|r| Endpoint {
                    weight: r.weight,
                    ..Endpoint::new(r.addr)
                });
                let authority = (!authority.is_empty()).then(|| Arc::from(authority));
                let set = EndpointSet::new(endpoints).merged();
                Replicas::Bound(Arc::new(set.with_authority(authority).with_at(at)))
            }
        };
        let found = cluster_hash(&replicas);
        if found != hash {
            return Err(PageError::Hash {
                number,
                told: hash,
                found,
            });
        }
        let id = read_path("id", &id).map_err(|source| PageError::Id { number, source })?;
        Ok(Whole {
            number,
            id: ClusterId(id),
            replicas,
            hash,
        })
    }
}

/// One entry of `held_clusters`: what a node keeps from before (resolver API 5.4).
pub fn held(id: &ClusterId, hash: u64) -> [u64; 2] {
    [h8(id.to_string().as_bytes()), hash]
}
