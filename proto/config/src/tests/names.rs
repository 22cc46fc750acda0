//! Paths, dtabs and transformers.

use super::*;

fn dtab(text: &str) -> Vec<String> {
    let reader = Reader::open("n.yml", text, Scalars::Strict).expect("syntax");
    let made = reader.top().map(|top| top.key("dtab").dtab());
    match reader.finish(made) {
        Ok(_) => Vec::new(),
        Err(e) => e
            .all()
            .iter()
            .map(|m| format!("{}:{} {}", m.line, m.column, m.message))
            .collect(),
    }
}

fn place(text: &str) -> (usize, usize) {
    let reader = Reader::open("n.yml", text, Scalars::Strict).expect("syntax");
    let made = reader.top().map(|top| top.key("dtab").dtab());
    let mistakes = reader.finish(made).expect_err("mistakes");
    let last = mistakes.all().last().expect("a mistake");
    (last.line, last.column)
}

#[test]
fn a_dtab_mistake_is_placed_in_the_file_whatever_the_style() {
    assert_eq!(
        dtab("dtab: |\n  # all\n  /a => /b ;\n  /c => /d | ;\n"),
        [
            "4:14 invalid dtab in dtab, entry 2: ".to_owned()
                + &expected("/a => /b ;\n/c => /d | ;"),
        ]
    );
    assert_eq!(place("dtab: /a => /b; /c => ("), (1, 24));
    assert_eq!(place("dtab: \"/a => /b; /c => )\""), (1, 24));
    assert_eq!(place("dtab: '/a => /b; /c => )'"), (1, 24));
    assert_eq!(place("dtab: \"/a => /b;\\n /\\x63 => )\""), (1, 29));
    assert_eq!(place("dtab: >\n  /a => /b;\n  /c\n  => )\n"), (4, 6));
    assert_eq!(place("dtab: /a => /b;\n  /c => )"), (2, 9));
    assert_eq!(place("{\"dtab\": \"/a => /b; /c => )\"}"), (1, 27));
    assert_eq!(place("x: &d |-\n  /a => )\ndtab: *d"), (2, 9));
}

fn expected(dtab: &str) -> String {
    let error = l5d_naming::Dtab::parse(dtab).expect_err("wrong");
    format!("{} expected, found `;`", error.expected)
}

#[test]
fn the_published_dtab_block_with_comments_loads() {
    let text =
        "dtab: |\n  /ph  => /$/io.buoyant.rinet ;   # /ph/80/a -> b; c\n  /svc => /ph/80 ; # x\n";
    assert_eq!(dtab(text), Vec::<String>::new());
}

fn list(text: &str) -> Result<Vec<l5d_naming::TransformerSpec>, Vec<String>> {
    let reader = Reader::open("n.yml", text, Scalars::Strict).expect("syntax");
    let made = reader
        .top()
        .map(|top| transformers(top.key("transformers")));
    reader
        .finish(made)
        .map(|(specs, _)| specs)
        .map_err(|e| e.all().iter().map(|m| m.message.clone()).collect())
}

#[test]
fn all_transformer_kinds_load() {
    let specs = list(
        "transformers:
- {kind: io.l5d.k8s.daemonset, namespace: default, port: 4141, service: l5d, hostNetwork: true, k8sPort: 8001}
- {kind: io.l5d.k8s.localnode, netmask: 255.255.0.0}
- {kind: io.l5d.port, port: 4141, prefix: /in}
- {kind: io.l5d.localhost}
- {kind: io.l5d.specificHost, host: '::1'}
- {kind: io.l5d.const, path: /$/inet/a/1}
- {kind: io.l5d.replace, path: /$/inet/a/1}
- {kind: io.l5d.k8s.daemonset, namespace: a, port: b, service: c, missingGateway: direct}
- {kind: io.l5d.k8s.daemonset, namespace: a, port: b, service: c, missingGateway: drop}
",
    )
    .expect("loads");
    assert_eq!(specs.len(), 9);
    assert_eq!(specs[7].missing_gateway, "direct");
    assert_eq!(specs[8].missing_gateway, "", "the default");
    assert_eq!(
        (specs[0].port.as_str(), specs[0].host_network),
        ("4141", true)
    );
    assert_eq!(specs[1].netmask, "255.255.0.0");
    assert_eq!(specs[2].prefix, "/in");
    assert_eq!(specs[5].path, "/$/inet/a/1");
}

#[test]
fn wrong_transformers_are_named() {
    let wrong = list(
        "transformers:
- {kind: io.l5d.k8s.daemonset, namespace: default, service: l5d}
- {kind: io.l5d.k8s.localnod}
- {kind: io.l5d.port, port: 0}
- {kind: io.l5d.localhost, port: 1}
- {kind: io.l5d.specificHost, host: a.example}
- {kind: io.l5d.const, path: a}
- {kind: io.l5d.k8s.localnode, netmask: 255.0.255.0}
- {kind: io.l5d.localhost, prefix: /}
- {kind: io.l5d.k8s.daemonset, namespace: a, port: b, service: c, missingGateway: pass}
",
    )
    .expect_err("mistakes");
    assert_eq!(wrong.len(), 9, "{wrong:#?}");
    assert_eq!(wrong[8], "missingGateway must be drop or direct");
    assert_eq!(wrong[0], "'port' field is required in transformers[0]");
    assert!(wrong[1].starts_with("unknown transformer kind"));
    assert_eq!(wrong[3], "unknown key `port` in transformers[3]");
    assert!(wrong[5].contains("transformers[5].path is not a path"));
    assert!(wrong[6].contains("netmask"));
}
