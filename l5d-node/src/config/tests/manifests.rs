//! Configurations with the keys and shapes of public DaemonSet manifests.

use super::*;

/// One router pair of a DaemonSet that follows a namerd, over thrift or mesh.
fn pair(kind: &str, dst: &str, root: &str) -> String {
    format!(
        r#"
admin:
  ip: 0.0.0.0
  port: 9990
telemetry:
- kind: io.l5d.prometheus
- kind: io.l5d.recentRequests
  sampleRate: 0.25
usage:
  orgId: linkerd-examples-daemonset-namerd
routers:
- protocol: http
  label: outgoing
  interpreter:
    kind: {kind}
    dst: {dst}
    {root}
    transformers:
    - kind: io.l5d.k8s.daemonset
      namespace: default
      port: incoming
      service: l5d
      hostNetwork: true # for CNI
  servers:
  - port: 4140
    ip: 0.0.0.0
  service:
    responseClassifier:
      kind: io.l5d.http.retryableRead5XX
- protocol: http
  label: incoming
  interpreter:
    kind: {kind}
    dst: {dst}
    {root}
    transformers:
    - kind: io.l5d.k8s.localnode
      hostNetwork: true
  servers:
  - port: 4141
    ip: 0.0.0.0
"#
    )
}

#[test]
fn those_that_follow_a_namerd_load_as_they_are() {
    let thrift = pair(
        "io.l5d.namerd",
        "/$/inet/namerd.default.svc.cluster.local/4100",
        "namespace: internal",
    );
    let mesh = pair(
        "io.l5d.mesh",
        "/$/inet/namerd.default.svc.cluster.local/4321",
        "root: /internal",
    );
    for (text, mapped) in [(thrift, 1), (mesh, 0)] {
        let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
        for router in &config.routers {
            let dst = [("namerd.default.svc.cluster.local".to_owned(), 4321)];
            assert_eq!(router.interpreter.dst, dst);
            assert_eq!(router.interpreter.root.as_deref(), Some("internal"));
        }
        let is_port = |w: &&String| w.contains("4321 instead of 4100");
        assert_eq!(config.warnings.iter().filter(is_port).count(), mapped);
    }
}

/// Those that bind names themselves are refused once, with what to do, and nothing else is said of them.
#[test]
fn those_with_namers_are_refused_with_the_way_out() {
    let text = r#"
admin: { ip: 0.0.0.0, port: 9990 }
namers:
- kind: io.l5d.k8s
  host: localhost
  port: 8001
telemetry:
- kind: io.l5d.prometheus
routers:
- protocol: http
  label: outgoing
  dtab: |
    /srv        => /#/io.l5d.k8s/default/http;
    /host       => /srv;
    /svc        => /host;
    /host/world => /srv/world-v1;
  interpreter:
    kind: default
    transformers:
    - { kind: io.l5d.k8s.daemonset, namespace: default, port: incoming, service: l5d }
  servers: [{ port: 4140, ip: 0.0.0.0 }]
  service: { responseClassifier: { kind: io.l5d.http.retryableRead5XX } }
"#;
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let all = read("l5d.yml", text).expect_err("refused").to_string();
    assert!(all.contains("namerctl migrate FILE"), "{all}");
    let without = text.replace("- kind: io.l5d.k8s\n  host: localhost\n  port: 8001\n", "");
    read("l5d.yml", &without).expect("the node's part loads");
}
