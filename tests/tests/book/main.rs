//! What the book says is so: each console block of `deploy/book` is executed against the demo, and what a command prints must
//! be what the page shows below it; configurations and dtabs are read by the programs' own readers; links lead somewhere.
//!
//! Fences of the book, by their words:
//!
//! | fence | what is done with it |
//! |---|---|
//! | `console` | each line behind `$ ` runs in one shell for the page; its output must match, its exit code be 0 |
//! | `console eventually` | as before, but each command runs again until its output matches, for a bounded time |
//! | `console by-hand` | needs what a test does not have: the commands must be good bash, and files they name must exist |
//! | any language, `file=NAME` | is written as a file into the page's folder before the commands behind it run |
//! | `yaml namerd`, `yaml node` | a whole configuration: the program's reader must take it |
//! | `dtab` | must read |
//!
//! In expected output `[..]` stands for anything within a line, and a line `...` for any lines.

mod demo;
mod lines;
mod page;
mod shell;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use l5d_naming::Dtab;
use l5d_tests::hosts::with_hosts;

use crate::page::{Block, Page, Words};

/// With this set to 1 (`cargo xtask test` does), a machine without curl fails the test instead of leaving it out.
const REQUIRED: &str = "L5D_REQUIRE_CURL";

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/book")
}

fn pages() -> Vec<Page> {
    let found = Page::all(&book()).expect("the book can be read");
    assert!(found.len() > 2, "the book has pages");
    found
}

#[test]
fn console_blocks_do_what_they_show() -> anyhow::Result<()> {
    if Command::new("curl").arg("--version").output().is_err() {
        if std::env::var_os(REQUIRED).is_some_and(|set| set == "1") {
            bail!("the book's commands need curl, which is not installed (apt-get install curl)");
        }
        eprintln!("left out: the book's commands need curl, which is not installed");
        return Ok(());
    }
    with_hosts("console_blocks_do_what_they_show", 0, |_| run_book())
}

/// Runs the pages one after the other, each with a demo of its own; tells all that is not as shown.
async fn run_book() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|p| p.runs()) {
        let demo = demo::Demo::start().await.context(page.name.clone())?;
        let said = run_page(page);
        demo.end().await?;
        println!("{}: {} blocks", page.name, page.blocks.len());
        wrong.extend(said.with_context(|| page.name.clone())?);
    }
    if !wrong.is_empty() {
        bail!("not as the book shows it:\n\n{}", wrong.join("\n\n"));
    }
    Ok(())
}

fn run_page(page: &Page) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let mut shell = shell::Shell::start(folder.path())?;
    let mut wrong = Vec::new();
    for block in &page.blocks {
        if let Some(file) = block.file() {
            std::fs::write(folder.path().join(file), &block.text)?;
        }
        let patience = match block.words {
            Words::Console => shell::Repeat::Never,
            Words::Eventually => shell::Repeat::UntilShown,
            _ => continue,
        };
        for step in block.steps() {
            if let Err(error) = shell.step(&step, patience) {
                wrong.push(format!("{}:{}: {error:#}", page.name, block.line));
            }
        }
    }
    Ok(wrong)
}

/// What cannot run here must at least be a command, and the project's files that it names must be there.
#[test]
fn commands_by_hand_are_good_bash() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (page, block) in blocks(|b| b.words == Words::ByHand) {
        for step in block.steps() {
            let at = format!("{}:{}", page.name, block.line);
            let bash = Command::new("bash")
                .args(["-n", "-c", &step.command])
                .output();
            let bash = bash.expect("bash is there");
            assert!(
                bash.status.success(),
                "{at}: {}",
                String::from_utf8_lossy(&bash.stderr)
            );
            for word in step.command.split_whitespace() {
                if word.starts_with("deploy/") {
                    assert!(root.join(word).exists(), "{at}: {word} is missing");
                }
            }
        }
    }
}

#[test]
fn configurations_are_taken() {
    let nothing = |_: &str| None;
    for (page, block) in blocks(|b| b.words == Words::Namerd) {
        if let Err(e) = namerd::config::Config::read(&page.name, &block.text, &nothing) {
            panic!("line {} of {e}", block.line);
        }
    }
    for (page, block) in blocks(|b| b.words == Words::Node) {
        if let Err(e) = l5d_node::config::read(&page.name, &block.text) {
            panic!("line {} of {e}", block.line);
        }
    }
}

#[test]
fn dtabs_read() {
    for (page, block) in blocks(|b| b.words == Words::Dtab) {
        if let Err(e) = Dtab::parse(&block.text) {
            panic!("{}:{}: {e}", page.name, block.line);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    for page in &pages {
        for link in page.links() {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => book().join(&page.name),
                _ => book().join(file),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", page.name);
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).expect("text");
                let has = page::anchors(&text).iter().any(|a| a == anchor);
                assert!(has, "{}: {file} has no heading #{anchor}", page.name);
            }
        }
    }
}

/// A page that the index does not name is never found.
#[test]
fn the_index_names_every_page() {
    let pages = pages();
    let index = pages.iter().find(|p| p.name == "README.md");
    let index = index.expect("an index");
    for page in pages.iter().filter(|p| p.name != index.name) {
        let is_named = index
            .links()
            .any(|l| l.split('#').next() == Some(&page.name));
        assert!(is_named, "README.md does not lead to {}", page.name);
    }
}

fn blocks(wanted: impl Fn(&Block) -> bool) -> Vec<(Page, Block)> {
    let of = |page: Page| {
        let blocks = page.blocks.clone();
        blocks.into_iter().map(move |b| (page.clone(), b))
    };
    let all = pages().into_iter().flat_map(of);
    all.filter(|(_, b)| wanted(b)).collect()
}
