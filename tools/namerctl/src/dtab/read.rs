//! `list` and `get`.

use anyhow::Context as _;
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Context;
use super::model::{Versioned, aligned, go_json};
use crate::fail::Failure;
use crate::http::{Ask, Reply, escaped};
use crate::output::table::table;
use crate::output::{Format, print};

#[derive(Serialize)]
struct Listed {
    name: String,
    version: String,
    entries: usize,
}

impl Context {
    /// Names, one a line; an empty list is an empty line, as with the original. Tables and documents read each namespace.
    pub(super) async fn list(&self) -> anyhow::Result<()> {
        let reply = self.controller.send(Ask::new(Method::GET, "dtabs")).await?;
        if reply.status != StatusCode::OK {
            return Err(reply.failure(false).into());
        }
        let names: Vec<String> = first(&reply).context("the answer is not a list of names")?;
        if self.json {
            return print(&format!("{}\n", go_json(&serde_json::to_string(&names)?)));
        }
        if matches!(self.output.format, None | Some(Format::Name)) {
            return print(&format!("{}\n", names.join("\n")));
        }
        let mut listed = Vec::new();
        for name in names {
            // One that went meanwhile is no failure.
            if let Some(found) = self.find(&name).await? {
                listed.push(Listed {
                    name,
                    version: found.version,
                    entries: found.dtab.len(),
                });
            }
        }
        self.output.show(&listed, |_| {
            let row = |l: &Listed| vec![l.name.clone(), l.entries.to_string(), l.version.clone()];
            let rows: Vec<_> = listed.iter().map(row).collect();
            table(self.output, &["NAME", "ENTRIES", "VERSION"], &rows)
        })
    }

    /// The dtab with its version, in one of the original's three forms or ours.
    pub(super) async fn get(&self, name: &str, pretty: bool) -> anyhow::Result<()> {
        let found = self.read(name, "").await?;
        if self.json {
            return print(&format!("{}\n", go_json(&serde_json::to_string(&found)?)));
        }
        match self.output.format {
            Some(Format::Name) => return print(&format!("{name}\n")),
            Some(Format::Table | Format::Wide) => {
                let rows = found.dtab.iter().enumerate();
                let row = |(i, e): (usize, &super::Entry)| {
                    vec![i.to_string(), e.prefix.clone(), e.dst.clone()]
                };
                let rows: Vec<_> = rows.map(row).collect();
                return print(&table(self.output, &["RULE", "PREFIX", "DST"], &rows));
            }
            Some(_) => return self.output.show(&found, |_| String::new()),
            None => {}
        }
        if !pretty {
            let entries = found
                .dtab
                .iter()
                .map(|e| format!("{}=>{};", e.prefix, e.dst));
            return print(&format!("{}\n", entries.collect::<String>()));
        }
        print(&shown(&found))
    }

    /// The dtab with all digits of its weights, where the server can show them.
    pub(super) async fn find(&self, name: &str) -> anyhow::Result<Option<Versioned>> {
        match self.ask(name, "exact=true").await? {
            reply if reply.status == StatusCode::NOT_FOUND => Ok(None),
            reply => Ok(Some(versioned(&reply)?)),
        }
    }

    /// The dtab, which has to be there.
    pub(super) async fn read(&self, name: &str, query: &str) -> anyhow::Result<Versioned> {
        versioned(&self.ask(name, query).await?)
    }

    async fn ask(&self, name: &str, query: &str) -> anyhow::Result<Reply> {
        let mut ask = Ask::new(Method::GET, path(name)?);
        ask.query = query.to_owned();
        self.controller.send(ask).await
    }
}

/// As plain `get` prints it.
pub(super) fn shown(found: &Versioned) -> String {
    let version = match found.version.as_str() {
        "" => String::new(),
        version => format!("# version {version}\n"),
    };
    format!("{version}{}", aligned(&found.dtab))
}

/// Where a namespace's dtab is.
pub(super) fn path(name: &str) -> anyhow::Result<String> {
    if name.is_empty() {
        return Err(Failure::new("the namespace has no name").into());
    }
    Ok(format!("dtabs/{}", escaped(name)))
}

fn versioned(reply: &Reply) -> anyhow::Result<Versioned> {
    if reply.status != StatusCode::OK {
        return Err(reply.failure(true).into());
    }
    Ok(Versioned {
        version: reply.etag.clone().unwrap_or_default(),
        dtab: first(reply).context("the answer is not a dtab")?,
    })
}

/// The first JSON value of a body, whatever follows.
fn first<T: for<'a> serde::Deserialize<'a>>(reply: &Reply) -> anyhow::Result<T> {
    let mut values = serde_json::Deserializer::from_str(&reply.body).into_iter();
    Ok(values.next().context("it is empty")??)
}
