//! Writes the reference pages of `deploy/book` and the manual pages into `deploy/man`, all of them from the code of the programs: their
//! readers of configurations, their command lines, the failures that they make. `cargo xtask reference` runs it; a test fails
//! while a file differs.

mod commands;
mod errors;
mod headers;
mod keys;
mod man;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    for (file, text) in files()? {
        let path = deploy().join(file);
        let folder = path.parent().context("a folder")?;
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Each file below `deploy` with its text.
fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = vec![
        ("book/keys-node.md".into(), keys::NODE.page()?),
        ("book/keys-namerd.md".into(), keys::NAMERD.page()?),
        ("book/commands.md".into(), commands::page()?),
        ("book/errors.md".into(), errors::page()?),
        ("book/headers.md".into(), headers::page()?),
    ];
    files.extend(man::pages()?);
    Ok(files)
}

#[test]
fn files_are_fresh() {
    for (file, text) in files().expect("they are made") {
        let path = deploy().join(&file);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "deploy/{} is stale: cargo xtask reference writes it",
            file.display()
        );
    }
}
