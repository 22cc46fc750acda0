//! What the proxies know of the slices, by their state pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use l5d_tests::client::ApiClient;
use l5d_tests::objects::Pod;
use serde_json::Value;
use tokio::time::Instant;

use crate::mesh::{APP_PORT, INCOMING, Mesh, PATIENCE, Proxy, eventually};

impl Mesh {
    /// Waits until every proxy shows, for each service that it follows, what the slices say.
    pub(crate) async fn all_have_heard(&self) -> Result<()> {
        for (host, proxy) in &self.proxies {
            let mut wrong = String::new();
            let heard = eventually("a proxy hears of the change", async || {
                wrong = self.differences(*host, proxy).await?;
                Ok(wrong.is_empty())
            })
            .await;
            heard.with_context(|| format!("{}: {wrong}", proxy.pod))?;
        }
        Ok(())
    }

    /// Writes a change of a service's slices; how long after the API server's answer the last proxy shows it.
    pub(crate) async fn time_to_hear(&mut self, service: &str, pods: Vec<Pod>) -> Result<Duration> {
        let workload = self.services.get_mut(service).context("a service")?;
        workload.set(&self.cluster, pods).await?;
        let written = Instant::now();
        let hears = self.proxies.iter().map(async |(host, proxy)| {
            while !self.differences(*host, proxy).await?.is_empty() {
                if written.elapsed() > PATIENCE {
                    bail!("{} does not hear of a change", proxy.pod);
                }
            }
            Ok(())
        });
        try_join_all(hears).await?;
        Ok(written.elapsed())
    }

    /// A pod that is listed on a host, and does not exist.
    pub(crate) fn paper_pod(&self, host: u8, number: u8) -> Pod {
        let ip = self.hosts.listed_ip(host, number);
        Pod::new(format!("paper-{number}"), ip, self.hosts.name(host))
    }

    /// The pods that are listed for a service.
    pub(crate) fn listed(&self, service: &str) -> Vec<Pod> {
        self.services[service].pods().to_vec()
    }

    async fn differences(&self, host: u8, proxy: &Proxy) -> Result<String> {
        let known = clusters(
            &ApiClient::plain(proxy.admin)
                .get("/state.json")
                .await?
                .ok()?,
        );
        let mut wrong = String::new();
        for (service, workload) in &self.services {
            let usable: Vec<_> = workload
                .pods()
                .iter()
                .filter(|pod| pod.ready == Some(true))
                .collect();
            let nodes: Vec<_> = usable
                .iter()
                .filter_map(|pod| pod.node.as_deref())
                .collect();
            let gateways = self.gateways.pods().iter();
            let there = gateways.filter(|g| g.node.as_deref().is_some_and(|n| nodes.contains(&n)));
            let outgoing = there.map(|g| self.true_addr(g, INCOMING)).collect();
            let here = self.hosts.name(host);
            let local = usable.iter().filter(|pod| pod.node.as_ref() == Some(&here));
            let incoming = local.map(|pod| self.true_addr(pod, APP_PORT)).collect();
            let id = format!("/#/io.l5d.k8s/default/http/{service}");
            let wanted: [(String, Vec<SocketAddr>); 2] = [
                (
                    format!("/%/io.l5d.k8s.daemonset/linkerd/incoming/l5d{id}"),
                    outgoing,
                ),
                (
                    format!("/%/io.l5d.k8s.localnode/{}{id}", proxy.ip),
                    incoming,
                ),
            ];
            for (id, mut wanted) in wanted {
                wanted.sort();
                if let Some(known) = known.get(&id).filter(|known| **known != wanted) {
                    let _ = writeln!(wrong, "{id} is {known:?}, wanted {wanted:?}");
                }
            }
        }
        Ok(wrong)
    }

    /// Where a listed pod really is.
    fn true_addr(&self, pod: &Pod, port: u16) -> SocketAddr {
        let IpAddr::V4(listed) = pod.ip else {
            unreachable!("hosts have version 4 only")
        };
        let [_, _, host, number] = listed.octets();
        SocketAddr::from((self.hosts.pod_ip(host, number), port))
    }
}

/// The endpoints of each cluster that a proxy's state page shows, sorted.
fn clusters(page: &Value) -> BTreeMap<String, Vec<SocketAddr>> {
    let mut all = BTreeMap::new();
    for cluster in page["clusters"].as_array().into_iter().flatten() {
        let endpoints = cluster["endpoints"].as_array().into_iter().flatten();
        let addr = |e: &Value| e["address"].as_str()?.parse().ok();
        let mut addrs: Vec<_> = endpoints.filter_map(addr).collect();
        addrs.sort();
        if let Some(id) = cluster["id"].as_str() {
            all.insert(id.to_owned(), addrs);
        }
    }
    all
}
