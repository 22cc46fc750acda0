//! What watches the two programs: dashboards, recorded series and alerts, made from the same tables of metrics as the programs.
//!
//! In: `l5d_node::meter::METRICS` and `namerd::meter::METRICS`. Out: the files below `deploy/watching`, which
//! `cargo xtask watching` writes and a test compares. No query may name a metric or a label that the tables do not have
//! ([`query::check`]); what an alert is for stands beside it as series that must raise it ([`promtool`]).

mod alerts;

mod dashboard;
mod dashboards;
mod healthy;
pub mod names;
pub mod prometheus;
pub mod promtool;
pub mod query;
mod rules;

use std::path::PathBuf;

pub use alerts::{ALERTS, Alert, Severity};
pub use dashboard::{Panel, fill};
pub use dashboards::{Dashboard, dashboards};
pub use rules::{RECORDED, Recorded, runbook_anchor};

/// A file as it has to be.
#[derive(Clone, Debug)]
pub struct File {
    /// Below `deploy/watching`.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Where the files are.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/watching"))
}

/// All files. `runbook`: what stands in front of `#<alert>` in links of alerts.
pub fn files(runbook: &str) -> Vec<File> {
    let mut all = vec![File {
        name: "rules.yaml".to_owned(),
        text: rules::text(runbook),
    }];
    all.extend(dashboards().iter().map(|dashboard| File {
        name: format!("dashboards/{}.json", dashboard.name),
        text: format!("{:#}\n", dashboard.json()),
    }));
    all
}

/// Where links of alerts lead unless told otherwise: the file beside the rules.
pub const RUNBOOK: &str = "runbook.md";
