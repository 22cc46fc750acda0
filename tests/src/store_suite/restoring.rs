//! Going back to an earlier version over HTTP, on any store that has them.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use namerd::api::http::{Controller, Waits};
use namerd::bind::Binder;
use namerd::config::SocketOptions;
use namerd::store::{DtabStore, Engine};
use namerd::tls::Gate;
use namerd::transform::Transforms;
use namerd::web::{Requests, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Backing, dtab, open};
use crate::client::ApiClient;

/// Puts three versions, lists them, and restores the first.
pub(super) async fn run<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    let (http, _serving) = controller(Arc::clone(&a.store)).await?;
    for n in 1..=3 {
        a.store.put("back", dtab(n)).await?;
    }
    let listed = versions(&http).await?;
    ensure!(listed.len() == 3, "{listed:?}");
    for (n, version) in (1..=3).rev().zip(&listed) {
        ensure!(version["dtab"][0]["dst"] == format!("/v{n}"), "{listed:?}");
    }
    let first = listed[2]["version"].as_str().context("no version")?;
    let first = first.replace('+', "%2B");
    let path = format!("/api/1/history/back?version={first}");
    let restored = http.send(Method::POST, &path, &[], None).await?;
    ensure!(restored.status == 204, "{restored:?}");
    a.wait_dtab("back", &dtab(1)).await?;
    let listed = versions(&http).await?;
    let found: Vec<_> = listed.iter().map(|v| &v["dtab"][0]["dst"]).collect();
    ensure!(found == ["/v1", "/v3", "/v2", "/v1"], "{listed:?}");
    // Whether the same once more is another version is up to the store.
    a.store.put("back", dtab(1)).await?;
    ensure!(versions(&http).await?[0]["dtab"][0]["dst"] == "/v1");
    a.store.delete("back").await?;
    let gone = http.get("/api/1/history/back").await?;
    ensure!(gone.status == 404, "{gone:?}");
    Ok(())
}

async fn versions(http: &ApiClient) -> Result<Vec<Value>> {
    let listed = http.get("/api/1/history/back").await?.ok()?;
    listed.as_array().cloned().context("it is no list")
}

async fn controller(store: Arc<dyn DtabStore>) -> Result<(ApiClient, AbortOnDropHandle<()>)> {
    let engine = Engine::new();
    let transforms = Transforms::new(engine.clone(), None);
    let binder = Binder::new(engine, Arc::clone(&store), Vec::new(), transforms);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = ApiClient::plain(listener.local_addr()?);
    let stop = CancellationToken::new();
    let requests = Arc::new(Requests::default());
    let controller = Controller::new(binder, store, Waits::default(), requests, stop.clone());
    let gate = Gate::plain(SocketOptions::default());
    let serving = tokio::spawn(serve(listener, gate, Arc::new(controller), stop));
    Ok((client, AbortOnDropHandle::new(serving)))
}
