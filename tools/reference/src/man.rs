//! Manual pages, as `namerctl man` writes them.

use std::path::PathBuf;

/// A page for each program and each command of it.
pub(crate) fn pages() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let pages = namerctl::man::pages()?.into_iter();
    Ok(pages
        .map(|(name, text)| (PathBuf::from("man").join(name), text))
        .collect())
}

#[test]
fn pages_have_what_a_page_must_have() {
    let pages = pages().expect("they render");
    for name in [
        "man/namerd.1",
        "man/l5d-node.1",
        "man/namerctl.1",
        "man/namerctl-explain.1",
    ] {
        let is_there = pages.iter().any(|(file, _)| file.as_os_str() == name);
        assert!(is_there, "{name} is missing");
    }
    for (file, text) in &pages {
        let file = file.display();
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(text.contains(part), "{file} has no {part}");
        }
        assert!(!text.contains("\n\n.TP"), "{file}: a flag without a word");
    }
}
