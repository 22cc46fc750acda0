//! `namerctl dtab`: the commands of the original (control plane 8.1), and those for people: edit, diff, apply, validate,
//! history, restore.

mod apply;
mod args;
mod diff;
mod edit;
mod history;
mod input;
mod model;
mod read;
mod validate;
mod write;

use std::process::ExitCode;

pub(crate) use self::args::{DtabArgs, original_words};
pub(crate) use self::model::Entry;

use self::args::DtabCommand;
use crate::http::Controller;
use crate::output::Output;
use crate::settings::Settings;

/// What the commands work with.
struct Context {
    controller: Controller,
    output: Output,
    /// The original's flag.
    json: bool,
}

/// Runs one command; `diff` answers 1 for a difference.
pub(crate) async fn run(settings: &Settings, args: DtabArgs) -> anyhow::Result<ExitCode> {
    if let DtabCommand::Validate(args) = &args.command {
        return validate::run(args);
    }
    let context = Context {
        controller: Controller::new(settings)?,
        output: settings.output,
        json: args.json && settings.output.format.is_none(),
    };
    match args.command {
        DtabCommand::List => context.list().await?,
        DtabCommand::Get { name, pretty } => context.get(&name, pretty).await?,
        DtabCommand::Create { name, file } => context.create(&name, &file).await?,
        DtabCommand::Update {
            name,
            file,
            version,
        } => context.update(&name, &file, version.as_deref()).await?,
        DtabCommand::Delete { name } => context.delete(&name).await?,
        DtabCommand::Edit { name } => context.edit(&name).await?,
        DtabCommand::Diff { name, file } => return context.diff(&name, &file).await,
        DtabCommand::Apply {
            name,
            file,
            dry_run,
        } => context.apply(&name, &file, dry_run).await?,
        DtabCommand::Validate(_) => {}
        DtabCommand::History { name } => context.history(&name).await?,
        DtabCommand::Restore { name, version } => context.restore(&name, &version).await?,
    }
    Ok(ExitCode::SUCCESS)
}
