//! Two namerd programs on the real API server and etcd, under writers and followers, while everything is killed and cut off.
//!
//! Comes in: writes of dtabs through both replicas, changes of slices at the API server, and what [`Fault`] does. What must
//! hold: no write is acknowledged and then lost, and of conflicting ones exactly one wins ([`ledger`]); after each fault every
//! follower has what the API server and the store have; nobody was ever told that a name is nothing.
//!
//! Cuts among other faults last seconds, because the clock is real; one of minutes has a test of its own ([`minutes`]). Minutes
//! with a paused clock are tested where the waiting is done (`namerd/src/k8s/tests/resuming.rs`: F2, F8).

mod ground;
mod ledger;
mod minutes;
mod nodes;
mod pods;
mod writers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use l5d_tests::double::Kind;
use l5d_tests::hosts::with_hosts;
use l5d_tests::real::is_required;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::ground::{Ground, Namerd, PATIENCE, Store};
use crate::nodes::{Listener, Node, Nothings, Truth};
use crate::pods::Service;
use crate::writers::{COUNTED, Namespace};

const NAMESPACES: usize = 3;
const SERVICES: u8 = 3;
const WRITERS: usize = 2;
const NODES: usize = 3;
/// Sets the order of faults and what writers do.
const SEED: &str = "L5D_SEED";
/// How long all goes well before each fault, and how long one lasts that only needs to be noticed.
const WHILE: Duration = Duration::from_millis(1_500);
/// How long the network is cut.
const CUT: Duration = Duration::from_secs(6);
/// The same for both replicas if dtabs are in etcd: longer than its watch may say nothing (15 s).
const LONG_CUT: Duration = Duration::from_secs(18);

/// What happens to the programs and the network.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The API server is killed and started again.
    ApiServer,
    /// etcd is: that of the API server, and that of the dtabs if there is one.
    Etcd,
    /// Each replica, one after the other.
    Namerds,
    /// One replica hears nothing for a while; then everything arrives.
    CutOne,
    /// Both hear nothing for a while; then they have to connect again.
    CutBoth,
    /// One replica is killed and starts again while it cannot reach what dtabs are kept in.
    Blind,
    /// Everything at once; the replicas are first to be there again.
    All,
}

/// The ground, and who works on it.
struct Scene {
    ground: Ground,
    /// Everybody's steps hold it; who has it alone finds everything at rest.
    gate: Arc<RwLock<()>>,
    namespaces: Vec<Arc<Namespace>>,
    workers: Vec<AbortOnDropHandle<Result<()>>>,
    nodes: Vec<Node>,
    listeners: Vec<Listener>,
    nothings: Nothings,
}

#[test]
fn with_dtabs_in_kubernetes_faults_lose_nothing() -> Result<()> {
    run(
        "with_dtabs_in_kubernetes_faults_lose_nothing",
        Store::Kubernetes,
        &async |scene, random| scene.play(random).await,
    )
}

#[test]
fn with_dtabs_in_etcd_faults_lose_nothing() -> Result<()> {
    run(
        "with_dtabs_in_etcd_faults_lose_nothing",
        Store::Etcd,
        &async |scene, random| scene.play(random).await,
    )
}

#[test]
fn minutes_without_a_packet_lose_nothing() -> Result<()> {
    run(
        "minutes_without_a_packet_lose_nothing",
        Store::Etcd,
        &async |scene, random| scene.play_minutes(random).await,
    )
}

fn run(
    test: &str,
    store: Store,
    play: &impl AsyncFn(&mut Scene, &mut fastrand::Rng) -> Result<()>,
) -> Result<()> {
    with_hosts(test, 0, async |hosts| {
        if hosts.rewrite().is_some() {
            ensure!(!is_required(), "network namespaces are required");
            eprintln!("left out: without network namespaces there is no service account");
            return Ok(());
        }
        let Some(ground) = Ground::start(&hosts, store).await? else {
            return Ok(());
        };
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("{SEED}={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut scene = Scene::start(ground, &mut random).await?;
        let played = play(&mut scene, &mut random).await;
        played.with_context(|| format!("{SEED}={seed}\n{}", scene.ground.last_words()))
    })
}

impl Scene {
    async fn start(ground: Ground, random: &mut fastrand::Rng) -> Result<Self> {
        let (gate, doors) = (Arc::new(RwLock::new(())), ground.doors());
        let (mut namespaces, mut services) = (Vec::new(), Vec::new());
        for n in 0..NAMESPACES {
            namespaces.push(Namespace::create(format!("ns-{n}"), doors).await?);
        }
        for n in 0..SERVICES {
            services.push(Service::create(&ground.cluster, n).await?);
        }
        let mut paths: Vec<_> = (0..SERVICES).map(|n| format!("/svc/world-{n}")).collect();
        paths.push("/count".to_owned());
        let pair = |n: usize| paths.iter().map(move |p| (format!("ns-{n}"), p.clone()));
        let wanted: Vec<_> = (0..NAMESPACES).flat_map(pair).collect();
        // From now on nobody may hear anything else.
        ground.lead(&wanted).await?;
        let mut workers = Vec::new();
        for namespace in &namespaces {
            workers.extend((0..WRITERS).map(|_| namespace.writer(&gate, random.fork())));
        }
        let api = ground.cluster.api();
        let change = |service: Service| service.change(api.clone(), &gate, random.fork());
        workers.extend(services.into_iter().map(change));
        let nothings = Nothings::default();
        let nodes = (0..NODES).map(|_| Node::start(&wanted, doors, &nothings));
        let nodes = nodes.collect::<Result<_>>()?;
        let listener = |doors| Listener::start("ns-0".to_owned(), paths.clone(), doors);
        let listeners = vec![listener(doors), listener([doors[1], doors[0]])];
        Ok(Self {
            ground,
            gate,
            namespaces,
            workers,
            nodes,
            listeners,
            nothings,
        })
    }

    async fn play(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        self.settle().await.context("before all faults")?;
        let mut faults = [
            Fault::ApiServer,
            Fault::Etcd,
            Fault::Namerds,
            Fault::CutOne,
            Fault::CutBoth,
            Fault::Blind,
            Fault::All,
        ];
        random.shuffle(&mut faults);
        for fault in faults {
            let began = Instant::now();
            sleep(WHILE).await;
            self.inflict(fault, random)
                .await
                .with_context(|| format!("{fault:?}"))?;
            let over = Instant::now();
            self.settle()
                .await
                .with_context(|| format!("after {fault:?}"))?;
            let (lasted, settled) = (over - began, over.elapsed());
            println!("{fault:?} lasted {lasted:.1?}, all was right {settled:.1?} later");
        }
        self.sum_up(20).await?;
        let streams: Vec<_> = self.nodes.iter().map(Node::streams).collect();
        println!("streams of the nodes: {streams:?}");
        ensure!(streams.iter().all(|s| *s > 1), "nobody ever moved");
        Ok(())
    }

    /// Checks each namespace's writes for the last time, and that more than so many were acknowledged.
    async fn sum_up(&self, least: usize) -> Result<()> {
        for namespace in &self.namespaces {
            let last = namespace.seal().await?;
            let summary = namespace.ledger.lock().check(last)?;
            println!("{}: {summary:?}", namespace.name);
            ensure!(
                summary.acknowledged > least && summary.refused > least / 5,
                "the test did not do much"
            );
        }
        Ok(())
    }

    async fn inflict(&mut self, fault: Fault, random: &mut fastrand::Rng) -> Result<()> {
        let ground = &mut self.ground;
        match fault {
            Fault::ApiServer => {
                ground.real()?.stop_api().await?;
                sleep(WHILE).await;
                ground.real()?.start_api().await
            }
            Fault::Etcd => {
                ground.kill_etcds().await?;
                sleep(WHILE).await;
                ground.start_etcds().await?;
                ground.real()?.ready().await
            }
            Fault::Namerds => {
                for n in [0, 1] {
                    ground.kill_namerd(n).await?;
                    sleep(WHILE).await;
                    ground.start_namerd(n)?;
                    ground.namerd_is_ready(n).await?;
                }
                Ok(())
            }
            Fault::CutOne => {
                let n = random.usize(0..2);
                ground.namerds[n].cables().for_each(|cable| cable.cut());
                sleep(CUT).await;
                ground.namerds[n].cables().for_each(|cable| cable.mend());
                Ok(())
            }
            Fault::CutBoth => {
                let cables = || ground.namerds.iter().flat_map(|n| n.cables());
                cables().for_each(|cable| cable.cut());
                let is_etcd = ground.etcd.is_some();
                sleep(if is_etcd { LONG_CUT } else { CUT }).await;
                cables().for_each(|cable| cable.mend_with_new_connections());
                Ok(())
            }
            Fault::Blind => ground.restart_blind(random.usize(0..2)).await,
            Fault::All => ground.all_at_once().await,
        }
    }

    /// Lets everybody finish his step, and checks all there is to check.
    async fn settle(&mut self) -> Result<()> {
        let gate = Arc::clone(&self.gate);
        let _at_rest = timeout(PATIENCE, gate.write())
            .await
            .context("somebody does not finish a step")?;
        let listeners = self.listeners.iter_mut().map(|l| &mut l.task);
        for worker in self.workers.iter_mut().chain(listeners) {
            if worker.is_finished() {
                worker.await??;
            }
        }
        let truth = self.truth().await?;
        for node in &self.nodes {
            node.until(&truth).await?;
            ensure!(node.mismatches() == 0, "a node did not get what was told");
        }
        for door in self.ground.doors() {
            for namespace in &self.namespaces {
                nodes::ask_anew(&namespace.name, &truth, door).await?;
            }
        }
        let nothings = self.listeners.iter().flat_map(Listener::nothings);
        let mut all: Vec<_> = nothings.collect();
        all.extend(self.nothings.lock().iter().cloned());
        ensure!(all.is_empty(), "told to be nothing: {all:?}");
        Ok(())
    }

    /// What the API server and the store have, after a check of all that was written.
    async fn truth(&self) -> Result<Truth> {
        let listed = pods::listed(&self.ground.cluster).await?;
        let mut truth = Truth::new();
        for namespace in &self.namespaces {
            let last = namespace.seal().await?;
            let stored = self.ground.stored(&namespace.name).await?;
            ensure!(
                stored == last,
                "LOST: {last} was acknowledged, {stored} is stored"
            );
            namespace
                .ledger
                .lock()
                .check(last)
                .with_context(|| namespace.name.clone())?;
            let counted = SocketAddr::from((COUNTED, last));
            let mut lead = |path: String, to: BTreeSet<_>| {
                truth.insert((namespace.name.clone(), path), to);
            };
            lead("/count".to_owned(), BTreeSet::from([counted]));
            for (service, addresses) in &listed {
                ensure!(!addresses.is_empty(), "{service} has nobody");
                lead(format!("/svc/{service}"), addresses.clone());
            }
        }
        Ok(truth)
    }
}

impl Ground {
    async fn kill_etcds(&mut self) -> Result<()> {
        self.real()?.kill_etcd().await?;
        match &mut self.etcd {
            Some(etcd) => etcd.kill().await,
            None => Ok(()),
        }
    }

    async fn start_etcds(&mut self) -> Result<()> {
        self.real()?.start_etcd()?;
        match &mut self.etcd {
            Some(etcd) => etcd.start_again().await,
            None => Ok(()),
        }
    }

    /// It must wait, and tell nobody that there are no dtabs.
    async fn restart_blind(&mut self, n: usize) -> Result<()> {
        let store = |namerd: &Namerd| match &namerd.etcd {
            Some(etcd) => Arc::clone(etcd),
            None => Arc::clone(&namerd.api),
        };
        let cable = store(&self.namerds[n]);
        cable.cut();
        self.kill_namerd(n).await?;
        self.start_namerd(n)?;
        sleep(2 * WHILE).await;
        ensure!(!self.is_namerd_ready(n).await, "it knows nothing");
        cable.mend();
        self.namerd_is_ready(n).await
    }

    /// F26: replicas that know nothing yet, on an API server that is not there, is not ready, is there.
    async fn all_at_once(&mut self) -> Result<()> {
        self.real()?.stop_api().await?;
        self.kill_etcds().await?;
        for n in [0, 1] {
            self.kill_namerd(n).await?;
            self.start_namerd(n)?;
        }
        sleep(WHILE).await;
        self.start_etcds().await?;
        self.real()?.start_api().await?;
        for n in [0, 1] {
            self.namerd_is_ready(n).await?;
        }
        Ok(())
    }

    /// The number of the write that the store has, past all replicas.
    async fn stored(&self, namespace: &str) -> Result<u16> {
        let dtab = match &self.etcd {
            Some(etcd) => {
                let key = format!("/namerd/dtabs/{namespace}");
                let value = etcd.value(key.as_bytes()).await?;
                String::from_utf8(value.context("a value")?)?
            }
            None => {
                let url = Kind::DTab.url(Some("linkerd"), Some(namespace));
                let object = self.cluster.get(&url).await?.ok()?;
                let entries = object["dentries"].as_array().context("entries")?;
                let dst = entries.get(1).and_then(|entry| entry["dst"].as_str());
                dst.context("a second entry")?.to_owned()
            }
        };
        writers::number(&dtab).with_context(|| format!("a dtab of ours: {dtab}"))
    }
}
