//! Whole files in, mistakes or values out.

use std::time::Duration;

use super::asked::Standing;
use super::*;

const SERVERS: Kinds = Kinds {
    what: "interface",
    known: &["io.l5d.mesh", "io.l5d.httpController"],
    others: &[("io.l5d.thriftNameInterpreter", "is not supported yet")],
};

/// A small program's configuration, as a program would read it.
fn read(name: &str, text: &str, scalars: Scalars) -> Result<(Vec<String>, Vec<Mistake>), Mistakes> {
    let reader = Reader::open(name, text, scalars)?;
    let made = reader.top().map(|top| {
        let mut seen = Vec::new();
        if let Some(admin) = top.key("admin").section() {
            seen.extend(admin.key("ip").ip().map(|x| format!("ip={x}")));
            seen.extend(admin.key("port").port().map(|x| format!("port={x}")));
            seen.extend(
                admin
                    .key("graceMs")
                    .millis()
                    .map(|x| format!("grace={x:?}")),
            );
            seen.extend(admin.key("open").boolean().map(|x| format!("open={x}")));
            admin.legacy("workerThreads", "threads are counted otherwise");
            admin.not_yet("tls");
        }
        for mut server in top.need("interfaces").sections().unwrap_or_default() {
            let Some(kind) = server.kind(&SERVERS) else {
                continue;
            };
            seen.push(format!("kind={kind}"));
            seen.extend(server.key("port").port().map(|x| format!("port={x}")));
        }
        seen.extend(top.key("note").string().map(|x| format!("note={x}")));
        seen.extend(top.key("names").strings().map(|x| format!("names={x:?}")));
        seen
    });
    reader.finish(made)
}

fn strict(text: &str) -> Result<Vec<String>, String> {
    read("n.yml", text, Scalars::Strict)
        .map(|(seen, _)| seen)
        .map_err(|e| e.to_string())
}

/// `LINE:COLUMN MESSAGE` of each mistake.
fn mistakes(text: &str) -> Vec<String> {
    read("n.yml", text, Scalars::Strict)
        .expect_err("mistakes")
        .all()
        .iter()
        .map(|m| format!("{}:{} {}", m.line, m.column, m.message))
        .collect()
}

#[test]
fn yaml_and_json_give_the_same() {
    let want = [
        "ip=0.0.0.0",
        "port=9991",
        "grace=5s",
        "open=false",
        "kind=io.l5d.mesh",
        "port=0",
    ];
    let yaml = "
admin: {ip: 0.0.0.0, port: 9991, graceMs: 5000, open: false}
interfaces:
- kind: io.l5d.mesh
  port: 0
note:
";
    let json = r#" {"admin": {"ip": "0.0.0.0", "port": 9991, "graceMs": 5000, "open": false},
        "interfaces": [{"kind": "io.l5d.mesh", "port": 0}], "note": null}"#;
    assert_eq!(strict(yaml).expect("yaml"), want);
    assert_eq!(strict(json).expect("json"), want);
}

#[test]
fn every_mistake_is_reported_at_once_with_place_line_and_what_was_meant() {
    let text = "\
admin:
  ip: localhost
  prot: 9991
  open: yes
interfaces:
- kind: io.l5d.httpControler
- kind: io.l5d.thriftNameInterpreter
  port: 4100
- port: 99999
telemetri: []
";
    let report = strict(text).expect_err("mistakes");
    let want = "\
n.yml:2:7: admin.ip must be an IP address such as 0.0.0.0 or ::1, not a host name, not text `localhost`
  |
2 |   ip: localhost
  |       ^^^^^^^^^

n.yml:3:3: unknown key `prot` in admin
  |
3 |   prot: 9991
  |   ^^^^
  = did you mean `port`?

n.yml:4:9: admin.open must be true or false, not text `yes`
  |
4 |   open: yes
  |         ^^^

n.yml:6:9: unknown interface kind `io.l5d.httpControler`
  |
6 | - kind: io.l5d.httpControler
  |         ^^^^^^^^^^^^^^^^^^^^
  = did you mean `io.l5d.httpController`? known kinds: io.l5d.mesh, io.l5d.httpController

n.yml:7:9: interface kind `io.l5d.thriftNameInterpreter` is not supported yet
  |
7 | - kind: io.l5d.thriftNameInterpreter
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = kinds that can be used: io.l5d.mesh, io.l5d.httpController

n.yml:9:3: 'kind' field is required in interfaces[2]
  |
9 | - port: 99999
  |   ^^^^^^^^^^^

n.yml:10:1: unknown key `telemetri` at the top level
   |
10 | telemetri: []
   | ^^^^^^^^^
   = known keys: admin, interfaces, note, names";
    assert_eq!(report, want);
}

#[test]
fn duplicate_keys_are_mistakes_in_yaml_and_json() {
    assert_eq!(
        mistakes("interfaces: []\nnote: a\nnote: b\n"),
        ["3:1 key `note` is given twice in one object"]
    );
    assert_eq!(
        mistakes("{\"interfaces\": [],\n \"note\": \"a\", \"note\": \"b\"}"),
        ["2:15 key `note` is given twice in one object"]
    );
}

#[test]
fn scalars_are_strict_or_lenient() {
    let text = "interfaces: [{kind: io.l5d.mesh, port: \"4321\"}]\nnote: 12\nadmin: {open: 'true'}";
    assert_eq!(
        mistakes(text),
        [
            "1:40 interfaces[0].port must be an integer from 0 to 65535, not text `4321`",
            "2:7 note must be text, not a number `12`",
            "3:15 admin.open must be true or false, not text `true`",
        ]
    );
    let (seen, _) = read("n.yml", text, Scalars::Lenient).expect("lenient");
    assert_eq!(
        seen,
        ["open=true", "kind=io.l5d.mesh", "port=4321", "note=12"]
    );
    for (text, open) in [("yes", true), ("on", true), ("no", false), ("off", false)] {
        let text = format!("interfaces: []\nadmin: {{open: {text}}}");
        let (seen, _) = read("n.yml", &text, Scalars::Lenient).expect("YAML 1.1 knows it");
        assert_eq!(seen, [format!("open={open}")]);
        assert_eq!(mistakes(&text).len(), 1, "YAML 1.2 does not");
    }
    for port in ["4e3", "65536", "-1", "4000.0", "true", "[]", "{}", "0x10"] {
        let text = format!("interfaces: [{{kind: io.l5d.mesh, port: {port}}}]");
        assert_eq!(mistakes(&text).len(), 1, "{port}");
    }
}

#[test]
fn keys_of_other_days_are_named_or_warned_about() {
    assert_eq!(
        mistakes("interfaces: []\nadmin:\n  tls: {certPath: a}"),
        ["3:3 `tls` is not supported yet"]
    );
    let text = "interfaces: []\nadmin: {workerThreads: 2}";
    let (_, warnings) = read("n.yml", text, Scalars::Strict).expect("loads");
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].message,
        "`workerThreads` has no effect: threads are counted otherwise"
    );
}

#[test]
fn empty_files_and_wrong_shapes() {
    for text in ["", "\n# nothing\n", "---\n", "null"] {
        assert!(
            mistakes(text)[0].ends_with("'interfaces' field is required"),
            "{text:?}"
        );
    }
    assert_eq!(
        mistakes("- a"),
        ["1:1 the top level must be a map of keys, this is a list"]
    );
    assert_eq!(
        mistakes("interfaces: 7"),
        ["1:13 interfaces must be a list, not a number `7`"]
    );
    assert_eq!(
        mistakes("interfaces: [7]"),
        ["1:14 interfaces[0] must be a map of keys, not a number `7`"]
    );
    assert_eq!(
        mistakes("interfaces: []\nadmin: x"),
        ["2:8 admin must be a map of keys, not text `x`"]
    );
}

#[test]
fn broken_syntax_has_a_place() {
    let cases = [
        ("a: [1, 2\nb: 3", 2),
        ("a: 'x", 1),
        ("a: b: c", 1),
        ("{\"a\": 1,}", 1),
        ("{\"a\": 1} x", 1),
        ("{\"a\": 01}", 1),
        ("{\"a\": \"\\x\"}", 1),
        ("{\n\"a\": ", 2),
        ("{a: 1}", 1),
        ("a: 1\n---\nb: 2", 2),
        ("a: !include x", 1),
        ("? [a]\n: b", 1),
    ];
    for (text, line) in cases {
        let all = mistakes(text);
        assert!(all[0].starts_with(&format!("{line}:")), "{text:?}: {all:?}");
    }
}

#[test]
fn json_strings_decode_escapes() {
    let text = r#"{"interfaces": [], "note": "a\u00e9\ud83d\ude00\n\"\/"}"#;
    assert_eq!(strict(text).expect("json"), ["note=a\u{e9}\u{1f600}\n\"/"]);
    for text in [
        r#"{"note": "\ud83d"}"#,
        r#"{"note": "\ud83d\u0041"}"#,
        r#"{"note": "\u12"}"#,
    ] {
        assert_eq!(mistakes(text).len(), 1, "{text}");
    }
}

#[test]
fn aliases_repeat_values_within_a_budget() {
    let text = "names: &n [a, b]\nadmin: &a {port: 1}\ninterfaces: []\n";
    assert!(strict(text).is_ok());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    assert!(mistakes(&bomb)[0].contains("more than 200000 values"));
    let text = format!(
        "t: &t {}\nl: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*t"; 1000].join(", ")
    );
    assert!(mistakes(&text)[0].contains("more than 200000 values"));
    assert!(mistakes("a: &a [*a]")[0].contains("alias"));
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(mistakes(&deep)[0].contains("nested more than 64 levels deep"));
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(mistakes(&deep)[0].contains("nested more than 64 levels deep"));
    let long = format!("a: {}", "x".repeat(limits::FILE_BYTES));
    assert!(mistakes(&long)[0].contains("longer than"));
    let many: String = (0..500).map(|i| format!("k{i}: 1\n")).collect();
    let report = strict(&many).expect_err("mistakes");
    assert!(report.ends_with("and 401 more mistakes"), "{report}");
}

#[test]
fn long_lines_and_control_characters_are_shown_harmlessly() {
    let text = format!(
        "{{\"interfaces\": [], \"note\": \"{}\", \"bell\": \"\u{7f}\"}}",
        "x".repeat(500)
    );
    let report = strict(&text).expect_err("mistakes");
    let lines: Vec<_> = report.lines().collect();
    assert!(lines.iter().all(|l| l.len() < 200), "{report}");
    assert!(!report.contains('\u{7f}'));
    let caret = lines[3].find('^').expect("a caret");
    assert_eq!(&lines[2][caret..caret + 6], "\"bell\"");
}

#[test]
fn durations_do_not_overflow() {
    assert_eq!(
        mistakes("interfaces: []\nadmin: {graceMs: 9223372036854775807}").len(),
        1
    );
    assert_eq!(mistakes("interfaces: []\nadmin: {graceMs: -1}").len(), 1);
    let seen = strict("interfaces: []\nadmin: {graceMs: 0}").expect("loads");
    assert_eq!(seen, [format!("grace={:?}", Duration::ZERO)]);
}

mod laws;
mod names;

/// A reference is written from it, so nothing that is asked may be missing, whether it is there or not.
#[test]
fn a_reader_tells_what_it_was_asked() {
    const KINDS: Kinds = Kinds {
        what: "thing",
        known: &["x", "y"],
        others: &[],
    };
    let text = "a: [{port: 1}]\nthings: [{kind: x, own: {k: 1}}]\nold: 1";
    let reader = Reader::open("a.yml", text, Scalars::Strict).expect("syntax");
    let top = reader.top().expect("a map");
    for item in top.key("a").sections().expect("a list") {
        let _ = item.need("port").port();
        let _ = item.key("wait").millis();
    }
    for mut thing in top.key("things").sections().expect("a list") {
        assert_eq!(thing.kind(&KINDS), Some("x"));
        let mut own = thing.key("own").section().expect("a map");
        for (_, value) in own.entries() {
            let _ = value.string();
        }
    }
    top.legacy("old", "reasons");
    top.refuse("never", "no", None);
    top.finish();
    let questions = reader.questions();
    let key = |pattern: &str| questions.keys[pattern].clone();
    let takes = |pattern: &str| key(pattern).takes.into_iter().collect::<Vec<_>>();
    assert_eq!(takes("a[].port"), ["a port"]);
    assert_eq!(takes("a[].wait"), ["milliseconds"]);
    assert!(key("a[].port").is_needed && !key("a[].wait").is_needed);
    assert!(key("a[].port").is_present && !key("a[].wait").is_present);
    assert!(questions.keys.contains_key("things[]{x}.own.*"));
    assert_eq!(key("old").standing, Standing::WithoutEffect);
    assert_eq!(key("never").standing, Standing::Refused);
    let (known, had) = &questions.kinds["things[]"];
    assert_eq!((known.as_slice(), had.len()), (["x", "y"].as_slice(), 1));
}
