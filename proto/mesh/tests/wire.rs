//! Values to messages and back, through bytes; what the 1.x generation relies on.

#[path = "../../naming/tests/arbitrary/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the vocabulary")]
mod arbitrary;

use std::sync::Arc;

use arbitrary::{any_dtab, any_tree, path, prefix};
use l5d_mesh::{BadMessage, v1};
use l5d_naming::{
    BoundName, BoundTree, ClusterId, Dentry, Dtab, Endpoint, EndpointSet, EndpointWeight, NameTree,
    Path, Prefix, Replicas,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

/// Encodes and decodes as the wire does.
fn travel<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("a message")
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let text = || option::of("[ab]{1,3}");
    let others = btree_map("[xy]{1,2}", "\\PC{0,3}", 0..3);
    let weight = prop_oneof![Just(65_536), any::<u32>()];
    (
        any::<std::net::IpAddr>(),
        any::<u16>(),
        weight,
        text(),
        text(),
        others,
    )
        .prop_map(|(ip, port, weight, node, zone, others)| Endpoint {
            addr: (ip, port).into(),
            weight: EndpointWeight(weight),
            node: node.map(Arc::from),
            zone: zone.map(Arc::from),
            metadata: (!others.is_empty()).then(|| Arc::new(others)),
        })
}

fn replicas() -> impl Strategy<Value = Replicas> {
    let set = (vec(endpoint(), 0..6), option::of("[a-z.]{1,9}"));
    prop_oneof![
        Just(Replicas::Pending),
        Just(Replicas::Neg),
        "\\PC{0,9}".prop_map(|message| Replicas::Failed(message.into())),
        set.prop_map(|(endpoints, authority)| {
            let set = EndpointSet::new(endpoints).with_authority(authority.map(Arc::from));
            Replicas::Bound(Arc::new(set))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_travels(path in path()) {
        prop_assert_eq!(Path::try_from(&travel(&v1::Path::from(&path))), Ok(path));
    }

    #[test]
    fn a_prefix_travels(prefix in prefix()) {
        let message = travel(&v1::dtab::dentry::Prefix::from(&prefix));
        prop_assert_eq!(Prefix::try_from(&message), Ok(prefix));
    }

    /// Naming 8.4: weights are doubles, not rounded; shapes are kept as they are.
    #[test]
    fn a_tree_travels(tree in any_tree()) {
        prop_assert_eq!(NameTree::try_from(&travel(&v1::PathNameTree::from(&tree))), Ok(tree));
    }

    #[test]
    fn a_dtab_travels(dtab in any_dtab()) {
        prop_assert_eq!(Dtab::try_from(&travel(&v1::Dtab::from(&dtab))), Ok(dtab));
    }

    #[test]
    fn a_bound_tree_travels(tree in any_tree()) {
        let tree: BoundTree = tree.map(&mut |path| BoundName {
            id: ClusterId(path.take(2)),
            residual: path.skip(2),
        });
        let message = travel(&v1::BoundNameTree::from(&tree));
        prop_assert_eq!(BoundTree::try_from(&message), Ok(tree));
    }

    #[test]
    fn replicas_travel(replicas in replicas()) {
        prop_assert_eq!(Replicas::try_from(&travel(&v1::Replicas::from(&replicas))), Ok(replicas));
    }
}

/// Control plane 4.1: a zero that is not written is an endpoint or a branch lost for readers of the 1.x generation.
#[test]
fn scalars_are_written_even_when_they_are_zero() {
    let endpoint = v1::Endpoint::from(&Endpoint::new("0.0.0.0:0".parse().unwrap()));
    let expected = [
        &[0x08, 0][..],         // inet_af: INET4
        &[0x12, 4, 0, 0, 0, 0], // address
        &[0x18, 0],             // port
        &[0x22, 0],             // meta, without a name
    ];
    assert_eq!(endpoint.encode_to_vec(), expected.concat());
    let tree = NameTree::parse("0*/a & 1*/b").unwrap();
    let Some(v1::path_name_tree::Node::Union(union)) = v1::PathNameTree::from(&tree).node else {
        panic!("a union");
    };
    let zero = union.trees[0].encode_to_vec();
    assert_eq!(zero[..9], [0x09, 0, 0, 0, 0, 0, 0, 0, 0]);
    let failed = v1::Replicas::from(&Replicas::Failed("".into()));
    assert_eq!(failed.encode_to_vec(), [0x1a, 2, 0x0a, 0]);
    let bound = v1::BoundNameTree::from(&NameTree::Leaf(BoundName {
        id: ClusterId(Path::root()),
        residual: Path::root(),
    }));
    assert_eq!(
        bound.encode_to_vec(),
        [0x32, 4, 0x0a, 0, 0x12, 0],
        "an empty residual is set"
    );
}

#[test]
fn absent_scalars_are_zero() {
    // Control plane 4.1.
    let address = Some(vec![10, 0, 0, 1].into());
    let message = v1::Endpoint {
        address,
        ..v1::Endpoint::default()
    };
    assert_eq!(
        Endpoint::try_from(&message),
        Ok(Endpoint::new("10.0.0.1:0".parse().unwrap()))
    );
    assert_eq!(
        Replicas::try_from(&v1::Replicas::default()),
        Ok(Replicas::Neg)
    );
}

#[test]
fn endpoints_carry_all_metadata_as_text() {
    // Control plane 4.4, naming 9.
    let endpoint = Endpoint {
        weight: EndpointWeight::from_f64(2.0),
        node: Some("n1".into()),
        ..Endpoint::new("[fd00::1]:80".parse().unwrap())
    };
    let set = EndpointSet::new([endpoint]).with_authority(Some("web".into()));
    let message = v1::Replicas::from(&Replicas::Bound(Arc::new(set)));
    let Some(v1::replicas::Result::Bound(bound)) = message.result else {
        panic!("bound");
    };
    assert_eq!(bound.metadata["authority"], "web");
    let [only] = bound.endpoints.as_slice() else {
        panic!("one endpoint");
    };
    assert_eq!(only.inet_af(), v1::endpoint::AddressFamily::Inet6);
    assert_eq!(only.meta.as_ref().unwrap().node_name(), "n1");
    assert_eq!(only.metadata["nodeName"], "n1");
    assert_eq!(only.metadata["endpoint_addr_weight"], "2.0");
}

#[test]
fn messages_without_a_meaning_name_the_field() {
    // Control plane 4.7.
    let empty = v1::Path {
        elems: vec![vec![].into()],
    };
    assert_eq!(Path::try_from(&empty), Err(BadMessage::EmptyLabel("path")));
    let none = v1::dtab::Dentry::default();
    assert_eq!(
        Dentry::try_from(&none),
        Err(BadMessage::Missing("dentry prefix"))
    );
    let prefix = Some(v1::dtab::dentry::Prefix::default());
    let half = v1::dtab::Dentry { prefix, dst: None };
    assert_eq!(
        Dentry::try_from(&half),
        Err(BadMessage::Missing("dentry dst"))
    );
    let unknown = v1::PathNameTree { node: None };
    assert_eq!(
        NameTree::try_from(&unknown),
        Err(BadMessage::Missing("tree node"))
    );
    let endpoint = |family, address: &[u8], port| v1::Endpoint {
        inet_af: Some(family),
        address: Some(address.to_vec().into()),
        port: Some(port),
        ..v1::Endpoint::default()
    };
    let table = [
        (endpoint(0, &[1, 2, 3], 1), BadMessage::Address(3)),
        (endpoint(1, &[1, 2, 3, 4], 1), BadMessage::Address(4)),
        (endpoint(2, &[1, 2, 3, 4], 1), BadMessage::Family(2)),
        (endpoint(0, &[1, 2, 3, 4], -1), BadMessage::Port(-1)),
        (endpoint(0, &[1, 2, 3, 4], 65_536), BadMessage::Port(65_536)),
    ];
    for (message, error) in table {
        assert_eq!(Endpoint::try_from(&message), Err(error));
    }
}
