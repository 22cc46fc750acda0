//! Zone hints and traffic policies (6.4), networks of nodes (4.1).

use super::*;
use crate::store::Reads;

fn narrowing(zone_hints: bool, traffic_policy: bool) -> World {
    let policy = Policy {
        zone_hints,
        traffic_policy,
        ..Policy::default()
    };
    let mut world = World {
        services: Services::new(policy),
        ..World::unsynced()
    };
    for kind in Kind::ALL {
        world.services.replace(kind, Vec::new(), false);
    }
    for (node, zone) in [("n1", "a"), ("n2", "b"), ("n3", "c"), ("n4", "a")] {
        world.node(node, zone);
    }
    world
}

/// `10.0.0.1@n1#a+b%n2`: an endpoint with hints for zones and nodes.
fn hinted(text: &str) -> SliceEndpoint {
    let (rest, nodes) = text.split_once('%').unwrap_or((text, ""));
    let (rest, zones) = rest.split_once('#').unwrap_or((rest, ""));
    let names = |names: &str| {
        let names = names.split('+').filter(|n| !n.is_empty());
        names.map(Into::into).collect::<Box<[_]>>()
    };
    let (zones, nodes) = (names(zones), names(nodes));
    let is_hinted = !(zones.is_empty() && nodes.is_empty());
    SliceEndpoint {
        hints: is_hinted.then(|| Arc::new(Hints { zones, nodes })),
        ..endpoint(rest)
    }
}

impl World {
    fn hinted(&mut self, endpoints: &str) {
        let slice = Slice {
            endpoints: endpoints.split_whitespace().map(hinted).collect(),
            ..slice("world", "http:80", "")
        };
        self.apply(Kind::Slices, "w-1", slice);
        self.pass(50);
    }

    fn seen(&self, node: &str) -> Arc<dyn Endpoints> {
        let node = Some(node.into());
        self.port("http", "world")
            .seen_from(node.as_ref(), &mut Reads::default())
    }

    fn seen_by(&self, node: &str) -> String {
        show(&self.seen(node).whole())
    }
}

const ALL: &str = "[10.0.0.1:80 10.0.0.2:80 10.0.0.3:80]";

#[test]
fn k8s_99_zone_hints_count_if_every_usable_endpoint_has_them() {
    let mut world = narrowing(true, false);
    world.hinted("10.0.0.1#a 10.0.0.2#b 10.0.0.3#a+b");
    assert_eq!(world.seen_by("n1"), "[10.0.0.1:80 10.0.0.3:80]");
    assert_eq!(world.seen_by("n2"), "[10.0.0.2:80 10.0.0.3:80]");
    assert_eq!(world.seen_by("n3"), ALL, "none is for this zone");
    assert_eq!(world.seen_by("n9"), ALL, "its zone is not known");
    let nobody = world
        .port("http", "world")
        .seen_from(None, &mut Reads::default());
    assert_eq!(show(&nobody.whole()), ALL);

    // One that cannot be used has no say; one that can be has.
    world.hinted("10.0.0.1#a 10.0.0.2! 10.0.0.3#b");
    assert_eq!(world.seen_by("n1"), "[10.0.0.1:80]");
    world.hinted("10.0.0.1#a 10.0.0.2 10.0.0.3#b");
    assert_eq!(world.seen_by("n1"), ALL);

    let mut off = narrowing(false, false);
    off.hinted("10.0.0.1#a 10.0.0.2#b 10.0.0.3#b");
    assert_eq!(off.seen_by("n1"), ALL);
}

#[test]
fn k8s_99_node_hints_are_tried_first() {
    let mut world = narrowing(true, false);
    world.hinted("10.0.0.1#a%n1 10.0.0.2#a%n4 10.0.0.3#b%n2");
    assert_eq!(world.seen_by("n1"), "[10.0.0.1:80]");
    assert_eq!(world.seen_by("n2"), "[10.0.0.3:80]");
    world.hinted("10.0.0.1#a%n1 10.0.0.2#a%n2 10.0.0.3#b%n2");
    assert_eq!(world.seen_by("n4"), "[10.0.0.1:80 10.0.0.2:80]");
    assert_eq!(world.seen_by("n3"), ALL);
}

#[test]
fn k8s_100_a_local_policy_keeps_what_is_on_the_callers_node() {
    let mut world = narrowing(true, true);
    world.hinted("10.0.0.1@n1#b 10.0.0.2@n2#b 10.0.0.3@n2~#b");
    assert_eq!(world.seen_by("n1"), "[10.0.0.1:80 10.0.0.2:80]");
    let local = Service {
        local: true,
        ..service("http:80:80")
    };
    world.apply(Kind::Services, "world", local.clone());
    assert_eq!(world.seen_by("n1"), "[10.0.0.1:80]");
    assert_eq!(world.seen_by("n3"), "neg");
    world.hinted("10.0.0.1@n1 10.0.0.3@n2~");
    assert_eq!(world.seen_by("n2"), "[10.0.0.3:80]", "judged on the node");

    let mut off = narrowing(true, false);
    off.apply(Kind::Services, "world", local);
    off.hinted("10.0.0.1@n1 10.0.0.2@n2 10.0.0.3");
    assert_eq!(off.seen_by("n1"), ALL);
}

#[test]
fn k8s_101_and_k8s_149_callers_of_one_zone_share_one_cell() {
    let mut world = narrowing(true, true);
    world.hinted("10.0.0.1#a 10.0.0.2#b");
    let (one, two, far) = (world.seen("n1"), world.seen("n4"), world.seen("n2"));
    assert!(Arc::ptr_eq(&one.whole(), &two.whole()));
    assert_eq!(one.audience(), two.audience());
    assert_ne!(one.audience(), far.audience());
    // Held cells are fed, and what is not hinted for is nobody's.
    let (near, all) = (one.whole(), world.port("http", "world").whole());
    world.hinted("10.0.0.1#a 10.0.0.2#b 10.0.0.3#a");
    assert_eq!(show(&near), "[10.0.0.1:80 10.0.0.3:80]");
    world.hinted("10.0.0.1 10.0.0.2 10.0.0.3");
    assert_eq!((show(&near), show(&all)), (ALL.to_owned(), ALL.to_owned()));
    assert!(Arc::ptr_eq(&world.seen("n1").whole(), &all));
}

#[test]
fn k8s_64_one_node_and_each_node_are_never_narrowed() {
    let mut world = narrowing(true, true);
    world.hinted("10.0.0.1@n1#b 10.0.0.2@n2#a 10.0.0.3@n1#b");
    let seen = world.seen("n1");
    let here = seen.on_node("n1").expect("an index by node");
    assert_eq!(show(&here), "[10.0.0.1:80 10.0.0.3:80]");
    assert_eq!(show(&seen.each_node()), ALL);
    assert_eq!(show(&seen.whole()), "[10.0.0.2:80]");
}

#[test]
fn k8s_55_networks_of_nodes_are_followed_where_configured() {
    let mut world = World::new();
    assert!(world.services.pod_cidrs().is_none());
    let policy = Policy {
        pod_cidrs: true,
        ..Policy::default()
    };
    world.services = Services::new(policy);
    let cidrs = world.services.pod_cidrs().expect("configured");
    let node = |ip: &str| cidrs.value().node_of(ip.parse().expect("ip")).cloned();
    let with = |cidr: &str| Node {
        zone: None,
        pod_cidrs: [cidr.parse().expect("a network")].into(),
    };
    world.apply(Kind::Nodes, "n1", with("10.1.0.0/24"));
    world.apply(Kind::Nodes, "n2", with("10.2.0.0/24"));
    assert_eq!(node("10.1.0.9").as_deref(), Some("n1"));
    let version = cidrs.get().0;
    world.node("n3", "a");
    assert_eq!(cidrs.get().0, version, "nothing that counts has changed");
    world.delete(Kind::Nodes, "n1");
    assert_eq!(
        (node("10.1.0.9"), node("10.2.0.9").as_deref()),
        (None, Some("n2"))
    );
}
