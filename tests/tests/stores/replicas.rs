//! Two namerds on one store, over their HTTP doors.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use l5d_tests::client::{Answer, ApiClient};
use l5d_tests::etcd::RealEtcd;
use l5d_tests::real::Binaries;
use l5d_tests::store_suite::NEWS;
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::{Value, json};
use tokio::time::timeout;

async fn namerd(etcd: &RealEtcd) -> Result<(Running, ApiClient)> {
    let text = format!(
        "
admin: {{port: 0}}
storage: {{kind: io.l5d.etcd, experimental: true, host: {}, port: {}}}
interfaces: [{{kind: io.l5d.httpController, port: 0}}]
",
        etcd.addr().ip(),
        etcd.addr().port(),
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    let namerd = run(config, Vec::new(), Arc::new(NoLevels)).await?;
    let client = ApiClient::plain(namerd.addresses.interfaces[0].1);
    Ok((namerd, client))
}

fn entries(n: usize) -> Value {
    json!([{"prefix": "/svc", "dst": format!("/v{n}")}])
}

async fn write(
    at: &ApiClient,
    method: Method,
    version: Option<&str>,
    n: usize,
) -> Result<(StatusCode, String)> {
    let headers: Vec<_> = version.map(|v| ("If-Match", v)).into_iter().collect();
    let path = "/api/1/dtabs/shared";
    let answer = at.send(method, path, &headers, Some(&entries(n))).await?;
    Ok((answer.status, etag(&answer)))
}

fn etag(answer: &Answer) -> String {
    let value = answer.headers.get("etag").and_then(|v| v.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Writes and the news of them, one after the other.
const HAND_OVERS: u32 = 64;
/// A second for each on average, over all of them: slow moments of a machine even out, a store that is asked now and then
/// does not.
const A_SECOND_EACH: Duration = Duration::from_secs(HAND_OVERS as u64);

/// Writes go to one and the other by turns, each only when the one that was not asked has told of the last: what is written
/// is served by the other within a second.
async fn hand_over(a: &ApiClient, b: &ApiClient, mut version: String) -> Result<()> {
    let path = "/api/1/dtabs/shared?watch=true";
    let mut sides = [
        (a, b.lines(path, &[]).await?),
        (b, a.lines(path, &[]).await?),
    ];
    let all = async {
        for n in 0..HAND_OVERS {
            let (writer, other) = &mut sides[n as usize % 2];
            let n = 1_000 + n as usize;
            let (status, next) = write(writer, Method::PUT, Some(&version), n).await?;
            ensure!(status == 204, "{status}");
            version = next;
            let mut seen = None;
            while seen != Some(entries(n)) {
                seen = other.next().await?;
                ensure!(seen.is_some(), "the watch has ended at {n}");
            }
        }
        Ok(())
    };
    let late = || format!("{HAND_OVERS} writes were not told of within a second each");
    timeout(A_SECOND_EACH, all).await.with_context(late)?
}

/// A write through one is streamed by the other; of two conflicting writes one wins and the other is told 412; a version
/// that came from one can be named to the other at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_namerds_serve_one_store_in_etcd() -> Result<()> {
    let Some(binaries) = Binaries::find()? else {
        return Ok(());
    };
    let etcd = RealEtcd::start(&binaries).await?;
    let ((one, a), (two, b)) = (namerd(&etcd).await?, namerd(&etcd).await?);
    let (status, mut version) = write(&a, Method::POST, None, 0).await?;
    ensure!(status == 204 && !version.is_empty(), "{status}");
    let mut watch = b.lines("/api/1/dtabs/shared?watch=true", &[]).await?;
    let mut seen = watch.next().await?;
    while seen == Some(Value::Null) || seen == Some(json!([])) {
        seen = watch.next().await?;
    }
    ensure!(seen == Some(entries(0)), "{seen:?}");

    for round in 1..=10 {
        let (x, y) = (round * 2, round * 2 + 1);
        let (first, second) = tokio::join!(
            write(&a, Method::PUT, Some(&version), x),
            write(&b, Method::PUT, Some(&version), y)
        );
        let (first, second) = (first?, second?);
        let (won, lost, n) = match first.0.as_u16() {
            204 => (first, second, x),
            _ => (second, first, y),
        };
        ensure!(won.0 == 204 && lost.0 == 412, "{} and {}", won.0, lost.0);
        let seen = timeout(NEWS, watch.next()).await.context("no news")??;
        ensure!(seen == Some(entries(n)), "round {round}: {seen:?}");
        version = won.1;
    }
    // The other one may not have heard of this version yet; the store has.
    for (n, at) in [&a, &b, &a, &b].into_iter().enumerate() {
        let (status, next) = write(at, Method::PUT, Some(&version), 100 + n).await?;
        ensure!(status == 204, "{status}");
        version = next;
    }
    hand_over(&a, &b, version).await?;
    one.shutdown();
    two.shutdown();
    one.wait().await?;
    two.wait().await?;
    Ok(())
}
