//! Encodings: one a version, whoever follows.

use super::*;

/// K8S-145, K8S-148: an event costs the same work for one follower and for two hundred.
#[test]
fn res_4_followers_in_step_cost_one_encoding_a_version() {
    for followers in [1, 200] {
        let world = World::new(&["web"]);
        world.set("web", many(50));
        let mut streams: Vec<_> = (0..followers).map(|_| world.connect()).collect();
        for stream in &mut streams {
            stream.want(1, "/svc/web");
            stream.read_all();
        }
        let encodings = &world.hub.metrics().encodings;
        assert_eq!(encodings.get(), 2, "the tree and the set");
        for n in 1..=5 {
            world.set("web", many(50 + n));
            for stream in &mut streams {
                assert_eq!(stream.read_all(), ["delta"]);
            }
            assert_eq!(encodings.get(), 2 + u64::from(n), "{followers} followers");
        }
    }
}

#[test]
fn k8s_151_bytes_of_a_change_grow_with_followers_and_not_with_the_set() {
    // `hosts` gateways; one of them weighs more as a pod is added behind it.
    let gateways = |hosts: u32, pods: u32| {
        set_of((0..hosts).map(|i| Endpoint {
            weight: EndpointWeight(65_536 * if i == 7 { pods } else { 1 }),
            ..Endpoint::new((std::net::Ipv4Addr::from(0x0a00_0000 + i), 4141).into())
        }))
    };
    let bytes_to_each = |hosts: u32, followers: usize| {
        let world = World::new(&["web"]);
        world.set("web", gateways(hosts, 2));
        let mut streams: Vec<_> = (0..followers).map(|_| world.connect()).collect();
        for stream in &mut streams {
            stream.want(1, "/svc/web");
            stream.read_all();
        }
        world.set("web", gateways(hosts, 3));
        let told = |stream: &mut Stream<'_>| {
            let before = stream.node.bytes;
            assert_eq!(stream.read_all(), ["delta"]);
            stream.node.bytes - before
        };
        let bytes: Vec<usize> = streams.iter_mut().map(told).collect();
        assert_eq!(bytes.iter().sum::<usize>(), followers * bytes[0]);
        bytes[0]
    };
    let few = bytes_to_each(10, 1);
    assert_eq!(bytes_to_each(10, 50), few);
    assert_eq!(bytes_to_each(5_000, 50), few);
}

#[test]
fn res_4_what_nodes_do_not_see_costs_no_encoding_and_no_byte() {
    let world = World::new(&["web"]);
    let zoned = |zone: &str| {
        set_of([Endpoint {
            zone: Some(zone.into()),
            ..Endpoint::new("10.0.0.1:80".parse().unwrap())
        }])
    };
    world.set("web", zoned("x"));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    let before = world.hub.metrics().encodings.get();
    world.set("web", zoned("y"));
    assert!(stream.read_all().is_empty());
    assert_eq!(world.hub.metrics().encodings.get(), before);
}

#[test]
fn res_4_laggards_share_composed_deltas() {
    let world = World::new(&["web"]);
    world.set("web", many(100));
    let mut streams: Vec<_> = (0..20).map(|_| world.connect()).collect();
    for stream in &mut streams {
        stream.want(1, "/svc/web");
        stream.read_all();
    }
    let (leader, laggards) = streams.split_first_mut().unwrap();
    for n in 1..=4 {
        world.set("web", many(100 + n));
        leader.read_all();
    }
    let before = world.hub.metrics().encodings.get();
    for laggard in laggards {
        assert_eq!(laggard.read_all(), ["delta"]);
        assert_eq!(laggard.node.endpoints("/#/shelf/web").len(), 104);
    }
    assert_eq!(world.hub.metrics().encodings.get(), before + 1);
}

#[test]
fn a_change_there_and_back_is_not_told() {
    let world = World::new(&["web"]);
    world.set("web", many(10));
    let mut leader = world.connect();
    let mut laggard = world.connect();
    for stream in [&mut leader, &mut laggard] {
        stream.want(1, "/svc/web");
        stream.read_all();
    }
    world.set("web", many(11));
    leader.read_all();
    world.set("web", many(10));
    assert_eq!(leader.read_all(), ["delta"]);
    assert!(laggard.read_all().is_empty());
    world.set("web", many(12));
    assert_eq!(laggard.read_all(), ["delta"]);
}

#[test]
fn equal_addresses_are_one_endpoint_with_the_sum_of_their_weights() {
    // Resolver API 1.
    let world = World::new(&["web"]);
    let addr = "10.0.0.1:80";
    world.set("web", bound(&[(addr, 1.0), (addr, 2.0)]));
    let mut stream = world.connect();
    stream.want(1, "/svc/web");
    stream.read_all();
    world.set("web", bound(&[(addr, 1.0), (addr, 2.0), (addr, 4.0)]));
    assert_eq!(stream.read_all(), ["delta"]);
    let cluster = stream.node.clusters.values().next().unwrap();
    let Replicas::Bound(set) = &cluster.told else {
        panic!("bound");
    };
    assert_eq!(set.endpoints()[0].weight, EndpointWeight::from_f64(7.0));
}
