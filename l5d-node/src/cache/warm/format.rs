//! The bytes of a warm file: a frame that shows damage, around one protobuf message.
//!
//! | bytes | |
//! |---|---|
//! | 4 | `L5DW` |
//! | 4 | format version, big-endian |
//! | 8 | length of the message, big-endian |
//! | 4 | CRC-32 of the message, big-endian |
//! | rest | the message |

use bytes::Bytes;
use l5d_resolver::v1;
use prost::Message;

const MAGIC: &[u8; 4] = b"L5DW";
const VERSION: u32 = 1;
const HEAD: usize = 20;
/// Longest file.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// Bytes that are no warm file of this format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is something else.
    #[error("it is no warm file")]
    Magic,
    /// Another release wrote it.
    #[error("it has the format version {0}, this release reads {VERSION}")]
    Version(u32),
    /// It was cut, or something was added.
    #[error("it should have {told} bytes behind its head, not {found}")]
    Length {
        /// As its head says.
        told: u64,
        /// As it is.
        found: usize,
    },
    /// Its content was changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// The checksum is right, but the content is not ours.
    #[error("its content does not read: {0}")]
    Content(#[from] prost::DecodeError),
}

/// All that a restart shall still know.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Content {
    /// Unix seconds.
    #[prost(uint64, tag = "1")]
    pub(super) written_s: u64,
    #[prost(string, tag = "2")]
    pub(super) boot_id: String,
    #[prost(string, tag = "3")]
    pub(super) node_name: String,
    #[prost(string, tag = "4")]
    pub(super) pod_ip: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) routers: Vec<Router>,
    /// Least recently used first.
    #[prost(message, repeated, tag = "6")]
    pub(super) names: Vec<Name>,
    #[prost(message, repeated, tag = "7")]
    pub(super) clusters: Vec<Cluster>,
    #[prost(message, repeated, tag = "8")]
    pub(super) namerds: Vec<Namerd>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Router {
    #[prost(string, tag = "1")]
    pub(super) label: String,
    /// Of root, dtab and transformers.
    #[prost(fixed64, tag = "2")]
    pub(super) fingerprint: u64,
}

/// An interest without override.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Name {
    /// Index into `routers`.
    #[prost(uint32, tag = "1")]
    pub(super) router: u32,
    #[prost(string, tag = "2")]
    pub(super) path: String,
    /// `Leaf.cluster` is an index into `clusters`.
    #[prost(message, optional, tag = "3")]
    pub(super) tree: Option<v1::Node>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Cluster {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Bound, or negative.
    #[prost(bool, tag = "2")]
    pub(super) is_bound: bool,
    #[prost(string, tag = "3")]
    pub(super) authority: String,
    /// As in the resolver API.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) put4: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) put6: Bytes,
    #[prost(uint32, repeated, tag = "6")]
    pub(super) weights: Vec<u32>,
    /// Unix seconds of the last confirmation.
    #[prost(uint64, tag = "7")]
    pub(super) confirmed_s: u64,
}

/// What is known of one namerd.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Namerd {
    /// As configured, `HOST:PORT` each.
    #[prost(string, repeated, tag = "1")]
    pub(super) dst: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) position: Option<v1::Position>,
    /// Addresses that worked.
    #[prost(string, repeated, tag = "3")]
    pub(super) worked: Vec<String>,
    /// The last good table; files of earlier releases have none.
    #[prost(message, optional, tag = "4")]
    pub(super) ingress: Option<Ingress>,
}

/// Ingress rules of one class.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Ingress {
    #[prost(string, tag = "1")]
    pub(super) class: String,
    /// As in the resolver API, the hash with them.
    #[prost(message, repeated, tag = "2")]
    pub(super) pages: Vec<v1::Ingress>,
}

pub(super) fn encode(content: &Content) -> Vec<u8> {
    let message = content.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + message.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&(message.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Content, Damage> {
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(Damage::Magic)?;
    if magic != MAGIC {
        return Err(Damage::Magic);
    }
    let cut = |rest: &[u8]| Damage::Length {
        told: 0,
        found: rest.len(),
    };
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| cut(rest))?;
    let version = u32::from_be_bytes(*version);
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let (told, rest) = rest.split_first_chunk::<8>().ok_or_else(|| cut(rest))?;
    let (crc, message) = rest.split_first_chunk::<4>().ok_or_else(|| cut(rest))?;
    let told = u64::from_be_bytes(*told);
    if told != message.len() as u64 {
        let found = message.len();
        return Err(Damage::Length { told, found });
    }
    if crc32fast::hash(message) != u32::from_be_bytes(*crc) {
        return Err(Damage::Checksum);
    }
    Ok(Content::decode(message)?)
}
