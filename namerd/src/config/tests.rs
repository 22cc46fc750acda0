//! Whole files in, configurations or mistakes out.

mod ca;
mod namers;
mod stores;

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
    let old = good(&with(
        "admin: {tls: {certPath: c, keyPath: k, ciphers: [TLS_RSA_WITH_AES_128_CBC_SHA]}}",
    ));
    let old = old.admin.server.tls.as_ref().expect("a tls block");
    assert!(old.ciphers.is_empty(), "all that the library speaks");
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
fn telemeters_load_with_warnings() {
    let text = with(
        "telemetry:\n- {kind: io.l5d.prometheus, prefix: namerd_, path: /prom}\n- {kind: io.l5d.recentRequests, sampleRate: 0.25}",
    );
    let (config, warnings) = read(&text).expect("loads");
    let page = &config.prometheus[0];
    assert_eq!((&*page.path, &*page.prefix), ("/prom", "namerd_"));
    assert_eq!(warnings.len(), 1);
    let shown = config.effective();
    assert_eq!(shown["telemetry"][1]["prefix"], "namerd_");
    for bad in ["1x", "a-b", "a b"] {
        let text = with(&format!(
            "telemetry: [{{kind: io.l5d.prometheus, prefix: '{bad}'}}]"
        ));
        let mistakes = read(&text).expect_err(bad).to_string();
        assert!(
            mistakes.contains("cannot begin the name of a metric"),
            "{mistakes}"
        );
    }
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
