//! Objects as servers write them, and as nobody should.

use super::*;
use crate::store::services::Content;

fn read_slice(raw: &str) -> Slice {
    let app = Keep {
        labels: vec!["app".to_owned()],
        hints: true,
    };
    let decoded = object(Kind::Slices, raw, &app).expect("has a name");
    match decoded.object.content {
        Some(Content::Slice(slice)) => Arc::unwrap_or_clone(slice),
        other => panic!("{other:?}: {:?}", decoded.error),
    }
}

#[test]
fn k8s_6_2_and_6_3_slices_with_the_defaults_of_null() {
    let slice = read_slice(
        r#"{"metadata":{"name":"w-1","namespace":"default","uid":"u","resourceVersion":"7",
            "labels":{"kubernetes.io/service-name":"world","app":"w","x":"y"},"managedFields":[{}]},
         "addressType":"IPv4","unknown":{"a":1},
         "ports":[{"name":"http","port":8080,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"},
                  {"name":null,"port":null},{"name":"bad","port":70000}],
         "endpoints":[
           {"addresses":["10.0.0.2","10.0.0.3"],"nodeName":"n1","zone":"a","conditions":{"ready":null}},
           {"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},
           {"addresses":["10.0.0.4"],"conditions":{"ready":false}},
           {"addresses":["nonsense"]},{"addresses":null},{"addresses":["fd00::1"]}]}"#,
    );
    assert_eq!(slice.service.as_deref(), Some("world"));
    assert_eq!(slice.labels.len(), 1);
    let ports: Vec<_> = slice.ports.iter().map(|p| (&*p.name, p.number)).collect();
    assert_eq!(
        ports,
        [("http", Some(8080)), ("", None)],
        "K8S-26, K8S-27, K8S-126"
    );
    let seen = slice.endpoints.iter().map(|e| {
        let node = e.node.as_deref().unwrap_or("-");
        format!(
            "{} {node} {} {} {}",
            e.ip, e.ready, e.serving, e.terminating
        )
    });
    let expected = [
        "10.0.0.1 - false true true",
        "10.0.0.2 n1 true true false",
        "10.0.0.4 - false false false",
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn k8s_90_and_k8s_92_other_address_types_and_nulls() {
    let bare = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"IPv6","endpoints":null,"ports":null}"#;
    let slice = read_slice(bare);
    assert_eq!(
        (slice.family, slice.endpoints.len(), slice.ports.len()),
        (Some(Family::V6), 0, 0)
    );
    let fqdn = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"FQDN","endpoints":[{"addresses":["x.y"]}]}"#;
    assert_eq!(read_slice(fqdn).family, None);
}

#[test]
fn k8s_2_4_services() {
    let raw = r#"{"metadata":{"name":"w","namespace":"d","resourceVersion":"9"},"spec":{"type":"ClusterIP",
        "ipFamilies":["IPv6","IPv4"],"ports":[{"port":80,"targetPort":"http"},
        {"name":"n","port":81,"targetPort":8081,"protocol":"TCP"},{"port":53,"protocol":"UDP","targetPort":53},{"port":82}]}}"#;
    let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
    let Some(Content::Service(service)) = decoded.object.content else {
        panic!("{:?}", decoded.error);
    };
    assert_eq!(service.family, Some(Family::V6));
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|p| (&*p.name, p.number, p.target))
        .collect();
    assert_eq!(
        ports,
        [("", 80, None), ("n", 81, Some(8081)), ("", 82, Some(82))]
    );
}

#[test]
fn k8s_17_load_balancers_of_a_service() {
    let raw = r#"{"metadata":{"name":"w","namespace":"d"},"spec":{"ports":[]},"status":{"loadBalancer":{"ingress":[
        {"ip":"192.0.2.1","ports":[]},{"hostname":"lb.example"},{"ip":"nonsense"},{"ip":"","hostname":"b"},{}]}}}"#;
    let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
    let Some(Content::Service(service)) = decoded.object.content else {
        panic!("{:?}", decoded.error);
    };
    let ip = Balancer::Ip("192.0.2.1".parse().expect("an address"));
    let host = |name: &str| Balancer::Host(name.into());
    assert_eq!(*service.balancers, [ip, host("lb.example"), host("b")]);
    for status in [
        "{}",
        r#"{"loadBalancer":{}}"#,
        r#"{"loadBalancer":{"ingress":null}}"#,
    ] {
        let raw = format!(r#"{{"metadata":{{"name":"w"}},"status":{status}}}"#);
        let decoded = object(Kind::Services, &raw, &Keep::default()).expect("has a name");
        assert!(decoded.error.is_none(), "{status}: {:?}", decoded.error);
    }
}

#[test]
fn k8s_125_a_bad_object_keeps_its_name_and_version() {
    let raw = r#"{"metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"12"},"endpoints":5}"#;
    let decoded = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
    assert!(decoded.error.is_some() && decoded.object.content.is_none());
    assert_eq!((decoded.object.meta.rv, decoded.rv.as_str()), (12, "12"));
    assert!(object(Kind::Slices, r#"{"metadata":[]}"#, &Keep::default()).is_err());
    assert!(object(Kind::Slices, "5", &Keep::default()).is_err());
}

#[test]
fn k8s_7_1_only_plain_integers_have_an_order() {
    assert_eq!(
        [order("12"), order("012"), order("a1"), order("")],
        [12, 0, 0, 0]
    );
}

#[test]
fn k8s_120_from_which_server_lists_are_streamed() {
    let streams = |raw: &str| parse::<ServerVersion>(raw).expect("reads").streams_lists();
    assert!(streams(r#"{"major":"1","minor":"34+"}"#));
    assert!(!streams(r#"{"major":"1","minor":"33"}"#));
}

#[test]
fn k8s_98_a_nodes_zone() {
    let raw = r#"{"metadata":{"name":"n1","labels":{"topology.kubernetes.io/zone":"a"}},"status":{"images":[1]}}"#;
    let decoded = object(Kind::Nodes, raw, &Keep::default()).expect("has a name");
    let node = Node {
        zone: Some("a".into()),
        ..Node::default()
    };
    assert_eq!(decoded.object.content, Some(node.into()));
}

#[test]
fn k8s_82_pod_networks_of_a_whole_node() {
    let raw =
        r#"{"metadata":{"name":"n1"},"spec":{"podCIDRs":["10.1.0.0/24","nonsense","fd00::/64"]}}"#;
    let decoded = object(Kind::Nodes, raw, &Keep::default()).expect("has a name");
    let networks = ["10.1.0.0/24", "fd00::/64"].map(|c| c.parse().expect("a network"));
    let node = Node {
        zone: None,
        pod_cidrs: networks.into(),
    };
    assert_eq!(decoded.object.content, Some(node.into()));
}

#[test]
fn k8s_98_hints_and_k8s_100_policies() {
    let raw = r#"{"metadata":{"name":"a","namespace":"b"},"addressType":"IPv4","endpoints":[
        {"addresses":["10.0.0.1"],"hints":{"forZones":[{"name":"a"},{"name":"b"}],"forNodes":[{"name":"n1"}]}},
        {"addresses":["10.0.0.2"],"hints":{"forZones":null}},{"addresses":["10.0.0.3"],"hints":null}]}"#;
    let hints = |e: &SliceEndpoint| {
        let hints = e.hints.as_ref()?;
        Some((hints.zones.join(" "), hints.nodes.join(" ")))
    };
    let seen: Vec<_> = read_slice(raw).endpoints.iter().map(hints).collect();
    let one = (String::from("a b"), String::from("n1"));
    assert_eq!(seen, [Some(one), Some(Default::default()), None]);
    let without = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
    let Some(Content::Slice(slice)) = without.object.content else {
        panic!("{:?}", without.error);
    };
    assert!(slice.endpoints.iter().all(|e| e.hints.is_none()));
    let raw =
        r#"{"metadata":{"name":"w","namespace":"d"},"spec":{"internalTrafficPolicy":"Local"}}"#;
    let decoded = object(Kind::Services, raw, &Keep::default()).expect("has a name");
    assert!(matches!(decoded.object.content, Some(Content::Service(s)) if s.local));
}

#[test]
fn k8s_128_lag_is_never_negative() {
    let raw = r#"{"metadata":{"name":"a","namespace":"b",
        "annotations":{"endpoints.kubernetes.io/last-change-trigger-time":"2999-01-01T00:00:00Z"}}}"#;
    let decoded = object(Kind::Slices, raw, &Keep::default()).expect("has a name");
    assert_eq!(decoded.lag, Some(Duration::ZERO));
}
