//! Laws of hashes, changes, pages and conversions, each for values made at random.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use l5d_naming::{
    BoundName, BoundTree, ClusterId, Elem, Endpoint, EndpointSet, EndpointWeight, NameTree, Path,
    Replicas, TransformerSpec, Weight, Weighted, limits,
};
use l5d_resolver::change::{Change, DeltaError, apply_delta};
use l5d_resolver::convert::{BadNode, UnsentTree, node_of, read_path, resolved_cluster, tree_of};
use l5d_resolver::hash::{Digest, cluster_hash, tree_hash};
use l5d_resolver::page::{Assembly, PageError, Whole, pages};
use l5d_resolver::record::{RecordError, read_dels, read_puts, records};
use l5d_resolver::{MESSAGE_BYTES, v1};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

fn addr() -> impl Strategy<Value = SocketAddr> {
    // Few, so that sets overlap.
    let ip = prop_oneof![
        3 => (0u8..12).prop_map(|n| IpAddr::from([10, 0, 0, n])),
        1 => (0u16..4).prop_map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])),
        1 => any::<IpAddr>(),
    ];
    (ip, prop_oneof![Just(80), Just(443), any::<u16>()]).prop_map(SocketAddr::from)
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let weight = prop_oneof![3 => Just(65_536), 1 => Just(0), 2 => any::<u32>()];
    let node = proptest::option::of("[ab]");
    (addr(), weight, node).prop_map(|(addr, weight, node)| Endpoint {
        weight: EndpointWeight(weight),
        node: node.map(Arc::from),
        ..Endpoint::new(addr)
    })
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    vec(endpoint(), 0..30)
}

/// As it travels: one endpoint for each address, no metadata.
fn plain(endpoints: Vec<Endpoint>) -> EndpointSet {
    let set = EndpointSet::new(endpoints);
    let plain = records(&set).map(|r| Endpoint {
        weight: r.weight,
        ..Endpoint::new(r.addr)
    });
    EndpointSet::new(plain)
}

fn plain_set() -> impl Strategy<Value = EndpointSet> {
    endpoints().prop_map(plain)
}

fn replicas() -> impl Strategy<Value = Replicas> {
    let authority = proptest::option::of("[a-z.]{1,10}");
    prop_oneof![
        Just(Replicas::Pending),
        Just(Replicas::Neg),
        "\\PC{0,20}".prop_map(|message| Replicas::Failed(message.into())),
        (plain_set(), authority, any::<u64>()).prop_map(|(set, authority, at)| {
            let authority = authority.map(Arc::from);
            Replicas::Bound(Arc::new(set.with_authority(authority).with_at(at)))
        }),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    let elem = vec(any::<u8>(), 1..10).prop_map(|bytes| Elem::new(bytes).expect("some bytes"));
    vec(elem, 0..4).prop_map(Path::from_elems)
}

fn bound_tree() -> impl Strategy<Value = BoundTree> {
    let leaf = (path(), path()).prop_map(|(id, residual)| BoundName {
        id: ClusterId(id),
        residual,
    });
    let simple = prop_oneof![
        3 => leaf.prop_map(NameTree::Leaf),
        1 => Just(NameTree::Neg),
        1 => Just(NameTree::Fail),
        1 => Just(NameTree::Empty),
    ];
    simple.prop_recursive(4, 20, 4, |tree| {
        let weight = any::<f64>().prop_filter_map("not a weight", |x| Weight::new(x.abs()));
        let branch = (weight, tree).prop_map(|(weight, tree)| Weighted { weight, tree });
        vec(branch, 0..4).prop_map(NameTree::Union)
    })
}

fn bound(set: &EndpointSet) -> Replicas {
    Replicas::Bound(Arc::new(set.clone()))
}

/// A leaf as tools get it.
fn named(leaf: &v1::Leaf) -> Result<BoundName, BadNode> {
    Ok(BoundName {
        id: ClusterId(read_path("id", &leaf.id)?),
        residual: read_path("residual", &leaf.residual)?,
    })
}

/// Encodes and decodes as the wire does.
fn travel<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("a message")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// RES-7: the order of what was seen does not matter, nor what else was there meanwhile.
    #[test]
    fn res_7_order_and_history_do_not_change_the_hash(
        (endpoints, shuffled) in endpoints().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        history in vec(plain_set(), 0..4),
    ) {
        prop_assert_eq!(EndpointSet::new(endpoints.clone()), EndpointSet::new(shuffled));
        let end = plain(endpoints);
        let mut set = EndpointSet::default();
        let mut hash = cluster_hash(&bound(&set));
        for next in history.iter().chain([&end]) {
            (set, hash) = Change::between(&set, next).unwrap().apply(&set, hash);
            prop_assert_eq!(hash, cluster_hash(&bound(&set)));
        }
        prop_assert_eq!(hash, cluster_hash(&bound(&end)));
        prop_assert_eq!(set, end);
    }

    /// Resolver API 1: equal addresses merge, their weights add, also in the hash.
    #[test]
    fn a_merged_set_has_the_same_hash(endpoints in endpoints()) {
        let set = EndpointSet::new(endpoints);
        prop_assert_eq!(cluster_hash(&bound(&set)), cluster_hash(&bound(&set.clone().merged())));
        let mut sums = BTreeMap::new();
        for endpoint in set.endpoints() {
            let sum: &mut u32 = sums.entry(endpoint.addr).or_default();
            *sum = sum.saturating_add(endpoint.weight.0);
        }
        let merged: Vec<_> = records(&set).map(|r| (r.addr, r.weight.0)).collect();
        prop_assert_eq!(merged, sums.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn applying_the_change_gives_the_new_set(old in plain_set(), new in plain_set()) {
        let change = Change::between(&old, &new).unwrap();
        let hash = cluster_hash(&bound(&old));
        prop_assert_eq!(change.apply(&old, hash), (new.clone(), cluster_hash(&bound(&new))));
        prop_assert_eq!(change.is_empty(), old == new);
    }

    /// Resolver API 1: also where addresses stand twice in a set.
    #[test]
    fn the_hash_follows_changes_of_sets_that_are_not_merged(old in endpoints(), new in endpoints()) {
        let [old, new] = [old, new].map(EndpointSet::new);
        let change = Change::between(&old, &new).unwrap();
        let hash = change.hash_after(&old, cluster_hash(&bound(&old)));
        prop_assert_eq!(hash, cluster_hash(&bound(&new)));
    }

    /// Resolver API 5.3: a laggard gets one composed delta.
    #[test]
    fn a_composed_change_does_what_its_parts_do(sets in vec(plain_set(), 1..6)) {
        let steps = sets.windows(2).map(|two| Change::between(&two[0], &two[1]).unwrap());
        let composed = Change::compose(&Vec::from_iter(steps));
        let (first, last) = (&sets[0], &sets[sets.len() - 1]);
        let hash = cluster_hash(&bound(first));
        prop_assert_eq!(composed.apply(first, hash), (last.clone(), cluster_hash(&bound(last))));
    }

    #[test]
    fn a_change_travels_as_a_delta(old in plain_set(), new in plain_set(), at in any::<u64>()) {
        let change = Change::between(&old, &new).unwrap();
        let hash = cluster_hash(&bound(&new));
        let delta = travel(&change.to_delta(7, hash, at).unwrap());
        prop_assert_eq!(Change::from_delta(&delta), Ok(change));
        let (next, next_hash) = apply_delta(&delta, &old, cluster_hash(&bound(&old))).unwrap();
        prop_assert_eq!((next.at(), next_hash), (at, hash));
        prop_assert_eq!(next, new);
    }

    /// RES-8: a hash that differs is noticed.
    #[test]
    fn res_8_a_delta_to_another_set_is_refused(old in plain_set(), new in plain_set()) {
        let change = Change::between(&old, &new).unwrap();
        let delta = change.to_delta(7, cluster_hash(&bound(&new)) + 1, 0).unwrap();
        let refused = apply_delta(&delta, &old, cluster_hash(&bound(&old)));
        let is_hash = matches!(refused, Err(DeltaError::Hash { number: 7, .. }));
        prop_assert!(is_hash, "{:?}", refused);
    }

    #[test]
    fn a_state_travels_in_pages(replicas in replicas(), id in path()) {
        let (id, hash) = (ClusterId(id), cluster_hash(&replicas));
        let mut assembly = Assembly::default();
        let mut whole = None;
        for page in pages(9, &id, &replicas, hash) {
            prop_assert!(whole.is_none());
            whole = assembly.push(travel(&page)).unwrap();
        }
        let whole = whole.unwrap();
        if let (Replicas::Bound(a), Replicas::Bound(b)) = (&whole.replicas, &replicas) {
            prop_assert_eq!(a.at(), b.at());
        }
        prop_assert_eq!(whole, Whole { number: 9, id, replicas, hash });
    }

    #[test]
    fn a_bound_tree_travels(tree in bound_tree()) {
        let node = node_of(&tree, &mut |name: &BoundName| v1::Leaf {
            cluster: 0,
            residual: name.residual.to_string(),
            id: name.id.to_string(),
        });
        prop_assert_eq!(tree_of(&travel(&node.unwrap()), &mut named), Ok(tree));
    }

    #[test]
    fn different_trees_have_different_hashes(a in bound_tree(), b in bound_tree()) {
        prop_assert_eq!(a == b, tree_hash(&a) == tree_hash(&b));
    }

    #[test]
    fn a_transformer_travels(
        texts in vec("\\PC{0,5}", 9),
        host_network in any::<bool>(),
    ) {
        let [kind, prefix, namespace, service, port, host, path, netmask, missing_gateway] =
            <[String; 9]>::try_from(texts).unwrap();
        let spec = TransformerSpec {
            kind, prefix, namespace, service, port, host, path, netmask, host_network, missing_gateway,
        };
        let message = travel(&v1::Transformer::from(&spec));
        prop_assert_eq!(TransformerSpec::from(message), spec);
    }

    /// Resolver API 4: the digest depends on what is held, not on the way there.
    #[test]
    fn a_digest_depends_on_what_is_held(
        told in proptest::collection::btree_map(any::<u32>(), any::<[u64; 2]>(), 0..20),
        forgotten in vec(any::<bool>(), 20),
    ) {
        let (mut way, mut end) = (Digest::default(), Digest::default());
        for ((number, [first, second]), forget) in told.into_iter().zip(forgotten) {
            way.add(number, first);
            way.remove(number, first);
            if !forget {
                way.add(number, second);
                end.add(number, second);
            }
        }
        prop_assert_eq!(way, end);
    }

    /// Whatever the bytes: records or an error.
    #[test]
    fn any_bytes_are_answered(v4 in vec(any::<u8>(), 0..40), v6 in vec(any::<u8>(), 0..40), weights in vec(any::<u32>(), 0..9)) {
        let whole = v4.len() % 6 == 0 && v6.len() % 18 == 0;
        let count = v4.len() / 6 + v6.len() / 18;
        prop_assert_eq!(read_dels(&v4, &v6).map(Iterator::count).ok(), whole.then_some(count));
        let fits = whole && (weights.is_empty() || weights.len() == count);
        prop_assert_eq!(read_puts(&v4, &v6, &weights).map(Iterator::count).ok(), fits.then_some(count));
    }
}

fn many(count: u32, weight: impl Fn(u32) -> u32) -> EndpointSet {
    EndpointSet::new((0..count).map(|n| {
        let ip = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        Endpoint {
            weight: EndpointWeight(weight(n)),
            ..Endpoint::new(SocketAddr::new(ip, 8080))
        }
    }))
}

fn down(message: v1::down::Message) -> usize {
    v1::Down {
        message: Some(message),
    }
    .encoded_len()
}

#[test]
fn no_page_is_longer_than_a_message_may_be() {
    // Resolver API 5.2.
    let id = ClusterId(Path::parse(&format!("/#/{}", "x".repeat(5000))).unwrap());
    for (weight, most) in [(65_536, 5), (u32::MAX, 8), (3, 6)] {
        let set = many(10_000, |_| weight);
        let hash = cluster_hash(&bound(&set));
        let pages = pages(u32::MAX, &id, &bound(&set), hash);
        assert!(pages.len() <= most, "{} pages", pages.len());
        let mut assembly = Assembly::default();
        let mut whole = None;
        for page in pages {
            assert!(down(v1::down::Message::Cluster(page.clone())) <= MESSAGE_BYTES);
            whole = assembly.push(page).unwrap();
        }
        assert_eq!(whole.unwrap().replicas, bound(&set));
    }
    let failed = Replicas::Failed("é".repeat(100_000).into());
    let pages = pages(1, &id, &failed, cluster_hash(&failed));
    assert_eq!(pages.len(), 1);
    assert!(pages[0].encoded_len() < 8000);
}

#[test]
fn res_13_a_delta_for_one_pod_is_small() {
    let (old, new) = (many(1000, |_| 65_536), many(1001, |_| 65_536));
    let change = Change::between(&old, &new).unwrap();
    let delta = change.to_delta(100_000, u64::MAX, 9_999_999_999).unwrap();
    // HTTP/2 puts 9 bytes in front of it, gRPC 5.
    assert!(down(v1::down::Message::Delta(delta)) + 9 + 5 <= 48);
    let huge = Change::between(&old, &many(10_000, |_| 65_536)).unwrap();
    assert_eq!(huge.to_delta(1, 0, 0), None, "a state in pages is better");
}

#[test]
fn only_a_whole_state_tells_another_authority() {
    let set = many(2, |_| 65_536);
    let named = set.clone().with_authority(Some("web".into()));
    assert_eq!(Change::between(&set, &named), None);
    assert_ne!(cluster_hash(&bound(&set)), cluster_hash(&bound(&named)));
}

#[test]
fn endpoints_that_stay_keep_their_metadata() {
    let named = Endpoint {
        node: Some("n1".into()),
        ..Endpoint::new("10.0.0.9:80".parse().unwrap())
    };
    let old = EndpointSet::new([named.clone(), Endpoint::new("10.0.0.1:80".parse().unwrap())]);
    let new = EndpointSet::new([named]);
    let change = Change::between(&old, &new).unwrap();
    assert!(change.takes_away());
    assert_eq!(change.apply(&old, 0).0, new);
}

#[test]
fn bad_pages_and_records_say_what_is_wrong() {
    let set = many(5000, |_| 65_536);
    let id = ClusterId(Path::root());
    let all = pages(3, &id, &bound(&set), 1);
    let mut assembly = Assembly::default();
    assert_eq!(assembly.push(all[0].clone()), Ok(None));
    assert!(assembly.is_open());
    let other = pages(4, &id, &Replicas::Neg, cluster_hash(&Replicas::Neg)).remove(0);
    assert_eq!(
        assembly.push(other.clone()),
        Err(PageError::Interrupted { number: 3, by: 4 })
    );
    assert!(assembly.push(other.clone()).unwrap().is_some());
    assert_eq!(assembly.push(all[0].clone()), Ok(None));
    let wrong = assembly.push(all[1].clone()).unwrap_err().to_string();
    assert!(wrong.ends_with("but 0000000000000001 told"), "{wrong}");
    let odd = v1::Cluster {
        state: 9,
        ..other.clone()
    };
    assert_eq!(
        assembly.push(odd).unwrap_err().to_string(),
        "cluster 4: state 9 is unknown"
    );
    let nameless = v1::Cluster {
        id: String::new(),
        ..other
    };
    let error = assembly.push(nameless).unwrap_err().to_string();
    assert!(error.starts_with("cluster 4: id: '/' expected"), "{error}");
    assert_eq!(
        read_puts(&[0; 7], &[], &[]).err().unwrap().to_string(),
        "put4 has 7 bytes, which is not a multiple of 6"
    );
    let (weights, records) = (1, 2);
    assert_eq!(
        read_puts(&[0; 12], &[], &[1]).err(),
        Some(RecordError::Weights { weights, records })
    );
}

#[test]
fn only_trees_that_every_reader_takes_are_sent() {
    let nested = |depth: usize| {
        (0..depth).fold(NameTree::Leaf(0u32), |tree, _| {
            let weight = Weight::ONE;
            NameTree::Union(vec![Weighted { weight, tree }])
        })
    };
    let leaf = |n: &u32| v1::Leaf {
        cluster: *n,
        ..v1::Leaf::default()
    };
    let node = node_of(&nested(limits::BIND_NESTING), &mut { leaf }).unwrap();
    let root = Some(v1::tree::State::Root(node));
    let tree = v1::Tree {
        number: 1,
        hash: 2,
        state: root,
    };
    let message = Some(v1::down::Message::Tree(tree));
    travel(&v1::Down { message });
    let deeper = nested(limits::BIND_NESTING + 1);
    assert_eq!(node_of(&deeper, &mut { leaf }), Err(UnsentTree::TooDeep));
    let alt = NameTree::Alt(vec![NameTree::Leaf(1)]);
    assert_eq!(node_of(&alt, &mut { leaf }), Err(UnsentTree::Alternatives));
}

#[test]
fn a_tree_from_elsewhere_is_checked() {
    // RES-15.
    let node = |kind| v1::Node { node: kind };
    assert_eq!(tree_of(&node(None), &mut named), Err(BadNode::Unknown));
    let leaf = v1::Leaf {
        id: "/#/x".into(),
        ..v1::Leaf::default()
    };
    let leaf = node(Some(v1::node::Node::Leaf(leaf)));
    let error = tree_of(&leaf, &mut named).unwrap_err().to_string();
    assert!(
        error.starts_with("a leaf's residual: '/' expected but end of input found"),
        "{error}"
    );
    let branches = vec![v1::Branch {
        weight: -1.0,
        node: Some(node(Some(v1::node::Node::Neg(v1::Nothing {})))),
    }];
    let union = node(Some(v1::node::Node::Union(v1::Union { branches })));
    assert_eq!(tree_of(&union, &mut named), Err(BadNode::Weight(-1.0)));
}

#[test]
fn tools_see_all_metadata() {
    // Resolver API 9.
    let endpoint = Endpoint {
        weight: EndpointWeight::from_f64(0.1),
        node: Some("n1".into()),
        zone: Some("z1".into()),
        metadata: Some(Arc::new([("a".to_owned(), "b".to_owned())].into())),
        ..Endpoint::new("[fd00::1]:80".parse().unwrap())
    };
    let set = EndpointSet::new([endpoint]).with_authority(Some("web".into()));
    let shown = resolved_cluster(&ClusterId(Path::parse("/#/x").unwrap()), &bound(&set));
    assert_eq!(
        (shown.id.as_str(), shown.authority.as_str()),
        ("/#/x", "web")
    );
    assert_eq!(shown.state(), v1::State::Bound);
    let [only] = shown.endpoints.as_slice() else {
        panic!("{shown:?}")
    };
    assert_eq!(
        (only.ip.as_str(), only.port, only.weight),
        ("fd00::1", 80, 0.1)
    );
    assert_eq!((only.node.as_str(), only.zone.as_str()), ("n1", "z1"));
    assert_eq!(only.metadata["a"], "b");
}
