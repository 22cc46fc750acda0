//! Commands and their flags, from the programs' own command lines.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// The programs, as they parse their arguments.
pub(crate) fn programs() -> [Command; 3] {
    [
        namerd::app::command(),
        l5d_node::app::cli::command(),
        namerctl::command(),
    ]
}

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut out = "<!-- written by `cargo xtask reference` -->\n# Commands\n\n\
         The same as `--help` of each program and command; manual pages: [deploy/man](../man).\n\n\
         | program | exit codes |\n|---|---|\n\
         | `namerd` | 0 after a stop that was asked for, and for a good file with `--check`; 1 for a mistake in the file, or what could not be opened; 64 without a file; 2 for unknown flags |\n\
         | `l5d-node` | 0 and 1 likewise; 2 for unknown flags, or without a file |\n\
         | `namerctl` | 0; 1 for a difference found by `dtab diff`, a `check` that failed, a migration with something left to decide; 255 for any failure |\n"
        .to_owned();
    for mut program in programs() {
        program.build();
        describe(&program, program.get_name(), 2, &mut out)?;
    }
    Ok(out)
}

fn describe(command: &Command, name: &str, depth: usize, out: &mut String) -> anyhow::Result<()> {
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    writeln!(
        out,
        "\n{} {name}\n\n{}\n",
        "#".repeat(depth),
        sentence(&about)
    )?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    writeln!(out, "```text\n{usage}\n```")?;
    let own: Vec<_> = command
        .get_arguments()
        .filter(|a| !a.is_hide_set() && (depth == 2 || !a.is_global_set()))
        .filter(|a| !["help", "version"].contains(&a.get_id().as_str()))
        .collect();
    if !own.is_empty() {
        writeln!(out, "\n| argument | says |\n|---|---|")?;
    }
    for arg in own {
        writeln!(out, "| {} | {} |", form(arg), meaning(arg))?;
    }
    if let Some(after) = command.get_after_help() {
        writeln!(out, "\n```text\n{}\n```", after.to_string().trim_end())?;
    }
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" && !sub.is_hide_set() {
            describe(sub, &format!("{name} {}", sub.get_name()), 3, out)?;
        }
    }
    Ok(())
}

/// `-o, --output <FORMAT>`.
fn form(arg: &Arg) -> String {
    let short = arg.get_short().map(|s| format!("-{s}"));
    let long = arg.get_long().map(|l| format!("--{l}"));
    let mut form = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let space = if form.is_empty() { "" } else { " " };
        write!(form, "{space}<{}>", names.join(" ")).expect("a string takes everything");
    }
    format!("`{form}`")
}

/// Help, values, environment, default.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![sentence(&help)];
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() {
        let names: Vec<_> = values
            .iter()
            .map(|v| format!("`{}`", v.get_name()))
            .collect();
        parts.push(format!("One of {}.", names.join(", ")));
    }
    if let Some(env) = arg.get_env() {
        parts.push(format!("Environment: `{}`.", env.to_string_lossy()));
    }
    let defaults = arg.get_default_values();
    if arg.get_action().takes_values() && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let defaults: Vec<_> = defaults.iter().map(|d| d.to_string_lossy()).collect();
        parts.push(format!("Default: `{}`.", defaults.join(" ")));
    }
    parts.join(" ").replace('|', "\\|").replace('\n', " ")
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    match text.ends_with(['.', ':']) || text.is_empty() {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

/// A flag without a word teaches nobody.
#[test]
fn every_flag_has_a_help_text() {
    fn look(command: &Command, name: &str) {
        for arg in command.get_arguments().filter(|a| !a.is_hide_set()) {
            let help = arg.get_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|h| h.len() > 5),
                "{name}: {} has no help",
                arg.get_id()
            );
        }
        assert!(command.get_about().is_some(), "{name} has no help");
        for sub in command.get_subcommands().filter(|s| !s.is_hide_set()) {
            look(sub, &format!("{name} {}", sub.get_name()));
        }
    }
    for mut program in programs() {
        program.build();
        let name = program.get_name().to_owned();
        look(&program, &name);
    }
}

/// Commands that people use teach with examples.
#[test]
fn programs_and_commands_have_examples() {
    for program in programs() {
        let after = program.get_after_help().map(ToString::to_string);
        let has = after.is_some_and(|a| a.contains(program.get_name()));
        assert!(has, "{} shows no example", program.get_name());
        for sub in program.get_subcommands() {
            let subs = sub.get_subcommands().collect::<Vec<_>>();
            let each = if subs.is_empty() { vec![sub] } else { subs };
            for one in each.iter().filter(|s| !s.is_hide_set()) {
                let after = one.get_after_help().or_else(|| sub.get_after_help());
                let after = after.map(ToString::to_string);
                let has = after.is_some_and(|a| a.contains("xample"));
                assert!(
                    has,
                    "{} {} shows no example",
                    sub.get_name(),
                    one.get_name()
                );
            }
        }
    }
}
