//! Each example loads, and says what it must.

use crate::migrate::report::Fate;
use crate::migrate::{input, migrate, parse};

use super::{args, example, examples};

fn node(text: &str) -> l5d_node::config::Config {
    l5d_node::config::read("node", text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn namerd(text: &str) -> namerd::config::Config {
    let env = |name: &str| (name == "KUBERNETES_SERVICE_HOST").then(|| "10.0.0.1".to_owned());
    let read = namerd::config::Config::read("namerd", text, &env);
    read.unwrap_or_else(|e| panic!("{e}\n{text}")).0
}

#[test]
fn all_examples_load_after_migration() {
    for file in examples() {
        let inputs = [input::read(&file).expect("it is YAML")];
        let made = migrate(&inputs, &args()).expect("it migrates");
        assert!(!made.report.is_open(), "{file}: {}", made.report.text(&[]));
        let mut is_manifest = false;
        for output in &made.outputs {
            if output.name.ends_with("node.yaml") {
                node(&output.text);
            } else if output.name.ends_with("namerd.yaml") {
                namerd(&output.text);
            } else if output.name.ends_with(".dtab") {
                l5d_naming::Dtab::parse(&output.text).expect("a dtab");
            } else {
                is_manifest |= file.ends_with(&output.name);
                manifest(&file, &output.text);
            }
        }
        assert!(is_manifest, "{file} has no manifest");
    }
}

/// A manifest has objects of today's versions only, and the configurations in it are those that were checked.
fn manifest(file: &str, text: &str) {
    for document in parse::documents(text, 1).unwrap_or_else(|e| panic!("{file}: {e}\n{text}")) {
        let version = document.root.word("apiVersion").unwrap_or_default();
        assert!(!version.contains("beta"), "{file}: {version}\n{text}");
        for slot in document.root.get("data").map_or(&[][..], |d| d.slots()) {
            let text = slot.node.str().unwrap_or_default();
            if text.contains("\nrouters:") {
                node(text);
            } else if text.contains("\ninterfaces:") {
                namerd(text);
            }
        }
    }
}

/// For each file: which output, and what it must say, comments and all.
const FACTS: &[(&str, &str, &[&str])] = &[
    (
        "linkerd.yml",
        "node.yaml",
        &[
            "  label: outgoing\n",
            "/host/world => /srv/world-v1;\n",
            "- kind: io.l5d.k8s.daemonset\n      namespace: default\n      port: incoming\n      service: l5d\n",
            "- kind: io.l5d.k8s.localnode\n",
        ],
    ),
    (
        "linkerd.yml",
        "namerd.yaml",
        &[
            "namers:\n- kind: io.l5d.k8s\n",
            "- kind: io.l5d.mesh\n  ip: 0.0.0.0\n  port: 4321\n",
        ],
    ),
    (
        "linkerd.yml",
        "linkerd.yml",
        &[
            "apiVersion: apps/v1\nkind: DaemonSet\n",
            "  selector:\n    matchLabels:\n      app: l5d\n",
            "fieldPath: spec.nodeName\n",
            "- \"--namerd\"\n        - namerd:4321\n",
            "image: l5d-node:test\n",
            "[endpointslices]",
        ],
    ),
    (
        "linkerd.yml",
        "namerd.manifest.yaml",
        &[
            "kind: Deployment\n",
            "image: namerd:test\n",
            "kind: Service\n",
            "resources: [endpointslices]\n",
            "kind: ClusterRoleBinding\n",
        ],
    ),
    (
        "linkerd-namerd.yml",
        "node.yaml",
        &[
            "kind: io.l5d.mesh\n    dst: /$/inet/namerd.default.svc.cluster.local/4321\n    root: /internal\n",
            "    root: /external\n",
            "- kind: io.l5d.k8s.daemonset\n      namespace: default\n      port: incoming\n      service: l5d\n",
        ],
    ),
    (
        "linkerd-namerd-cni.yml",
        "node.yaml",
        &[
            "label: out-mesh-tls\n",
            "port: in-mesh-tls\n      service: l5d\n      hostNetwork: true\n",
            "- kind: io.l5d.k8s.localnode\n      hostNetwork: true\n",
        ],
    ),
    ("linkerd-cni.yml", "node.yaml", &["hostNetwork: true\n"]),
    (
        "linkerd-cni.yml",
        "linkerd-cni.yml",
        &[
            "hostNetwork: true\n      dnsPolicy: ClusterFirstWithHostNet\n",
            "fieldPath: status.podIP\n",
        ],
    ),
    (
        "linkerd-egress.yaml",
        "namerd.yaml",
        &[
            "prefix: /io.l5d.k8s.ds # We reference this in the outgoing router's dtab\n",
            "- kind: io.l5d.k8s.daemonset\n    namespace: default\n    port: incoming\n    service: l5d\n",
        ],
    ),
    (
        "linkerd-egress.yaml",
        "node.yaml",
        &["/srv       => /ph/80 ; # Use port 80 if unspecified\n"],
    ),
    (
        "servicemesh.yml",
        "namerd.yaml",
        &[
            "prefix: /io.l5d.k8s.grpc\n",
            "port: grpc-incoming\n",
            "pattern: \"/{port}/{ns}/{svc}\"\n",
            "    # hostNetwork: true # Uncomment if using host networking (eg for CNI)\n- kind: io.l5d.k8s\n  prefix: /io.l5d.k8s.h2\n",
        ],
    ),
    (
        "servicemesh.yml",
        "node.yaml",
        &[
            "label: http-outgoing\n",
            "/svc => /$/io.buoyant.http.domainToPathPfx/host ; # /svc/foo.default -> /host/default/foo\n",
            "identifier:\n",
        ],
    ),
    (
        "servicemesh.yml",
        "servicemesh.yml",
        &["- namerd.linkerd.svc.cluster.local:4321\n"],
    ),
    (
        "linkerd-latency.yml",
        "node.yaml",
        &["prefix: /svc/hello\n", "totalTimeoutMs: 600\n"],
    ),
    (
        "linkerd-zipkin.yml",
        "node.yaml",
        &[
            "kind: io.l5d.zipkin\n",
            "host: zipkin-collector.default.svc.cluster.local\n",
        ],
    ),
    (
        "linkerd-tls.yml",
        "node.yaml",
        &[
            "commonName: linkerd\n",
            "keyPath: /io.buoyant/linkerd/certs/key.pk8\n",
        ],
    ),
    (
        "linkerd-grpc.yml",
        "node.yaml",
        &[
            "kind: io.l5d.header.path\n",
            "/grpc/World => /srv/world-v1;\n",
        ],
    ),
    (
        "linkerd-ingress.yml",
        "node.yaml",
        &[
            "/domain/world/hello/www => /srv/hello ;\n",
            "label: ingress\n",
        ],
    ),
    (
        "linkerd-ingress-controller.yml",
        "node.yaml",
        &["kind: io.l5d.ingress\n", "port: 80\n"],
    ),
    (
        "namerd.yml",
        "namerd.yaml",
        &[
            "kind: io.l5d.k8s\n",
            "- kind: io.l5d.httpController\n  ip: 0.0.0.0\n  port: 4180\n",
            "- kind: io.l5d.mesh\n  ip: 0.0.0.0\n  port: 4321\n",
        ],
    ),
    (
        "namerd.yml",
        "internal.dtab",
        &["/host/world => /srv/world-v1;\n"],
    ),
    ("namerd.yml", "external.dtab", &["/svc/*      => /host;\n"]),
    (
        "namerd.yml",
        "namerd.yml",
        &[
            "apiVersion: apiextensions.k8s.io/v1\n",
            "dentries:\n",
            "image: namerd:test\n",
            "kind: ClusterRole\n",
            "image: linkerd/namerctl:0.8.6\n",
        ],
    ),
    (
        "linkerd-rbac.yml",
        "linkerd-rbac.yml",
        &[
            "resources: [endpointslices]\n",
            "resources: [tokenreviews]\n",
            "rbac.authorization.k8s.io/v1\n",
        ],
    ),
    (
        "hello-world.yml",
        "hello-world.yml",
        &["kind: ReplicationController\n"],
    ),
];

#[test]
fn examples_say_what_they_must() {
    for (file, output, facts) in FACTS {
        let Some((_, made)) = example(file) else {
            continue;
        };
        let text = made.text(output);
        for fact in *facts {
            assert!(
                text.contains(fact),
                "{file}: {output} lacks {fact:?}\n{text}"
            );
        }
        assert!(!text.contains("buoyantio/linkerd"), "{file}");
        if *output != "hello-world.yml" {
            assert!(!text.contains("buoyantio/kubectl"), "{file}");
        }
    }
}

/// A router never becomes less strict: what cannot be protected yet is not sent.
#[test]
fn names_with_tls_are_forbidden_until_tls_can_be_spoken() {
    let Some((_, made)) = example("linkerd-egress.yaml") else {
        return;
    };
    let config = node(made.text("node.yaml"));
    let is_blocked = made
        .text("node.yaml")
        .contains("\n    /$/io.buoyant.rinet/443 => ! ;");
    let knows_tls = !made.text("node.yaml").contains("# tls:");
    assert!(is_blocked != knows_tls);
    assert_eq!(config.routers.len(), 2);
    assert!(
        made.report
            .findings
            .iter()
            .any(|f| f.fate == Fate::NotYet || knows_tls)
    );
}
