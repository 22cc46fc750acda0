//! `history` and `restore`: earlier versions, where namerd's store keeps them.

use anyhow::Context as _;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::Context;
use super::model::{Entry, aligned};
use crate::fail::Failure;
use crate::http::{Ask, Reply, escaped, query};
use crate::output::table::table;
use crate::output::{Format, paint, print};

/// One version, as the controller shows it.
#[derive(Serialize, Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    written: Option<String>,
    dtab: Vec<Entry>,
}

impl Context {
    /// The newest first. The wide form has the dtabs themselves.
    pub(super) async fn history(&self, name: &str) -> anyhow::Result<()> {
        let path = format!("history/{}", escaped(name));
        let reply = self.controller.send(Ask::new(Method::GET, path)).await?;
        if reply.status != StatusCode::OK {
            return Err(refused(&reply, name).into());
        }
        let versions: Vec<Version> =
            serde_json::from_str(&reply.body).context("the answer is not a list of versions")?;
        self.output.show(&versions, |format| match format {
            Format::Wide => versions.iter().map(wide).collect(),
            Format::Name => versions
                .iter()
                .map(|v| format!("{}\n", v.version))
                .collect(),
            _ => {
                let row = |v: &Version| {
                    let written = v.written.clone().unwrap_or_default();
                    vec![v.version.clone(), written, v.dtab.len().to_string()]
                };
                let rows: Vec<_> = versions.iter().map(row).collect();
                table(self.output, &["VERSION", "WRITTEN", "ENTRIES"], &rows)
            }
        })
    }

    pub(super) async fn restore(&self, name: &str, version: &str) -> anyhow::Result<()> {
        let mut ask = Ask::new(Method::POST, format!("history/{}", escaped(name)));
        ask.query = query(&[("version", version)]);
        let reply = self.controller.send(ask).await?;
        if !reply.is_written() {
            return Err(refused(&reply, name).into());
        }
        print(&format!("Restored {name}\n"))
    }
}

fn wide(version: &Version) -> String {
    let written = version.written.as_deref().unwrap_or_default();
    let title = format!("# version {} {written}", version.version);
    format!(
        "{}\n{}\n",
        paint::with(paint::TITLE, title.trim_end()),
        aligned(&version.dtab)
    )
}

fn refused(reply: &Reply, name: &str) -> Failure {
    match reply.status {
        StatusCode::NOT_IMPLEMENTED => reply
            .failure(true)
            .hint("this store keeps no earlier versions; keep files, and write them with `namerctl dtab apply`"),
        StatusCode::NOT_FOUND => reply.failure(true).hint(format!(
            "{name} or that version is not there, or this namerd is an old one, which has no history"
        )),
        _ => reply.failure(true),
    }
}
