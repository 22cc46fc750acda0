//! Whole files in, configurations or mistakes out.

use super::*;

fn read(text: &str) -> Result<(Config, Vec<Mistake>), Mistakes> {
    Config::read("namerd.yml", text, &|name| {
        (name == "POD_NAMESPACE").then(|| "prod".to_owned())
    })
}

fn good(text: &str) -> Config {
    read(text)
        .map(|(config, _)| config)
        .unwrap_or_else(|e| panic!("{e}"))
}

fn mistakes(text: &str) -> Vec<String> {
    read(text)
        .expect_err("mistakes")
        .all()
        .iter()
        .map(|m| format!("{}:{} {}", m.line, m.column, m.message))
        .collect()
}

const LEAST: &str = "storage: {kind: io.l5d.inMemory}\ninterfaces: [{kind: io.l5d.mesh}]\n";

/// The least configuration with one more section.
fn with(more: &str) -> String {
    format!("{LEAST}{more}")
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = good(
        "storage: {kind: io.l5d.inMemory}\ninterfaces:\n- kind: io.l5d.mesh\n- kind: io.l5d.httpController\n",
    );
    assert_eq!(config.admin.server.addr.to_string(), "127.0.0.1:9991");
    assert_eq!(config.admin.shutdown_grace, Duration::from_secs(10));
    assert_eq!(
        config.interfaces[0].server.addr.to_string(),
        "127.0.0.1:4321"
    );
    assert_eq!(
        config.interfaces[1].server.addr.to_string(),
        "127.0.0.1:4180"
    );
    assert_eq!(config.interfaces[1].server.socket, SocketOptions::default());
    assert!(config.namers.is_empty());
}

#[test]
fn partly_given_socket_options_keep_the_other_defaults() {
    let config = good(&with(
        "admin: {socketOptions: {keepAlive: true, backlog: 64}}",
    ));
    let socket = &config.admin.server.socket;
    assert_eq!(
        (socket.keep_alive, socket.backlog, socket.no_delay),
        (true, Some(64), true)
    );
}

#[test]
fn tls_blocks_are_read_and_their_mistakes_named() {
    let config = good(&with(
        "admin: {tls: {certPath: c, keyPath: k, caCertPath: a, requireClientAuth: true, protocols: [TLSv1.3], \
         ciphers: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]}, \
         socketOptions: {readTimeoutMs: 60000, writeTimeoutMs: 0}}",
    ));
    let server = &config.admin.server;
    let tls = server.tls.as_ref().expect("a tls block");
    assert_eq!(tls.ciphers, ["TLS_AES_128_GCM_SHA256"]);
    assert_eq!(tls.protocols, [TlsVersion::V1_3]);
    assert_eq!(server.socket.read_timeout, Some(Duration::from_secs(60)));
    assert_eq!(server.socket.write_timeout, None);
    let shown = config.effective();
    assert_eq!(shown["admin"]["tls"]["certPath"], "c");
    assert_eq!(shown["admin"]["socketOptions"]["readTimeoutMs"], 60_000);
    let cases = [
        ("certPath: a", "'keyPath' field is required in admin.tls"),
        (
            "certPath: a, keyPath: b, protocols: [SSLv3]",
            "protocol `SSLv3` is not spoken",
        ),
        (
            "certPath: a, keyPath: b, requireClientAuth: true",
            "requireClientAuth needs caCertPath",
        ),
        (
            "certPath: a, keyPath: b, ciphers: [x]",
            "ciphers has no suite that is spoken",
        ),
        (
            "certPath: a, keyPath: b, enabled: true",
            "unknown key `enabled` in admin.tls",
        ),
    ];
    for (block, want) in cases {
        let all = mistakes(&with(&format!("admin: {{tls: {{{block}}}}}")));
        assert!(all.len() == 1 && all[0].contains(want), "{block}: {all:?}");
    }
}

#[test]
fn limits_of_clients_have_defaults_that_follow_each_other() {
    let limits = |text: &str| {
        good(&with(&format!("admin: {{limits: {{{text}}}}}")))
            .admin
            .server
            .limits
    };
    assert_eq!(limits(""), ClientLimits::default());
    let some = limits("connections: 9, requestsPerSecond: 2.5");
    assert_eq!((some.connections, some.connections_per_client), (9, 5));
    assert!((some.request_burst - 5.0).abs() < 1e-9);
    let all = mistakes(&with("admin: {limits: {connections: 0}}"));
    assert!(
        all[0].contains("admin.limits.connections must be"),
        "{all:?}"
    );
}

#[test]
fn auth_is_read_and_its_absence_warned_of_where_others_come_in() {
    let warned = |interface: &str| {
        let text = format!("storage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{{interface}}}]");
        let (_, warnings) = read(&text).expect("loads");
        warnings
            .iter()
            .any(|w| w.message.contains("without `auth`"))
    };
    assert!(!warned("kind: io.l5d.mesh"));
    for kind in ["kind: io.l5d.mesh", "kind: io.l5d.httpController"] {
        assert!(warned(&format!("{kind}, ip: 0.0.0.0")));
        assert!(!warned(&format!("{kind}, ip: 0.0.0.0, auth: none")));
        assert!(!warned(&format!("{kind}, ip: 127.0.0.2")));
    }
    assert!(!warned(
        "kind: io.l5d.mesh, ip: 0.0.0.0, auth: {nodes: serviceAccount}"
    ));
    let config = good(
        "storage: {kind: io.l5d.inMemory}\ninterfaces: [{kind: io.l5d.mesh, maxConnectionAgeSecs: 0, auth: \
         {nodes: [serviceAccount], serviceAccounts: [linkerd/l5d]}}]",
    );
    let nodes = &config.interfaces[0].nodes;
    assert_eq!(nodes.proofs, [NodeProof::ServiceAccount]);
    assert_eq!(nodes.tokens.audiences, ["namerd"]);
    assert_eq!(config.interfaces[0].connection_age, None);
    let shown = config.effective();
    assert_eq!(shown["interfaces"][0]["auth"]["nodes"][0], "serviceAccount");
    assert_eq!(shown["interfaces"][0]["auth"]["tools"][0], "token");
    for (auth, tools) in [
        ("{nodes: serviceAccount}", &[CallerProof::Token][..]),
        ("{nodes: serviceAccount, tools: none}", &[]),
        ("{nodes: none, tools: token}", &[CallerProof::Token]),
        ("{nodes: none}", &[]),
        ("none", &[]),
    ] {
        let config = good(&format!(
            "storage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, auth: {auth}}}]"
        ));
        assert_eq!(config.interfaces[0].nodes.tools, tools, "{auth}");
    }
    assert_eq!(good(LEAST).effective()["interfaces"][0]["auth"], "none");
    let cases = [
        (
            "{nodes: certificate}",
            "certificates can only be checked with `tls` and its caCertPath",
        ),
        (
            "{nodes: [none, serviceAccount]}",
            "nodes[0] must be none, certificate, serviceAccount",
        ),
        (
            "{tools: certificate}",
            "certificates can only be checked with `tls` and its caCertPath",
        ),
        (
            "{tools: serviceAccount}",
            "tools must be none, certificate, token",
        ),
        (
            "{nodes: token}",
            "must be none, certificate, serviceAccount",
        ),
        (
            "{nodes: serviceAccount, serviceAccounts: [l5d]}",
            "`l5d` is not NAMESPACE/NAME",
        ),
        ("{writes: token}", "unknown key `writes`"),
        ("some", "must be a map of keys"),
    ];
    for (auth, want) in cases {
        let all = mistakes(&format!(
            "storage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, auth: {auth}}}]"
        ));
        assert!(all.len() == 1 && all[0].contains(want), "{auth}: {all:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        mistakes("storage: {kind: io.l5d.inMemory}"),
        ["1:1 'interfaces' field is required"]
    );
    assert_eq!(
        mistakes("storage: {kind: io.l5d.inMemory}\ninterfaces: []"),
        ["2:13 One or more interfaces must be specified"]
    );
    assert_eq!(
        mistakes("interfaces: [{kind: io.l5d.mesh}]"),
        ["1:1 'storage' field is required"]
    );
    assert_eq!(
        mistakes(&with("namers: [{kind: io.l5d.fs}]")),
        ["3:10 'rootDir' field is required in namers[0]"]
    );
}

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
fn two_servers_cannot_have_one_address() {
    let conflict = |admin: &str, a: &str, b: &str| {
        let text = format!(
            "storage: {{kind: io.l5d.inMemory}}\nadmin: {{{admin}}}\ninterfaces:\n- {{kind: io.l5d.mesh, {a}}}\n- {{kind: io.l5d.httpController, {b}}}"
        );
        read(&text).err().map(|e| e.all()[0].message.clone())
    };
    assert_eq!(
        conflict("port: 1", "port: 2", "port: 2").as_deref(),
        Some(
            "Server conflict on port 2: interfaces[0] (io.l5d.mesh) and interfaces[1] (io.l5d.httpController) \
             both want it (127.0.0.1:2 and 127.0.0.1:2)"
        )
    );
    assert!(conflict("port: 2, ip: 0.0.0.0", "port: 2", "port: 3").is_some());
    assert!(conflict("port: 2, ip: '::'", "port: 2", "port: 3").is_some());
    assert!(conflict("port: 2, ip: '::1'", "port: 2", "port: 3").is_none());
    assert!(conflict("port: 0", "port: 0", "port: 0").is_none());
    assert!(conflict("port: 1", "port: 2, ip: 127.0.0.2", "port: 2").is_none());
    let reuse = "port: 2, socketOptions: {reusePort: true}";
    assert!(conflict("port: 1", reuse, reuse).is_none());
    assert!(conflict("port: 1", reuse, "port: 2").is_some());
    assert!(conflict("", "port: 9991", "").is_some());
}

#[test]
fn a_bad_dtab_is_named_with_namespace_entry_and_place() {
    let text = "
interfaces: [{kind: io.l5d.mesh}]
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: |
      # comment; with a semicolon
      /svc => /#/io.l5d.fs ;
      /host => ;
    other: /a=>/b
";
    let report = read(text).expect_err("a mistake").to_string();
    let head = report.lines().next().expect("a line");
    assert!(
        head.starts_with("namerd.yml:9:16: invalid dtab in storage.namespaces.default, entry 2: "),
        "{report}"
    );
    assert!(
        report.contains("9 |       /host => ;\n  |                ^"),
        "{report}"
    );
}

#[test]
fn later_and_refused_kinds_are_named_never_ignored() {
    let cases = [
        (
            "storage: {kind: io.l5d.zk, zkAddrs: []}\ninterfaces: [{kind: io.l5d.mesh}]",
            "storage kind `io.l5d.zk` is not supported and will not be",
        ),
        (
            &with("namers: [{kind: io.l5d.marathon}]"),
            "namer kind `io.l5d.marathon` is not supported and will not be",
        ),
        (
            &with("telemetry: [{kind: io.l5d.statsd}]"),
            "telemeter kind `io.l5d.statsd` is not supported: scrape /admin/metrics/prometheus",
        ),
        (
            &with("telemetry: [{kind: io.l5d.opentelemetry, endpoint: 'https://otel:4317'}]"),
            "telemetry[0].endpoint must be the http:// address of a collector",
        ),
        (
            &with("namers: [{kind: io.l5d.k8s, endpoints: legacy}]"),
            "`endpoints: legacy` is not supported and will not be",
        ),
        (
            &with("namers: [{kind: io.l5d.k8s, addressFamily: both}]"),
            "addressFamily must be primary, ipv4 or ipv6",
        ),
    ];
    for (text, want) in cases {
        let all = mistakes(text);
        assert!(all.len() == 1 && all[0].contains(want), "{text}: {all:?}");
    }
}

#[test]
fn traces_go_nowhere_unless_a_collector_is_named() {
    assert_eq!(good(&with("")).traces, None);
    let text = with(
        "telemetry: [{kind: io.l5d.opentelemetry, endpoint: 'http://otel:4317'}, {kind: io.l5d.influxdb}]",
    );
    let config = good(&text);
    let traces = Traces {
        endpoint: "http://otel:4317".to_owned(),
        sample_rate: 1.0,
        service_name: "namerd".to_owned(),
    };
    assert_eq!(config.traces, Some(traces));
    assert!(config.influxdb);
    let shown = config.effective()["telemetry"].to_string();
    assert!(shown.contains("http://otel:4317") && shown.contains("io.l5d.influxdb"));
}

#[test]
fn an_interface_has_no_experimental_key() {
    assert_eq!(
        mistakes(
            "storage: {kind: io.l5d.inMemory, experimental: true}\ninterfaces: [{kind: io.l5d.mesh, experimental: true}]"
        ),
        ["2:34 unknown key `experimental` in interfaces[0]"]
    );
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
fn telemeters_load_with_warnings() {
    let text = with(
        "telemetry:\n- {kind: io.l5d.prometheus, prefix: namerd_, path: /prom}\n- {kind: io.l5d.recentRequests, sampleRate: 0.25}",
    );
    let (config, warnings) = read(&text).expect("loads");
    assert_eq!(config.prometheus_paths, ["/prom"]);
    assert_eq!(warnings.len(), 2);
}

#[test]
fn the_effective_configuration_shows_defaults() {
    let json = good(&with("namers: [{kind: io.l5d.k8s}]")).effective();
    assert_eq!(json["interfaces"][0]["port"], 4321);
    assert_eq!(json["namers"][0]["prefix"], "/io.l5d.k8s");
    assert_eq!(json["storage"]["kind"], "io.l5d.inMemory");
    assert_eq!(json["admin"]["shutdownGraceMs"], 10_000);
}

/// What stands behind `config.yml: |-` in a published manifest.
fn embedded(manifest: &str) -> String {
    let mut lines = manifest
        .lines()
        .skip_while(|l| !l.trim().starts_with("config.yml: |"));
    let indent = lines.next().map_or(0, |l| l.len() - l.trim_start().len());
    lines
        .take_while(|l| l.trim().is_empty() || l.len() - l.trim_start().len() > indent)
        .map(|l| format!("{l}\n"))
        .collect()
}

#[test]
fn the_published_namerd_configuration_loads() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/compat/linkerd-examples/namerd.yml"
    );
    let Ok(manifest) = std::fs::read_to_string(path) else {
        eprintln!("skipped: {path} is not there");
        return;
    };
    let config = good(&embedded(&manifest));
    assert!(matches!(config.storage, Storage::K8s(_)));
    let kinds: Vec<_> = config.interfaces.iter().map(|i| i.kind.name()).collect();
    assert_eq!(
        kinds,
        [
            "io.l5d.thriftNameInterpreter",
            "io.l5d.httpController",
            "io.l5d.mesh"
        ]
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
fn etcd_takes_one_host_or_several() {
    let etcd = |keys: &str| match good(&format!(
        "storage: {{kind: io.l5d.etcd{keys}}}\ninterfaces: [{{kind: io.l5d.mesh}}]"
    ))
    .storage
    {
        Storage::Etcd(etcd) => etcd,
        other => panic!("{other:?}"),
    };
    let default = etcd("");
    assert_eq!(default.hosts, [("localhost".to_owned(), 2379)]);
    assert_eq!(default.path_prefix, "/namerd/dtabs");
    let one = etcd(", experimental: true, host: e1, port: 1, pathPrefix: /x");
    assert_eq!(
        (&one.hosts[..], &*one.path_prefix),
        (&[("e1".to_owned(), 1)][..], "/x")
    );
    let several = etcd(", endpoints: [e1, 'e2:1', '[::1]:2', '[::1]']");
    let hosts = [("e1", 2379), ("e2", 1), ("::1", 2), ("::1", 2379)];
    assert_eq!(
        several.hosts,
        hosts.map(|(host, port)| (host.to_owned(), port))
    );
    let tls = etcd(
        ", tls: {commonName: etcd, trustCertsBundle: /ca, clientAuth: {certPath: /c, keyPath: /k}}",
    )
    .tls;
    let tls = tls.expect("TLS");
    assert_eq!(tls.common_name.as_deref(), Some("etcd"));
    assert_eq!(tls.trust, [PathBuf::from("/ca")]);
    assert!(tls.client_auth.is_some());
    assert_eq!(etcd(", tls: {enabled: false}").tls, None);
    let unchecked = etcd(", tls: {disableValidation: true}").tls.expect("TLS");
    assert_eq!(unchecked.common_name, None);
}

#[test]
fn what_stores_cannot_use_is_told() {
    let wrong = |keys: &str| {
        mistakes(&format!(
            "storage: {{{keys}}}\ninterfaces: [{{kind: io.l5d.mesh}}]"
        ))
    };
    for (keys, want) in [
        (
            "kind: io.l5d.etcd, host: a, endpoints: [b]",
            "cannot both be given",
        ),
        ("kind: io.l5d.etcd, endpoints: []", "at least one"),
        (
            "kind: io.l5d.etcd, endpoints: ['http://a:1']",
            "storage.endpoints[0] must be HOST:PORT",
        ),
        (
            "kind: io.l5d.etcd, tls: {}",
            "'commonName' field is required in storage.tls",
        ),
        (
            "kind: io.l5d.etcd, tls: {commonName: a, trustCerts: [/a], trustCertsBundle: /b}",
            "cannot both be given",
        ),
        (
            "kind: io.l5d.etcd, namespaces: {}",
            "unknown key `namespaces` in storage",
        ),
        (
            "kind: io.l5d.fs",
            "rootDir (a directory, each file a namespace) or dtabFile",
        ),
        (
            "kind: io.l5d.fs, rootDir: /, dtabFile: /x",
            "cannot both be given",
        ),
        (
            "kind: io.l5d.fs, rootDir: /no/such",
            "not an existing directory",
        ),
    ] {
        let found = wrong(keys);
        assert!(
            found.len() == 1 && found[0].contains(want),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn consul_is_asked_as_configured_and_its_token_is_not_shown() {
    let config = good(
        "
storage: {kind: io.l5d.consul, token: hidden, datacenter: dc2, readConsistencyMode: stale, writeConsistencyMode: default, failFast: true}
namers:
- {kind: io.l5d.consul, token: hidden, includeTag: true, useHealthCheck: true, healthStatuses: [passing, warning], weights: [{tag: a, weight: 2}]}
interfaces: [{kind: io.l5d.mesh}]
",
    );
    let Storage::Consul(storage) = &config.storage else {
        panic!("{:?}", config.storage)
    };
    assert_eq!(
        (&*storage.access.host, storage.access.port),
        ("localhost", 8500)
    );
    assert_eq!(storage.access.consistency, Consistency::Stale);
    assert_eq!(
        storage.access.token.as_ref().map(Secret::reveal),
        Some("hidden")
    );
    let NamerKind::Consul(_, naming) = &config.namers[0].kind else {
        panic!("{:?}", config.namers)
    };
    let health = naming.health.as_ref().expect("checks count");
    assert!(naming.include_tag && naming.prefer_service_address && health.len() == 2);
    assert_eq!(naming.weights["a"], 2.0);
    let shown = format!("{config:?} {}", config.effective());
    assert!(!shown.contains("hidden"), "{shown}");
    for (keys, want) in [
        (
            "consistencyMode: sometimes",
            "must be default, stale or consistent",
        ),
        (
            "healthStatuses: [fine]",
            "must be passing, warning, critical or maintenance",
        ),
        ("weights: [{tag: a}]", "'weight' field is required"),
    ] {
        let found = mistakes(&with(&format!("namers: [{{kind: io.l5d.consul, {keys}}}]")));
        assert!(
            found.len() == 1 && found[0].contains(want),
            "{keys}: {found:?}"
        );
    }
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
fn k8s_162_dtabs_in_a_config_map() {
    let file = |storage: &str| format!("storage: {storage}\ninterfaces: [{{kind: io.l5d.mesh}}]\n");
    let keys = "{kind: io.l5d.k8s.configMap, experimental: true, host: api, port: 80, namespace: l5d, name: dtabs, filename: dtab}";
    let shown = good(&file(keys)).effective();
    assert_eq!(shown["storage"]["name"], "dtabs");
    assert_eq!(shown["storage"]["filename"], "dtab");
    let all = good(&file("{kind: io.l5d.k8s.configMap, name: dtabs}")).storage;
    assert!(
        matches!(&all, Storage::ConfigMap(map) if map.filename.is_none() && map.namespace == "default")
    );
    let missing = mistakes(&file("{kind: io.l5d.k8s.configMap}"));
    assert!(
        missing[0].contains("'name' field is required"),
        "{missing:?}"
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
fn control_plane_12_3_dtabs_as_custom_resources() {
    let file = |storage: &str| format!("storage: {storage}\ninterfaces: [{{kind: io.l5d.mesh}}]\n");
    let config = good(&file("{kind: io.l5d.k8s}"));
    let Storage::K8s(k8s) = &config.storage else {
        panic!("{:?}", config.storage);
    };
    assert_eq!(k8s.api, ApiServer::Plain("localhost".to_owned(), 8001));
    assert_eq!((&*k8s.namespace, k8s.write_status), ("default", true));
    let more = "{kind: io.l5d.k8s, experimental: true, host: api, port: 80, namespace: l5d, status: false}";
    let shown = good(&file(more)).effective();
    assert_eq!(shown["storage"]["api"], "http://api:80");
    assert_eq!(shown["storage"]["namespace"], "l5d");
    assert_eq!(shown["storage"]["status"], false);
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
