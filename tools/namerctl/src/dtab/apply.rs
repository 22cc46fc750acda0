//! `apply`: makes a namespace be what a file says, unless somebody else changes it at the same moment.

use std::ffi::OsStr;

use hyper::{Method, StatusCode};

use super::Context;
use super::diff::change;
use super::input::{Input, json_body};
use super::model::{Entry, Versioned};
use crate::output::print;

impl Context {
    pub(super) async fn apply(
        &self,
        name: &str,
        file: &OsStr,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        let input = Input::read(file)?;
        let (wanted, version) = input.checked()?;
        let mut found = self.find(name).await?;
        let Some(change) = change(name, found.as_ref(), &input.name, &wanted) else {
            return print(&format!("Unchanged {name}\n"));
        };
        // A version in the file is what its writer has seen.
        if let (Some(found), Some(version)) = (&mut found, version) {
            found.version = version;
        }
        print(&change)?;
        let done = if found.is_some() {
            "Updated"
        } else {
            "Created"
        };
        if dry_run {
            return print(&format!("{done} {name} (dry run)\n"));
        }
        self.replace(name, found.as_ref(), &wanted).await?;
        print(&format!("{done} {name}\n"))
    }

    /// Writes these entries over what was found; fails if it is not that any more. An old server without versions
    /// replaces whatever is there.
    pub(super) async fn replace(
        &self,
        name: &str,
        found: Option<&Versioned>,
        wanted: &[Entry],
    ) -> anyhow::Result<()> {
        let method = if found.is_some() {
            Method::PUT
        } else {
            Method::POST
        };
        let version = found.map(|f| f.version.as_str());
        let body = json_body(wanted)?;
        let reply = self.write(method, name, version, Some(body)).await?;
        if reply.is_written() {
            return Ok(());
        }
        let failure = reply.failure(true);
        Err(match reply.status {
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => failure
                .hint("somebody else has changed it meanwhile; do it again to see both changes"),
            _ => failure,
        }
        .into())
    }
}
