//! Manual pages, section 1.

use std::path::PathBuf;

use clap::Command;

use crate::commands::programs;

/// A page for each program and each command of it.
pub(crate) fn pages() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut pages = Vec::new();
    for mut program in programs() {
        program.build();
        let name = program.get_name().to_owned();
        render(&program, &name, &mut pages)?;
    }
    Ok(pages)
}

fn render(command: &Command, name: &str, pages: &mut Vec<(PathBuf, String)>) -> anyhow::Result<()> {
    // What the short help leaves out is left empty else.
    let renamed = command
        .clone()
        .name(name.to_owned())
        .mut_args(|arg| arg.hide_short_help(false));
    let mut roff = Vec::new();
    clap_mangen::Man::new(renamed).render(&mut roff)?;
    let file = PathBuf::from(format!("man/{name}.1"));
    pages.push((file, String::from_utf8(roff)?));
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" && !sub.is_hide_set() {
            render(sub, &format!("{name}-{}", sub.get_name()), pages)?;
        }
    }
    Ok(())
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
