//! Pods of services that come, move between slices and go. At no moment has a service none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::Cluster;
use l5d_tests::double::Kind;
use l5d_tests::objects::{self, Pod, Port};
use serde_json::json;
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

const TARGET: u16 = 8080;
const SLICES: usize = 2;
/// More than an API server takes for one request.
const ANSWER: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(30);

/// What the API server lists: addresses by service.
pub(crate) type Listed = BTreeMap<String, BTreeSet<SocketAddr>>;

/// A service whose pods change.
pub(crate) struct Service {
    name: String,
    number: u8,
    /// The pods of each slice, by number.
    slices: [BTreeSet<u8>; SLICES],
}

impl Service {
    pub(crate) async fn create(cluster: &Cluster, number: u8) -> Result<Self> {
        let name = format!("world-{number}");
        cluster.service("default", &name, &ports()).await?;
        let service = Self {
            name,
            number,
            slices: [BTreeSet::from([1]), BTreeSet::from([2])],
        };
        for n in 0..SLICES {
            cluster
                .apply(Kind::EndpointSlice, &service.slice(n))
                .await?;
        }
        Ok(service)
    }

    /// Changes it until dropped; each step holds `gate`.
    pub(crate) fn change(
        mut self,
        api: ApiClient,
        gate: &Arc<RwLock<()>>,
        mut random: fastrand::Rng,
    ) -> AbortOnDropHandle<Result<()>> {
        let gate = Arc::clone(gate);
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                {
                    let _open = gate.read().await;
                    self.step(&api, &mut random).await?;
                }
                tokio::time::sleep(PACE).await;
            }
        }))
    }

    /// Other pods in one slice; those of both together are never none.
    async fn step(&mut self, api: &ApiClient, random: &mut fastrand::Rng) -> Result<()> {
        let n = random.usize(0..SLICES);
        let other = &self.slices[1 - n];
        let mut pods: BTreeSet<u8> = (0..random.u8(0..4)).map(|_| random.u8(1..9)).collect();
        if pods.is_empty() && other.is_empty() {
            pods.insert(random.u8(1..9));
        }
        self.slices[n] = pods;
        while !self.write(api, n).await? {
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    /// Writes a slice upon the version that is there, so that an earlier try cannot come true later. Whether it is written.
    async fn write(&self, api: &ApiClient, n: usize) -> Result<bool> {
        let mut slice = self.slice(n);
        let name = slice["metadata"]["name"].as_str().context("a name")?;
        let url = Kind::EndpointSlice.url(Some("default"), Some(name));
        let Ok(Ok(now)) = timeout(ANSWER, api.get(&url)).await else {
            return Ok(false);
        };
        if now.status != StatusCode::OK {
            return Ok(false);
        }
        slice["metadata"]["resourceVersion"] = now.json()?["metadata"]["resourceVersion"].clone();
        let write = api.send(Method::PATCH, &url, &[], Some(&slice));
        let Ok(Ok(answer)) = timeout(ANSWER, write).await else {
            return Ok(false);
        };
        let is_wrong = answer.status == StatusCode::UNPROCESSABLE_ENTITY;
        ensure!(!is_wrong, "{:?}", answer.body);
        Ok(answer.status.is_success())
    }

    fn slice(&self, n: usize) -> serde_json::Value {
        let pod = |pod: &u8| {
            let ip = [10, 1, self.number, *pod];
            Pod::new(format!("pod-{}-{pod}", self.number), ip, "node-1")
        };
        let pods: Vec<_> = self.slices[n].iter().map(pod).collect();
        let name = format!("{}-{n}", self.name);
        let mut slice = objects::slice("default", &self.name, &name, &ports(), &pods);
        if pods.is_empty() {
            // Null would leave what is there.
            slice["endpoints"] = json!([]);
        }
        slice
    }
}

fn ports() -> [Port; 1] {
    [Port::new("http", 80, TARGET)]
}

/// What is listed now.
pub(crate) async fn listed(cluster: &Cluster) -> Result<Listed> {
    let slices = cluster.list(Kind::EndpointSlice, Some("default")).await?;
    let mut listed = Listed::new();
    for slice in slices["items"].as_array().context("items")? {
        let label = &slice["metadata"]["labels"][objects::SERVICE_NAME];
        let service = listed.entry(label.as_str().context("a service")?.to_owned());
        let addresses = service.or_default();
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let ip = endpoint["addresses"][0].as_str().context("an address")?;
            addresses.insert(SocketAddr::new(ip.parse::<IpAddr>()?, TARGET));
        }
    }
    Ok(listed)
}
