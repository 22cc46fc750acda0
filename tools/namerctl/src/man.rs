//! Manual pages, section 1, of all three programs: one program has them all.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};

/// Where manual pages go.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder, such as /usr/local/share/man/man1
    dir: PathBuf,
}

/// A page for each program and each command of it: the file's name, and its text in roff.
///
/// # Errors
/// A page does not render.
pub fn pages() -> anyhow::Result<Vec<(String, String)>> {
    let mut pages = Vec::new();
    for mut program in [
        crate::command(),
        namerd::app::command(),
        l5d_node::app::cli::command(),
    ] {
        program.build();
        let name = program.get_name().to_owned();
        render(&program, &name, &mut pages)?;
    }
    Ok(pages)
}

fn render(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    // What the short help leaves out is left empty else.
    let renamed = command
        .clone()
        .name(name.to_owned())
        .mut_args(|arg| arg.hide_short_help(false));
    let mut roff = Vec::new();
    clap_mangen::Man::new(renamed).render(&mut roff)?;
    pages.push((format!("{name}.1"), String::from_utf8(roff)?));
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" && !sub.is_hide_set() {
            render(sub, &format!("{name}-{}", sub.get_name()), pages)?;
        }
    }
    Ok(())
}

/// Writes them.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let dir = args.dir.display();
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make the folder {dir}"))?;
    for (name, text) in pages()? {
        let file = args.dir.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
