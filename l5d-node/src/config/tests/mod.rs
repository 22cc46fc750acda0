//! The configuration file of node-proxy 2 to 4 and 12, and K8S-60.

use std::time::Duration;

use super::*;

mod effective;
mod keys;
mod manifests;

const MINIMAL: &str = "routers: [{protocol: http, servers: [{port: 0}]}]";

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = read("l5d.yml", text).expect_err("there are mistakes");
    let one = |m: &l5d_config::Mistake| format!("{}:{} {}", m.line, m.column, m.message);
    mistakes.all().iter().map(one).collect()
}

fn has(text: &str, part: &str) {
    let found = mistakes(text);
    assert!(
        found.iter().any(|m| m.contains(part)),
        "{part:?} in {found:#?}"
    );
}

#[test]
fn defaults_are_those_of_the_tables() {
    let config = read("l5d.yml", MINIMAL).expect("it is right");
    assert_eq!(config.admin.addr.to_string(), "127.0.0.1:9990");
    assert_eq!(config.admin.shutdown_grace, Duration::from_secs(10));
    let router = &config.routers[0];
    assert_eq!(router.label, "http");
    assert_eq!(router.dst_prefix.to_string(), "/svc");
    assert_eq!(router.binding_timeout, Duration::from_secs(10));
    assert_eq!(router.client.base().connect_timeout, Duration::from_secs(1));
    assert_eq!(router.max_headers_bytes, 8 << 10);
    assert_eq!(router.interpreter.kind, "default");
    assert_eq!(router.cache.paths, 1000);
    assert_eq!(router.cache.idle_ttl, Duration::from_secs(600));
    assert_eq!(router.servers[0].label, "127.0.0.1/0");
    assert_eq!(router.servers[0].max_call_depth, 1000);
    assert_eq!(router.identifiers, [Protocol::Http.identifier()]);
}

#[test]
fn namerd_is_reached_as_tls_and_token_file_say() {
    let text = |keys: &str| {
        format!(
            "routers: [{{protocol: http, servers: [{{port: 0}}], interpreter: {{kind: io.l5d.mesh, dst: /$/inet/a/1, {keys}}}}}]"
        )
    };
    let good = text(
        "tokenFile: /t, tls: {commonName: n, trustCertsBundle: /ca, clientAuth: {certPath: /c, keyPath: /k}}",
    );
    let config = read("l5d.yml", &good).expect("it is right");
    let interpreter = &config.routers[0].interpreter;
    assert_eq!(interpreter.token_file.as_deref(), Some("/t".as_ref()));
    let tls = interpreter.tls.as_ref().expect("a tls block");
    assert_eq!(tls.common_name.as_deref(), Some("n"));
    assert!(tls.client_auth.is_some() && !tls.is_unchecked);
    let off = read("l5d.yml", &text("tls: {enabled: false}")).expect("it is right");
    assert_eq!(off.routers[0].interpreter.tls, None);
    has(&text("tls: {}"), "'commonName' field is required");
    has(
        &text("tls: {commonName: n, trustCerts: [/a], trustCertsBundle: /b}"),
        "cannot both be given",
    );
    has(
        &text("tls: {disableValidation: true, clientAuth: {certPath: /c, keyPath: /k}}"),
        "clientAuth and disableValidation exclude each other",
    );
    has(
        &text("tls: {commonName: n, protocols: [SSLv3]}"),
        "protocol `SSLv3` is not spoken",
    );
}

#[test]
fn a_daemonset_configuration_loads() {
    let config = read(
        "l5d.yml",
        r#"
admin: { ip: 0.0.0.0, port: "9990", shutdownGraceMs: 500 }
maxStaleSecs: 60
telemetry: [{ kind: io.l5d.prometheus }]
usage: { enabled: false }
routers:
- protocol: http
  label: outgoing
  dtab: |
    /srv => /#/io.l5d.k8s/default/http; # a comment
    /svc => /srv;
  interpreter:
    kind: io.l5d.mesh
    dst: [/$/inet/namerd.default.svc/4321, /$/inet/127.1/4322]
    root: /l5d
    retry: { maxSeconds: 5 }
    transformers:
    - { kind: io.l5d.k8s.daemonset, namespace: default, port: incoming, service: l5d }
  client: { kind: io.l5d.global, requestAttemptTimeoutMs: 700, connectTimeoutMs: 250 }
  service: { totalTimeoutMs: -1 }
  servers: [{ port: 4140, ip: 0.0.0.0, clearContext: true, maxCallDepth: 10 }]
- protocol: http
  label: incoming
  interpreter: { kind: io.l5d.namerd, dst: /$/inet/namerd/4100, namespace: other }
  identifier: [{ kind: io.l5d.header.token, header: X-Name }]
  servers: [{ port: 4141, ip: 127.1 }]
"#,
    )
    .expect("it is right");
    let [outgoing, incoming] = &config.routers[..] else {
        panic!("two routers");
    };
    let dst = |host: &str, port| (host.to_owned(), port);
    assert_eq!(
        outgoing.interpreter.dst,
        [dst("namerd.default.svc", 4321), dst("127.1", 4322)]
    );
    assert_eq!(outgoing.interpreter.root.as_deref(), Some("l5d"));
    assert_eq!(outgoing.interpreter.retry_max, Duration::from_secs(5));
    assert_eq!(outgoing.interpreter.transformers[0].service, "l5d");
    assert_eq!(
        outgoing.client.base().attempt_timeout,
        Some(Duration::from_millis(700))
    );
    assert_eq!(outgoing.service.base().total_timeout, None);
    assert_eq!(outgoing.dtab.entries().len(), 2);
    assert_eq!(
        incoming.interpreter.dst,
        [dst("namerd", 4321)],
        "12.6: the port is replaced"
    );
    assert_eq!(incoming.interpreter.root.as_deref(), Some("other"));
    assert_eq!(incoming.servers[0].addr.to_string(), "127.0.0.1:4141");
    assert_eq!(config.max_stale, Some(Duration::from_secs(60)));
    assert!(
        config
            .warnings
            .iter()
            .any(|w| w.contains("4321 instead of 4100"))
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let found = mistakes(
        "routers:\n- protocol: http\n  bindingTimoutMs: 1\n  dtab: /a -> /b\n  servers: []\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("3:3 unknown key `bindingTimoutMs`"));
    assert!(found[1].starts_with("4:"), "{}", found[1]);
    assert!(found[2].contains("servers is empty"));
}

#[test]
fn namers_belong_to_namerd() {
    let text = format!("{MINIMAL}\nnamers: [{{kind: io.l5d.fs, rootDir: /disco}}]");
    let mistakes = read("l5d.yml", &text).expect_err("refused");
    assert!(mistakes.to_string().contains("namerctl migrate"));
    read("l5d.yml", &format!("{MINIMAL}\nnamers: []")).expect("an empty list is nothing");
}

#[test]
fn interpreters_are_checked() {
    let with = |interpreter: &str| {
        format!("routers: [{{protocol: http, servers: [{{port: 0}}], interpreter: {interpreter}}}]")
    };
    has(&with("{kind: io.l5d.mesh}"), "'dst' field is required");
    has(
        &with("{kind: io.l5d.mesh, dst: /$/inet/h}"),
        "must be /$/inet/HOST/PORT",
    );
    has(
        &with("{kind: io.l5d.mesh, dst: /$/inet/h/1, root: /a/b}"),
        "must have one element",
    );
    has(&with("{kind: io.l5d.fs, dtabFile: x}"), "namerctl migrate");
    has(
        &with("{kind: io.l5d.namerd.http, dst: /$/inet/h/1}"),
        "experimental: true",
    );
    has(&with("{kind: io.l5d.meesh}"), "unknown interpreter kind");
}

#[test]
fn labels_and_listeners_are_unique() {
    let two = "routers: [{protocol: http, servers: [{port: 80}]}, {protocol: http, servers: [{port: 80}]}]";
    has(two, "two routers have the label `http`");
    has(two, "server conflict");
    has(
        "routers: [{protocol: http, servers: [{port: 9990, ip: 0.0.0.0}]}]",
        "server conflict",
    );
    has("routers: []", "at least one router");
    has("{}", "'routers' field is required");
    has(
        "routers: [{protocol: http, servers: [{port: 1}, {port: 70000}]}]",
        "65535",
    );
}

fn identity(vars: &[(&str, &str)]) -> Result<Identity, IdentityError> {
    let var = |name: &str| {
        let found = vars.iter().find(|(n, _)| *n == name);
        found.map(|(_, v)| (*v).to_owned())
    };
    Identity::read(var, None, None)
}

#[test]
fn the_default_interpreter_needs_to_know_its_namerd() {
    let config = read("l5d.yml", MINIMAL).expect("it is right");
    let missing = config
        .check_identity(&identity(&[]).expect("reads"))
        .expect_err("missing");
    let message = missing[0].to_string();
    assert!(message.contains("--namerd") && message.contains("L5D_NAMERD"));
    let known = identity(&[("L5D_NAMERD", "a:1, [::1]:2")]).expect("reads");
    assert_eq!(known.namerd, [("a".to_owned(), 1), ("::1".to_owned(), 2)]);
    config.check_identity(&known).expect("known");
    identity(&[("L5D_NAMERD", "a")]).expect_err("no port");
    identity(&[("POD_IP", "x")]).expect_err("no address");
}

#[test]
fn proofs_for_a_namerd_that_nobody_follows_are_warned_of() {
    let known = Identity {
        namerd: vec![("a".to_owned(), 1)],
        namerd_token_file: Some("token".into()),
        ..Identity::default()
    };
    let config = read("l5d.yml", MINIMAL).expect("it is right");
    assert_eq!(config.check_identity(&known), Ok(vec![]));
    let text = "routers: [{protocol: http, servers: [{port: 0}], interpreter: {kind: io.l5d.mesh, dst: /$/inet/h/1}}]";
    let config = read("l5d.yml", text).expect("it is right");
    let warnings = config.check_identity(&known).expect("enough");
    assert!(warnings[0].contains("--namerd-token-file"), "{warnings:?}");
}

#[test]
fn k8s_60_localnode_needs_to_know_its_node() {
    let with = |host_network: bool| {
        let text = format!(
            "routers: [{{protocol: http, servers: [{{port: 0}}], interpreter: {{kind: io.l5d.mesh, dst: /$/inet/h/1, \
             transformers: [{{kind: io.l5d.k8s.localnode, hostNetwork: {host_network}}}]}}}}]"
        );
        read("l5d.yml", &text).expect("it is right")
    };
    let pod = identity(&[("POD_IP", "10.0.0.1")]).expect("reads");
    let node = identity(&[("NODE_NAME", "n1")]).expect("reads");
    assert_eq!(
        with(false).check_identity(&pod).expect("enough").len(),
        1,
        "a warning"
    );
    with(false)
        .check_identity(&node)
        .expect_err("POD_IP is missing");
    with(true)
        .check_identity(&pod)
        .expect_err("NODE_NAME is missing");
    assert_eq!(with(true).check_identity(&node), Ok(vec![]));
}
