//! `validate`: whether files are dtabs.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use super::input::Input;
use crate::fail;
use crate::output::print;

/// Which files.
#[derive(Args, Debug)]
pub(super) struct ValidateArgs {
    /// Dtabs, or what `get --json` prints, or JSON lists of entries; `-` is standard input
    #[arg(required = true)]
    files: Vec<OsString>,
}

/// Checks them all, whatever is wrong with the first.
pub(super) fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        let checked = Input::read(file).and_then(|input| {
            let (entries, _) = input.checked()?;
            Ok((input.name, entries.len()))
        });
        match checked {
            Ok((name, 1)) => print(&format!("{name}: valid, 1 entry\n"))?,
            Ok((name, n)) => print(&format!("{name}: valid, {n} entries\n"))?,
            Err(error) => code = fail::show(&error),
        }
    }
    Ok(code)
}
