//! `io.l5d.k8s.external`: Kubernetes 2.3.

use super::*;
use crate::bind::namers::K8sExternalNamer;
use crate::store::services::{
    Balancer, Content, Kind, Meta, Object, ObjectName, Policy, Port, Service, Services,
};

fn world() -> (World, Services) {
    let services = Services::new(Policy::default());
    let model = services.clone();
    let world = World::with(&[], |parts| {
        let new = |prefix: &str, label| {
            let (engine, hosts) = (parts.engine.clone(), parts.hosts.clone());
            Arc::new(K8sExternalNamer::new(
                &path(prefix),
                label,
                model.clone(),
                engine,
                hosts,
            )) as Arc<dyn Namer>
        };
        vec![
            new("/io.l5d.k8s.external", None),
            new("/labelled", Some("version")),
        ]
    });
    (world, services)
}

/// A service with the ports `http` (80, to a named target) and 443, behind these.
fn front(rv: u64, balancers: &[Balancer]) -> Object {
    let port = |name: &str, number| Port {
        name: name.into(),
        number,
        target: None,
    };
    let service = Service {
        ports: [port("http", 80), port("", 443)].into(),
        labels: [("version".into(), "V1".into())].into(),
        balancers: balancers.into(),
        ..Service::default()
    };
    Object {
        meta: Meta {
            kind: Kind::Services,
            name: ObjectName::new("default", "front"),
            uid: "u".into(),
            rv,
        },
        content: Some(Content::Service(Arc::new(service))),
    }
}

fn at(text: &str) -> Balancer {
    Balancer::Ip(ip(text))
}

const FRONT: &str = "/#/io.l5d.k8s.external/default/http/front";

#[tokio::test]
async fn k8s_15_to_19_all_entries_at_the_services_own_port() {
    let (world, services) = world();
    assert_eq!(world.told("", FRONT), "pending");
    services.replace(
        Kind::Services,
        vec![front(2, &[at("192.0.2.1"), at("192.0.2.2")])],
        false,
    );
    world.engine.settle();
    for (asked, result) in [
        (
            "default/http/front",
            "/#/io.l5d.k8s.external/default/http/front",
        ),
        // K8S-15: found whatever the case, and the id as given.
        (
            "Default/HTTP/Front/Users",
            "/#/io.l5d.k8s.external/Default/HTTP/Front + /Users",
        ),
        (
            "default/443/front",
            "/#/io.l5d.k8s.external/default/443/front",
        ),
        // K8S-16.
        ("default/8080/front", "~"),
        ("default/https/front", "~"),
        ("default/http/nosuch", "~"),
        ("default/http", "~"),
    ] {
        let told = world.told("", &format!("/#/io.l5d.k8s.external/{asked}"));
        assert_eq!(told, result, "{asked}");
    }
    let bound = world.bind("", FRONT);
    world.engine.settle();
    assert_eq!(endpoints(&bound), "[192.0.2.1:80, 192.0.2.2:80]");
    let by_number = world.bind("", "/#/io.l5d.k8s.external/default/443/front");
    world.engine.settle();
    assert_eq!(endpoints(&by_number), "[192.0.2.1:443, 192.0.2.2:443]");
    // K8S-29: the label's value is not folded.
    assert_eq!(
        world.told("", "/#/labelled/default/http/front/V1"),
        "/#/labelled/default/http/front/V1"
    );
    assert_eq!(world.told("", "/#/labelled/default/http/front/v1"), "~");
}

#[tokio::test]
async fn k8s_20_another_address_changes_the_cell_and_not_the_tree() {
    let (world, services) = world();
    services.replace(Kind::Services, vec![front(2, &[at("192.0.2.1")])], false);
    let bound = world.bind("", FRONT);
    world.engine.settle();
    let leaf = leaves(&bound)[0].cluster.number;
    services.apply(front(3, &[at("192.0.2.9")]), tokio::time::Instant::now());
    world.engine.settle();
    assert_eq!(endpoints(&bound), "[192.0.2.9:80]");
    assert_eq!(leaves(&bound)[0].cluster.number, leaf);
    // K8S-16: without an entry there is no such name.
    services.apply(front(4, &[]), tokio::time::Instant::now());
    world.engine.settle();
    assert_eq!(show(&bound), "~");
}

#[tokio::test]
async fn k8s_17_hostnames_are_resolved_beside_the_addresses() {
    let (world, services) = world();
    world.dns.answer("lb.example", &[[198, 51, 100, 7]], 60);
    let both = [at("192.0.2.1"), Balancer::Host("lb.example".into())];
    services.replace(Kind::Services, vec![front(2, &both)], false);
    let bound = world.bind("", FRONT);
    for _ in 0..1000 {
        world.engine.settle();
        if endpoints(&bound).contains("198.51.100.7") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(endpoints(&bound), "[192.0.2.1:80, 198.51.100.7:80]");
}
