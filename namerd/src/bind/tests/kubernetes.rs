//! The Kubernetes namers: Kubernetes 2.1, 2.2, 2.5.

use tokio::time::Instant;

use super::*;
use crate::bind::namers::K8sNamer;
use crate::store::services::{
    Content, Family, Hints, Kind, Meta, Node, Object, ObjectName, Policy, Port, Service, Services,
    Slice, SliceEndpoint, SlicePort,
};

fn object(kind: Kind, name: &str, rv: u64, content: Content) -> Object {
    let namespace = if kind == Kind::Nodes { "" } else { "default" };
    Object {
        meta: Meta {
            kind,
            name: ObjectName::new(namespace, name),
            uid: "u".into(),
            rv,
        },
        content: Some(content),
    }
}

/// A service of one port `http` with number 80 and target 8080, with the label `version`.
fn service(name: &str, rv: u64, version: &str) -> Object {
    let port = Port {
        name: "http".into(),
        number: 80,
        target: Some(8080),
    };
    let service = Service {
        ports: [port].into(),
        labels: [("version".into(), version.into())].into(),
        ..Service::default()
    };
    object(
        Kind::Services,
        name,
        rv,
        Content::Service(Arc::new(service)),
    )
}

fn slice(name: &str, rv: u64, ips: &[&str]) -> Object {
    let endpoints = ips.iter().map(|text| SliceEndpoint {
        ip: ip(text),
        node: Some("a".into()),
        zone: None,
        ready: true,
        serving: true,
        terminating: false,
        hints: None,
    });
    let slice = Slice {
        service: Some(name.into()),
        family: Some(Family::V4),
        ports: [SlicePort {
            name: "http".into(),
            number: Some(8080),
        }]
        .into(),
        endpoints: endpoints.collect(),
        labels: Box::default(),
    };
    object(Kind::Slices, name, rv, Content::Slice(Arc::new(slice)))
}

fn cluster() -> (World, Services) {
    cluster_with(Policy::default())
}

fn cluster_with(policy: Policy) -> (World, Services) {
    let services = Services::new(policy);
    let model = services.clone();
    let world = World::with(&[], |parts| {
        let engine = &parts.engine;
        let new = |prefix: &str, label| {
            K8sNamer::new(&path(prefix), label, model.clone(), engine.clone())
        };
        let own = K8sNamer::in_namespace(
            &path("/io.l5d.k8s.ns"),
            "default",
            None,
            model.clone(),
            engine.clone(),
        );
        vec![
            Arc::new(new("/io.l5d.k8s", None)),
            Arc::new(new("/labelled", Some("version"))),
            Arc::new(own),
        ]
    });
    (world, services)
}

fn sync(world: &World, services: &Services) {
    services.replace(Kind::Services, vec![service("world", 2, "V1")], false);
    services.replace(Kind::Slices, vec![slice("world", 1, &["10.1.1.1"])], false);
    services.replace(Kind::Nodes, Vec::new(), false);
    world.engine.settle();
}

/// K8S-10, K8S-11, K8S-13: names are folded, the residual is not.
#[test]
fn k8s_10_names_are_folded_and_the_residual_is_kept() {
    let (world, services) = cluster();
    sync(&world, &services);
    for (asked, result) in [
        ("default/http/world", "/#/io.l5d.k8s/default/http/world"),
        (
            "Default/HTTP/World/Users",
            "/#/io.l5d.k8s/default/http/world + /Users",
        ),
        ("default/80/world", "/#/io.l5d.k8s/default/80/world"),
        ("default/8080/world", "~"),
        ("default/nosuch/world", "~"),
        ("default/http/nosuch", "~"),
    ] {
        assert_eq!(
            world.told("", &format!("/#/io.l5d.k8s/{asked}")),
            result,
            "{asked}"
        );
    }
    let [one, two] = ["default/http/world", "DEFAULT/http/WORLD"].map(|p| {
        leaves(&world.bind("", &format!("/#/io.l5d.k8s/{p}")))[0]
            .cluster
            .number
    });
    assert_eq!(one, two, "two spellings share one cell");
    assert_eq!(
        endpoints(&world.bind("", "/#/io.l5d.k8s/default/http/world")),
        "[10.1.1.1:8080]"
    );
}

/// K8S-12: too few segments are negative, also while nothing is known yet.
#[test]
fn k8s_12_too_few_segments_are_negative_at_once() {
    let (world, _services) = cluster();
    for asked in [
        "/#/io.l5d.k8s",
        "/#/io.l5d.k8s/default/http",
        "/#/labelled/default/http/world",
        "/#/io.l5d.k8s.ns/http",
    ] {
        assert_eq!(world.told("", asked), "~", "{asked}");
    }
    assert_eq!(
        world.told("", "/#/io.l5d.k8s/default/http/world"),
        "pending"
    );
}

/// K8S-14: the namespace is the configured one and not in the id.
#[test]
fn k8s_14_a_fixed_namespace() {
    let (world, services) = cluster();
    sync(&world, &services);
    assert_eq!(
        world.told("", "/#/io.l5d.k8s.ns/HTTP/world/x"),
        "/#/io.l5d.k8s.ns/http/world + /x"
    );
}

/// K8S-29: live in both directions, without regard to case; the value is in the id.
#[test]
fn k8s_29_a_label_is_part_of_the_name() {
    let (world, services) = cluster();
    sync(&world, &services);
    let binding = world.bind("", "/#/labelled/default/http/world/V1/x");
    assert_eq!(show(&binding), "/#/labelled/default/http/world/v1 + /x");
    assert_eq!(world.told("", "/#/labelled/default/http/world/v2"), "~");
    services.apply(service("world", 3, "v2"), Instant::now());
    world.engine.settle();
    assert_eq!(show(&binding), "~");
    assert_eq!(
        world.told("", "/#/labelled/default/http/world/v2"),
        "/#/labelled/default/http/world/v2"
    );
    services.apply(service("world", 4, "v1"), Instant::now());
    world.engine.settle();
    assert_eq!(show(&binding), "/#/labelled/default/http/world/v1 + /x");
}

/// K8S-1 and K8S-4: pending until known, then scaling changes addresses alone.
#[test]
fn k8s_1_scaling_evaluates_nothing() {
    let (world, services) = cluster();
    let binding = world.bind("/svc => /#/io.l5d.k8s/default/http", "/svc/world");
    assert_eq!(show(&binding), "pending");
    sync(&world, &services);
    assert_eq!(show(&binding), "/#/io.l5d.k8s/default/http/world");
    let evaluations = world.binder.evaluations();
    for rv in 10..20 {
        let last = format!("10.1.1.{rv}");
        services.apply(slice("world", rv, &["10.1.1.1", &last]), Instant::now());
        services.apply(slice("other", 100 + rv, &[&last]), Instant::now());
        world.engine.settle();
    }
    assert_eq!(world.binder.evaluations(), evaluations);
    assert!(endpoints(&binding).contains("10.1.1.19:8080"));
}

/// K8S-101, K8S-149: callers of one zone get one cluster with one number, those of another zone another, live.
#[test]
fn k8s_149_callers_of_one_zone_share_a_cluster() {
    let (world, services) = cluster_with(Policy {
        zone_hints: true,
        ..Policy::default()
    });
    sync(&world, &services);
    let rv = std::cell::Cell::new(100);
    let put = |kind, name, content| {
        rv.set(rv.get() + 1);
        services.apply(object(kind, name, rv.get(), content), Instant::now());
        world.engine.settle();
    };
    let node = |name, zone: &str| {
        let node = Node {
            zone: Some(zone.into()),
            ..Node::default()
        };
        put(Kind::Nodes, name, Content::Node(Arc::new(node)));
    };
    let hinted = |zones: &[Option<&str>]| {
        let ips = ["10.1.1.1", "10.1.1.2"];
        let Some(Content::Slice(slice)) = slice("world", 0, &ips).content else {
            panic!("a slice")
        };
        let mut slice = Arc::unwrap_or_clone(slice);
        for (endpoint, zone) in slice.endpoints.iter_mut().zip(zones) {
            let zones = |zone: &str| Hints {
                zones: [zone.into()].into(),
                nodes: Box::default(),
            };
            endpoint.hints = zone.map(zones).map(Arc::new);
        }
        put(Kind::Slices, "world", Content::Slice(Arc::new(slice)));
    };
    node("n1", "a");
    node("n2", "b");
    node("n3", "a");
    hinted(&[Some("a"), Some("b")]);
    let bindings = ["n1", "n2", "n3"].map(|node| {
        let caller = Caller {
            node: Some(node.into()),
            ..Caller::default()
        };
        let key = local("", "/#/io.l5d.k8s/default/http/world");
        world.binder.bind(&key, &caller).unwrap()
    });
    let shown = || bindings.each_ref().map(|b| endpoints(b));
    let numbers = || bindings.each_ref().map(|b| leaves(b)[0].cluster.number);
    assert_eq!(
        shown(),
        ["[10.1.1.1:8080]", "[10.1.1.2:8080]", "[10.1.1.1:8080]"]
    );
    let [one, two, three] = numbers();
    assert!(one == three && one != two);
    // A node that changes its zone, and hints that go.
    node("n3", "b");
    assert_eq!(numbers(), [one, two, two]);
    hinted(&[Some("a"), None]);
    let all = "[10.1.1.1:8080, 10.1.1.2:8080]";
    assert_eq!(shown(), [all, all, all]);
}

#[test]
fn names_of_services_are_listed() {
    let (world, services) = cluster();
    let names = world.binder.names_cell();
    sync(&world, &services);
    let shown: Vec<_> = names.get().1.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "/#/io.l5d.k8s/default/http/world",
            "/#/io.l5d.k8s.ns/http/world"
        ]
    );
}
