//! `namerctl dtab`: commands, outputs and exit codes of the original (control plane 8).

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::{BaseUrl, Body};

/// Read and write the dtabs of namespaces.
#[derive(Subcommand, Debug)]
pub(crate) enum DtabCommand {
    /// The names of all namespaces
    #[command(visible_alias = "ls")]
    List {
        /// A JSON array
        #[arg(long)]
        json: bool,
    },
    /// One namespace's dtab; the output can be given to create and update
    #[command(visible_alias = "cat")]
    Get {
        /// The namespace
        name: String,
        /// `{"version": ..., "dtab": [...]}`
        #[arg(long)]
        json: bool,
        /// Arrows aligned, one entry a line
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
        pretty: bool,
    },
    /// Makes a namespace; fails if it is there
    #[command(visible_alias = "new")]
    Create {
        /// The namespace
        name: String,
        /// A dtab, or what `get --json` prints; `-` is standard input
        file: PathBuf,
    },
    /// Replaces a namespace's dtab
    #[command(visible_alias = "up")]
    Update {
        /// The namespace
        name: String,
        /// A dtab, or what `get --json` prints; `-` is standard input
        file: PathBuf,
        /// Only if the present version is this one (as `get` shows it)
        #[arg(long)]
        version: Option<String>,
    },
    /// Deletes a namespace
    #[command(visible_aliases = ["del", "rm"])]
    Delete {
        /// The namespace
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Entry {
    prefix: String,
    dst: String,
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    dtab: Vec<Entry>,
}

const WRITTEN: &[StatusCode] = &[StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT];

pub(crate) async fn run(base_url: Option<&str>, command: DtabCommand) -> anyhow::Result<()> {
    let url = BaseUrl::parse(base_url)?;
    match command {
        DtabCommand::List { json } => list(&url, json).await,
        DtabCommand::Get { name, json, pretty } => get(&url, &name, json, pretty).await,
        DtabCommand::Create { name, file } => {
            let (body, _) = read(&file)?;
            write(&url, Method::POST, &name, None, Some(body)).await?;
            println!("Created {name}");
            Ok(())
        }
        DtabCommand::Update {
            name,
            file,
            version,
        } => {
            let (body, inside) = read(&file)?;
            let version = inside.or(version);
            write(&url, Method::PUT, &name, version.as_deref(), Some(body)).await?;
            println!("Updated {name}");
            Ok(())
        }
        DtabCommand::Delete { name } => {
            write(&url, Method::DELETE, &name, None, None).await?;
            println!("Deleted {name}");
            Ok(())
        }
    }
}

async fn list(url: &BaseUrl, json: bool) -> anyhow::Result<()> {
    let reply = url
        .send(Method::GET, "/api/1/dtabs", None, None)
        .await?
        .expect(&[StatusCode::OK])?;
    let names: Vec<String> =
        serde_json::from_str(&reply.body).context("the answer is not a list of names")?;
    if json {
        println!("{}", serde_json::to_string(&names)?);
    } else {
        println!("{}", names.join("\n"));
    }
    Ok(())
}

async fn get(url: &BaseUrl, name: &str, json: bool, pretty: bool) -> anyhow::Result<()> {
    let path = format!("/api/1/dtabs/{name}");
    let reply = url
        .send(Method::GET, &path, None, None)
        .await?
        .expect(&[StatusCode::OK])?;
    let dtab: Vec<Entry> = serde_json::from_str(&reply.body).context("the answer is not a dtab")?;
    if json {
        let version = reply.etag.unwrap_or_default();
        println!(
            "{}",
            go_json(&serde_json::to_string(&Versioned { version, dtab })?)
        );
    } else if pretty {
        if let Some(version) = reply.etag {
            println!("# version {version}");
        }
        print!("{}", aligned(&dtab));
    } else {
        println!(
            "{}",
            dtab.iter()
                .map(|e| format!("{}=>{};", e.prefix, e.dst))
                .collect::<String>()
        );
    }
    Ok(())
}

/// Arrows under each other, one entry a line.
fn aligned(dtab: &[Entry]) -> String {
    let width = dtab.iter().map(|e| e.prefix.len()).max().unwrap_or(0);
    dtab.iter()
        .map(|e| format!("{:width$}  => {} ;\n", e.prefix, e.dst))
        .collect()
}

/// The original escapes these three inside of strings; JSON of ours has them nowhere else.
fn go_json(json: &str) -> String {
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

async fn write(
    url: &BaseUrl,
    method: Method,
    name: &str,
    version: Option<&str>,
    body: Option<Body>,
) -> anyhow::Result<()> {
    let path = format!("/api/1/dtabs/{name}");
    url.send(method, &path, version, body)
        .await?
        .expect(WRITTEN)
        .map(|_| ())
}

/// The body to send, and the version inside of it if it is what `get --json` prints.
fn read(file: &PathBuf) -> anyhow::Result<(Body, Option<String>)> {
    let mut text = String::new();
    if file.as_os_str().is_empty() {
        bail!("empty dtab path");
    } else if file.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    body(text)
}

fn body(text: String) -> anyhow::Result<(Body, Option<String>)> {
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) {
        let kind = "application/dtab";
        return Ok((Body { kind, text }, None));
    }
    let (dtab, version) = if start.starts_with('[') {
        (
            serde_json::from_str(start).context("the file is not a JSON dtab")?,
            None,
        )
    } else {
        let whole: Versioned =
            serde_json::from_str(start).context("the file is not what `get --json` prints")?;
        (whole.dtab, Some(whole.version).filter(|v| !v.is_empty()))
    };
    let kind = "application/json";
    let text = serde_json::to_string::<Vec<Entry>>(&dtab)?;
    Ok((Body { kind, text }, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, dst: &str) -> Entry {
        Entry {
            prefix: prefix.to_owned(),
            dst: dst.to_owned(),
        }
    }

    #[test]
    fn entries_are_shown_with_their_arrows_aligned() {
        let dtab = [
            entry("/svc", "/host"),
            entry("/host/world", "/host/world-v1"),
        ];
        let shown = "/svc         => /host ;\n/host/world  => /host/world-v1 ;\n";
        assert_eq!(aligned(&dtab), shown);
    }

    #[test]
    fn json_input_sends_its_dtab_and_its_version_counts() {
        let (sent, version) =
            body(r#"{"version":"AAE=","dtab":[{"prefix":"/a","dst":"/b"}]}"#.to_owned())
                .expect("reads");
        assert_eq!(
            (sent.kind, sent.text.as_str()),
            ("application/json", r#"[{"prefix":"/a","dst":"/b"}]"#)
        );
        assert_eq!(version.as_deref(), Some("AAE="));
        let (sent, version) = body("# version x\n/a => /b ;\n".to_owned()).expect("reads");
        assert_eq!((sent.kind, version), ("application/dtab", None));
        assert!(body("{".to_owned()).is_err());
    }

    #[test]
    fn json_output_escapes_like_the_original() {
        assert_eq!(go_json(r#""/a & /b""#), r#""/a \u0026 /b""#);
    }
}
