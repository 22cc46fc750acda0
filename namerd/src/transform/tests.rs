//! The tables of Kubernetes 4 and 5 and of naming 6.

use std::collections::BTreeMap;

use l5d_naming::{ClusterId, Elem, Endpoint, EndpointSet, EndpointWeight, Replicas};

use super::*;
use crate::store::services::{
    Content, Family, Kind, Meta, Node, Object, ObjectName, Policy, Slice, SliceEndpoint, SlicePort,
};
use tokio::time::Instant;

/// A service `default/http/app` and a gateway service `l5d/incoming/proxy`.
struct World {
    engine: Engine,
    services: Services,
    transforms: Transforms,
    rv: std::cell::Cell<u64>,
}

/// `10.0.0.1:80@node`; `~` behind it: ending but serving, `!`: unready.
fn read(text: &str) -> (SliceEndpoint, u16) {
    let rest = text.trim_end_matches(['~', '!']);
    let (addr, node) = match rest.split_once('@') {
        Some((addr, node)) => (addr, Some(node.into())),
        None => (rest, None),
    };
    let addr: std::net::SocketAddr = addr.parse().expect("an address");
    let endpoint = SliceEndpoint {
        ip: addr.ip(),
        node,
        zone: None,
        ready: rest == text,
        serving: !text.ends_with('!'),
        terminating: text.ends_with('~'),
        hints: None,
    };
    (endpoint, addr.port())
}

fn show(cell: &Arc<Cell<Replicas>>) -> String {
    match &cell.get().1 {
        Replicas::Pending => "pending".to_owned(),
        Replicas::Neg => "neg".to_owned(),
        Replicas::Failed(why) => format!("failed: {why}"),
        Replicas::Bound(set) => {
            let endpoints = set.endpoints().iter().map(|e| match e.weight {
                EndpointWeight::ONE => e.addr.to_string(),
                weight => format!("{}*{}", e.addr, weight.to_f64()),
            });
            endpoints.collect::<Vec<_>>().join(" ")
        }
    }
}

fn path(elems: &[&str]) -> Path {
    Path::from_elems(elems.iter().filter_map(Elem::new))
}

fn spec(kind: &str) -> TransformerSpec {
    TransformerSpec {
        kind: kind.to_owned(),
        ..TransformerSpec::default()
    }
}

fn daemonset(host_network: bool) -> TransformerSpec {
    TransformerSpec {
        namespace: "L5d".to_owned(),
        port: "incoming".to_owned(),
        service: "proxy".to_owned(),
        host_network,
        ..spec("io.l5d.k8s.daemonset")
    }
}

fn caller(node: Option<&str>, ip: Option<&str>) -> Caller {
    Caller {
        node: node.map(Into::into),
        pod_ip: ip.map(|ip| ip.parse().expect("an address")),
        ..Caller::default()
    }
}

impl World {
    fn new() -> Self {
        let world = Self::unsynced();
        for kind in Kind::ALL {
            world.services.replace(kind, Vec::new(), false);
        }
        world
    }

    fn unsynced() -> Self {
        Self::under(Policy::default())
    }

    fn under(policy: Policy) -> Self {
        let (engine, services) = (Engine::new(), Services::new(policy));
        let gateways: Arc<dyn Gateways> = Arc::new(services.clone());
        Self {
            transforms: Transforms::new(engine.clone(), Some(gateways)),
            engine,
            services,
            rv: std::cell::Cell::new(1),
        }
    }

    /// Pods of `n1` and `n2` have addresses in 10.1/16 and 10.2/16, as their Nodes say.
    fn with_networks(gateways: &str, endpoints: &str) -> Self {
        let world = Self::under(Policy {
            pod_cidrs: true,
            ..Policy::default()
        });
        let nodes = [("n1", "10.1.0.0/16"), ("n2", "10.2.0.0/16")];
        let nodes = nodes.map(|(name, network)| Object {
            meta: Meta {
                kind: Kind::Nodes,
                name: ObjectName::new("", name),
                uid: "u".into(),
                rv: 1,
            },
            content: Some(Content::from(Node {
                zone: None,
                pod_cidrs: [network.parse().expect("a network")].into(),
            })),
        });
        world.services.replace(Kind::Nodes, nodes.into(), false);
        for kind in [Kind::Slices, Kind::Services] {
            world.services.replace(kind, Vec::new(), false);
        }
        world.gateways(gateways);
        world.endpoints(endpoints);
        world
    }

    fn with(gateways: &str, endpoints: &str) -> Self {
        let world = Self::new();
        world.gateways(gateways);
        world.endpoints(endpoints);
        world
    }

    fn gateways(&self, endpoints: &str) {
        self.put("l5d", "proxy", "incoming", endpoints);
    }

    fn endpoints(&self, endpoints: &str) {
        self.put("default", "app", "http", endpoints);
    }

    /// One slice a port number; all other slices of the service go.
    fn put(&self, namespace: &str, service: &str, port: &str, endpoints: &str) {
        let mut by_port: BTreeMap<u16, Vec<SliceEndpoint>> = (1..=3)
            .map(|n| (n, Vec::new()))
            .chain([(80, Vec::new()), (4141, Vec::new())])
            .collect();
        for (endpoint, number) in endpoints.split_whitespace().map(read) {
            by_port.entry(number).or_default().push(endpoint);
        }
        let now = Instant::now();
        for (number, endpoints) in by_port {
            self.rv.set(self.rv.get() + 1);
            let v6 = endpoints.iter().any(|e| e.ip.is_ipv6());
            let slice = Slice {
                service: Some(service.into()),
                family: Some(if v6 { Family::V6 } else { Family::V4 }),
                ports: Box::new([SlicePort {
                    name: port.into(),
                    number: Some(number),
                }]),
                endpoints: endpoints.into(),
                labels: Box::default(),
            };
            let meta = Meta {
                kind: Kind::Slices,
                name: ObjectName::new(namespace, format!("{service}-{number}")),
                uid: "u".into(),
                rv: self.rv.get(),
            };
            let content = Some(Content::from(slice));
            self.services.apply(Object { meta, content }, now);
        }
        self.services
            .release(now + std::time::Duration::from_secs(1));
        self.engine.settle();
    }

    fn base(&self) -> Cluster {
        Cluster {
            id: ClusterId(path(&["#", "io.l5d.k8s", "default", "http", "app"])),
            endpoints: self
                .services
                .port("default", PortRef::parse("http"), "app", None),
        }
    }

    fn apply(&self, spec: &TransformerSpec, to: &Cluster, caller: &Caller) -> Cluster {
        let built = self.transforms.build(spec).expect("a good spec");
        match built.effect {
            Effect::Leaves(leaves) => leaves.transform(to, caller),
            other => panic!("{other:?} does not transform leaves"),
        }
    }

    fn outgoing(&self, host_network: bool) -> Arc<Cell<Replicas>> {
        let spec = daemonset(host_network);
        let cluster = self.apply(&spec, &self.base(), &Caller::default());
        cluster.endpoints.whole()
    }

    fn local(&self, host_network: bool, caller: &Caller) -> Arc<Cell<Replicas>> {
        let spec = TransformerSpec {
            host_network,
            ..spec("io.l5d.k8s.localnode")
        };
        self.apply(&spec, &self.base(), caller).endpoints.whole()
    }
}

mod outgoing {
    use super::*;

    /// 4.1, and the weights of section 5: gateways, endpoints, answer.
    #[test]
    fn k8s_4_1_and_k8s_70_the_tables() {
        let nodes = |count: usize, node: usize| {
            let one = |n| format!("10.{node}.0.{n}:80@n{node}");
            (1..=count).map(one).collect::<Vec<_>>().join(" ")
        };
        let many = |counts: &[usize]| {
            let of = counts.iter().enumerate();
            of.map(|(at, n)| nodes(*n, at + 1))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let two = "10.1.9.9:4141@n1 10.2.9.9:4141@n2";
        let three = "10.1.9.9:4141@n1 10.2.9.9:4141@n2 10.3.9.9:4141@n3";
        let rows = [
            (
                "one gateway",
                "10.1.9.9:4141@n1",
                many(&[1]),
                "10.1.9.9:4141",
            ),
            (
                "several endpoints",
                "10.1.9.9:4141@n1",
                many(&[3]),
                "10.1.9.9:4141*3",
            ),
            ("3, 1", two, many(&[3, 1]), "10.1.9.9:4141*3 10.2.9.9:4141"),
            (
                "90, 9, 1",
                three,
                many(&[90, 9, 1]),
                "10.1.9.9:4141*90 10.2.9.9:4141*9 10.3.9.9:4141",
            ),
            (
                "surge: two gateways on n1",
                "10.1.9.8:4141@n1 10.1.9.9:4141@n1 10.2.9.9:4141@n2",
                many(&[1, 1]),
                "10.1.9.8:4141*0.5 10.1.9.9:4141*0.5 10.2.9.9:4141",
            ),
            (
                "no gateway on n3",
                two,
                many(&[4, 4, 2]),
                "10.1.9.9:4141*4 10.2.9.9:4141*4",
            ),
            (
                "no gateway at all there",
                "10.9.9.9:4141@n9",
                many(&[2]),
                "neg",
            ),
            ("no gateway anywhere", "", many(&[2]), "neg"),
            (
                "only unready gateways",
                "10.1.9.9:4141@n1!",
                many(&[2]),
                "neg",
            ),
            (
                "K8S-57: an ending gateway serves its node",
                "10.1.9.9:4141@n1~ 10.2.9.9:4141@n2",
                many(&[1, 1]),
                "10.1.9.9:4141 10.2.9.9:4141",
            ),
            (
                "IPv6 by node",
                "[fd00::9]:4141@n1",
                "[fd01::1]:80@n1".to_owned(),
                "[fd00::9]:4141",
            ),
            (
                "K8S-67: a gateway of the other family",
                "10.1.9.9:4141@n1",
                "[fd01::1]:80@n1".to_owned(),
                "10.1.9.9:4141",
            ),
            ("K8S-51: nothing before", two, String::new(), "neg"),
        ];
        for (row, gateways, endpoints, expected) in rows {
            for host_network in [false, true] {
                let world = World::with(gateways, &endpoints);
                assert_eq!(show(&world.outgoing(host_network)), expected, "{row}");
            }
        }
    }

    #[test]
    fn k8s_55_match_order() {
        let rows = [
            // The node name decides even where the subnet says otherwise.
            ("10.0.0.9:4141@n1", "10.0.0.1:80@n2", false, "neg"),
            ("10.7.0.9:4141@n1", "10.0.0.1:80@n1", false, "10.7.0.9:4141"),
            // No gateway has a node name: by subnet.
            (
                "10.0.0.9:4141",
                "10.0.0.1:80@n1 10.0.1.1:80@n1",
                false,
                "10.0.0.9:4141",
            ),
            // The endpoint has no node name: by subnet, not with hostNetwork.
            (
                "10.0.0.9:4141@n1 10.0.1.9:4141@n2",
                "10.0.0.1:80",
                false,
                "10.0.0.9:4141",
            ),
            ("10.0.0.9:4141@n1", "10.0.0.1:80", true, "neg"),
            // Missing never equals missing.
            ("10.0.0.9:4141", "10.0.0.1:80", true, "neg"),
            ("[fd00::9]:4141", "[fd00::1]:80", false, "[fd00::9]:4141"),
            ("[fd00::9]:4141", "[fd00:0:0:1::1]:80", false, "neg"),
        ];
        for (gateways, endpoints, host_network, expected) in rows {
            let world = World::with(gateways, endpoints);
            let row = format!("{gateways} for {endpoints}, hostNetwork {host_network}");
            assert_eq!(show(&world.outgoing(host_network)), expected, "{row}");
        }
    }

    #[test]
    fn k8s_55_a_narrower_mask_tells_neighbours_apart() {
        let world = World::with("10.0.0.9:4141 10.0.0.200:4141", "10.0.0.1:80 10.0.0.129:80");
        let spec = TransformerSpec {
            netmask: "255.255.255.128".to_owned(),
            ..daemonset(false)
        };
        let narrow = world.apply(&spec, &world.base(), &Caller::default());
        assert_eq!(
            show(&narrow.endpoints.whole()),
            "10.0.0.9:4141 10.0.0.200:4141"
        );
        assert_eq!(
            show(&world.outgoing(false)),
            "10.0.0.9:4141 10.0.0.200:4141"
        );
        world.endpoints("10.0.0.1:80");
        assert_eq!(show(&narrow.endpoints.whole()), "10.0.0.9:4141");
        assert_eq!(
            show(&world.outgoing(false)),
            "10.0.0.9:4141*0.5 10.0.0.200:4141*0.5"
        );
    }

    #[test]
    fn k8s_55_rule_2_an_endpoint_without_a_node_name_is_where_its_address_is() {
        let world = World::with_networks(
            "10.1.9.9:4141@n1 10.9.9.9:4141@n3",
            "10.1.0.1:80 10.2.0.1:80 10.9.9.1:80",
        );
        // n1 by its network; n2 has no gateway; 10.9.9.1 is in no network, so the subnet counts.
        assert_eq!(show(&world.outgoing(false)), "10.1.9.9:4141 10.9.9.9:4141");
        assert_eq!(show(&world.outgoing(true)), "10.1.9.9:4141");
        // Without the setting, by subnet alone.
        let world = World::with("10.1.9.9:4141@n1", "10.1.0.1:80 10.1.9.1:80");
        assert_eq!(show(&world.outgoing(false)), "10.1.9.9:4141");
        assert_eq!(show(&world.outgoing(true)), "neg");
    }

    /// 4.1: what has no gateway on its node keeps its own address, the rest its gateway.
    #[test]
    fn k8s_4_1_missing_gateways_may_be_passed_by() {
        let direct = TransformerSpec {
            missing_gateway: "direct".to_owned(),
            ..daemonset(true)
        };
        let world = World::with(
            "10.1.9.9:4141@n1",
            "10.1.0.1:80@n1 10.1.0.2:80@n1 10.2.0.1:80@n2 10.3.0.1:80",
        );
        let out = world.apply(&direct, &world.base(), &Caller::default());
        let out = out.endpoints.whole();
        assert_eq!(show(&out), "10.1.9.9:4141*2 10.2.0.1:80 10.3.0.1:80");
        let missing = world.transforms.missing_gateways().by_node();
        assert_eq!(
            missing,
            [("".into(), 1), ("n2".into(), 1)],
            "counted all the same"
        );
        // A gateway Service without a usable pod leaves everything without one; without the Service, it is negative.
        world.gateways("10.1.9.9:4141@n1!");
        assert_eq!(
            show(&out),
            "10.1.0.1:80 10.1.0.2:80 10.2.0.1:80 10.3.0.1:80"
        );
        assert_eq!(show(&world.outgoing(true)), "neg");
        world.endpoints("");
        assert_eq!(show(&out), "neg", "K8S-51");
        let wrong = TransformerSpec {
            missing_gateway: "maybe".to_owned(),
            ..daemonset(true)
        };
        let error = world.transforms.build(&wrong).expect_err("wrong");
        assert!(
            error.contains("missingGateway must be drop or direct"),
            "{error}"
        );
    }

    #[test]
    fn k8s_4_1_pending_gateways_are_never_neg_or_direct() {
        let world = World::unsynced();
        assert_eq!(show(&world.outgoing(false)), "pending");
        let known = Cluster {
            id: ClusterId(path(&["#", "fs", "app"])),
            endpoints: bound([Endpoint::new("10.0.0.1:80".parse().expect("address"))]),
        };
        let out = world.apply(&daemonset(false), &known, &Caller::default());
        assert_eq!(show(&out.endpoints.whole()), "pending");
    }

    #[test]
    fn k8s_50_what_is_not_bound_passes_unchanged() {
        let world = World::with("10.1.9.9:4141@n1", "");
        for replicas in [
            Replicas::Neg,
            Replicas::Failed("why".into()),
            Replicas::Pending,
        ] {
            let base = Cluster {
                id: ClusterId(Path::root()),
                endpoints: Arc::new(Cell::new(replicas.clone())),
            };
            for spec in [daemonset(false), port(1), host("10.0.0.1")] {
                let out = world.apply(&spec, &base, &Caller::default());
                assert_eq!(out.endpoints.whole().value(), replicas);
            }
        }
    }

    #[test]
    fn k8s_52_the_id_has_the_prefix_as_configured() {
        let world = World::new();
        let out = world.apply(&daemonset(true), &world.base(), &Caller::default());
        let prefix = ["%", "io.l5d.k8s.daemonset", "L5d", "incoming", "proxy"];
        assert_eq!(out.id.0, path(&prefix).concat(&world.base().id.0));
    }

    #[test]
    fn k8s_53_metadata_is_the_gateways_and_the_sets_own() {
        let world = World::with("10.1.9.9:4141@n1", "");
        let set = EndpointSet::new([Endpoint {
            node: Some("n1".into()),
            zone: Some("far".into()),
            ..Endpoint::new("10.0.0.1:80".parse().expect("address"))
        }]);
        let set = set.with_authority(Some("app.example".into())).with_at(900);
        let base = Cluster {
            id: ClusterId(Path::root()),
            endpoints: Arc::new(Cell::new(Replicas::Bound(Arc::new(set)))),
        };
        let out = world.apply(&daemonset(true), &base, &Caller::default());
        let Replicas::Bound(set) = out.endpoints.whole().value() else {
            panic!("bound");
        };
        assert_eq!(set.authority().map(|a| &**a), Some("app.example"));
        assert_eq!(set.at(), 900);
        let gateway = &set.endpoints()[0];
        assert_eq!(
            (gateway.node.as_deref(), gateway.zone.as_deref()),
            (Some("n1"), None)
        );
    }

    #[test]
    fn k8s_58_a_replaced_gateway_is_one_change() {
        let world = World::with(
            "10.1.9.9:4141@n1 10.2.9.9:4141@n2",
            "10.1.0.1:80@n1 10.2.0.1:80@n2",
        );
        let out = world.outgoing(true);
        let before = out.get().0.0;
        world.gateways("10.1.8.8:4141@n1 10.2.9.9:4141@n2");
        assert_eq!(show(&out), "10.1.8.8:4141 10.2.9.9:4141");
        assert_eq!(out.get().0.0, before + 1);
    }

    #[test]
    fn k8s_141_what_changes_behind_the_same_gateways_is_not_told() {
        let world = World::with(
            "10.1.9.9:4141@n1 10.2.9.9:4141@n2",
            "10.1.0.1:80@n1 10.1.0.2:80@n1 10.2.0.1:80@n2",
        );
        let (pods, out) = (world.base().endpoints.whole(), world.outgoing(true));
        let (of_pods, before) = (pods.get().0, out.get());
        // A pod is replaced on its node, all in one event.
        world.endpoints("10.1.0.1:80@n1 10.1.0.3:80@n1 10.2.0.1:80@n2");
        assert!(pods.get().0 > of_pods);
        assert_eq!(out.get().0, before.0);
        // One more is a visible change: the next version.
        world.endpoints("10.1.0.1:80@n1 10.1.0.3:80@n1 10.2.0.1:80@n2 10.2.0.2:80@n2");
        assert_eq!(out.get().0.0, before.0.0 + 1);
        let Replicas::Bound(set) = out.value() else {
            panic!("bound");
        };
        assert!(set.endpoints().is_sorted_by_key(|e| e.addr));
    }

    #[test]
    fn k8s_148_an_event_costs_its_own_service_however_many_others_there_are() {
        let runs_of_one_event = |others: u16| {
            let world = World::with("10.1.9.9:4141@n1", "10.1.0.1:80@n1");
            let others: Vec<_> = (0..others)
                .map(|n| {
                    let name = format!("other-{n}");
                    world.put("default", &name, "http", "10.1.0.2:80@n1");
                    let other = Cluster {
                        id: ClusterId(path(&["#", "io.l5d.k8s", "default", "http", &name])),
                        endpoints: world.services.port(
                            "default",
                            PortRef::parse("http"),
                            &name,
                            None,
                        ),
                    };
                    let out = world.apply(&daemonset(true), &other, &Caller::default());
                    out.endpoints.whole()
                })
                .collect();
            let out = world.outgoing(true);
            let before = world.engine.runs();
            world.endpoints("10.1.0.1:80@n1 10.1.0.3:80@n1");
            assert_eq!(show(&out), "10.1.9.9:4141*2");
            assert!(others.iter().all(|other| show(other) == "10.1.9.9:4141"));
            world.engine.runs() - before
        };
        assert_eq!(runs_of_one_event(0), 1);
        assert_eq!(runs_of_one_event(100), 1);
    }

    #[test]
    fn k8s_56_one_index_serves_all_clusters() {
        let world = World::with("10.1.9.9:4141@n1", "10.1.0.1:80@n1");
        let clusters: Vec<_> = (0..20).map(|_| world.outgoing(true)).collect();
        let before = world.engine.runs();
        world.gateways("10.1.9.9:4141@n1 10.2.9.9:4141@n2");
        // Once for the index, once for each cluster.
        assert!(world.engine.runs() - before <= 2 * (1 + clusters.len() as u64));
    }

    #[test]
    fn k8s_59_and_f24_gateways_come_back() {
        let world = World::with("10.1.9.9:4141@n1", "10.1.0.1:80@n1");
        let out = world.outgoing(true);
        world.gateways("");
        assert_eq!(show(&out), "neg");
        world.gateways("10.1.9.9:4141@n1");
        assert_eq!(show(&out), "10.1.9.9:4141");
    }

    #[test]
    fn gateway_missing_is_counted_by_node_once_a_loss() {
        let world = World::with(
            "10.1.9.9:4141@n1",
            "10.1.0.1:80@n1 10.2.0.1:80@n2 10.2.0.2:80@n2",
        );
        let _held = world.outgoing(true);
        let missing = world.transforms.missing_gateways();
        assert_eq!(missing.by_node(), [("n2".into(), 2)]);
        world.endpoints("10.1.0.2:80@n1 10.2.0.1:80@n2");
        assert_eq!(missing.by_node(), [("n2".into(), 2)]);
    }

    #[test]
    fn a_held_cell_is_enough_to_go_on_being_computed_and_nothing_stays_behind() {
        let world = World::with("10.1.9.9:4141@n1", "10.1.0.1:80@n1");
        let out = world.outgoing(true);
        world.endpoints("10.1.0.1:80@n1 10.1.0.2:80@n1");
        assert_eq!(show(&out), "10.1.9.9:4141*2");
        let base = world.base().endpoints.whole();
        assert_eq!(base.listeners(), 1);
        drop(out);
        assert_eq!(base.listeners(), 0);
    }
}

mod incoming {
    use super::*;

    const PODS: &str = "10.0.1.1:80@n1 10.0.1.2:80@n1 10.0.2.1:80@n2";

    #[test]
    fn k8s_61_by_node_name_else_by_subnet() {
        let world = World::with("", &format!("{PODS} 10.0.1.3:80 10.0.9.1:80"));
        let n1 = caller(Some("n1"), Some("10.0.1.250"));
        assert_eq!(
            show(&world.local(false, &n1)),
            "10.0.1.1:80 10.0.1.2:80 10.0.1.3:80"
        );
        assert_eq!(show(&world.local(true, &n1)), "10.0.1.1:80 10.0.1.2:80");
        // The name decides where the subnet disagrees.
        let moved = caller(Some("n2"), Some("10.0.1.250"));
        assert_eq!(show(&world.local(false, &moved)), "10.0.1.3:80 10.0.2.1:80");
        let elsewhere = caller(Some("n9"), Some("10.0.7.1"));
        assert_eq!(show(&world.local(false, &elsewhere)), "neg", "K8S-62");
    }

    #[test]
    fn k8s_61_an_endpoint_without_a_node_name_is_where_its_address_is() {
        let world = World::with_networks("", "10.1.0.1:80 10.2.0.1:80 10.2.0.2:80@n1 10.9.0.1:80");
        let n1 = caller(Some("n1"), Some("10.9.0.7"));
        assert_eq!(
            show(&world.local(false, &n1)),
            "10.1.0.1:80 10.2.0.2:80 10.9.0.1:80"
        );
        assert_eq!(show(&world.local(true, &n1)), "10.1.0.1:80 10.2.0.2:80");
    }

    #[test]
    fn k8s_60_without_a_node_name_it_is_learned_and_until_then_the_subnet_counts() {
        let world = World::with("", PODS);
        let unnamed = caller(None, Some("10.0.2.250"));
        let (local, by_name) = (world.local(false, &unnamed), world.local(true, &unnamed));
        assert_eq!(show(&local), "10.0.2.1:80");
        assert!(show(&by_name).contains("NODE_NAME"));
        world.gateways("10.0.2.250:4141@n1");
        assert_eq!(show(&local), "10.0.1.1:80 10.0.1.2:80");
        assert_eq!(show(&by_name), "10.0.1.1:80 10.0.1.2:80");
    }

    #[test]
    fn k8s_63_usable_is_judged_on_the_node() {
        let world = World::with("", "10.0.1.1:80@n1~ 10.0.2.1:80@n2");
        let n1 = caller(Some("n1"), None);
        assert_eq!(show(&world.local(true, &n1)), "10.0.1.1:80");
    }

    #[test]
    fn k8s_143_another_nodes_pods_do_not_touch_this_answer() {
        let world = World::with("", PODS);
        let local = world.local(true, &caller(Some("n1"), None));
        let (version, runs) = (local.get().0, world.engine.runs());
        world.endpoints("10.0.1.1:80@n1 10.0.1.2:80@n1 10.0.2.9:80@n2");
        assert_eq!(local.get().0, version);
        assert_eq!(world.engine.runs(), runs, "not even computed");
    }

    #[test]
    fn k8s_68_without_a_caller_this_process_stands_in() {
        let mut world = World::with("", PODS);
        let nobody = Caller::default();
        assert!(show(&world.local(false, &nobody)).starts_with("failed"));
        world.transforms = world
            .transforms
            .with_own(caller(Some("n2"), Some("10.0.2.9")));
        assert_eq!(show(&world.local(false, &nobody)), "10.0.2.1:80");
    }

    #[test]
    fn k8s_52_the_id_names_the_caller() {
        let world = World::new();
        let built = |host_network| {
            let spec = TransformerSpec {
                host_network,
                ..spec("io.l5d.k8s.localnode")
            };
            match world.transforms.build(&spec).expect("good").effect {
                Effect::Leaves(leaves) => leaves,
                other => panic!("{other:?}"),
            }
        };
        let n1 = caller(Some("n1"), Some("10.1.1.2"));
        let prefix = |place| path(&["%", "io.l5d.k8s.localnode", place]);
        assert_eq!(built(false).id_prefix(&n1), prefix("10.1.1.2"));
        assert_eq!(built(true).id_prefix(&n1), prefix("n1"));
        assert_eq!(built(false).class(), CallerClass::Node);
    }
}

mod others {
    use super::*;

    #[test]
    fn naming_6_2_port_and_k8s_72_weights_add() {
        let world = World::with("", "10.0.0.1:1@n1 10.0.0.1:2@n1 10.0.0.2:3");
        let out = world.apply(&port(4242), &world.base(), &Caller::default());
        assert_eq!(
            show(&out.endpoints.whole()),
            "10.0.0.1:4242*2 10.0.0.2:4242"
        );
        assert_eq!(
            out.id.0,
            path(&["%", "io.l5d.port", "4242"]).concat(&world.base().id.0)
        );
    }

    #[test]
    fn k8s_51_port_leaves_an_empty_set_as_it_is_filters_do_not() {
        let world = World::with("", "");
        let base = world.base();
        assert_eq!(show(&base.endpoints.whole()), "");
        let out = |spec| {
            show(
                &world
                    .apply(&spec, &base, &Caller::default())
                    .endpoints
                    .whole(),
            )
        };
        assert_eq!(out(port(1)), "");
        assert_eq!(out(host("10.0.0.1")), "neg");
    }

    #[test]
    fn naming_6_4_specific_host() {
        let world = World::with("", "10.0.0.1:80 10.0.0.2:80");
        let out = |ip| {
            show(
                &world
                    .apply(&host(ip), &world.base(), &Caller::default())
                    .endpoints
                    .whole(),
            )
        };
        assert_eq!(out("10.0.0.2"), "10.0.0.2:80");
        assert_eq!(out("10.9.9.9"), "neg");
    }

    #[test]
    fn naming_6_2_localhost_is_the_callers_addresses() {
        let mut world = World::with("", "10.0.0.1:80 10.0.0.2:80");
        let ips = |ip: &str| Caller {
            addresses: Arc::new([ip.parse().expect("an address")]),
            ..Caller::default()
        };
        let of = |world: &World, caller: &Caller| {
            show(
                &world
                    .apply(&spec("io.l5d.localhost"), &world.base(), caller)
                    .endpoints
                    .whole(),
            )
        };
        assert_eq!(of(&world, &ips("10.0.0.2")), "10.0.0.2:80");
        assert_eq!(of(&world, &ips("127.0.0.1")), "neg");
        assert!(
            of(&world, &Caller::default()).starts_with("failed"),
            "K8S-68"
        );
        world.transforms = world.transforms.with_own(ips("10.0.0.1"));
        assert_eq!(of(&world, &Caller::default()), "10.0.0.1:80");
    }

    #[test]
    fn k8s_54_transformers_compose_left_to_right() {
        let world = World::with("", "10.0.1.1:80@n1~ 10.0.2.1:80@n2");
        let n1 = caller(Some("n1"), Some("10.0.1.9"));
        let moved = world.apply(&port(4242), &world.base(), &n1);
        let both = world.apply(&spec("io.l5d.k8s.localnode"), &moved, &n1);
        // The by-node view survives a change of ports.
        assert_eq!(show(&both.endpoints.whole()), "10.0.1.1:4242");
        let last_first = path(&[
            "%",
            "io.l5d.k8s.localnode",
            "10.0.1.9",
            "%",
            "io.l5d.port",
            "4242",
        ]);
        assert!(both.id.0.starts_with(&last_first));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let world = World::new();
        let error = |spec: TransformerSpec| world.transforms.build(&spec).expect_err("bad");
        let has = |error: String, words: &[&str]| {
            assert!(words.iter().all(|w| error.contains(w)), "{error}");
        };
        has(
            error(spec("io.l5d.k8s.daemonset")),
            &["io.l5d.k8s.daemonset", "namespace", "missing"],
        );
        has(
            error(spec("io.l5d.port")),
            &["io.l5d.port", "port", "missing"],
        );
        let zero = TransformerSpec {
            port: "0".into(),
            ..spec("io.l5d.port")
        };
        has(error(zero), &["port", "65535"]);
        has(error(host("example.com")), &["host", "example.com"]);
        has(error(spec("io.l5d.const")), &["path", "missing"]);
        has(
            error(spec("io.l5d.nothing")),
            &["io.l5d.nothing", "io.l5d.port"],
        );
        let mask = TransformerSpec {
            netmask: "24".into(),
            ..daemonset(false)
        };
        has(error(mask), &["netmask", "255.255.255.0"]);
        let without = Transforms::new(Engine::new(), None);
        has(
            without.build(&daemonset(true)).expect_err("bad"),
            &["Kubernetes"],
        );
    }
}

/// K8S-76 over the computed weights: every endpoint of the 90/9/1 layout gets its fair share of two hops; with all weights
/// 1 it does not.
#[test]
fn k8s_76_two_hops_are_fair() {
    let counts = [90usize, 9, 1];
    let pods = counts
        .iter()
        .enumerate()
        .flat_map(|(node, count)| (1..=*count).map(move |n| format!("10.{node}.0.{n}:80@n{node}")));
    let pods: Vec<String> = pods.collect();
    let world = World::with(
        "10.0.9.9:4141@n0 10.1.9.9:4141@n1 10.2.9.9:4141@n2",
        &pods.join(" "),
    );
    let Replicas::Bound(gateways) = world.outgoing(true).value() else {
        panic!("bound");
    };
    let weights: Vec<u64> = gateways
        .endpoints()
        .iter()
        .map(|g| u64::from(g.weight.0))
        .collect();
    assert!(
        chi_square(&simulate(&weights, &counts)) < 148.2,
        "fair at p > 0.001"
    );
    let received = simulate(&weights, &counts);
    assert!(
        received.iter().all(|n| (850..=1150).contains(n)),
        "{received:?}"
    );
    assert!(chi_square(&simulate(&[1, 1, 1], &counts)) > 148.2);
}

/// K8S-73: a node's share by weight, times an even share there, is the same for each endpoint, to the bit.
#[test]
fn k8s_73_the_product_of_both_hops_is_the_same_for_all() {
    let world = World::with(
        "10.0.9.9:4141@n0 10.1.9.8:4141@n1 10.1.9.9:4141@n1 10.2.9.9:4141@n2",
        "10.0.0.1:80@n0 10.0.0.2:80@n0 10.0.0.3:80@n0 10.0.0.4:80@n0 10.1.0.1:80@n1 10.1.0.2:80@n1 10.1.0.3:80@n1 10.2.0.1:80@n2",
    );
    let bound = |cell: Arc<Cell<Replicas>>| match cell.value() {
        Replicas::Bound(set) => set,
        other => panic!("{other:?}"),
    };
    let weight = |e: &Endpoint| u64::from(e.weight.0);
    let gateways = bound(world.outgoing(true));
    let total: u64 = gateways.endpoints().iter().map(weight).sum();
    let mut endpoints = 0;
    for node in 0..3u8 {
        let on_node = |e: &&Endpoint| matches!(e.addr.ip(), std::net::IpAddr::V4(ip) if ip.octets()[1] == node);
        let first: u64 = gateways
            .endpoints()
            .iter()
            .filter(on_node)
            .map(weight)
            .sum();
        let local = bound(world.local(true, &caller(Some(&format!("n{node}")), None)));
        let second: u64 = local.endpoints().iter().map(weight).sum();
        for endpoint in local.endpoints() {
            // first / total * weight / second == 1 / 8
            assert_eq!(first * weight(endpoint) * 8, total * second, "{endpoint:?}");
            endpoints += 1;
        }
    }
    assert_eq!(endpoints, 8);
}

/// Requests received by each pod of 100,000: a gateway by weight, then any pod of its node.
fn simulate(weights: &[u64], counts: &[usize]) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(76);
    let firsts: Vec<usize> = counts
        .iter()
        .scan(0, |sum, n| {
            *sum += n;
            Some(*sum - n)
        })
        .collect();
    let mut received = vec![0; counts.iter().sum()];
    for _ in 0..100_000 {
        let mut at = random.u64(0..weights.iter().sum());
        let node = weights.iter().position(|w| {
            let here = at < *w;
            at = at.saturating_sub(*w);
            here
        });
        let node = node.expect("below the sum");
        received[firsts[node] + random.usize(0..counts[node])] += 1;
    }
    received
}

/// Against an equal share for each; 99 degrees of freedom have 148.2 at p = 0.001.
fn chi_square(received: &[u64]) -> f64 {
    let expected = received.iter().sum::<u64>() as f64 / received.len() as f64;
    let off = received
        .iter()
        .map(|n| (*n as f64 - expected).powi(2) / expected);
    off.sum()
}

fn port(port: u16) -> TransformerSpec {
    TransformerSpec {
        port: port.to_string(),
        ..spec("io.l5d.port")
    }
}

fn host(host: &str) -> TransformerSpec {
    TransformerSpec {
        host: host.to_owned(),
        ..spec("io.l5d.specificHost")
    }
}

fn bound(endpoints: impl IntoIterator<Item = Endpoint>) -> Arc<dyn Endpoints> {
    Arc::new(Cell::new(Replicas::Bound(Arc::new(EndpointSet::new(
        endpoints,
    )))))
}
