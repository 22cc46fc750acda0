//! The cluster: the double of the tests, filled by the plan, with changes on order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_bench::plan::{GATEWAY_PORT, HOT, MARKS, POD_PORT, SLICE, Sizes};
use l5d_bench::process::now;
use l5d_tests::double::{Double, Kind};
use l5d_tests::objects::{self, Pod, Port};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often changes are written: a hundredth of the rate at a time.
const BEAT: Duration = Duration::from_millis(10);

/// The cluster and what it is like now.
pub(crate) struct World {
    double: Double,
    sizes: Sizes,
    /// By endpoint: whether it is ready.
    ready: Vec<bool>,
    /// By mark.
    marked: Vec<bool>,
    next_mark: u32,
    random: fastrand::Rng,
}

impl World {
    /// Fills the double.
    pub(crate) fn new(sizes: &Sizes) -> Result<Self> {
        let double = Double::start(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut world = Self {
            double: double.context("cannot start the cluster double")?,
            sizes: sizes.clone(),
            ready: vec![true; (sizes.endpoints + sizes.hot) as usize],
            marked: vec![false; MARKS as usize],
            next_mark: 0,
            random: fastrand::Rng::with_seed(1),
        };
        world.fill();
        Ok(world)
    }

    /// Where it serves.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.double.addr()
    }

    /// Watches that are open now.
    pub(crate) fn watches(&self) -> usize {
        self.double.traffic().all_open_watches()
    }

    fn fill(&mut self) {
        let store = self.double.store();
        let ports = [Port::new("http", 80, POD_PORT)];
        for service in 0..self.sizes.services {
            let name = Sizes::service(service);
            let object = objects::service("default", &name, &ports);
            store.put(Kind::Service, object);
        }
        for service in 0..self.sizes.services {
            let pods = self.pods(service);
            for at in 0..pods.len().div_ceil(SLICE) {
                self.write(service, &pods, at);
            }
        }
        let nodes = (0..self.sizes.nodes).map(|n| (Sizes::node(n), Sizes::gateway(n)));
        let marks = (0..MARKS).map(|m| (Sizes::mark_node(m), Sizes::mark(m).1));
        let hosts: Vec<_> = nodes.chain(marks).collect();
        let gateways = [Port::new("incoming", GATEWAY_PORT, GATEWAY_PORT)];
        let store = self.double.store();
        store.put(Kind::Service, objects::service("linkerd", "l5d", &gateways));
        for (at, hosts) in hosts.chunks(SLICE).enumerate() {
            let pods: Vec<_> = hosts
                .iter()
                .map(|(node, ip)| Pod::new(format!("l5d-{node}"), *ip, node))
                .collect();
            let name = format!("l5d-{at:03}");
            let slice = objects::slice("linkerd", "l5d", &name, &gateways, &pods);
            store.put(Kind::EndpointSlice, slice);
            for (node, _) in hosts {
                store.put(Kind::Node, objects::node(node, Some("zone-1")));
            }
        }
    }

    /// The pods of a service as they are now, the marks of the hot one last.
    fn pods(&self, service: u32) -> Vec<Pod> {
        let mut pods = Vec::new();
        for endpoint in self.sizes.pods_of(service) {
            let node = Sizes::node(self.sizes.node_of(endpoint));
            let pod = Pod::new(format!("pod-{endpoint}"), Sizes::pod(endpoint), node);
            pods.push(match self.ready[endpoint as usize] {
                true => pod,
                false => pod.unready(),
            });
        }
        if service == HOT {
            for mark in 0..MARKS {
                let node = Sizes::mark_node(mark);
                let pod = Pod::new(format!("mark-{mark}"), Sizes::mark(mark).0, node);
                pods.push(match self.marked[mark as usize] {
                    true => pod,
                    false => pod.unready(),
                });
            }
        }
        pods
    }

    fn write(&self, service: u32, pods: &[Pod], at: usize) {
        let pods: Vec<_> = pods.iter().skip(at * SLICE).take(SLICE).cloned().collect();
        let name = Sizes::service(service);
        let ports = [Port::new("http", 80, POD_PORT)];
        let slice = format!("{name}-{at:03}");
        let slice = objects::slice("default", &name, &slice, &ports, &pods);
        self.double.store().put(Kind::EndpointSlice, slice);
    }

    /// One more pod of the hot service becomes ready: which, and when that was written.
    fn mark(&mut self) -> Option<(u32, u64)> {
        let mark = self.next_mark;
        *self.marked.get_mut(mark as usize)? = true;
        self.next_mark += 1;
        let pods = self.pods(HOT);
        let at = now();
        self.write(HOT, &pods, (self.sizes.hot + mark) as usize / SLICE);
        Some((mark, at))
    }

    /// One endpoint somewhere else becomes ready, or ceases to be.
    fn change(&mut self) {
        if self.sizes.services < 2 {
            return;
        }
        let service = self.random.u32(1..self.sizes.services);
        let endpoints = self.sizes.pods_of(service);
        if endpoints.is_empty() {
            return;
        }
        let at = self.random.usize(..endpoints.len());
        let ready = &mut self.ready[endpoints[at] as usize];
        *ready = !*ready;
        let pods = self.pods(service);
        self.write(service, &pods, at / SLICE);
    }

    /// Writes marks one after the other, and changes beside them, so many a second.
    pub(crate) async fn flow(
        &mut self,
        lasts: Duration,
        marks: u32,
        changes_a_second: u32,
    ) -> (Vec<(u32, u64)>, u64) {
        let begun = Instant::now();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut written, mut marked) = (0_u64, Vec::new());
        loop {
            beats.tick().await;
            let passed = begun.elapsed().as_secs_f64();
            let share = (passed / lasts.as_secs_f64()).min(1.0);
            while (marked.len() as f64) < share * f64::from(marks) {
                match self.mark() {
                    Some(mark) => marked.push(mark),
                    None => break,
                }
            }
            while (written as f64) < passed * f64::from(changes_a_second) {
                self.change();
                written += 1;
                if begun.elapsed() > lasts {
                    break;
                }
            }
            if begun.elapsed() > lasts {
                return (marked, written);
            }
        }
    }
}
