//! Against an old namerd: no version in answers to writes, empty error texts, no history, no resolver API.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use l5d_naming::{Dtab, NameTree, Path, Prefix};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ctl::Ctl;
use crate::original::session;

/// Control plane 7 as 1.x has it, as far as namerctl goes.
pub(crate) struct Old {
    pub(crate) at: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    dtabs: Mutex<BTreeMap<String, (u64, Value)>>,
    authorizations: Mutex<Vec<String>>,
}

impl Drop for Old {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Old {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let state = Arc::<State>::default();
        let serving = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer);
                    // A client that goes away is no failure of the server's.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self { at, state, server })
    }

    /// What has been sent as `Authorization`, once for each request that had it.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.state.authorizations.lock().clone()
    }

    fn ctl(&self) -> Result<Ctl> {
        Ok(Ctl::ours()?.env("NAMERCTL_BASE_URL", &format!("http://{}", self.at)))
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(sent) = request.headers().get(AUTHORIZATION) {
            let sent = String::from_utf8_lossy(sent.as_bytes()).into_owned();
            self.authorizations.lock().push(sent);
        }
        let path = request.uri().path().to_owned();
        if path == "/api/1/dtabs" {
            let names: Vec<String> = self.dtabs.lock().keys().cloned().collect();
            return reply(StatusCode::OK, None, &format!("{}\n", json!(names)));
        }
        if path.starts_with("/api/1/delegate/") {
            return reply(StatusCode::OK, None, r#"{"type":"neg","path":"/svc/x"}"#);
        }
        match path.strip_prefix("/api/1/dtabs/") {
            Some(name) => self.dtab(name.to_owned(), request).await,
            None => reply(StatusCode::NOT_FOUND, None, ""),
        }
    }

    async fn dtab(&self, name: String, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let kind = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let dtab = entries(kind, &body.unwrap_or_default());
        let if_match = head.headers.get(IF_MATCH).and_then(|v| v.to_str().ok());
        let mut dtabs = self.dtabs.lock();
        let now = dtabs.get(&name).cloned();
        let status = match (head.method, now, dtab) {
            (Method::GET, Some((version, dtab)), _) => {
                return reply(StatusCode::OK, Some(&etag(version)), &format!("{dtab}\n"));
            }
            (Method::GET | Method::DELETE, None, _) => StatusCode::NOT_FOUND,
            (Method::DELETE, Some(_), _) => {
                dtabs.remove(&name);
                StatusCode::NO_CONTENT
            }
            (_, _, None) => StatusCode::BAD_REQUEST,
            (Method::POST, Some(_), _) => StatusCode::CONFLICT,
            (Method::PUT, None, _) if if_match.is_some() => StatusCode::NOT_FOUND,
            (Method::PUT, Some((version, _)), _)
                if if_match.is_some_and(|m| m != etag(version)) =>
            {
                StatusCode::PRECONDITION_FAILED
            }
            (_, now, Some(dtab)) => {
                let version = now.map_or(0, |(version, _)| version) + 1;
                dtabs.insert(name, (version, dtab));
                StatusCode::NO_CONTENT
            }
        };
        reply(status, None, "")
    }
}

fn etag(version: u64) -> String {
    STANDARD.encode(version.to_be_bytes())
}

fn reply(status: StatusCode, etag: Option<&str>, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if let Some(etag) = etag {
        response = response.header(ETAG, etag);
    }
    let body = Full::new(Bytes::from(body.to_owned()));
    response.body(body).expect("a good answer")
}

/// The entries as 1.x shows them; `None`: they do not read.
fn entries(kind: Option<&str>, body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    if kind == Some("application/json") {
        let dtab: Value = serde_json::from_str(text).ok()?;
        for entry in dtab.as_array()? {
            entry["prefix"].as_str()?.parse::<Prefix>().ok()?;
            NameTree::<Path>::parse(entry["dst"].as_str()?).ok()?;
        }
        return Some(dtab);
    }
    let dtab = Dtab::parse(text)
        .ok()
        .filter(|_| kind == Some("application/dtab"))?;
    let entry =
        |e: &l5d_naming::Dentry| json!({"prefix": e.prefix.to_string(), "dst": e.dst.to_string()});
    Some(dtab.entries().iter().map(entry).collect())
}

/// Control plane 8.1 to 8.3.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_namerd_has_the_same_session() -> Result<()> {
    let old = Old::start().await?;
    session(&old.ctl()?, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_original_does_not_have_works_with_an_old_namerd() -> Result<()> {
    let old = Old::start().await?;
    let ctl = old.ctl()?;
    let apply = async |dtab: &str| ctl.run_with(&["dtab", "apply", "default", "-"], dtab).await;
    assert!(apply("/a => /b").await?.ok().ends_with("Created default\n"));
    assert_eq!(apply("/a=>/b").await?.ok(), "Unchanged default\n");
    assert!(
        apply("/a => 0.25 * /b & 0.75 * /c")
            .await?
            .ok()
            .ends_with("Updated default\n")
    );
    assert_eq!(
        apply("/a=>0.25*/b & 0.75*/c").await?.ok(),
        "Unchanged default\n"
    );
    ctl.file("same", "/a => 0.25*/b & 0.75*/c ;")?;
    assert_eq!(ctl.run("dtab diff default same").await?.ok(), "");
    let editor = old.ctl()?.env("EDITOR", "sed -i s,/c,/d,");
    assert!(
        editor
            .run("dtab edit default")
            .await?
            .ok()
            .ends_with("Updated default\n")
    );
    let text = "/a=>0.25*/b & 0.75*/d;\n";
    assert_eq!(ctl.run("dtab get default --pretty=false").await?.ok(), text);
    assert_eq!(ctl.run("delegate /svc/x").await?.ok(), "~ /svc/x  neg\n");
    let said = ctl.run("dtab history default").await?.failed();
    assert!(said.contains("this namerd is an old one"), "{said}");
    // Its port speaks no HTTP/2.
    let said = ctl
        .run(&format!("resolve /svc/x --resolver {}", old.at))
        .await?
        .failed();
    assert!(said.starts_with("Error: "), "{said}");
    Ok(())
}

/// Every request has it, and nobody sees it in the help.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_along() -> Result<()> {
    let old = Old::start().await?;
    let ctl = old.ctl()?.env("NAMERCTL_TOKEN", "of-the-environment");
    ctl.run("dtab list").await?.ok();
    let file = ctl.file("token", "of-the-file\n")?;
    let ctl = old.ctl()?;
    let words = format!("dtab list --token-file {}", file.display());
    ctl.run(&words).await?.ok();
    ctl.run("--token of-the-flag dtab list").await?.ok();
    let url = format!("--base-url http://u:p@{} dtab list", old.at);
    ctl.run(&url).await?.ok();
    let sent = [
        "Bearer of-the-environment",
        "Bearer of-the-file",
        "Bearer of-the-flag",
        "Basic dTpw",
    ];
    assert_eq!(old.authorizations(), sent);
    let ctl = old.ctl()?.env("NAMERCTL_TOKEN", "of-the-environment");
    assert!(!ctl.run("--help").await?.ok().contains("of-the-environment"));
    Ok(())
}
