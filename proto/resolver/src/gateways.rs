//! Which node stands at which gateway: told once for an address, not for each cluster that has it, so that whoever connects
//! knows whose certificate to expect (node-proxy 14).
//!
//! The hash is a sum over the addresses, as a cluster's is: in no order, and a change costs its own size. Names are none of a
//! cluster's hash, so nodes that know nothing of them verify what they always did.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use crate::hash::{h8, put_str};
use crate::v1;
use crate::{ENVELOPE, MESSAGE_BYTES};

/// The name of this feature in `Hello` and `Welcome`.
pub const FEATURE: &str = "gateways";
/// Most addresses that a node takes: twice as many as a cluster may have nodes.
pub const MOST: usize = 20_000;
/// Longest name of a node: a DNS subdomain.
const NAME_BYTES: usize = 253;
/// Most bytes that a page's own fields take.
const HEADS: usize = 48;

/// Names of nodes by address. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    nodes: Arc<BTreeMap<IpAddr, Arc<str>>>,
    hash: u64,
}

/// What cannot be a change of what is held. The stream ends, and what was there before stays in use (RES-8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGateways {
    /// A field is cut inside an address.
    #[error("{0} bytes are no whole number of addresses of gateways")]
    Cut(usize),
    /// Names and addresses differ in number, or a name is none.
    #[error("the names of nodes at gateways do not fit their addresses")]
    Names,
    /// More than [`MOST`].
    #[error("more than {MOST} gateways")]
    TooMany,
    /// Another content than was told.
    #[error("the gateways have the hash {found:016x}, but {told:016x} told")]
    Hash {
        /// As the message says.
        told: u64,
        /// Of what came of it.
        found: u64,
    },
}

/// Pages of one change, as they come in.
#[derive(Debug, Default)]
pub struct Assembly(Option<BTreeMap<IpAddr, Arc<str>>>);

// === impl Gateways ===

impl Gateways {
    /// These names.
    pub fn new(nodes: BTreeMap<IpAddr, Arc<str>>) -> Self {
        let hashes = nodes.iter().map(|(ip, node)| hash_of(*ip, node));
        Self {
            hash: hashes.fold(0, u64::wrapping_add),
            nodes: Arc::new(nodes),
        }
    }

    /// What becomes of these names if they are `nodes`. Only what differs is hashed.
    pub fn changed_to(&self, nodes: BTreeMap<IpAddr, Arc<str>>) -> Self {
        let differs =
            |(ip, node): &(&IpAddr, &Arc<str>), of: &BTreeMap<_, _>| of.get(*ip) != Some(*node);
        let gone = self.nodes.iter().filter(|n| differs(n, &nodes));
        let come = nodes.iter().filter(|n| differs(n, &self.nodes));
        let sum =
            |hash: u64, (ip, node): (&IpAddr, &Arc<str>)| hash.wrapping_add(hash_of(*ip, node));
        let (gone, come) = (gone.fold(0, sum), come.fold(0, sum));
        Self {
            hash: self.hash.wrapping_sub(gone).wrapping_add(come),
            nodes: Arc::new(nodes),
        }
    }

    /// Who stands there.
    pub fn node(&self, ip: IpAddr) -> Option<&Arc<str>> {
        self.nodes.get(&ip)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many addresses.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Content hash; of no names, 0.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// All of them as messages of at most [`MESSAGE_BYTES`]; at least one.
    pub fn pages(&self) -> Vec<v1::Gateways> {
        let blank = |whole| v1::Gateways {
            whole,
            hash: self.hash,
            more: true,
            ..v1::Gateways::default()
        };
        let (mut pages, mut bytes) = (Vec::new(), ENVELOPE + HEADS);
        let mut page = Page::new(blank(true));
        for (ip, node) in &*self.nodes {
            let len = 16 + node.len() + 4;
            if bytes + len > MESSAGE_BYTES {
                pages.push(page.done());
                (page, bytes) = (Page::new(blank(false)), ENVELOPE + HEADS);
            }
            bytes += len;
            page.put(*ip, node);
        }
        let last = page.done();
        pages.push(v1::Gateways {
            more: false,
            ..last
        });
        pages
    }

    /// What brings those who hold `old` here; `None` where that is one message too long, or no shorter than all of them.
    pub fn change_from(&self, old: &Self) -> Option<v1::Gateways> {
        let mut page = Page::new(v1::Gateways {
            hash: self.hash,
            ..v1::Gateways::default()
        });
        let mut changed = 0;
        for ip in old.nodes.keys().filter(|ip| !self.nodes.contains_key(ip)) {
            page.del(*ip);
            changed += 1;
        }
        for (ip, node) in &*self.nodes {
            if old.nodes.get(ip) != Some(node) {
                page.put(*ip, node);
                changed += 1;
            }
        }
        let change = page.done();
        let is_short = change.encoded_len() + ENVELOPE <= MESSAGE_BYTES;
        (is_short && changed <= self.nodes.len()).then_some(change)
    }
}

/// One message being filled.
struct Page {
    message: v1::Gateways,
    puts: [Vec<u8>; 2],
    dels: [Vec<u8>; 2],
    names: [Vec<String>; 2],
}

impl Page {
    fn new(message: v1::Gateways) -> Self {
        Self {
            message,
            puts: Default::default(),
            dels: Default::default(),
            names: Default::default(),
        }
    }

    fn put(&mut self, ip: IpAddr, node: &str) {
        let family = usize::from(ip.is_ipv6());
        append(&mut self.puts[family], ip);
        self.names[family].push(node.to_owned());
    }

    fn del(&mut self, ip: IpAddr) {
        append(&mut self.dels[usize::from(ip.is_ipv6())], ip);
    }

    fn done(self) -> v1::Gateways {
        let [put4, put6] = self.puts.map(Bytes::from);
        let [del4, del6] = self.dels.map(Bytes::from);
        let [mut nodes, of_v6] = self.names;
        nodes.extend(of_v6);
        v1::Gateways {
            put4,
            put6,
            nodes,
            del4,
            del6,
            ..self.message
        }
    }
}

fn append(to: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => to.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => to.extend_from_slice(&ip.octets()),
    }
}

fn hash_of(ip: IpAddr, node: &str) -> u64 {
    let mut bytes = b"l5d.resolver.v1/gateway\0".to_vec();
    bytes.push(if ip.is_ipv4() { 4 } else { 6 });
    append(&mut bytes, ip);
    put_str(&mut bytes, node);
    h8(&bytes)
}

// === impl Assembly ===

impl Assembly {
    /// One more page on the way from `held`; the result, once it is whole.
    ///
    /// # Errors
    /// What does not read; nothing of it counts.
    pub fn push(
        &mut self,
        held: &Gateways,
        page: &v1::Gateways,
    ) -> Result<Option<Gateways>, BadGateways> {
        let mut nodes = match (self.0.take(), page.whole) {
            (_, true) => BTreeMap::new(),
            (Some(begun), false) => begun,
            (None, false) => (*held.nodes).clone(),
        };
        for ip in addresses(&page.del4, &page.del6)? {
            nodes.remove(&ip);
        }
        let put = addresses(&page.put4, &page.put6)?;
        let is_name = |name: &String| !name.is_empty() && name.len() <= NAME_BYTES;
        if put.len() != page.nodes.len() || !page.nodes.iter().all(is_name) {
            return Err(BadGateways::Names);
        }
        nodes.extend(
            put.into_iter()
                .zip(page.nodes.iter().map(|n| n.as_str().into())),
        );
        if nodes.len() > MOST {
            return Err(BadGateways::TooMany);
        }
        if page.more {
            self.0 = Some(nodes);
            return Ok(None);
        }
        let result = held.changed_to(nodes);
        match result.hash == page.hash {
            true => Ok(Some(result)),
            false => Err(BadGateways::Hash {
                told: page.hash,
                found: result.hash,
            }),
        }
    }
}

fn addresses(v4: &[u8], v6: &[u8]) -> Result<Vec<IpAddr>, BadGateways> {
    let (of_v4, rest4) = v4.as_chunks::<4>();
    let (of_v6, rest6) = v6.as_chunks::<16>();
    if !rest4.is_empty() || !rest6.is_empty() {
        return Err(BadGateways::Cut(v4.len() + v6.len()));
    }
    let of_v4 = of_v4.iter().map(|b| Ipv4Addr::from(*b).into());
    Ok(of_v4
        .chain(of_v6.iter().map(|b| Ipv6Addr::from(*b).into()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(nodes: impl IntoIterator<Item = u32>) -> Gateways {
        let at = |n: u32| -> (IpAddr, Arc<str>) {
            let ip = match n % 5 {
                0 => Ipv6Addr::from(u128::from(n) + (0xfd << 120)).into(),
                _ => Ipv4Addr::from(0x0a00_0000 + n).into(),
            };
            (ip, format!("node-{}.example", n / 2).into())
        };
        Gateways::new(nodes.into_iter().map(at).collect())
    }

    #[test]
    fn names_come_out_of_their_pages_as_they_went_in() {
        for count in [0, 1, 7, 5_000] {
            let all = gateways(0..count);
            let pages = all.pages();
            assert_eq!(pages.len() > 1, count == 5_000);
            let (mut assembly, held) = (Assembly::default(), gateways(3..9));
            let mut result = None;
            for page in &pages {
                assert!(page.encoded_len() + ENVELOPE <= MESSAGE_BYTES);
                assert_eq!(result, None, "not before the last page");
                result = assembly.push(&held, page).unwrap();
            }
            assert_eq!(result, Some(all));
        }
        // 5,000 nodes are told in this many bytes, once a stream.
        let bytes: usize = gateways(0..5_000)
            .pages()
            .iter()
            .map(prost::Message::encoded_len)
            .sum();
        assert!(bytes < 180_000, "{bytes}");
    }

    #[test]
    fn a_change_has_the_hash_of_the_whole() {
        let mut held = Gateways::default();
        for range in [0..7, 0..7, 3..40, 20..21, 0..0, 5..9] {
            let whole = gateways(range);
            held = held.changed_to((*whole.nodes).clone());
            assert_eq!(held, whole);
        }
        // The same addresses with other names.
        let renamed = |(ip, _): (&IpAddr, &Arc<str>)| (*ip, Arc::from("other"));
        let nodes: BTreeMap<_, _> = held.nodes.iter().map(renamed).collect();
        assert_eq!(held.changed_to(nodes.clone()), Gateways::new(nodes));
    }

    #[test]
    fn a_change_costs_its_own_size() {
        let (old, new) = (gateways(0..1_000), gateways(1..1_001));
        let change = new.change_from(&old).expect("short");
        assert!(change.encoded_len() < 80, "{}", change.encoded_len());
        let result = Assembly::default().push(&old, &change).unwrap();
        assert_eq!(result.as_ref(), Some(&new));
        assert_eq!(
            result.unwrap().node([10, 0, 3, 232].into()),
            new.node([10, 0, 3, 232].into())
        );
        // One that is no shorter than the whole is none.
        assert_eq!(gateways(0..2).change_from(&old), None);
        assert_eq!(
            gateways(0..1_000).change_from(&gateways(5_000..5_500)),
            None
        );
        assert_eq!(old.change_from(&old).expect("short").encoded_len(), 9);
    }

    #[test]
    fn res_8_what_does_not_fit_is_refused() {
        let (held, good) = (gateways(0..3), gateways(0..4));
        let change = good.change_from(&held).expect("short");
        let push = |page: v1::Gateways| Assembly::default().push(&held, &page);
        let of = |f: fn(&mut v1::Gateways)| {
            let mut bad = change.clone();
            f(&mut bad);
            push(bad)
        };
        assert_eq!(push(change.clone()), Ok(Some(good.clone())));
        assert!(matches!(of(|c| c.hash ^= 1), Err(BadGateways::Hash { .. })));
        assert_eq!(of(|c| c.nodes.clear()), Err(BadGateways::Names));
        assert_eq!(of(|c| c.nodes[0] = String::new()), Err(BadGateways::Names));
        assert_eq!(
            of(|c| c.del4 = vec![1, 2, 3].into()),
            Err(BadGateways::Cut(3))
        );
        assert_eq!(
            push(gateways(0..MOST as u32 + 1).pages().remove(0)),
            Ok(None)
        );
        let mut assembly = Assembly::default();
        let pages = gateways(0..MOST as u32 + 1).pages();
        let end = pages
            .iter()
            .map(|p| assembly.push(&held, p))
            .find(Result::is_err);
        assert_eq!(end, Some(Err(BadGateways::TooMany)));
    }
}
