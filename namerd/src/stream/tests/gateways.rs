//! Which node stands at which gateway (RES-15): told once an address, before the clusters that have it.

use std::net::{IpAddr, Ipv4Addr};

use l5d_resolver::gateways::FEATURE;

use super::*;

/// `n` endpoints, each on a node of its own; the gateways among them are at 10.0.1.0 and on.
fn on_nodes(third: u8, port: u16, n: u32, node: impl Fn(u32) -> String) -> Replicas {
    set_of((0..n).map(|i| Endpoint {
        node: Some(node(i).into()),
        ..Endpoint::new((at(third, i), port).into())
    }))
}

fn at(third: u8, i: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + (u32::from(third) << 16) + i).into()
}

fn named(i: u32) -> String {
    format!("node-{i}")
}

/// A node that wants names, behind a daemonset transformer.
fn wishing(held: Option<u64>) -> v1::Hello {
    let mut router = router("default", "", &["io.l5d.k8s.daemonset"]);
    let transformer = &mut router.transformers[0];
    (transformer.namespace, transformer.port) = ("l5d".into(), "incoming".into());
    transformer.service = "proxy".into();
    v1::Hello {
        features: vec![FEATURE.to_owned()],
        gateways: Some(v1::GatewaysWish { held }),
        routers: vec![router],
        ..hello()
    }
}

fn world(nodes: u32) -> World {
    let world = World::new(&["web", "other", "proxy"]);
    world.set("proxy", on_nodes(1, 4141, nodes, named));
    world.set("web", on_nodes(2, 80, nodes, named));
    world.set("other", on_nodes(3, 80, nodes, named));
    world
}

#[test]
fn names_are_told_once_and_before_the_clusters() {
    let world = world(300);
    let mut stream = world.connect_with(wishing(None), Node::default());
    assert!(
        !stream.node.log.contains(&"gateways"),
        "nobody asks for gateways"
    );
    stream.want(1, "/svc/web");
    let told = stream.read_all();
    assert_eq!(told[..2], ["gateways", "cluster"], "{told:?}");
    for i in 0..300 {
        let name = stream.node.gateways.node(at(1, i)).map(|n| n.to_string());
        assert_eq!(name, Some(named(i)));
    }
    // Another cluster with the same gateways tells none.
    stream.want(2, "/svc/other");
    assert!(!stream.read_all().contains(&"gateways"));
    // A pod that moves tells none, and the delta is what it was.
    let before = stream.node.bytes;
    world.set("web", on_nodes(2, 80, 299, named));
    assert_eq!(stream.read_all(), ["delta"]);
    assert!(stream.node.bytes - before <= 64);
}

#[test]
fn res_4_a_gateway_that_comes_costs_one_encoding_and_its_own_size() {
    let world = world(5_000);
    let mut streams: Vec<_> = (0..20)
        .map(|_| world.connect_with(wishing(None), Node::default()))
        .collect();
    for stream in &mut streams {
        stream.want(1, "/svc/web");
        stream.read_all();
    }
    let encodings = &world.hub.metrics().encodings;
    let before = encodings.get();
    // A gateway that no endpoint needs: names alone.
    world.set("proxy", on_nodes(1, 4141, 5_001, named));
    for stream in &mut streams {
        let bytes = stream.node.bytes;
        assert_eq!(stream.read_all(), ["gateways"]);
        assert!(
            stream.node.bytes - bytes <= 64,
            "{}",
            stream.node.bytes - bytes
        );
        assert_eq!(stream.node.gateways.len(), 5_001);
    }
    assert_eq!(encodings.get(), before + 1);
    // An address that changes hands, and one that is gone.
    let moved = |i| {
        if i == 7 {
            "another".to_owned()
        } else {
            named(i)
        }
    };
    world.set("proxy", on_nodes(1, 4141, 5_000, moved));
    for stream in &mut streams {
        stream.read_all();
        let name = |i| stream.node.gateways.node(at(1, i)).map(|n| n.to_string());
        assert_eq!((name(7), name(5_000)), (Some("another".to_owned()), None));
    }
}

#[test]
fn res_11_names_that_are_held_are_not_told_again() {
    let world = world(50);
    let mut stream = world.connect_with(wishing(None), Node::default());
    stream.want(1, "/svc/web");
    stream.read_all();
    let held = stream.node.gateways.clone();
    drop(stream);
    let holding = Node::holding(held.clone());
    let mut again = world.connect_with(wishing(Some(held.hash())), holding);
    again.want(1, "/svc/web");
    again.read_all();
    let told = again.node.log.iter().filter(|kind| **kind == "gateways");
    assert_eq!(told.count(), 1, "they are confirmed");
    let cluster = 50 * 6 + 300;
    assert!(
        again.node.bytes < cluster,
        "and not told again: {}",
        again.node.bytes
    );
    assert_eq!(again.node.gateways, held);
    // Who holds something else gets all.
    let mut other = world.connect_with(wishing(Some(1)), Node::default());
    other.want(1, "/svc/web");
    other.read_all();
    assert_eq!(other.node.gateways, held);
}

#[test]
fn res_15_who_does_not_list_the_feature_or_does_not_wish_is_told_nothing() {
    let world = world(5);
    let unlisted = v1::Hello {
        features: Vec::new(),
        ..wishing(None)
    };
    let unwished = v1::Hello {
        gateways: None,
        ..wishing(None)
    };
    for hello in [unlisted, unwished] {
        let mut stream = world.connect_with(hello, Node::default());
        stream.want(1, "/svc/web");
        assert!(!stream.read_all().contains(&"gateways"));
        assert!(!stream.node.clusters.is_empty());
    }
}
