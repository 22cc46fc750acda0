//! Endpoint weights and sets (resolver API 1).

use std::sync::Arc;

use l5d_naming::{Endpoint, EndpointSet, EndpointWeight};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_weight_reads_back_from_its_number(units in any::<u32>()) {
        let weight = EndpointWeight(units);
        prop_assert_eq!(EndpointWeight::from_f64(weight.to_f64()), weight);
    }

    /// RES-7: the order of the endpoints does not matter, whatever differs in them.
    #[test]
    fn res_7_a_set_does_not_depend_on_order(
        endpoints in proptest::collection::vec((0u8..3, 0u32..3, "[ab]"), 0..12),
        turn in 0usize..12,
    ) {
        let endpoint = |(ip, weight, node): &(u8, u32, String)| Endpoint {
            weight: EndpointWeight(*weight),
            node: Some(node.as_str().into()),
            ..Endpoint::new(([10, 0, 0, *ip], 80).into())
        };
        let turn = turn.min(endpoints.len());
        let mut turned = endpoints.clone();
        turned.rotate_left(turn);
        turned.reverse();
        let [a, b] = [endpoints, turned].map(|e| EndpointSet::new(e.iter().map(endpoint)));
        prop_assert!(a.endpoints().is_sorted());
        prop_assert_eq!(a.clone().merged(), b.clone().merged());
        prop_assert_eq!(a, b);
    }
}

#[test]
fn weights_are_turned_into_units() {
    let table = [
        (1.0, 65_536, 1.0),
        (0.1, 6_554, 0.1),
        (0.5, 32_768, 0.5),
        (9.0, 589_824, 9.0),
        (0.0, 0, 0.0),
        (1e-300, 1, 0.00002),
        (1e300, u32::MAX, 65_536.0),
        (f64::NAN, 0, 0.0),
        (-1.0, 0, 0.0),
    ];
    for (number, units, shown) in table {
        let weight = EndpointWeight::from_f64(number);
        assert_eq!((weight.0, weight.to_f64()), (units, shown), "{number}");
    }
}

#[test]
fn equal_addresses_merge_and_their_weights_add() {
    let addr = "10.0.0.1:80".parse().unwrap();
    let named = |node: &str, weight| Endpoint {
        weight: EndpointWeight(weight),
        node: Some(node.into()),
        ..Endpoint::new(addr)
    };
    let set = EndpointSet::new([
        named("b", 3),
        named("a", 2),
        named("a", 2),
        named("b", u32::MAX),
    ]);
    assert_eq!(set.len(), 3, "exact duplicates are one");
    let set = set.with_authority(Some("web".into())).with_at(7).merged();
    assert_eq!(set.endpoints(), [named("a", u32::MAX)]);
    assert_eq!((set.authority(), set.at()), (Some(&Arc::from("web")), 7));
}
