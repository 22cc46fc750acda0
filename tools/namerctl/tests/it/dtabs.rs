//! The `dtab` commands that the original does not have.

use anyhow::Result;

use crate::ctl::{Ctl, Namerd};

const DTAB: &str =
    "/host => /#/io.l5d.fs ; /svc => /host ; /host/world => 0.999 * /host/v1 & 0.001 * /host/v2";

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_list_is_taken() -> Result<()> {
    let namerd = Namerd::start("", "").await?;
    let ctl = Ctl::at(&namerd)?;
    let list = r#"[{"prefix":"/a","dst":"/b"}]"#;
    assert_eq!(
        ctl.run_with(&["dtab", "create", "a", "-"], list)
            .await?
            .ok(),
        "Created a\n"
    );
    assert_eq!(
        ctl.run("dtab get a --pretty=false").await?.ok(),
        "/a=>/b;\n"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_dtabs_come_as_tables_and_documents() -> Result<()> {
    let namerd = Namerd::start("/a => /b ; /c => ~", "").await?;
    let ctl = Ctl::at(&namerd)?;
    let table = "NAME      ENTRIES   VERSION\ndefault   2         AAAAAAAAAAE=\n";
    assert_eq!(ctl.run("dtab list -o table").await?.ok(), table);
    assert_eq!(ctl.run("dtab list -o name").await?.ok(), "default\n");
    let table = "RULE   PREFIX   DST\n0      /a       /b\n1      /c       ~\n";
    assert_eq!(ctl.run("dtab get default -o table").await?.ok(), table);
    assert_eq!(
        ctl.run("dtab get default -o table --no-headers")
            .await?
            .ok(),
        "0   /a   /b\n1   /c   ~\n"
    );
    let yaml =
        "version: AAAAAAAAAAE=\ndtab:\n- prefix: /a\n  dst: /b\n- prefix: /c\n  dst: \"~\"\n";
    assert_eq!(ctl.run("dtab get default -o yaml").await?.ok(), yaml);
    let json: serde_json::Value =
        serde_json::from_str(&ctl.run("dtab get default -o json").await?.ok())?;
    assert_eq!(json["dtab"][1]["dst"], "~");
    Ok(())
}

/// Weights keep all their digits on the way through a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_exit_code_one() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    ctl.file("same.dtab", &DTAB.replace(';', ";\n"))?;
    assert_eq!(ctl.run("dtab diff default same.dtab").await?.ok(), "");
    ctl.file("other.dtab", &DTAB.replace("0.001", "0.002"))?;
    let ran = ctl.run("dtab diff default other.dtab").await?;
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert_eq!(
        ran.stdout,
        "--- default (version AAAAAAAAAAE=)\n+++ other.dtab\n@@ -1,3 +1,3 @@\n /host        => /#/io.l5d.fs ;\n \
         /svc         => /host ;\n-/host/world  => 0.999*/host/v1 & 0.001*/host/v2 ;\n\
         +/host/world  => 0.999*/host/v1 & 0.002*/host/v2 ;\n"
    );
    assert_eq!(ctl.run("dtab diff default nowhere.dtab").await?.code, 255);
    assert_eq!(ctl.run("dtab diff second same.dtab").await?.code, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_updates_and_leaves_alone() -> Result<()> {
    let namerd = Namerd::start("", "").await?;
    let ctl = Ctl::at(&namerd)?;
    let apply = async |dtab: &str, flags: &[&str]| {
        let words = ["dtab", "apply", "default", "-"];
        ctl.run_with(&[&words, flags].concat(), dtab).await
    };
    let created = "--- default (not there)\n+++ standard input\n@@ -0,0 +1 @@\n+/a  => /b ;\n";
    let dry = apply("/a=>/b", &["--dry-run"]).await?.ok();
    assert_eq!(dry, format!("{created}Created default (dry run)\n"));
    assert_eq!(ctl.run("dtab list").await?.ok(), "\n");
    assert_eq!(
        apply("/a=>/b", &[]).await?.ok(),
        format!("{created}Created default\n")
    );
    assert_eq!(apply("/a => /b ;", &[]).await?.ok(), "Unchanged default\n");
    let changed = "--- default (version AAAAAAAAAAE=)\n+++ standard input\n@@ -1 +1 @@\n-/a  => /b ;\n+/a  => /c ;\n";
    let dry = apply("/a => /c", &["--dry-run"]).await?.ok();
    assert_eq!(dry, format!("{changed}Updated default (dry run)\n"));
    assert_eq!(
        apply("/a => /c", &[]).await?.ok(),
        format!("{changed}Updated default\n")
    );
    // What was read is not what is there any more.
    let stale = r#"{"version":"AAAAAAAAAAE=","dtab":[{"prefix":"/a","dst":"/d"}]}"#;
    let ran = apply(stale, &[]).await?;
    assert_eq!(ran.code, 255);
    assert!(
        ran.stderr
            .starts_with("Error: unexpected response: 412 Precondition Failed\n"),
        "{ran:?}"
    );
    assert_eq!(
        ctl.run("dtab get default --pretty=false").await?.ok(),
        "/a=>/c;\n"
    );
    // Nothing is asked before the text is right.
    let said = apply("/a => /b ;\n/c -> /d", &[]).await?.failed();
    assert_eq!(
        said,
        "Error: standard input:2:4: '=>' expected but '-' found\n  2 | /c -> /d\n    |    ^\n"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_validated_without_a_namerd() -> Result<()> {
    let ctl = Ctl::ours()?;
    ctl.file("good.dtab", "/a => /b ; # x\n")?;
    ctl.file(
        "list.json",
        r#"[{"prefix":"/a","dst":"/b"},{"prefix":"/a","dst":"/c & /d"}]"#,
    )?;
    ctl.file("bad.dtab", "/a => /b ;\n\t/c => (/d | /e ;\n")?;
    let good = ctl.run("dtab validate good.dtab list.json").await?.ok();
    assert_eq!(
        good,
        "good.dtab: valid, 1 entry\nlist.json: valid, 2 entries\n"
    );
    let ran = ctl.run("dtab validate bad.dtab good.dtab").await?;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (255, "good.dtab: valid, 1 entry\n")
    );
    let mistake = "Error: bad.dtab:2:17: '|', '&' or ')' expected but ';' found\n  2 | \t/c => (/d | /e ;\n    | \t               ^\n";
    assert_eq!(ran.stderr, mistake);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_dtab_is_written_with_all_its_digits() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    let idle = Ctl::at(&namerd)?.env("EDITOR", "true");
    assert_eq!(
        idle.run("dtab edit default").await?.ok(),
        "Unchanged default\n"
    );
    assert_eq!(std::fs::read_dir(idle.dir.path())?.count(), 0);
    let editor = Ctl::at(&namerd)?.env("VISUAL", "sed -i s,io.l5d.fs,io.l5d.k8s,");
    let text = editor.run("dtab edit default").await?.ok();
    assert!(
        text.contains("+/host        => /#/io.l5d.k8s ;\n"),
        "{text}"
    );
    assert!(text.ends_with("Updated default\n"), "{text}");
    ctl.file("wanted", &DTAB.replace("io.l5d.fs", "io.l5d.k8s"))?;
    assert_eq!(ctl.run("dtab diff default wanted").await?.ok(), "");
    let said = ctl.run("dtab edit nothing").await?.failed();
    assert!(
        said.starts_with("Error: resource was not found by ID or name\n"),
        "{said}"
    );
    Ok(())
}

/// Nothing that was typed is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_cannot_be_written_stays_in_its_file() -> Result<()> {
    let namerd = Namerd::start("/a => /b", "").await?;
    let kept = |said: &str| -> String {
        let line = said
            .lines()
            .find_map(|l| l.strip_prefix("  your text is in "));
        line.map(|file| std::fs::read_to_string(file).expect("the file"))
            .expect("a file")
    };
    // Somebody else writes while the editor is open.
    let ctl = Ctl::at(&namerd)?;
    let other = ctl.file("other.dtab", "/a => /other")?;
    let script = format!(
        "#!/bin/sh\n{} dtab update default {} >/dev/null\nsed -i s,/b,/mine, \"$1\"\n",
        env!("CARGO_BIN_EXE_namerctl"),
        other.display()
    );
    let script = ctl.file("editor.sh", &script)?;
    let ctl = ctl.env("EDITOR", &format!("sh {}", script.display()));
    let said = ctl.run("dtab edit default").await?.failed();
    assert!(
        said.starts_with("Error: unexpected response: 412 Precondition Failed\n"),
        "{said}"
    );
    assert!(
        said.contains("\nHint: `namerctl dtab diff default "),
        "{said}"
    );
    assert!(kept(&said).ends_with("/a  => /mine ;\n"), "{said}");
    assert_eq!(
        ctl.run("dtab get default --pretty=false").await?.ok(),
        "/a=>/other;\n"
    );
    // A text that does not read is opened again; left as it is, it is given up.
    let ctl = Ctl::at(&namerd)?.env("EDITOR", "sed -i s,=>,->,");
    let ran = ctl.run("dtab edit default").await?;
    assert_eq!(ran.code, 255);
    assert!(kept(&ran.stderr).ends_with("/a  -> /other ;\n"), "{ran:?}");
    let ctl = Ctl::at(&namerd)?.env("EDITOR", "false");
    let said = ctl.run("dtab edit default").await?.failed();
    assert!(said.contains("nothing was written"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_is_found_and_restored() -> Result<()> {
    let namerd = Namerd::start("/a => /b", "").await?;
    let ctl = Ctl::at(&namerd)?;
    ctl.file("new.dtab", "/a => /c ; /d => /e")?;
    ctl.run("dtab update default new.dtab").await?.ok();
    let names = ctl.run("dtab history default -o name").await?.ok();
    assert_eq!(names, "AAAAAAAAAAI=\nAAAAAAAAAAE=\n");
    let table = ctl.run("dtab history default").await?.ok();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["VERSION", "WRITTEN", "ENTRIES"]);
    assert_eq!((lines[1][0], lines[1].last()), ("AAAAAAAAAAI=", Some(&"2")));
    assert_eq!((lines[2][0], lines[2].last()), ("AAAAAAAAAAE=", Some(&"1")));
    let wide = ctl.run("dtab history default -o wide").await?.ok();
    assert!(
        wide.contains("/a  => /c ;\n/d  => /e ;\n\n# version AAAAAAAAAAE="),
        "{wide}"
    );
    assert_eq!(
        ctl.run("dtab restore default AAAAAAAAAAE=").await?.ok(),
        "Restored default\n"
    );
    let now = "# version AAAAAAAAAAM=\n/a  => /b ;\n";
    assert_eq!(ctl.run("dtab get default").await?.ok(), now);
    let said = ctl.run("dtab restore default AAAAAAAAAAk=").await?.failed();
    assert!(
        said.starts_with("Error: unexpected response: 410 Gone\n  "),
        "{said}"
    );
    assert_eq!(ctl.run("dtab history nothing").await?.code, 255);
    Ok(())
}
