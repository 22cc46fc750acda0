//! Which answer when (2.4 to 2.6), merging (6.2), conditions (6.3), families (4.4).

use super::*;

#[test]
fn k8s_4_pending_until_the_kinds_it_needs_are_known_and_never_again() {
    let world = World::unsynced();
    assert_eq!(world.answer("http", "world"), "pending");
    world.services.replace(Kind::Slices, Vec::new(), false);
    assert_eq!(world.answer("http", "world"), "neg");
    assert_eq!(world.answer("80", "world"), "pending");
    world.services.replace(Kind::Services, Vec::new(), false);
    assert_eq!(world.answer("80", "world"), "neg");
    assert!(!world.services.ready().value());
    world
        .services
        .note(Kind::Nodes, None, |s| s.state = WatchState::Forbidden);
    assert!(world.services.ready().value(), "K8S-83, K8S-129");
}

#[test]
fn k8s_1_and_k8s_2_existence_stays_and_held_cells_are_fed_again() {
    let mut world = World::new();
    world.slice("w-1", "world", "http:8080", "10.0.0.1 10.0.0.2");
    let port = world.port("http", "world");
    let (existence, whole) = (Arc::clone(&port.existence), port.whole());
    // The cells alone keep being fed.
    drop(port);
    let version = existence.get().0;
    world.slice("w-1", "world", "http:8080", "10.0.0.2");
    world.pass(50);
    assert_eq!(show(&whole), "[10.0.0.2:8080]");
    assert_eq!(existence.get().0, version);

    world.slice("w-1", "world", "", "");
    world.pass(50);
    assert_eq!(
        (show(&whole).as_str(), existence.value()),
        ("neg", Existence::Absent)
    );
    world.delete(Kind::Slices, "w-1");
    world.slice("w-2", "world", "http:8080", "10.0.0.9");
    assert_eq!(show(&whole), "[10.0.0.9:8080]");
    assert_eq!(existence.value(), Existence::Present);
    assert!(Arc::ptr_eq(&world.port("http", "world").whole(), &whole));
}

#[test]
fn k8s_13_only_decimal_digits_are_a_number() {
    assert_eq!(PortRef::parse("80"), PortRef::Number(80));
    assert_eq!(PortRef::parse("h2"), PortRef::Name("h2".into()));
    assert_eq!(PortRef::parse("70000"), PortRef::Number(0));
}

#[test]
fn k8s_21_and_k8s_22_a_port_name_gives_each_slice_its_own_number() {
    let mut world = World::new();
    world.slice("a", "world", "http:8080", "10.0.0.1");
    world.slice("b", "world", "http:9090 admin:9990", "10.0.0.2");
    assert_eq!(
        world.answer("http", "world"),
        "[10.0.0.1:8080 10.0.0.2:9090]"
    );
    assert_eq!(world.answer("admin", "world"), "[10.0.0.2:9990]");
    assert_eq!(world.answer("grpc", "world"), "neg");
}

#[test]
fn k8s_23_to_k8s_25_a_number_is_a_service_port() {
    let mut world = World::new();
    world.slice("a", "world", ":8080", "10.0.0.1");
    assert_eq!(world.answer("80", "world"), "neg", "no Service");
    world.service("world", ":80:8080");
    assert_eq!(world.answer("80", "world"), "[10.0.0.1:8080]");
    assert_eq!(world.answer("8080", "world"), "neg", "never a target port");
    world.slice("a", "world", "", "");
    world.pass(50);
    assert_eq!(
        world.answer("80", "world"),
        "[]",
        "scaled to zero, numeric target"
    );
    world.service("world", ":80:web");
    assert_eq!(
        world.answer("80", "world"),
        "neg",
        "scaled to zero, named target"
    );
}

#[test]
fn k8s_27_and_k8s_28_null_ports() {
    let mut world = World::new();
    world.slice("a", "world", "any:*", "10.0.0.1");
    world.service("world", "any:80:8080");
    assert_eq!(world.answer("any", "world"), "neg");
    assert_eq!(world.answer("80", "world"), "[10.0.0.1:8080]");
    world.service("world", "any:80:named");
    assert_eq!(world.answer("80", "world"), "[10.0.0.1:80]");
    world.slice("a", "world", "", "10.0.0.1");
    assert_eq!(world.answer("any", "world"), "neg");
}

#[test]
fn k8s_29_a_label_edit_counts_at_once_in_both_directions() {
    let label = |value: &str| -> Labels { Box::new([("version".into(), value.into())]) };
    let mut world = World::new();
    let mut of_slice = slice("world", "http:80", "10.0.0.1");
    of_slice.labels = label("V1");
    world.apply(Kind::Slices, "a", of_slice);
    let services = world.services.clone();
    let name = || PortRef::parse("http");
    let v1 = services.port("default", name(), "world", Some(("version", "v1")));
    assert_eq!(
        show(&v1.whole()),
        "[10.0.0.1:80]",
        "from the slice, case ignored"
    );
    let mut edited = service("http:80:80");
    edited.labels = label("v2");
    world.apply(Kind::Services, "world", edited);
    assert_eq!(v1.existence.value(), Existence::Absent);
    let v2 = services.port("default", name(), "world", Some(("version", "v2")));
    assert_eq!(v2.existence.value(), Existence::Present);
    let mut back = service("http:80:80");
    back.labels = label("v1");
    world.apply(Kind::Services, "world", back);
    assert_eq!(v1.existence.value(), Existence::Present);
    assert_eq!(v2.existence.value(), Existence::Absent);
}

#[test]
fn k8s_2_6_external_name_has_no_endpoints() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1");
    let external = Service {
        external_name: true,
        ..service("http:80:80")
    };
    world.apply(Kind::Services, "world", external);
    assert_eq!(world.answer("http", "world"), "neg");
    assert_eq!(world.answer("80", "world"), "neg");
    world.service("world", "http:80:80");
    assert_eq!(world.answer("80", "world"), "[10.0.0.1:80]", "F34");
}

#[test]
fn k8s_2_6_a_deleted_service_lives_by_name_until_its_slices_go() {
    let mut world = World::new();
    world.slice("a", "world", "http:8080", "10.0.0.1");
    world.service("world", "http:80:8080");
    world.delete(Kind::Services, "world");
    assert_eq!(world.answer("http", "world"), "[10.0.0.1:8080]");
    assert_eq!(world.answer("80", "world"), "neg");
    world.delete(Kind::Slices, "a");
    world.pass(50);
    assert_eq!(world.answer("http", "world"), "neg");
}

#[test]
fn k8s_30_and_k8s_94_usable_over_the_service() {
    let mut world = World::new();
    world.slice(
        "a",
        "world",
        "http:80",
        "10.0.0.1 10.0.0.2! 10.0.0.3~ 10.0.0.4x",
    );
    assert_eq!(world.answer("http", "world"), "[10.0.0.1:80]");
    world.slice(
        "a",
        "world",
        "http:80",
        "10.0.0.1! 10.0.0.2! 10.0.0.3~ 10.0.0.4x",
    );
    assert_eq!(world.answer("http", "world"), "[10.0.0.3:80]");
    world.slice("a", "world", "http:80", "10.0.0.1! 10.0.0.3x");
    world.pass(50);
    assert_eq!(world.answer("http", "world"), "[]");
}

#[test]
fn k8s_96_ready_only_where_configured() {
    let policy = Policy {
        terminating_fallback: false,
        ..Policy::default()
    };
    let mut world = World {
        services: Services::new(policy),
        ..World::unsynced()
    };
    world.services.replace(Kind::Slices, Vec::new(), false);
    world.slice("a", "world", "http:80", "10.0.0.3~");
    assert_eq!(world.answer("http", "world"), "[]");
}

#[test]
fn k8s_95_each_scope_judges_for_itself() {
    let mut world = World::new();
    world.slice(
        "a",
        "world",
        "http:80",
        "10.0.1.1@n1 10.0.1.2@n1~ 10.0.2.1@n2~ 10.0.3.1@n3!",
    );
    let port = world.port("http", "world");
    assert_eq!(show(&port.whole()), "[10.0.1.1:80]");
    assert_eq!(
        show(&port.each_node()),
        "[10.0.1.1:80 10.0.2.1:80]",
        "K8S-57"
    );
    let on = |node| show(&port.on_node(node).expect("has an index"));
    assert_eq!(on("n1"), "[10.0.1.1:80]");
    assert_eq!(on("n2"), "[10.0.2.1:80]", "K8S-63");
    assert_eq!(on("n3"), "[]");
    assert_eq!(on("n4"), "[]");
}

#[test]
fn k8s_143_a_change_on_another_node_does_not_touch_this_nodes_cell() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.1.1@n1 10.0.2.1@n2");
    let port = world.port("http", "world");
    let (n1, n2) = (
        port.on_node("n1").expect("cell"),
        port.on_node("n2").expect("cell"),
    );
    let before = n1.get().0;
    world.slice("a", "world", "http:80", "10.0.1.1@n1 10.0.2.2@n2");
    world.pass(50);
    assert_eq!(n1.get().0, before);
    assert_eq!(show(&n2), "[10.0.2.2:80]");
}

#[test]
fn k8s_84_a_slice_belongs_to_the_service_of_its_label() {
    let mut world = World::new();
    world.slice("world-v2-abc", "world-v2", "http:80", "10.0.0.1");
    assert_eq!(world.answer("http", "world"), "neg");
    world.slice("world-v2-abc", "world", "http:80", "10.0.0.1");
    assert_eq!(world.answer("http", "world"), "[10.0.0.1:80]");
    world.pass(50);
    assert_eq!(world.answer("http", "world-v2"), "neg");
    let unowned = Slice {
        service: None,
        ..slice("world", "http:80", "10.0.0.1")
    };
    world.apply(Kind::Slices, "world-v2-abc", unowned);
    world.pass(50);
    assert_eq!(world.answer("http", "world"), "neg");
}

#[test]
fn k8s_86_and_k8s_32_of_two_copies_the_better_one_counts_once() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1@n1");
    world.slice("b", "world", "http:80", "10.0.0.1!");
    assert_eq!(
        world.answer("http", "world"),
        "[10.0.0.1:80]",
        "usable beats newer"
    );
    world.slice("b", "world", "http:80", "10.0.0.1");
    let Replicas::Bound(set) = world.port("http", "world").whole().value() else {
        panic!("bound");
    };
    assert_eq!(
        set.endpoints()[0].node.as_deref(),
        Some("n1"),
        "a node name beats newer"
    );
    world.slice("b", "world", "http:80", "10.0.0.1@n2");
    let Replicas::Bound(set) = world.port("http", "world").whole().value() else {
        panic!("bound");
    };
    assert_eq!(
        (set.len(), set.endpoints()[0].node.as_deref()),
        (1, Some("n2")),
        "K8S-31"
    );
}

#[test]
fn k8s_87_f18_one_of_two_slices_with_the_same_endpoint_goes() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1");
    world.slice("b", "world", "http:80", "10.0.0.1");
    let cell = world.port("http", "world").whole();
    let version = cell.get().0;
    world.delete(Kind::Slices, "a");
    world.pass(200);
    assert_eq!(cell.get().0, version);
}

#[test]
fn k8s_90_slices_without_usable_addresses_do_not_count() {
    let mut world = World::new();
    let fqdn = Slice {
        family: None,
        ..slice("world", "http:80", "10.0.0.1")
    };
    world.apply(Kind::Slices, "a", fqdn);
    assert_eq!(world.answer("http", "world"), "neg");
}

#[test]
fn k8s_65_and_k8s_66_one_family_only() {
    let mut world = World::new();
    world.slice("six", "world", "http:80", "fd00::1");
    assert_eq!(world.answer("http", "world"), "[[fd00::1]:80]");
    world.slice("four", "world", "http:80", "10.0.0.1");
    assert_eq!(
        world.answer("http", "world"),
        "[10.0.0.1:80]",
        "no Service: IPv4 first"
    );
    let six = Service {
        family: Some(Family::V6),
        ..service("http:80:80")
    };
    world.apply(Kind::Services, "world", six);
    assert_eq!(world.answer("http", "world"), "[[fd00::1]:80]");
}

#[test]
fn k8s_119_older_versions_are_dropped_other_incarnations_are_not() {
    let world = World::new();
    let put = |uid: &str, rv, ip: &str| {
        let meta = Meta {
            uid: uid.into(),
            ..meta(Kind::Slices, "a", rv)
        };
        let content = Some(slice("world", "http:80", ip).into());
        world.services.apply(Object { meta, content }, world.now);
        world.services.release(world.now + Duration::from_secs(1));
        world.answer("http", "world")
    };
    assert_eq!(put("u1", 10, "10.0.0.1"), "[10.0.0.1:80]");
    assert_eq!(put("u1", 9, "10.0.0.2"), "[10.0.0.1:80]");
    assert_eq!(put("u2", 5, "10.0.0.3"), "[10.0.0.3:80]", "F19");
    let late = meta(Kind::Slices, "a", 11);
    world.services.delete(&late, world.now);
    assert_eq!(
        world.answer("http", "world"),
        "[10.0.0.3:80]",
        "the old one's deletion"
    );
}

#[test]
fn k8s_125_an_unreadable_version_leaves_the_last_good_one_and_can_be_deleted() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1");
    let unreadable = || Object {
        meta: meta(Kind::Slices, "a", 200),
        content: None,
    };
    world.services.apply(unreadable(), world.now);
    assert_eq!(world.answer("http", "world"), "[10.0.0.1:80]");
    world
        .services
        .replace(Kind::Slices, vec![unreadable()], false);
    assert_eq!(world.answer("http", "world"), "[10.0.0.1:80]");
    assert_eq!(world.services.status(Kind::Slices).stale_objects, 1);
    world
        .services
        .delete(&meta(Kind::Slices, "a", 201), world.now);
    world.pass(50);
    assert_eq!(world.answer("http", "world"), "neg");
}

#[test]
fn k8s_111_and_k8s_112_a_list_replaces_everything_as_one_change() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1");
    world.slice("gone", "world", "http:80", "10.0.0.2");
    let cell = world.port("http", "world").whole();
    let before = cell.get().0;
    let listed = |name, rv, ip| Object {
        meta: meta(Kind::Slices, name, rv),
        content: Some(slice("world", "http:80", ip).into()),
    };
    let list = vec![listed("a", 300, "10.0.0.1"), listed("new", 300, "10.0.0.3")];
    world.services.replace(Kind::Slices, list, false);
    assert_eq!(show(&cell), "[10.0.0.1:80 10.0.0.3:80]");
    assert_eq!(cell.get().0.0, before.0 + 1);
    // K8S-118: an accepted journey back in time.
    let old = vec![listed("a", 3, "10.0.0.4")];
    world.services.replace(Kind::Slices, old, true);
    assert_eq!(show(&cell), "[10.0.0.4:80]");
    assert_eq!(world.services.newest(Kind::Slices).value(), 3);
}

#[test]
fn k8s_130_a_set_tells_the_newest_slice_event_it_shows() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1");
    world.slice("b", "world", "http:80", "10.0.0.2");
    let Replicas::Bound(set) = world.port("http", "world").whole().value() else {
        panic!("bound");
    };
    assert_eq!(set.at(), 102);
    assert_eq!(world.services.newest(Kind::Slices).value(), 102);
}

#[test]
fn k8s_144_cells_lookups_and_strings_are_freed() {
    let mut world = World::new();
    for round in 0..20_000 {
        let name = format!("s{round}");
        world.slice(&name, &name, "http:80", &format!("10.0.0.1@node-{round}"));
        drop(world.port("http", &name).whole());
        world.delete(Kind::Slices, &name);
        world.pass(50);
    }
    let (entries, strings) = world.services.shared.state.lock().sizes();
    assert!(entries < 3_000, "{entries} services kept");
    assert!(strings < 6_000, "{strings} strings kept");
}

#[test]
fn names_lists_named_ports_and_numbers_of_unnamed_ones() {
    let mut world = World::new();
    let names = world.services.names();
    world.slice("a", "world", "http:8080 admin:9990", "10.0.0.1");
    world.slice("b", "plain", ":8080", "10.0.0.2");
    world.service("plain", ":80:8080");
    let shown: Vec<String> = names
        .value()
        .iter()
        .map(|n| format!("{}/{}/{}", n.namespace, n.port, n.service))
        .collect();
    assert_eq!(
        shown,
        [
            "default/admin/world",
            "default/http/world",
            "default/80/plain"
        ]
    );
}

#[test]
fn k8s_60_the_node_of_an_address_is_learned() {
    let mut world = World::new();
    let ip = "10.0.0.7".parse().expect("an address");
    let node = world.services.node_of(ip);
    assert_eq!(node.value(), None);
    world.slice("a", "l5d", "http:80", "10.0.0.7@n1");
    assert_eq!(node.value().as_deref(), Some("n1"));
    assert_eq!(world.services.node_of(ip).value().as_deref(), Some("n1"));
}

#[test]
fn a_nodes_zone_is_known() {
    let mut world = World::new();
    let zone = world.services.zone("n1");
    assert_eq!(zone.value(), None);
    world.node("n1", "eu-1a");
    assert_eq!(zone.value().as_deref(), Some("eu-1a"));
    assert_eq!(world.services.zone("n1").value(), zone.value());
    world.delete(Kind::Nodes, "n1");
    assert_eq!(zone.value(), None);
}

#[test]
fn k8s_143_a_nodes_answer_is_found_where_it_is_now() {
    let mut world = World::new();
    world.slice("a", "world", "http:80", "10.0.0.1@n1 10.0.0.2@n2 10.0.0.3");
    world.slice("b", "world", "http:81", "10.0.0.4@n1 10.0.0.1");
    let port = world.port("http", "world");
    let on = |node: &str| port.on_node(node).expect("an index by node");
    let one = on("n1");
    assert_eq!(
        show(&one),
        "[10.0.0.1:80 10.0.0.1:81 10.0.0.3:80 10.0.0.4:81]"
    );
    // What was found for one node does not outlive a change: n2 is looked up after it.
    world.slice("a", "world", "http:80", "10.0.0.0@n2 10.0.0.1@n2");
    world.pass(50);
    assert_eq!(show(&on("n2")), "[10.0.0.0:80 10.0.0.1:80 10.0.0.1:81]");
    world.delete(Kind::Slices, "a");
    assert_eq!(
        show(&on("n3")),
        "[10.0.0.1:81]",
        "held, but not on this node"
    );
    world.pass(50);
    assert_eq!(show(&on("n4")), "[10.0.0.1:81]");
    assert_eq!(show(&one), "[10.0.0.1:81 10.0.0.4:81]");
}
