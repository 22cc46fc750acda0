//! The command line of `namerctl dtab`.

use std::ffi::OsString;

use clap::{ArgAction, Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::validate::ValidateArgs;
use crate::settings::FormArgs;
use crate::shell::namespaces;

/// Read and write the dtabs of namespaces.
#[derive(Args, Debug)]
pub(crate) struct DtabArgs {
    #[command(flatten)]
    pub(crate) form: FormArgs,
    /// JSON on one line, as the original prints it
    #[arg(long, global = true, default_value_t = false, default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = ArgAction::Set, value_parser = truth, value_name = "BOOL",
          hide_default_value = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: DtabCommand,
}

#[derive(Subcommand, Debug)]
pub(super) enum DtabCommand {
    /// The names of all namespaces
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List,
    /// One namespace's dtab; create, update and apply read what it prints
    #[command(visible_alias = "cat", after_help = GET_EXAMPLES)]
    Get {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
        /// Arrows aligned, one entry a line
        #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
              require_equals = true, action = ArgAction::Set, value_parser = truth, value_name = "BOOL")]
        pretty: bool,
    },
    /// Makes a namespace; fails if it is there
    #[command(visible_alias = "new", after_help = CREATE_EXAMPLES)]
    Create {
        /// The namespace
        name: String,
        /// A dtab, or what `get --json` prints, or a JSON list of entries; `-` is standard input
        file: OsString,
    },
    /// Replaces a namespace's dtab
    #[command(visible_alias = "up", after_help = UPDATE_EXAMPLES)]
    Update {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
        /// A dtab, or what `get --json` prints (its version then counts), or a JSON list of entries; `-` is standard
        /// input
        file: OsString,
        /// Only if the present version is this one (as `get` shows it)
        #[arg(long)]
        version: Option<String>,
    },
    /// Deletes a namespace
    #[command(visible_aliases = ["del", "rm"], after_help = DELETE_EXAMPLES)]
    Delete {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
    },
    /// Opens a namespace's dtab in $VISUAL or $EDITOR and writes it back if nobody else has changed it
    #[command(after_help = EDIT_EXAMPLES)]
    Edit {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
    },
    /// What a file would change, entry by entry; exit code 1 if anything
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
        /// As for update
        file: OsString,
    },
    /// Makes a namespace be what a file says, after checking it; shows what changes
    #[command(after_help = APPLY_EXAMPLES)]
    Apply {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
        /// As for update
        file: OsString,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Whether files are dtabs, without asking anybody
    #[command(visible_alias = "lint", after_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// The versions of a namespace that namerd remembers, the newest first
    #[command(after_help = HISTORY_EXAMPLES)]
    History {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
    },
    /// Writes an earlier version of a namespace again
    #[command(visible_alias = "rollback", after_help = RESTORE_EXAMPLES)]
    Restore {
        /// The namespace
        #[arg(add = ArgValueCandidates::new(namespaces))]
        name: String,
        /// As `history` shows it
        version: String,
    },
}

const LIST_EXAMPLES: &str = "Examples:
  namerctl dtab list
  namerctl dtab list -o json";
const UPDATE_EXAMPLES: &str = "Examples:
  namerctl dtab update default default.dtab
  namerctl dtab get default --json > default.json    # its version is kept: an update fails if somebody else was faster
  namerctl dtab update default default.json";
const DELETE_EXAMPLES: &str = "Examples:
  namerctl dtab delete staging";
const EDIT_EXAMPLES: &str = "Examples:
  namerctl dtab edit default
  EDITOR='code --wait' namerctl dtab edit default";
const DIFF_EXAMPLES: &str = "Examples:
  namerctl dtab diff default default.dtab || echo 'there is something to apply'";
const VALIDATE_EXAMPLES: &str = "Examples:
  namerctl dtab validate *.dtab
  echo '/svc => /host ;' | namerctl dtab validate -";
const HISTORY_EXAMPLES: &str = "Examples:
  namerctl dtab history default";
const RESTORE_EXAMPLES: &str = "Examples:
  namerctl dtab history default
  namerctl dtab restore default AAAAAAAAAAE=";
const GET_EXAMPLES: &str = "Examples:
  namerctl dtab get default > default.dtab
  namerctl dtab get default --json | jq '.dtab[].prefix'
  namerctl dtab get default -o yaml";
const CREATE_EXAMPLES: &str = "Examples:
  namerctl dtab create default default.dtab
  echo '/svc => /#/io.l5d.k8s/default/http ;' | namerctl dtab create default -";
const APPLY_EXAMPLES: &str = "Examples:
  namerctl dtab apply default default.dtab --dry-run
  namerctl dtab get default | sed 's/world-v1/world-v2/' | namerctl dtab apply default -";

/// The texts that Go takes for true and false.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
    }
}

/// What the original says of a command line that names too few or too many things (control plane 8.3).
pub(crate) fn original_words(words: &[String]) -> Option<&'static str> {
    let at = words.iter().position(|w| w == "dtab")?;
    let command = words[at + 1..].iter().find(|w| !w.starts_with('-'))?;
    match command.as_str() {
        "list" | "ls" => Some("list does not take arguments"),
        "get" | "cat" => Some("get requires a name argument"),
        "create" | "new" => Some("create requires a name and file path"),
        "update" | "up" => Some("update requires a name and file path"),
        "delete" | "del" | "rm" => Some("delete requires one argument"),
        _ => None,
    }
}
