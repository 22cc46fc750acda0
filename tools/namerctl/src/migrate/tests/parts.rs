//! One thing at a time, on configurations of our own.

use crate::migrate::report::Fate;
use crate::migrate::{emit, parse, write};

use super::{args, made_of};

const ROUTER: &str = "routers:\n- protocol: http\n  label: out\n  servers: [{port: 4140}]\n";

#[test]
fn comments_and_layout_survive_a_round() {
    let text = "# about a\na: 1 # beside a\n\nb:\n# first\n- x: \"1\"\n  # inside\n- y: |\n    # text, no comment\n    z\n  # last\nc: [1, \"two\"]\nd:\n  e: f\n  # end of d\n# tail\n";
    let document = &parse::documents(text, 1).expect("YAML")[0];
    assert_eq!(emit::document(&document.root, &document.tail).text(), text);
}

#[test]
fn json_becomes_yaml() {
    let made = made_of(
        r#"{"routers": [{"protocol": "http", "servers": [{"port": 4140, "ip": "0.0.0.0"}], "dtab": "/svc => /#/io.l5d.fs"}], "namers": [{"kind": "io.l5d.fs", "rootDir": "/tmp"}]}"#,
    );
    assert_eq!(
        made.text("node.yaml"),
        "routers:\n- protocol: http\n  servers:\n  - port: 4140\n    ip: \"0.0.0.0\"\n  dtab: \"/svc => /#/io.l5d.fs\"\n"
    );
    assert!(
        made.text("namerd.yaml")
            .contains("- kind: io.l5d.fs\n  rootDir: /tmp\n")
    );
}

#[test]
fn the_http_interpreter_becomes_the_mesh_one() {
    let made = made_of(&format!(
        "{ROUTER}  interpreter:\n    kind: io.l5d.namerd.http\n    experimental: true\n    dst: /$/inet/10.0.0.7/4180\n    namespace: web\n"
    ));
    let text = made.text("node.yaml");
    assert!(text.contains("kind: io.l5d.mesh\n"), "{text}");
    assert!(text.contains("dst: /$/inet/10.0.0.7/4321\n"), "{text}");
    assert!(text.contains("root: /web\n"), "{text}");
    let changed = made
        .report
        .findings
        .iter()
        .filter(|f| f.fate == Fate::Changed);
    let lines: Vec<usize> = changed.map(|f| f.line).collect();
    assert_eq!(lines, [6, 9, 8]);
}

#[test]
fn a_router_that_would_route_otherwise_answers_with_errors() {
    let made = made_of(&format!(
        "{ROUTER}  identifier:\n    kind: io.l5d.k8s.istio\n"
    ));
    let text = made.text("node.yaml");
    assert!(text.contains("  dtab: '/ => !'\n"), "{text}");
    assert!(text.contains("#     kind: io.l5d.k8s.istio\n"), "{text}");
    let config = l5d_node::config::read("node", text).expect("it loads");
    assert_eq!(config.routers[0].label, "out");
    assert_eq!(config.routers[0].servers[0].addr.port(), 4140);
}

#[test]
fn unknown_kinds_of_namers_are_set_aside_and_told() {
    let made = made_of(&format!(
        "{ROUTER}namers:\n- kind: io.l5d.marathon\n  host: marathon.mesos\n"
    ));
    let text = made.text("namerd.yaml");
    assert!(
        text.contains("# - kind: io.l5d.marathon\n#   host: marathon.mesos\n"),
        "{text}"
    );
    let told = made
        .report
        .findings
        .iter()
        .any(|f| f.key == "namers[0]" && f.message.contains("io.l5d.marathon"));
    assert!(told, "{}", made.report.text(&[]));
}

#[test]
fn overlapping_prefixes_are_for_people_to_decide() {
    let made = made_of(&format!(
        "{ROUTER}namers:\n- kind: io.l5d.fs\n  rootDir: /tmp\n- kind: io.l5d.fs\n  rootDir: /tmp\n  prefix: /io.l5d.fs/more\n"
    ));
    assert!(made.report.is_open());
    assert!(
        made.report.text(&[]).contains("overlapping prefixes"),
        "{}",
        made.report.text(&[])
    );
}

#[test]
fn dtabs_can_move_into_the_store() {
    let text = format!("{ROUTER}  dtab: |\n    # mine\n    /svc => /#/io.l5d.fs ;\n");
    let inputs =
        [
            crate::migrate::input::input("l.yaml", "l".to_owned(), "l.yaml".to_owned(), &text)
                .expect("YAML"),
        ];
    let mut args = args();
    args.store_dtabs = true;
    args.namerd = Some("namerd.example:4321".to_owned());
    let made = crate::migrate::migrate(&inputs, &args).expect("it migrates");
    assert_eq!(made.text("out.dtab"), "# mine\n/svc => /#/io.l5d.fs ;\n");
    let node = made.text("node.yaml");
    assert!(
        node.contains("dst: /$/inet/namerd.example/4321\n    root: /out\n"),
        "{node}"
    );
    assert!(!node.contains("dtab:"), "{node}");
    assert!(
        made.text("namerd.yaml").contains("    out: |\n"),
        "{}",
        made.text("namerd.yaml")
    );
}

#[test]
fn files_that_are_there_are_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = [
        write::Output::new("a.yaml", "new\n".to_owned()),
        write::Output::new("b/c", "c\n".to_owned()),
    ];
    write::files(folder.path(), &outputs, false).expect("nothing is there");
    std::fs::write(folder.path().join("a.yaml"), "mine\n").expect("written");
    let error = write::files(folder.path(), &outputs, false).expect_err("a.yaml is there");
    assert!(
        error.to_string().contains("a.yaml is there already"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("a.yaml")).expect("read"),
        "mine\n"
    );
    write::files(folder.path(), &outputs, true).expect("forced");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("a.yaml")).expect("read"),
        "new\n"
    );
}

#[test]
fn lists_of_objects_are_taken_apart() {
    let config = format!("{ROUTER}usage: {{orgId: me}}\n").replace('\n', "\n      ");
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: c}}\n  data:\n    config.yaml: |\n      {config}\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: s}}\n"
    );
    let made = made_of(&text);
    let manifest = made.text("linkerd.yaml");
    assert!(
        manifest.contains("kind: ConfigMap\n")
            && manifest.contains("---\napiVersion: v1\nkind: Secret\n"),
        "{manifest}"
    );
    assert!(!manifest.contains("usage:"), "{manifest}");
    assert!(
        made.report
            .findings
            .iter()
            .any(|f| f.key == "usage" && f.object == "ConfigMap/c" && f.line == 13)
    );
}
