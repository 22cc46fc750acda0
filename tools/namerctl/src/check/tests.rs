//! Right things are found right, and each broken thing breaks exactly its own check, with a hint.

mod broken;
mod namerd;

use super::outcome::{Outcomes, Status};
use super::{CheckArgs, Shown, examine};

/// What the arguments are without flags.
fn args() -> CheckArgs {
    CheckArgs {
        namespace: "linkerd".to_owned(),
        ..CheckArgs::default()
    }
}

async fn outcomes(args: &CheckArgs) -> Outcomes {
    shown(args, Shown::default()).await
}

async fn shown(args: &CheckArgs, shown: Shown) -> Outcomes {
    examine(args, shown)
        .await
        .expect("the arguments can be used")
}

/// Checks that are not well, in order: which, of what, and how.
fn unwell(outcomes: &Outcomes) -> Vec<(&'static str, String, Status)> {
    let bad = outcomes.0.iter().filter(|o| o.status >= Status::Warn);
    bad.map(|o| (o.check, o.subject.clone(), o.status))
        .collect()
}

#[test]
fn addresses_are_host_and_port() {
    let read = |text: &str| super::address(text, 4321).map(|p| (p.host, p.port)).ok();
    assert_eq!(read("namerd:80"), Some(("namerd".to_owned(), 80)));
    assert_eq!(read("namerd"), Some(("namerd".to_owned(), 4321)));
    assert_eq!(read("[::1]:80"), Some(("[::1]".to_owned(), 80)));
    assert_eq!(read("[::1]"), Some(("[::1]".to_owned(), 4321)));
    for wrong in ["", ":80", "namerd:http", "::1:80"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn the_table_has_a_line_for_each_check_and_the_hints() {
    let mut outcomes = Outcomes::default();
    outcomes.ok("crd", "dtabs.l5d.io", "fine");
    outcomes.fail("rights", "nodes", "may not list", "add a rule");
    let table = anstream::adapter::strip_str(&outcomes.table()).to_string();
    assert_eq!(
        table,
        "OK    crd     dtabs.l5d.io  fine\nFAIL  rights  nodes         may not list\n      -> add a rule\n1 ok, 0 to look at, 1 failed, 0 left out\n"
    );
    let json: serde_json::Value = serde_json::from_str(&outcomes.json()).expect("JSON");
    assert_eq!(json["failed"], true);
    assert_eq!(json["checks"][1]["status"], "FAIL");
    assert_eq!(json["checks"][1]["hint"], "add a rule");
}
