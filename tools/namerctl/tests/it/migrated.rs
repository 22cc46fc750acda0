//! `migrate` and `check` as programs: files, outputs and exit codes; and what `migrate` writes is taken by the programs.

use std::path::Path;
use std::process::{Command, Output};

const LINKERD: &str = "namers:
- kind: io.l5d.k8s
routers:
- protocol: http
  label: out # going
  dtab: /svc => /#/io.l5d.k8s/default/http
  servers:
  - port: 4140
usage:
  enabled: false
";

fn namerctl(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_namerctl"));
    command.args(args).current_dir(folder);
    command.output().expect("namerctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_migration_writes_files_that_load_and_a_report() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("linkerd.yaml"), LINKERD)?;
    let done = namerctl(folder.path(), &["migrate", "linkerd.yaml", "-o", "new"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).contains("linkerd.yaml:9: usage: "),
        "{}",
        text(&done.stdout)
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join("new").join(name));
    let node = read("linkerd.node.yaml")?;
    assert!(node.contains("  label: out # going\n"), "{node}");
    namerd::config::Config::read("namerd.yaml", &read("namerd.yaml")?, &|_| None)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let report: serde_json::Value = serde_json::from_str(&read("report.json")?)?;
    assert_eq!(report["files"][0], "linkerd.node.yaml");
    assert_eq!(read("report.txt")?, text(&done.stdout));

    let again = namerctl(folder.path(), &["migrate", "linkerd.yaml", "-o", "new"]);
    assert_eq!(again.status.code(), Some(255));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    Ok(())
}

#[test]
fn a_migration_to_standard_output_keeps_the_report_apart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = LINKERD.replace(
        "io.l5d.k8s\nrouters",
        "io.l5d.k8s\n- kind: io.l5d.k8s\n  prefix: /io.l5d.k8s/more\nrouters",
    );
    std::fs::write(folder.path().join("l.yaml"), file)?;
    let done = namerctl(
        folder.path(),
        &["migrate", "l.yaml", "--stdout", "--report", "json"],
    );
    // Which of two namers of overlapping prefixes answers is for people.
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).starts_with("---\n# l.node.yaml\n"),
        "{}",
        text(&done.stdout)
    );
    let report: serde_json::Value = serde_json::from_slice(&done.stderr)?;
    let fates = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|f| &f["fate"]);
    assert!(fates.into_iter().any(|f| f == "decide"), "{report:#}");
    assert!(!folder.path().join("migrated").exists());
    Ok(())
}

#[test]
fn a_check_that_failed_is_exit_code_1() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .to_string();
    let args = [
        "check",
        "--no-cluster",
        "-o",
        "json",
        "--namerd",
        &closed,
        "--controller",
        &closed,
        "--admin",
        &closed,
    ];
    let done = namerctl(folder.path(), &args);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!(report["failed"], true);
    let table = namerctl(folder.path(), &["check", "--no-cluster"]);
    assert_eq!(table.status.code(), Some(0));
    assert!(
        !text(&table.stdout).contains('\u{1b}'),
        "no colours in a pipe"
    );
    assert!(
        text(&table.stdout).contains("SKIP  namerd-grpc"),
        "{}",
        text(&table.stdout)
    );
    Ok(())
}
