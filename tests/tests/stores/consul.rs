//! `io.l5d.consul` on a real Consul.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use l5d_naming::Dtab;
use l5d_tests::client::ApiClient;
use l5d_tests::consul::RealConsul;
use l5d_tests::store_suite::{self, Backing, NEWS, Opened, dtab};
use namerd::app::{NoLevels, Running, run};
use namerd::config::{Config, Storage};
use namerd::consul::ConsulStore;
use namerd::store::{NamespaceState, StoreError};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::kills::{self, System};

fn open(consul: &RealConsul) -> Result<Opened> {
    open_as(consul, "")
}

/// With one more key.
fn open_as(consul: &RealConsul, more: &str) -> Result<Opened> {
    let addr = consul.addr();
    let text = format!(
        "storage: {{kind: io.l5d.consul, host: {}, port: {}{more}}}\ninterfaces: [{{kind: io.l5d.mesh}}]",
        addr.ip(),
        addr.port(),
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    let Storage::Consul(storage) = config.storage else {
        unreachable!("as written above")
    };
    let store = ConsulStore::new(&storage)?;
    let run = Arc::clone(&store).run();
    Ok(Opened::new(store, Some(run)))
}

impl Backing for Place<'_> {
    const SHARED: bool = true;
    const HISTORY: bool = true;
    const BAD_NAME: Option<&'static str> = Some("a.b");

    async fn open(&self) -> Result<Opened> {
        open(self.0)
    }

    async fn spoil(&self, namespace: &str, text: &str) -> Result<bool> {
        self.0
            .put(&format!("namerd/dtabs/{namespace}"), text)
            .await?;
        Ok(true)
    }
}

struct Place<'a>(&'a RealConsul);

impl System for Mortal {
    fn open(&self) -> Result<Opened> {
        open(&self.0)
    }

    async fn kill(&mut self) -> Result<()> {
        self.0.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        self.0.start_again().await
    }
}

struct Mortal(RealConsul);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_consul_does_what_every_store_must() -> Result<()> {
    let Some(consul) = RealConsul::start().await? else {
        return Ok(());
    };
    // Keys of others, and such that cannot be names, are nobody's namespaces.
    for key in [
        "namerd/dtabs/",
        "namerd/dtabs/a/b",
        "namerd/dtabs/a.b",
        "namerd/dtabsx",
        "x",
    ] {
        consul.put(key, "/svc=>/x").await?;
    }
    store_suite::run(&Place(&consul)).await
}

/// At most ten versions are in Consul; what others wrote is among them, but not what they replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_in_consul_is_bounded() -> Result<()> {
    let Some(consul) = RealConsul::start().await? else {
        return Ok(());
    };
    let opened = open(&consul)?;
    for n in 1..=14 {
        opened.store.put("a", dtab(n)).await?;
    }
    opened.store.put("ab", dtab(1)).await?;
    consul.put("namerd/dtabs/a", "/by => /hand").await?;
    opened.store.put("a", dtab(15)).await?;
    let history = opened.store.history("a").await?;
    let by_hand = Dtab::parse("/by=>/hand")?;
    let wanted = (6..=13).rev().map(dtab);
    let wanted = [dtab(15), by_hand].into_iter().chain(wanted);
    let found = history.iter().map(|past| past.version.dtab.clone());
    ensure!(found.eq(wanted), "{history:?}");
    let known = history.iter().map(|past| past.written.is_some());
    ensure!(known.eq((0..10).map(|n| n != 1)), "{history:?}");
    let keys = consul.keys("namerd/dtabs-history/").await?;
    ensure!(keys.len() == 9, "{keys:?}");
    opened.store.delete("a").await?;
    ensure!(consul.keys("namerd/dtabs-history/").await?.is_empty());
    ensure!(opened.store.status().value().unkept == 0);
    Ok(())
}

/// Who may write dtabs only goes on writing them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_that_is_forbidden_keeps_nobody_from_writing() -> Result<()> {
    const MASTER: &str = "7d2a1c6e-0000-4000-8000-000000000001";
    const TOKEN: &str = "7d2a1c6e-0000-4000-8000-000000000002";
    let Some(consul) = RealConsul::start_guarded(MASTER).await? else {
        return Ok(());
    };
    let rules = "key_prefix \"namerd/dtabs/\" { policy = \"write\" }";
    consul.allow(TOKEN, rules).await?;
    let opened = open_as(&consul, &format!(", token: {TOKEN}"))?;
    let first = opened.store.create("a", dtab(1)).await?;
    let second = opened.store.update("a", dtab(2), &first).await?;
    let stale = opened.store.update("a", dtab(3), &first).await;
    let mismatch = Err(StoreError::VersionMismatch("a".to_owned()));
    ensure!(stale == mismatch, "{stale:?}");
    opened.store.put("a", dtab(3)).await?;
    let history = opened.store.history("a").await?;
    ensure!(
        history.len() == 1 && history[0].version.dtab == dtab(3),
        "{history:?}"
    );
    ensure!(history[0].version.token != second);
    let unkept = opened.store.status().value().unkept;
    ensure!(unkept == 2, "{unkept} are told");
    opened.store.delete("a").await?;
    let refused = open_as(&consul, "")?.store.create("a", dtab(1)).await;
    ensure!(
        matches!(refused, Err(StoreError::Forbidden(_))),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_consul_loses_no_acknowledged_write_and_empties_nothing() -> Result<()> {
    match RealConsul::start().await? {
        Some(consul) => kills::lose_and_empty_nothing(Mortal(consul)).await,
        None => Ok(()),
    }
}

/// A Consul restored from an older state, here an empty one, is believed although its indexes begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consul_that_goes_back_in_time_is_followed() -> Result<()> {
    let Some(mut consul) = RealConsul::start().await? else {
        return Ok(());
    };
    let follower = open(&consul)?;
    for n in 0..200 {
        follower.store.put("a", dtab(n)).await?;
    }
    consul.wipe().await?;
    follower.wait_dtab("a", &dtab(199)).await?;
    consul.start_again().await?;
    consul.put("namerd/dtabs/b", "/svc=>/v1").await?;
    follower.wait_dtab("b", &dtab(1)).await?;
    follower
        .wait("a", |state| *state == NamespaceState::Absent)
        .await?;
    Ok(())
}

/// A namerd whose services and dtabs are in Consul; its names over HTTP.
async fn namerd(consul: &RealConsul) -> Result<(Running, ApiClient)> {
    let (host, port) = (consul.addr().ip(), consul.addr().port());
    let at = format!("host: {host}, port: {port}");
    let text = format!(
        "
admin: {{port: 0}}
storage: {{kind: io.l5d.inMemory, namespaces: {{default: /web => /#/io.l5d.consul/dc1/web | /$/inet/127.0.0.1/1}}}}
namers:
- {{kind: io.l5d.consul, {at}}}
- {{kind: io.l5d.consul, {at}, prefix: /tagged, includeTag: true, setHost: true}}
- {{kind: io.l5d.consul, {at}, prefix: /healthy, useHealthCheck: true, consistencyMode: consistent}}
- {{kind: io.l5d.consul, {at}, prefix: /weighted, preferServiceAddress: false, weights: [{{tag: big, weight: 3}}]}}
interfaces: [{{kind: io.l5d.httpController, port: 0}}]
"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    let namerd = run(config, Vec::new(), Arc::new(NoLevels)).await?;
    let client = ApiClient::plain(namerd.addresses.interfaces[0].1);
    Ok((namerd, client))
}

async fn resolve(names: &ApiClient, path: &str) -> Result<Value> {
    let path = path.replace('#', "%23");
    names
        .get(&format!("/api/1/resolve/default?path={path}"))
        .await?
        .ok()
}

fn ips(answer: &Value) -> Vec<&str> {
    let addrs = answer["addrs"].as_array().into_iter().flatten();
    addrs.filter_map(|addr| addr["ip"].as_str()).collect()
}

fn web(id: &str, address: &str, tags: &[&str]) -> Value {
    json!({"ID": id, "Service": "web", "Address": address, "Port": 8080, "Tags": tags})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_of_consul_are_names() -> Result<()> {
    let Some(mut consul) = RealConsul::start().await? else {
        return Ok(());
    };
    let (one, two) = (("node-1", "10.0.0.1"), ("node-2", "10.0.0.2"));
    let big = web("web-2", "10.1.0.2", &["v2", "big"]);
    consul
        .register(one, &web("web-1", "", &["v1"]), Some("passing"))
        .await?;
    consul.register(two, &big, Some("critical")).await?;
    let (namerd, names) = namerd(&consul).await?;

    let all = resolve(&names, "/#/io.l5d.consul/.local/web").await?;
    ensure!(ips(&all) == ["10.0.0.1", "10.1.0.2"], "{all}");
    let tagged = resolve(&names, "/#/tagged/.local/v2/WEB").await?;
    ensure!(ips(&tagged) == ["10.1.0.2"], "{tagged}");
    ensure!(
        tagged["meta"]["authority"] == "v2.web.service.dc1.consul",
        "{tagged}"
    );
    let healthy = resolve(&names, "/#/healthy/dc1/web").await?;
    ensure!(ips(&healthy) == ["10.0.0.1"], "{healthy}");
    let weighted = resolve(&names, "/#/weighted/dc1/web").await?;
    ensure!(ips(&weighted) == ["10.0.0.1", "10.0.0.2"], "{weighted}");
    ensure!(
        weighted["addrs"][1]["meta"]["endpoint_addr_weight"] == 3.0,
        "{weighted}"
    );
    for unknown in [
        "/#/io.l5d.consul/dc1/none",
        "/#/io.l5d.consul/dc9/web",
        "/#/io.l5d.consul/dc1",
    ] {
        let answer = resolve(&names, unknown).await?;
        ensure!(answer["type"] == "neg", "{unknown}: {answer}");
    }

    // Health, then existence change; a dtab falls back to its next alternative.
    let mut healthy = watch(&names, "/#/healthy/dc1/web").await?;
    consul.register(two, &big, Some("passing")).await?;
    wait(&mut healthy, |now| ips(now) == ["10.0.0.1", "10.1.0.2"]).await?;
    let mut name = watch(&names, "/web").await?;
    wait(&mut name, |now| ips(now) == ["10.0.0.1", "10.1.0.2"]).await?;
    consul.deregister("node-1", "web-1").await?;
    wait(&mut name, |now| ips(now) == ["10.1.0.2"]).await?;

    // Consul is lost: nothing changes. It comes back: changes come again.
    consul.kill().await?;
    ensure!(ips(&resolve(&names, "/web").await?) == ["10.1.0.2"]);
    consul.start_again().await?;
    consul.deregister("node-2", "web-2").await?;
    wait(&mut name, |now| ips(now) == ["127.0.0.1"]).await?;
    consul.register(one, &web("web-1", "", &[]), None).await?;
    wait(&mut name, |now| ips(now) == ["10.0.0.1"]).await?;
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

async fn watch(names: &ApiClient, path: &str) -> Result<l5d_tests::client::Lines> {
    let path = path.replace('#', "%23");
    names
        .lines(
            &format!("/api/1/resolve/default?path={path}&watch=true"),
            &[],
        )
        .await
}

async fn wait(watch: &mut l5d_tests::client::Lines, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let seen = async {
        loop {
            let now = watch.next().await?.context("the watch ended")?;
            // Nobody is ever told that nothing is there.
            ensure!(!ips(&now).is_empty(), "{now}");
            if wanted(&now) {
                return Ok(());
            }
        }
    };
    timeout(NEWS, seen).await.context("it did not come")?
}
