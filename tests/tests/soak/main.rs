//! A mesh of real programs that lives for a while: under steady load while endpoints die, reset, stall and answer 5xx, while
//! namerd and the API server restart, certificates rotate and proxies take over from each other; then how single processes
//! begin and end under load.
//!
//! `cargo xtask soak --minutes 10` lets it live longer. Failures of requests are told and sorted; that an answer comes from
//! somebody else, or that the mesh is not whole again once all is well, fails the test.

mod apps;
mod ground;
mod load;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::apps::{Mood, ask};
use crate::ground::{Ground, PATIENCE, SERVICES, metric};
use crate::load::Load;

/// For how long, in seconds; without it each fault is seen once.
const SECONDS: &str = "L5D_SOAK_SECONDS";
/// Sets the order of faults.
const SEED: &str = "L5D_SEED";
/// How long a fault lasts that only needs to be noticed, and how long all goes well in between.
const WHILE: Duration = Duration::from_millis(800);

/// What happens to the mesh.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// An endpoint is gone and still listed, then replaced by another one.
    Dies,
    Behaves(Mood),
    NamerdKilled,
    NamerdReplaced,
    /// The API server is away.
    ApiServer,
    Certificates,
    /// A new process of the second proxy takes over.
    TakeOver,
}

const FAULTS: [Fault; 9] = [
    Fault::Dies,
    Fault::Behaves(Mood::Resets),
    Fault::Behaves(Mood::Stalls),
    Fault::Behaves(Mood::Fails),
    Fault::NamerdKilled,
    Fault::NamerdReplaced,
    Fault::ApiServer,
    Fault::Certificates,
    Fault::TakeOver,
];

async fn strike(ground: &mut Ground, fault: Fault, random: &mut fastrand::Rng) -> Result<()> {
    let pods = ground.pods.of("web");
    let (pod, host) = pods[random.usize(..pods.len())].clone();
    match fault {
        Fault::Behaves(mood) => {
            ground.pods.set(&pod, mood);
            sleep(WHILE).await;
            ground.pods.set(&pod, Mood::Good);
        }
        Fault::Dies => {
            ground.pods.kill(&pod);
            sleep(WHILE).await;
            let new = ground.pods.start("web", host).await?;
            let (_, workload) = &mut ground.workloads[0];
            workload.remove(&ground.cluster, &pod).await?;
            workload.add(&ground.cluster, new).await?;
        }
        Fault::NamerdKilled | Fault::NamerdReplaced => {
            let namerd = ground.namerd.take().context("namerd runs")?;
            match fault {
                Fault::NamerdKilled => namerd.kill().await?,
                _ => ensure!(
                    namerd.terminate().await?.success(),
                    "namerd did not end well"
                ),
            }
            sleep(WHILE).await;
            ground.start_namerd().await?;
        }
        Fault::ApiServer => {
            ground.cluster.stop_api().await?;
            sleep(WHILE).await;
            ground.cluster.start_api().await?;
        }
        Fault::Certificates => ground.certify()?,
        Fault::TakeOver => ground.take_over(2).await?,
    }
    Ok(())
}

/// Waits until every service answers through every proxy, again and again.
async fn all_is_well(ground: &Ground) -> Result<()> {
    let begun = Instant::now();
    for (service, _) in SERVICES {
        for host in [1, 2] {
            let mut in_a_row = 0;
            while in_a_row < 30 {
                let asked = ask(ground.outgoing(host), service).await;
                let is_good = matches!(&asked, Ok((200, _)));
                in_a_row = if is_good { in_a_row + 1 } else { 0 };
                if begun.elapsed() > PATIENCE {
                    bail!("{service} is not well again through {host}: {asked:?}");
                }
                if !is_good {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    Ok(())
}

async fn memory(ground: &Ground) -> Result<[f64; 2]> {
    let node = metric(ground.proxies[0].admin, "process_resident_memory_bytes").await?;
    let namerd = metric(ground.namerd_admin(), "namerd_process_resident_bytes").await?;
    Ok([node / 1e6, namerd / 1e6])
}

async fn soak(ground: &mut Ground) -> Result<()> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let length = number(SECONDS).map(Duration::from_secs);
    println!("{SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    all_is_well(ground).await?;
    let proxies = [ground.outgoing(1), ground.outgoing(2)];
    let load = Load::start(&proxies, &SERVICES.map(|(name, _)| name), 2);
    load.more(200).await?;
    let (begun, before) = (Instant::now(), memory(ground).await?);
    let mut counts = [0; FAULTS.len()];
    loop {
        let mut order: Vec<usize> = (0..FAULTS.len()).collect();
        random.shuffle(&mut order);
        for fault in order {
            strike(ground, FAULTS[fault], &mut random)
                .await
                .with_context(|| format!("{:?}", FAULTS[fault]))?;
            counts[fault] += 1;
            sleep(WHILE).await;
        }
        if length.is_none_or(|length| begun.elapsed() >= length) {
            break;
        }
    }
    all_is_well(ground).await?;
    let took = begun.elapsed();
    let report = load.stop().await?;
    report.print(took);
    for (fault, count) in FAULTS.iter().zip(counts) {
        println!("  {count:7}  times {fault:?}");
    }
    let after = memory(ground).await?;
    println!(
        "  resident: node proxy {:.1} MB, then {:.1}; namerd {:.1} MB, the last one {:.1}",
        before[0], after[0], before[1], after[1]
    );
    ensure!(report.wrong.is_empty(), "{:#?}", report.wrong);
    for proxy in &ground.proxies {
        let strangers = metric(proxy.admin, "l5d_node_identity_strangers_total").await?;
        ensure!(
            strangers == 0.0,
            "{strangers} connections led to another node"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_survives_what_happens_to_it() -> Result<()> {
    let mut ground = Ground::start().await?;
    let soaked = soak(&mut ground).await;
    soaked.with_context(|| ground.last_words())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_take_over_and_no_request_fails() -> Result<()> {
    let mut ground = Ground::start().await?;
    all_is_well(&ground).await?;
    let load = Load::start(&[ground.outgoing(1)], &["web", "other"], 4);
    for _ in 0..3 {
        load.more(300).await?;
        let taken = ground.take_over(1).await;
        taken.with_context(|| ground.last_words())?;
    }
    load.more(300).await?;
    let report = load.stop().await?;
    report.print(Duration::ZERO);
    ensure!(
        report.failures() == 0 && report.wrong.is_empty(),
        "{report:?}\n{}",
        ground.last_words()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_what_is_under_way_end() -> Result<()> {
    let mut ground = Ground::start().await?;
    all_is_well(&ground).await?;
    let load = Load::start(&[ground.outgoing(1)], &["web"], 2);
    load.more(100).await?;
    // On the other host, so that both proxies have a hand in it.
    let pods = ground.pods.of("other");
    let (pod, _) = pods.iter().find(|(_, host)| *host == 2).context("a pod")?;
    let (near, _) = pods.iter().find(|(_, host)| *host == 1).context("a pod")?;
    for pod in [pod, near] {
        ground.pods.set(pod, Mood::Stalls);
    }
    let before = ground.pods.requests(pod) + ground.pods.requests(near);
    let proxy = ground.outgoing(1);
    let asked = tokio::spawn(async move { ask(proxy, "other").await });
    let begun = Instant::now();
    while ground.pods.requests(pod) + ground.pods.requests(near) == before {
        ensure!(begun.elapsed() < PATIENCE, "the request does not arrive");
        sleep(Duration::from_millis(5)).await;
    }
    let mut old = ground.proxies.remove(0);
    old.process.signal("TERM")?;
    for pod in [pod, near] {
        ground.pods.set(pod, Mood::Good);
    }
    let (status, body) = asked.await??;
    ensure!(
        status == 200 && body.starts_with("other "),
        "{status}: {body}"
    );
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = old.process.ended()? {
            break status;
        }
        ensure!(begun.elapsed() < PATIENCE, "it does not end");
        sleep(Duration::from_millis(10)).await;
    };
    ensure!(status.success(), "{status}");
    // Nobody is there any more: refused at once, and nothing before was wrong.
    ensure!(ask(proxy, "web").await.is_err(), "somebody answers");
    let report = load.stop().await?;
    let is_refusal = |why: &str| why.contains("connection refused");
    ensure!(
        report.wrong.is_empty() && report.failed.keys().all(|why| is_refusal(why)),
        "{report:?}"
    );
    Ok(())
}

/// Prints how long it takes, and asserts that it needs no namerd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_proxy_serves_what_it_knew() -> Result<()> {
    let mut ground = Ground::start().await?;
    all_is_well(&ground).await?;
    ground.namerd.take().context("namerd runs")?.kill().await?;
    let mut times = Vec::new();
    for generation in 1..=5 {
        let old = ground.proxies.remove(0);
        ensure!(
            old.process.terminate().await?.success(),
            "the old one ends well"
        );
        let begun = Instant::now();
        let new = ground.start_proxy(1, generation).await?;
        let (status, body) = ask(ground.outgoing(1), "web").await?;
        times.push(begun.elapsed());
        ensure!(
            status == 200,
            "{status}: {body}\n{}",
            new.process.last_words(20)
        );
        ground.proxies.insert(0, new);
    }
    times.sort();
    println!("from the start of a process to its first answer, without namerd: {times:?}");
    Ok(())
}
