//! A page of the book, taken apart: fenced blocks, links, headings.

use std::io;
use std::path::Path;

/// One file of the book.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
    text: String,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) words: Words,
    info: String,
    pub(crate) text: String,
}

/// What its fence says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Console,
    Eventually,
    ByHand,
    Namerd,
    Node,
    Dtab,
    Other,
}

/// A command and the lines that are shown below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) shown: Vec<String>,
}

// === impl Page ===

impl Page {
    /// All pages of a folder, sorted by name.
    pub(crate) fn all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut pages = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "md") {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                pages.push(Self::read(&name, std::fs::read_to_string(&path)?));
            }
        }
        pages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pages)
    }

    fn read(name: &str, text: String) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        for (i, line) in text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if is_open => is_open = false,
                Some(info) => {
                    is_open = true;
                    blocks.push(Block {
                        line: i + 1,
                        words: Words::of(name, info),
                        info: info.to_owned(),
                        text: String::new(),
                    });
                }
                None if is_open => {
                    let block = blocks.last_mut().expect("one is open");
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                None => {}
            }
        }
        assert!(!is_open, "{name}: the last block does not end");
        Self {
            name: name.to_owned(),
            text,
            blocks,
        }
    }

    /// Whether there is something to execute.
    pub(crate) fn runs(&self) -> bool {
        let runs = |b: &Block| matches!(b.words, Words::Console | Words::Eventually);
        self.blocks.iter().any(runs)
    }

    /// Targets of links to other files and headings of the project.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://"))
    }
}

/// The anchors of the headings of a text, as hosting sites make them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|l| l.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

// === impl Words ===

impl Words {
    fn of(page: &str, info: &str) -> Self {
        let all: Vec<_> = info
            .split_whitespace()
            .filter(|w| !w.starts_with("file="))
            .collect();
        match all[..] {
            ["console"] => Self::Console,
            ["console", "eventually"] => Self::Eventually,
            ["console", "by-hand"] => Self::ByHand,
            ["yaml", "namerd"] => Self::Namerd,
            ["yaml", "node"] => Self::Node,
            ["dtab"] => Self::Dtab,
            // A misspelt word must not take a block out of the test.
            ["yaml", "kubernetes"]
            | ["yaml" | "text" | "java" | "js" | "go" | "python" | "csharp" | "ruby" | "php"] => {
                Self::Other
            }
            _ => panic!("{page}: unknown fence ```{info}"),
        }
    }
}

// === impl Block ===

impl Block {
    /// The name under which it is written down.
    pub(crate) fn file(&self) -> Option<&str> {
        let words = self.info.split_whitespace();
        words.filter_map(|w| w.strip_prefix("file=")).next()
    }

    /// Its commands. A command goes on in lines that begin with `> `.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for line in self.text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    shown: Vec::new(),
                });
                continue;
            }
            let step = steps.last_mut().expect("a block begins with a command");
            match line.strip_prefix("> ") {
                Some(more) if step.shown.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.shown.push(line.to_owned()),
            }
        }
        assert!(!steps.is_empty(), "line {}: no command", self.line);
        steps
    }
}

#[test]
fn a_page_comes_apart() {
    let text = "# A b\n\n```console\n$ echo a \\\n> b\na b\n$ true\n```\n[x](y.md#z)\n```dtab file=my.dtab\n/a => /b\n```\n";
    let page = Page::read("p.md", text.to_owned());
    let step = |command: &str, shown: &[&str]| Step {
        command: command.to_owned(),
        shown: shown.iter().map(|s| (*s).to_owned()).collect(),
    };
    assert_eq!(
        page.blocks[0].steps(),
        [step("echo a \\\nb", &["a b"]), step("true", &[])]
    );
    assert_eq!(page.blocks[1].words, Words::Dtab);
    assert_eq!(page.blocks[1].file(), Some("my.dtab"));
    assert_eq!(page.links().collect::<Vec<_>>(), ["y.md#z"]);
    assert_eq!(anchors(text), ["a-b"]);
}
