//! `resolve`, `explain`, `delegate`, `watch` and `nodes`, as they are shown.

use std::time::Duration;

use anyhow::{Result, bail};
use l5d_tests::process::{Process, Program};

use crate::ctl::{Ctl, Namerd};

const DTAB: &str = "/svc => /old ; /old/web => /$/inet/127.0.0.1/81 ; /svc/web => 0.75 * /$/inet/127.0.0.1/8080 & 0.25 * /$/inet/127.0.0.2/80";

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved_in_every_form() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    let text = ctl.run("resolve /svc/web").await?.ok();
    assert_eq!(
        text,
        "0.75 (75 %) of\n  /$/inet/127.0.0.1/8080  1 endpoint\n0.25 (25 %) of\n  /$/inet/127.0.0.2/80  1 endpoint\n\n\
         ADDRESS          WEIGHT   NODE   CLUSTER\n\
         127.0.0.1:8080   1               /$/inet/127.0.0.1/8080\n\
         127.0.0.2:80     1               /$/inet/127.0.0.2/80\n"
    );
    let names = ctl.run("resolve /svc/web -o name").await?.ok();
    assert_eq!(names, "127.0.0.1:8080\n127.0.0.2:80\n");
    let wide = ctl.run("resolve /svc/web -o wide --no-headers").await?.ok();
    assert!(
        wide.contains("127.0.0.2:80     1           /$/inet/127.0.0.2/80\n"),
        "{wide}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&ctl.run("resolve /svc/web -o json").await?.ok())?;
    assert_eq!(json["tree"]["branches"][0]["weight"], 0.75);
    assert_eq!(json["clusters"][0]["endpoints"][0]["port"], 8080);
    let yaml = ctl.run("resolve /svc/web -o yaml").await?.ok();
    let of_yaml: serde_json::Value = serde_saphyr::from_str(&yaml)?;
    assert_eq!(of_yaml["tree"], json["tree"], "{yaml}");
    assert_eq!(
        ctl.run("resolve /svc/none").await?.ok(),
        "~ (no such name)\n"
    );
    let bad = ctl.run("resolve svc").await?.failed();
    assert!(bad.contains("'/' expected"), "{bad}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_shows_rules_and_reasons() -> Result<()> {
    let namerd = Namerd::start(
        "/svc => /old ; /old/web => /$/inet/127.0.0.1/81 ; /svc => /new",
        "",
    )
    .await?;
    let ctl = Ctl::at(&namerd)?;
    let args = ["explain", "/svc/web", "--dtab", "/new/web => !"];
    assert_eq!(
        ctl.run_with(&args, "").await?.ok(),
        "✓ /svc/web\n├─ ✓ /new/web  [stored rule 2: /svc => /new]\n\
         │  └─ ! !  fail: ends the search without a result  [request rule 0: /new/web => !]\n\
         └─ ✗ /old/web: an alternative before it was taken  [stored rule 0: /svc => /old]\n   \
         └─ ✗ /$/inet/127.0.0.1/81  leaf: 1 endpoint; an alternative before it was taken  \
         [stored rule 1: /old/web => /$/inet/127.0.0.1/81]\n\n\
         Result\n  ! (stopped by a rule)\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&ctl.run("explain /svc/web -o json").await?.ok())?;
    assert_eq!(json["steps"]["children"][0]["rule"]["from"], "store");
    assert_eq!(json["result"]["tree"]["id"], "/$/inet/127.0.0.1/81");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_shown_over_http() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let ctl = Ctl::at(&namerd)?;
    assert_eq!(
        ctl.run("delegate /svc/web").await?.ok(),
        "✓ /svc/web\n├─ ✓ /svc/web  [/svc/web => 0.75*/$/inet/127.0.0.1/8080 & 0.25*/$/inet/127.0.0.2/80]\n\
         │  ├─ ✓ 0.75 * /$/inet/127.0.0.1/8080  leaf: 1 endpoint\n\
         │  └─ ✓ 0.25 * /$/inet/127.0.0.2/80  leaf: 1 endpoint\n\
         └─ ✗ /old/web: an alternative before it was taken  [/svc => /old]\n   \
         └─ ✗ /$/inet/127.0.0.1/81  leaf: 1 endpoint; an alternative before it was taken  \
         [/old/web => /$/inet/127.0.0.1/81]\n"
    );
    let alone = [
        "delegate",
        "/x/web",
        "-n",
        "",
        "-d",
        "/x => /$/inet/1.2.3.4",
    ];
    let json: serde_json::Value = serde_json::from_str(
        &ctl.run_with(&[&alone[..], &["-o", "json"]].concat(), "")
            .await?
            .ok(),
    )?;
    assert_eq!(json["type"], "delegate");
    Ok(())
}

/// Colour only where it is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_no_colour_unless_it_is_forced() -> Result<()> {
    let namerd = Namerd::start(DTAB, "").await?;
    let forced = Ctl::at(&namerd)?.env("CLICOLOR_FORCE", "1");
    let text = forced.run("explain /svc/web").await?.ok();
    assert!(text.contains("\u{1b}["), "{text}");
    let never = forced.env("NO_COLOR", "1");
    let text = never.run("explain /svc/web").await?.ok();
    assert!(!text.contains("\u{1b}["), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_changes() -> Result<()> {
    let namerd = Namerd::start("/svc => /$/inet/127.0.0.1", "").await?;
    let ctl = Ctl::at(&namerd)?;
    let mut watch = Program::new("watch", env!("CARGO_BIN_EXE_namerctl"))
        .args(["watch", "/svc/8080", "--count", "2"])
        .env("NAMERCTL_RESOLVER", namerd.resolver.to_string())
        .start(ctl.dir.path())?;
    let first = until_lines(&mut watch, 2).await?;
    let shown = "= /$/inet/127.0.0.1/8080  1 endpoint\n+ 127.0.0.1:8080  /$/inet/127.0.0.1/8080";
    assert_eq!(first, shown);
    let dtab = "/svc => /$/inet/127.0.0.2";
    let update = ["dtab", "update", "default", "-"];
    assert_eq!(ctl.run_with(&update, dtab).await?.ok(), "Updated default\n");
    assert!(watch.wait().await?.success());
    let after = until_lines(&mut watch, 5).await?;
    let shown = "= /$/inet/127.0.0.2/8080  1 endpoint\n- 127.0.0.1:8080  /$/inet/127.0.0.1/8080\n\
                 + 127.0.0.2:8080  /$/inet/127.0.0.2/8080";
    assert_eq!(after, format!("{first}\n{shown}"));
    Ok(())
}

/// What it has printed, without the times in front, once there are as many lines.
async fn until_lines(watch: &mut Process, lines: usize) -> Result<String> {
    for _ in 0..3000 {
        let text = watch.last_words(100);
        if text.lines().count() >= lines {
            let bare = text
                .lines()
                .map(|l| l.split_once(' ').map_or(l, |(_, rest)| rest));
            return Ok(bare.collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("still only: {}", watch.last_words(100))
}

/// Every replica that is named is asked; one that does not answer is a failure after the answer of the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_all_replicas_are_shown() -> Result<()> {
    let (one, two) = (
        Namerd::start(DTAB, "").await?,
        Namerd::start(DTAB, "").await?,
    );
    let ctl = Ctl::ours()?;
    let titles = "NODE   STATE   STALE   LAG   INTERESTS   CLUSTERS   VERSION   AGE   REPLICA\n";
    let both = format!("nodes --resolver {},{}", one.resolver, two.resolver);
    assert_eq!(ctl.run(&both).await?.ok(), titles);
    let both = format!(
        "nodes --resolver {} --resolver {} -o json",
        one.resolver, two.resolver
    );
    assert_eq!(ctl.run(&both).await?.ok(), "[]\n");
    let half = format!("nodes --resolver {},127.0.0.1:1", one.resolver);
    let ran = ctl.run(&half).await?;
    assert_eq!((ran.code, ran.stdout.as_str()), (255, titles));
    assert!(
        ran.stderr
            .ends_with("Error: 1 of 2 replicas did not answer\n"),
        "{ran:?}"
    );
    Ok(())
}
