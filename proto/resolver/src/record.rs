//! Endpoints as they travel: 6 bytes (IPv4) or 18 (IPv6) of address and port in network order, and weights apart, which
//! are left out where all are 1 (resolver API 2). Node names, zones and metadata do not travel.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use l5d_naming::{Endpoint, EndpointSet, EndpointWeight};

/// Bytes of an IPv4 record.
pub const RECORD4: usize = 6;
/// Bytes of an IPv6 record.
pub const RECORD6: usize = 18;

/// One endpoint as it travels: keyed by IP and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// Where to connect.
    pub addr: SocketAddr,
    /// Its share of the load.
    pub weight: EndpointWeight,
}

/// Packed records that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field is cut inside a record.
    #[error("{field} has {len} bytes, which is not a multiple of {size}")]
    Cut {
        /// The field's name.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// What its length should be a multiple of.
        size: usize,
    },
    /// There are weights, but not one for each record.
    #[error("{weights} weights for {records} endpoints; give one for each or none")]
    Weights {
        /// How many weights.
        weights: usize,
        /// How many records in `put4` and `put6` together.
        records: usize,
    },
}

/// The records of a set in order; endpoints of equal IP and port are one, their weights added (resolver API 1).
pub fn records(set: &EndpointSet) -> impl Iterator<Item = Record> + '_ {
    let mut rest = set.endpoints().iter().map(record).peekable();
    std::iter::from_fn(move || {
        let mut next = rest.next()?;
        while let Some(same) = rest.next_if(|other| other.addr == next.addr) {
            next.weight = next.weight.saturating_add(same.weight);
        }
        Some(next)
    })
}

/// The part of an endpoint that travels.
pub fn record(endpoint: &Endpoint) -> Record {
    Record {
        // Flow and scope of an IPv6 socket address are no part of the key.
        addr: SocketAddr::new(endpoint.addr.ip(), endpoint.addr.port()),
        weight: endpoint.weight,
    }
}

/// The fields `put4`, `put6` and `weights` (or `del4`, `del6`) of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// IPv4 records.
    pub v4: Bytes,
    /// IPv6 records.
    pub v6: Bytes,
    /// One for each record, IPv4 first; empty if all are 1.
    pub weights: Vec<u32>,
}

impl Packed {
    /// Packs records, which must be sorted: IPv4 then comes first.
    pub fn new(records: &[Record]) -> Self {
        debug_assert!(records.is_sorted_by_key(|r| r.addr));
        let split = records.partition_point(|r| r.addr.is_ipv4());
        let mut v4 = BytesMut::with_capacity(split * RECORD4);
        let mut v6 = BytesMut::with_capacity((records.len() - split) * RECORD6);
        for Record { addr, .. } in records {
            match addr {
                SocketAddr::V4(addr) => {
                    v4.put_slice(&addr.ip().octets());
                    v4.put_u16(addr.port());
                }
                SocketAddr::V6(addr) => {
                    v6.put_slice(&addr.ip().octets());
                    v6.put_u16(addr.port());
                }
            }
        }
        let is_plain = records.iter().all(|r| r.weight == EndpointWeight::ONE);
        let weights = records.iter().map(|r| r.weight.0);
        Self {
            v4: v4.freeze(),
            v6: v6.freeze(),
            weights: if is_plain {
                Vec::new()
            } else {
                weights.collect()
            },
        }
    }
}

/// Reads `put4`, `put6` and `weights`, in the order of the message.
pub fn read_puts<'a>(
    put4: &'a [u8],
    put6: &'a [u8],
    weights: &'a [u32],
) -> Result<impl Iterator<Item = Record> + 'a, RecordError> {
    let addrs = read_addrs(["put4", "put6"], put4, put6)?;
    let records = put4.len() / RECORD4 + put6.len() / RECORD6;
    if !weights.is_empty() && weights.len() != records {
        let weights = weights.len();
        return Err(RecordError::Weights { weights, records });
    }
    let weights = weights.iter().map(|w| EndpointWeight(*w));
    let weights = weights.chain(std::iter::repeat(EndpointWeight::ONE));
    Ok(addrs
        .zip(weights)
        .map(|(addr, weight)| Record { addr, weight }))
}

/// Reads `del4` and `del6`, in the order of the message.
pub fn read_dels<'a>(
    del4: &'a [u8],
    del6: &'a [u8],
) -> Result<impl Iterator<Item = SocketAddr> + 'a, RecordError> {
    read_addrs(["del4", "del6"], del4, del6)
}

fn read_addrs<'a>(
    fields: [&'static str; 2],
    v4: &'a [u8],
    v6: &'a [u8],
) -> Result<impl Iterator<Item = SocketAddr> + 'a, RecordError> {
    let (v4, rest4) = v4.as_chunks::<RECORD4>();
    let (v6, rest6) = v6.as_chunks::<RECORD6>();
    let cut = |field, len, size, rest: &[u8]| {
        let len = len * size + rest.len();
        let error = RecordError::Cut { field, len, size };
        if rest.is_empty() { Ok(()) } else { Err(error) }
    };
    cut(fields[0], v4.len(), RECORD4, rest4)?;
    cut(fields[1], v6.len(), RECORD6, rest6)?;
    let v4 = v4.iter().map(|[a, b, c, d, p, q]| {
        let port = u16::from_be_bytes([*p, *q]);
        SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), port)
    });
    let v6 = v6.iter().map(|bytes| {
        let (ip, port) = bytes.split_first_chunk::<16>().expect("18 bytes have 16");
        let port = u16::from_be_bytes([port[0], port[1]]);
        SocketAddr::new(Ipv6Addr::from(*ip).into(), port)
    });
    Ok(v4.chain(v6))
}
