//! Where namerd is: flags, environment, configuration files (control plane 8.2); what a failure says.

use anyhow::Result;

use crate::ctl::{Ctl, Namerd};

const DTAB: &str = "/svc => /#/io.l5d.fs ;";

/// A flag wins over the environment, that over the nearest file.
#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_of_flag_environment_and_file_counts() -> Result<()> {
    let (one, two) = (Namerd::start("", "").await?, Namerd::start(DTAB, "").await?);
    let (one, two) = (
        format!("http://{}", one.http),
        format!("http://{}/", two.http),
    );
    let bare = Ctl::ours()?;
    let said = bare.run("dtab list").await?.failed();
    assert!(said.starts_with("Error: empty base URL\nHint: "), "{said}");

    let ctl = Ctl::ours()?;
    ctl.file("a/.namerctl.yaml", &format!("base-url: {one}\n"))?;
    ctl.file(".namerctl.toml", &format!("base-url = \"{two}\"\n"))?;
    let below = ctl.dir.path().join("a/b");
    std::fs::create_dir_all(&below)?;
    // The original goes by PWD.
    assert_eq!(ctl.run("dtab list").await?.ok(), "default\n");
    let ctl = ctl.env("PWD", &below.to_string_lossy());
    assert_eq!(ctl.run("dtab list").await?.ok(), "\n");
    let file = ctl.file("other.json", &format!("{{\"base-url\": \"{two}\"}}"))?;
    let flag = format!("dtab list --config {}", file.display());
    assert_eq!(ctl.run(&flag).await?.ok(), "default\n");
    assert_eq!(ctl.run("dtab list --config nowhere.yaml").await?.code, 255);
    let ctl = ctl.env("NAMERCTL_BASE_URL", &two);
    assert_eq!(ctl.run("dtab list").await?.ok(), "default\n");
    assert_eq!(
        ctl.run(&format!("--base-url {one} dtab list")).await?.ok(),
        "\n"
    );
    // Set to nothing is not set.
    let ctl = ctl.env("NAMERCTL_BASE_URL", "");
    assert_eq!(ctl.run("dtab list").await?.ok(), "\n");
    Ok(())
}

/// A file found by itself that does not read is told and left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_does_not_stop_who_says_where_namerd_is() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    ctl.file(".namerctl.json", "{")?;
    let ran = ctl.run("dtab list").await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "default\n"));
    assert!(
        ran.stderr.contains(".namerctl.json: this is not JSON"),
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_what_the_server_said_and_what_to_do() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    ctl.file("bad.dtab", "/a -> /b")?;
    let said = ctl.run("dtab update default bad.dtab").await?.failed();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "Error: unexpected response: 400 Bad Request");
    assert!(
        lines[1].starts_with("  Invalid dtab: '=>' expected"),
        "{said}"
    );
    let said = ctl
        .run("dtab create default bad.dtab --base-url http://127.0.0.1:1")
        .await?
        .failed();
    assert!(
        said.starts_with("Error: cannot connect to 127.0.0.1:1: Connection refused"),
        "{said}"
    );
    assert!(said.contains("\nHint: is namerd running there"), "{said}");
    let said = ctl
        .run("resolve /svc/x --resolver 127.0.0.1:1")
        .await?
        .failed();
    assert!(
        said.starts_with("Error: cannot connect to 127.0.0.1:1: Connection refused"),
        "{said}"
    );
    let said = ctl.run("nonsense").await?.failed();
    assert!(said.contains("nonsense"), "{said}");
    Ok(())
}

/// The job that many have: create what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_creates_what_is_not_there_works() -> Result<()> {
    let namerd = Namerd::start("", "").await?;
    let ctl = Ctl::at(&namerd)?;
    assert_ne!(ctl.run("dtab get internal").await?.code, 0);
    let dtab = "# the mesh\n/host => /#/io.l5d.k8s/default/http ; # all\n\n/svc => /host ;\n";
    let ran = ctl
        .run_with(&["dtab", "create", "internal", "-"], dtab)
        .await?;
    assert_eq!(ran.ok(), "Created internal\n");
    assert_eq!(ctl.run("dtab get internal").await?.code, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn help_is_an_answer_and_commands_have_other_names() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    for words in ["--help", "dtab apply --help", "dtab --help", "help nodes"] {
        let help = ctl.run(words).await?.ok();
        assert!(help.contains("Usage: namerctl"), "{help}");
        assert!(!help.contains('\u{1b}'), "no colour in a pipe: {help}");
    }
    assert!(ctl.run("resolve --help").await?.ok().contains("Examples:"));
    assert_eq!(ctl.run("dtabs ls").await?.ok(), "default\n");
    // Flags may stand in front of the command as well.
    let table = ctl.run("-o json dtab list").await?.ok();
    assert_eq!(table, ctl.run("dtab list -o json").await?.ok());
    let version = ctl.run("--version").await?.ok();
    assert_eq!(version, format!("namerctl {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}
