//! `namers`, and Ingress rules.

use super::*;

#[test]
fn prefixes_must_not_be_empty_or_overlap() {
    assert_eq!(
        mistakes(&with("namers: [{kind: io.l5d.k8s, prefix: /}]")),
        ["3:37 Namers must not have an empty prefix"]
    );
    for (a, b) in [("/a", "/a"), ("/a", "/a/b"), ("/a/b", "/a")] {
        let text = with(&format!(
            "namers:\n- {{kind: io.l5d.k8s, prefix: {a}}}\n- {{kind: io.l5d.k8s, prefix: {b}}}"
        ));
        assert_eq!(
            mistakes(&text),
            [format!(
                "5:30 Namers must not have overlapping prefixes: {a} & {b}"
            )]
        );
    }
    let config = good(&with(
        "namers:\n- {kind: io.l5d.k8s, prefix: /a}\n- {kind: io.l5d.k8s, prefix: /ab}\n- kind: io.l5d.k8s",
    ));
    assert_eq!(config.namers[2].prefix.to_string(), "/io.l5d.k8s");
}

#[test]
fn kubernetes_namers_know_their_api_server() {
    let config = good(&with(
        "namers:\n- {kind: io.l5d.k8s, host: api.example}\n- {kind: io.l5d.k8s.ns, startupJitter: 0}",
    ));
    let k8s = config.namers[0].kind.k8s().expect("k8s");
    assert_eq!(k8s.api, ApiServer::Plain("api.example".to_owned(), 8001));
    let NamerKind::K8sNs(k8s, namespace) = &config.namers[1].kind else {
        panic!("{:?}", config.namers[1]);
    };
    assert_eq!(namespace, "prod");
    assert_eq!(k8s.api, ApiServer::Plain("localhost".to_owned(), 8001));
    assert_eq!(k8s.watch.startup_jitter, Duration::ZERO);

    let in_pod = |name: &str| (name == "KUBERNETES_SERVICE_HOST").then(|| "10.0.0.1".to_owned());
    let text = with("namers: [{kind: io.l5d.k8s}, {kind: io.l5d.k8s, prefix: /p, port: 8001}]");
    let (config, _) = Config::read("n", &text, &in_pod).expect("loads");
    assert_eq!(
        config.namers[0].kind.k8s().expect("k8s").api,
        ApiServer::InCluster
    );
    assert_eq!(
        config.namers[1].kind.k8s().expect("k8s").api.to_string(),
        "http://localhost:8001"
    );
}

#[test]
fn k8s_ns_without_its_variable_does_not_start() {
    let all = mistakes(&with("namers: [{kind: io.l5d.k8s.ns, envVar: MY_NS}]"));
    assert!(all[0].contains("the environment variable MY_NS"), "{all:?}");
}

#[test]
fn namers_of_one_api_server_agree_on_its_watches() {
    let all = mistakes(&with(
        "namers:\n- {kind: io.l5d.k8s}\n- {kind: io.l5d.k8s, prefix: /p, startupJitter: 1}",
    ));
    assert!(all[0].contains("share its watches"), "{all:?}");
}

#[test]
fn k8s_65_k8s_82_k8s_96_k8s_99_k8s_100_k8s_102_what_is_configured_of_the_rules() {
    let namer = "namers: [{kind: io.l5d.k8s, addressFamily: ipv6, terminatingFallback: false, \
                 podCIDRFallback: true, zoneHints: true, trafficPolicy: true, endpoints: slices, \
                 namespaces: [b, a, b], startupJitter: 0, syncTimeout: 5000}]";
    let config = good(&with(namer));
    let expected = WatchOptions {
        namespaces: Some(vec!["a".to_owned(), "b".to_owned()]),
        address_family: AddressFamily::Ipv6,
        terminating_fallback: false,
        pod_cidr_fallback: true,
        zone_hints: true,
        traffic_policy: true,
        startup_jitter: Duration::ZERO,
        sync_timeout: Duration::from_secs(5),
    };
    assert_eq!(config.namers[0].kind.k8s().expect("k8s").watch, expected);
    let shown = config.effective();
    assert_eq!(shown["namers"][0]["addressFamily"], "ipv6");
    assert_eq!(shown["namers"][0]["podCIDRFallback"], true);
    let all = mistakes(&with(
        "namers:\n- {kind: io.l5d.k8s, zoneHints: true}\n- {kind: io.l5d.k8s, prefix: /p}",
    ));
    let want = "namers /io.l5d.k8s and /p are of the same API server";
    assert!(all[0].contains(want), "{all:?}");
    assert!(all[0].contains("zoneHints: true and false"), "{all:?}");
}

#[test]
fn bad_regular_expressions_and_directories_are_named() {
    let all = mistakes(&with("admin: {security: {pathBlacklist: ['/a', '(']}}"));
    assert!(
        all[0].contains("admin.security.pathBlacklist[1] is not a regular expression"),
        "{all:?}"
    );
    let all = mistakes(&with("namers: [{kind: io.l5d.fs, rootDir: /no/such/dir}]"));
    assert!(
        all[0].contains("rootDir /no/such/dir is not an existing directory"),
        "{all:?}"
    );
}

#[test]
fn k8s_81_watches_can_be_narrowed_to_namespaces() {
    let config = good(&with("namers: [{kind: io.l5d.k8s, namespaces: [a, b]}]"));
    let namer = config.namers[0].kind.k8s().expect("k8s");
    assert_eq!(
        namer.watch.namespaces.as_deref(),
        Some(&["a".to_owned(), "b".to_owned()][..])
    );
    let all = mistakes(&with("namers: [{kind: io.l5d.k8s, namespaces: []}]"));
    assert!(all[0].contains("must not be empty"), "{all:?}");
}

#[test]
fn refused_kinds_say_what_to_use_instead() {
    for (kind, instead) in [
        (
            "io.l5d.serversets",
            "{kind: io.l5d.fs, prefix: /io.l5d.serversets, rootDir: DIR}",
        ),
        (
            "io.l5d.zkLeader",
            "{kind: io.l5d.fs, prefix: /io.l5d.zkLeader, rootDir: DIR}",
        ),
        (
            "io.l5d.curator",
            "{kind: io.l5d.fs, prefix: /io.l5d.curator, rootDir: DIR}",
        ),
        (
            "io.l5d.marathon",
            "{kind: io.l5d.dnssrv, prefix: /io.l5d.marathon}",
        ),
        ("io.l5d.rancher", "{kind: io.l5d.k8s}"),
        ("io.l5d.k8s.istio", "{kind: io.l5d.k8s}"),
    ] {
        let found = mistakes(&with(&format!("namers: [{{kind: {kind}, host: x}}]")));
        assert!(
            found.len() == 1 && found[0].contains(instead),
            "{kind}: {found:?}"
        );
    }
    let found =
        mistakes("storage: {kind: io.l5d.zk, zkAddrs: []}\ninterfaces: [{kind: io.l5d.mesh}]");
    assert!(
        found.len() == 1 && found[0].contains("namerctl --base-url"),
        "{found:?}"
    );
}

#[test]
fn k8s_2_3_external_must_be_called_experimental() {
    let all = mistakes(&with("namers: [{kind: io.l5d.k8s.external}]"));
    assert!(
        all.len() == 1 && all[0].contains("is experimental"),
        "{all:?}"
    );
    let config = good(&with(
        "namers: [{kind: io.l5d.k8s.external, experimental: true}]",
    ));
    assert!(config.namers[0].kind.k8s().is_some());
    assert_eq!(config.effective()["namers"][0]["experimental"], true);
}

#[test]
fn dnssrv_asks_the_systems_servers_or_its_own() {
    let kind = |keys: &str| {
        let mut config = good(&with(&format!("namers: [{{kind: io.l5d.dnssrv{keys}}}]")));
        config.namers.remove(0).kind
    };
    let default = NamerKind::DnsSrv {
        refresh: Duration::from_secs(5),
        servers: Vec::new(),
    };
    assert_eq!(kind(", experimental: true"), default);
    let own = NamerKind::DnsSrv {
        refresh: Duration::from_secs(1),
        servers: ["10.0.0.1:53", "[::1]:54"]
            .map(|s| s.parse().expect("an address"))
            .into(),
    };
    let keys = ", refreshIntervalSeconds: 1, dnsHosts: [10.0.0.1, '[::1]:54']";
    assert_eq!(kind(keys), own);
    let found = mistakes(&with(
        "namers: [{kind: io.l5d.dnssrv, dnsHosts: [ns.example]}]",
    ));
    assert!(
        found.len() == 1 && found[0].contains("dnsHosts[0] must be an IP address"),
        "{found:?}"
    );
}

#[test]
fn k8s_40_ingress_rules_are_served_only_where_the_file_says_so() {
    assert_eq!(good(LEAST).ingress, None);
    assert!(good(LEAST).effective().get("ingress").is_none());
    let least = good(&with("ingress: {}")).ingress.expect("is given");
    let default = IngressRules {
        api: ApiServer::Plain("localhost".to_owned(), 8001),
        namespace: None,
        class: "linkerd".to_owned(),
        claim_unclassed: true,
        startup_jitter: Duration::from_secs(2),
    };
    assert_eq!(least, default);
    let keys = "{host: api, port: 80, namespace: shop, class: l5d, claimUnclassed: false, startupJitter: 0}";
    let config = good(&with(&format!("ingress: {keys}")));
    let effective = config.effective();
    assert_eq!(
        effective["ingress"],
        serde_json::json!({"api": ApiServer::Plain("api".to_owned(), 80).to_string(), "namespace": "shop",
            "class": "l5d", "claimUnclassed": false, "startupJitter": 0})
    );
    let empty = mistakes(&with("ingress: {class: ''}"));
    assert!(empty[0].contains("class must not be empty"), "{empty:?}");
    let unknown = mistakes(&with("ingress: {ingressClassAnnotation: l5d}"));
    assert!(unknown[0].contains("ingressClassAnnotation"), "{unknown:?}");
}
