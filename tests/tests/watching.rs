//! Dashboards, alerts and the runbook: as the tables of metrics say, and as a real Prometheus takes them.

#[path = "watching/live.rs"]
mod live;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::watching::names::{Names, TARGET};
use l5d_tests::watching::prometheus::{find, promtool};
use l5d_tests::watching::promtool::{check as check_series, tests};
use l5d_tests::watching::{
    ALERTS, Alert, RECORDED, RUNBOOK, dashboards, files, fill, folder, query, runbook_anchor,
};

const ENTRIES: &str = include_str!("../../deploy/watching/runbook.md");

fn alerts() -> impl Iterator<Item = &'static Alert> {
    ALERTS.iter().flat_map(|(_, alerts)| *alerts)
}

#[test]
fn the_files_are_as_the_tables_say() -> Result<()> {
    let mut names = BTreeSet::from(["rules.yaml".to_owned()]);
    for file in files(RUNBOOK) {
        let held = std::fs::read_to_string(folder().join(&file.name)).unwrap_or_default();
        ensure!(
            held == file.text,
            "deploy/watching/{} is not as the code says: `cargo xtask watching` writes it",
            file.name
        );
        names.insert(file.name);
    }
    for entry in std::fs::read_dir(folder().join("dashboards"))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        ensure!(
            names.contains(&format!("dashboards/{name}")),
            "nobody writes {name}"
        );
    }
    Ok(())
}

#[test]
fn no_query_names_what_the_programs_do_not_have() {
    let names = Names::all();
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        for asked in dashboard.queries() {
            let filled = fill(asked, &[("rt", "a"), ("service", "a"), ("instance", "a")]);
            wrong.extend(query::check(&filled, &names).err());
        }
    }
    for recorded in RECORDED {
        wrong.extend(query::check(recorded.expr, &names).err());
    }
    for alert in alerts() {
        wrong.extend(query::check(alert.expr, &names).err());
        wrong.extend(templates(alert, &names));
    }
    wrong.extend(check_series(&names).err());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Labels that the texts of an alert name and none of its series has.
fn templates(alert: &Alert, names: &Names) -> Vec<String> {
    let asked = query::asked(alert.expr).expect("it was checked");
    let mut labels: BTreeSet<&str> = TARGET.into();
    for (series, _) in &asked.series {
        labels.extend(names.labels(series).into_iter().flatten());
    }
    let texts = format!("{} {}", alert.summary, alert.description);
    let used = texts.split("$labels.").skip(1);
    let used = used.map(|rest| rest.split([' ', '}']).next().unwrap_or_default());
    used.filter(|label| !labels.contains(label))
        .map(|label| format!("{}: no label {label}", alert.name))
        .collect()
}

/// What an entry of the runbook has.
const PARTS: [&str; 4] = ["**Means:**", "**Users notice:**", "**Look:**", "**Do:**"];

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() {
    let entries: Vec<(&str, &str)> = ENTRIES
        .split("\n## ")
        .skip(1)
        .map(|entry| entry.split_once('\n').expect("a text"))
        .collect();
    let headings: BTreeSet<&str> = entries.iter().map(|(name, _)| *name).collect();
    assert_eq!(headings.len(), entries.len(), "an entry stands there twice");
    let known: BTreeSet<&str> = alerts().map(|alert| alert.name).collect();
    assert_eq!(headings, known);
    for (name, text) in entries {
        for part in PARTS {
            assert_eq!(text.matches(part).count(), 1, "{name}: {part}");
        }
        assert_eq!(runbook_anchor(name), name.to_lowercase());
    }
}

/// Each alert says how bad it is and how long it has to be so; more than two thirds of them wake nobody.
#[test]
fn alerts_are_told_apart_by_name() {
    let names: BTreeSet<&str> = alerts().map(|alert| alert.name).collect();
    assert_eq!(names.len(), alerts().count());
    for alert in alerts() {
        assert!(alert.name.starts_with("L5d"), "{}", alert.name);
        assert!(!alert.fault.is_empty(), "{} has no fault", alert.name);
    }
}

#[test]
fn alerts_fire_in_their_fault_and_nothing_else_does() -> Result<()> {
    let Some(program) = find("promtool")? else {
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let rules = files(RUNBOOK).into_iter().find(|f| f.name == "rules.yaml");
    std::fs::write(
        scratch.path().join("rules.yaml"),
        rules.context("the rules")?.text,
    )?;
    let tests = tests("rules.yaml").to_string();
    std::fs::write(scratch.path().join("tests.yaml"), tests)?;
    for arguments in [
        ["check", "rules", "rules.yaml"],
        ["test", "rules", "tests.yaml"],
    ] {
        let output = promtool(&program, scratch.path(), &arguments)?;
        ensure!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
