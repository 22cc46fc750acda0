//! Who may import whom. The table below is the one of ARCHITECTURE.md; a module that imports against it fails the build.
//!
//! Reads source text, not compiled code: every `crate::module` outside of tests counts, grouped imports included.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run::root;

/// Packages of the workspace and those of it that they may depend on.
const PACKAGES: &[(&str, &[&str])] = &[
    ("proto/naming", &[]),
    ("proto/config", &["l5d-naming"]),
    ("proto/accesslog", &["l5d-config"]),
    ("proto/tls", &["l5d-config"]),
    ("proto/etcd", &[]),
    ("proto/mesh", &["l5d-naming"]),
    ("proto/resolver", &["l5d-naming"]),
    (
        "namerd",
        &[
            "l5d-naming",
            "l5d-config",
            "l5d-accesslog",
            "l5d-tls",
            "l5d-etcd",
            "l5d-destination",
            "l5d-mesh",
            "l5d-resolver",
        ],
    ),
    (
        "l5d-node",
        &[
            "l5d-naming",
            "l5d-config",
            "l5d-accesslog",
            "l5d-tls",
            "l5d-resolver",
        ],
    ),
];

/// Modules of namerd and those that they may import.
const NAMERD: &[(&str, &[&str])] = &[
    ("meter", &[]),
    ("store", &[]),
    ("config", &[]),
    ("ca", &["auth", "config"]),
    ("k8s", &["store", "auth", "ca"]),
    ("auth", &["tls", "config"]),
    ("tls", &["config"]),
    ("dial", &["config"]),
    ("consul", &["bind", "store", "dial", "config"]),
    ("etcd", &["store", "dial", "config"]),
    ("files", &["store", "config"]),
    ("transform", &["store"]),
    ("bind", &["store", "transform"]),
    ("stream", &["bind", "store"]),
    ("web", &["bind", "store", "tls", "config"]),
    (
        "api",
        &[
            "stream", "bind", "store", "web", "auth", "ca", "tls", "config",
        ],
    ),
    (
        "admin",
        &["store", "bind", "stream", "web", "ca", "tls", "config"],
    ),
];

/// Modules of l5d-node and those that they may import.
const NODE: &[(&str, &[&str])] = &[
    ("meter", &[]),
    ("config", &[]),
    ("cache", &["config"]),
    ("connect", &["config"]),
    ("tls", &["cache", "connect", "config"]),
    ("control", &["cache", "tls", "config"]),
    ("balance", &["cache", "connect", "tls", "config"]),
    ("route", &["cache", "balance", "connect", "config"]),
    ("tell", &["config"]),
    ("launch", &["config"]),
    (
        "serve",
        &[
            "route", "balance", "connect", "cache", "tell", "tls", "config",
        ],
    ),
    (
        "admin",
        &[
            "cache", "balance", "serve", "tell", "connect", "tls", "config",
        ],
    ),
];

/// Modules at the bottom that every other one of their package may import.
const BOTTOM: &[&str] = &["meter"];

/// Libraries that only one module of a package may name.
const ONLY: &[(&str, &str, &[&str])] = &[
    ("namerd", "kube", &["k8s"]),
    ("namerd", "tonic", &["api", "etcd"]),
    ("l5d-node", "tonic", &["control", "tell"]),
];

/// Checks every package and module; the error lists all that is wrong.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = root();
    let mut wrong = Vec::new();
    for (dir, allowed) in PACKAGES {
        wrong.extend(package(&root.join(dir), dir, allowed)?);
    }
    for (package, table) in [("namerd", NAMERD), ("l5d-node", NODE)] {
        wrong.extend(modules(&root.join(package).join("src"), package, table)?);
    }
    if wrong.is_empty() {
        println!("layers: every import follows the arrows");
        return Ok(());
    }
    bail!(
        "imports against the arrows of ARCHITECTURE.md:\n  {}",
        wrong.join("\n  ")
    )
}

fn package(dir: &Path, name: &str, allowed: &[&str]) -> anyhow::Result<Vec<String>> {
    let manifest = dir.join("Cargo.toml");
    if !manifest.exists() {
        return Ok(Vec::new());
    }
    let text = read(&manifest)?;
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let ours = [
        "l5d-naming",
        "l5d-config",
        "l5d-tls",
        "l5d-etcd",
        "l5d-destination",
        "l5d-mesh",
        "l5d-resolver",
        "namerd",
        "l5d-node",
        "l5d-tests",
    ];
    Ok(dependencies
        .lines()
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|dependency| ours.contains(dependency) && !allowed.contains(dependency))
        .map(|dependency| format!("{name}/Cargo.toml: depends on {dependency}"))
        .collect())
}

fn modules(src: &Path, package: &str, table: &[(&str, &[&str])]) -> anyhow::Result<Vec<String>> {
    let known: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in sources(src)? {
        let relative = file.strip_prefix(src).expect("found below src");
        let module = relative
            .components()
            .next()
            .and_then(|c| Path::new(c.as_os_str()).file_stem()?.to_str())
            .unwrap_or_default()
            .to_owned();
        if ["lib", "main", "app"].contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = known.get(module.as_str()) else {
            wrong.push(format!(
                "{package}/src/{}: module {module} is not in the table",
                relative.display()
            ));
            continue;
        };
        let text = without_tests(&read(&file)?);
        let depth = relative.components().count();
        for (line, import) in imports(&text, depth, &file) {
            let is_allowed =
                allowed.contains(&import.as_str()) || BOTTOM.contains(&import.as_str());
            if import != module && import != "self" && !is_allowed {
                wrong.push(format!(
                    "{package}/src/{}:{line}: {module} may not import {import}",
                    relative.display()
                ));
            }
        }
        for (_, library, only) in ONLY.iter().filter(|(p, ..)| *p == package) {
            if !only.contains(&module.as_str())
                && let Some(line) = text.lines().position(|l| names(l, library))
            {
                wrong.push(format!(
                    "{package}/src/{}:{}: only {} may name {library}",
                    relative.display(),
                    line + 1,
                    only.join(", ")
                ));
            }
        }
    }
    Ok(wrong)
}

/// The modules of this crate that a file names, with the line of each.
fn imports(text: &str, depth: usize, file: &Path) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest).map(|w| (line, w))),
            Some(group) => found.extend(group_heads(group).into_iter().map(|w| (line, w))),
        }
    }
    // A file at the top of a module reaches the crate root with one `super::` if it is `module.rs` or `module/mod.rs`.
    let is_mod = file.file_name().is_some_and(|n| n == "mod.rs");
    let to_root = if is_mod { depth - 1 } else { depth };
    let climb = "super::".repeat(to_root);
    for (at, _) in text.match_indices(&climb) {
        let line = text[..at].matches('\n').count() + 1;
        found.extend(
            word(&text[at + climb.len()..])
                .filter(|w| w != "super")
                .map(|w| (line, w)),
        );
    }
    found
}

/// The first words of a grouped import's entries at its own level.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut level = 0;
    let mut entry = String::new();
    for c in group.chars() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => heads.extend(word(std::mem::take(&mut entry).trim())),
            c if level == 0 => entry.push(c),
            _ => {}
        }
    }
    heads.extend(word(entry.trim()));
    heads
}

fn word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    // Macros and items at the root (types, functions in capitals) are no modules.
    (!word.is_empty()
        && word
            .chars()
            .all(|c| c.is_lowercase() || c == '_' || c.is_ascii_digit()))
    .then_some(word)
}

fn names(line: &str, library: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        code[at + library.len()..].starts_with("::")
            && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// The text without comments (lines are kept) and without what only tests see: a `#[cfg(test)] mod` at the end of a file.
fn without_tests(text: &str) -> String {
    let code = text
        .split("\n#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default();
    code.lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// All source files below a folder, without files of tests.
fn sources(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_grouped_and_climbing_imports_are_seen() {
        let text = "use crate::store::Cell;\nuse crate::{bind::{Binder, Namer}, stream};\nuse super::super::api::x;\n";
        let found: Vec<_> = imports(text, 2, Path::new("a/b.rs"))
            .into_iter()
            .map(|(_, m)| m)
            .collect();
        assert_eq!(found, ["store", "bind", "stream", "api"]);
    }

    #[test]
    fn a_library_counts_as_a_whole_word_outside_comments() {
        assert!(names("    let x = kube::Client::new();", "kube"));
        assert!(!names("// kube::Client", "kube"));
        assert!(!names("my_kube::x", "kube"));
    }

    #[test]
    fn this_workspace_follows_its_arrows() {
        check().expect("no import against the arrows");
    }
}
