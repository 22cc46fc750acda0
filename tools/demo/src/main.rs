//! The main job on one machine: a cluster double, one namerd, two hosts with a node proxy each, `hello` and `world`.

mod http;
mod layout;
mod show;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use hyper::Method;

use crate::layout::{A, B, Host, MOVED, NAMERD_ADMIN, OVERRIDE};
use crate::world::World;

/// Two virtual hosts on loopback addresses, one namerd, two node proxies, hello and world: sends requests, shows which way
/// each one went, and keeps running
#[derive(Parser, Debug)]
#[command(name = "cargo demo", bin_name = "cargo demo --")]
struct Args {
    /// End after showing, with exit code 0 if everything happened, else 1 and a list of what did not
    #[arg(long)]
    once: bool,
}

/// What was expected and did not happen.
#[derive(Default)]
struct Misses(Vec<String>);

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(misses) if misses.0.is_empty() => {
            println!("\nall of it happened");
            ExitCode::SUCCESS
        }
        Ok(misses) => {
            eprintln!("\nthis did not happen:\n  {}", misses.0.join("\n  "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: &Args) -> anyhow::Result<Misses> {
    let mut world = World::start().await?;
    let shown = show_all(&mut world).await;
    if let (Ok(_), false) = (&shown, args.once) {
        show::paste();
        println!("\nrunning; Ctrl-C ends it");
        tokio::signal::ctrl_c()
            .await
            .context("cannot wait for Ctrl-C")?;
    }
    let words = shown.is_err().then(|| world.last_words());
    world.stop().await;
    match words {
        Some(words) => shown.with_context(|| format!("the programs' last words:\n{words}")),
        None => shown,
    }
}

async fn show_all(world: &mut World) -> anyhow::Result<Misses> {
    let mut misses = Misses::default();
    show::picture(world.api());
    plain_requests(&mut misses).await?;
    overridden_request(&mut misses).await?;
    moved_pod(world, &mut misses).await?;
    watches(world, &mut misses);
    state_pages(&mut misses).await?;
    Ok(misses)
}

/// `hello` from both hosts; each pod that answers must be one of its service, reached over two proxies.
async fn plain_requests(misses: &mut Misses) -> anyhow::Result<()> {
    println!("six requests to hello, which calls world:");
    let mut nodes = Vec::new();
    for host in [A, A, A, B, B, B] {
        let answer = http::ask(host.outgoing(), "hello", &[]).await?;
        println!("  {}", show::way(host, &answer));
        misses.expect(
            show::proxies(&answer) == 2,
            "a request passes an outgoing and an incoming proxy",
        );
        misses.expect(
            answer.pod.starts_with("hello-"),
            "hello is answered by a pod of hello",
        );
        misses.expect(
            incoming_is_on(&answer.node, show::incoming_ip(&answer)),
            "the incoming proxy is the one on the pod's host",
        );
        let world = answer
            .target
            .as_ref()
            .context("hello answered without world")?;
        misses.expect(
            world.pod.starts_with("world-v1-"),
            "world is answered by a pod of world-v1",
        );
        nodes.push(answer.node.clone());
        nodes.push(world.node.clone());
    }
    // Chance decides; so few requests may all have gone one way.
    for _ in 0..100 {
        nodes.sort();
        nodes.dedup();
        if nodes.len() == 2 {
            break;
        }
        nodes.push(http::ask(A.outgoing(), "hello", &[]).await?.node);
    }
    misses.expect(nodes.len() == 2, "requests reach pods on both hosts");
    Ok(())
}

fn incoming_is_on(node: &str, ip: Option<&str>) -> bool {
    let host: Host = if node == A.name { A } else { B };
    ip == Some(host.proxy_ip().to_string().as_str())
}

/// One request with a rule of its own; the next one without.
async fn overridden_request(misses: &mut Misses) -> anyhow::Result<()> {
    println!("\none request with `l5d-dtab: {OVERRIDE}`, then one without:");
    for (rule, wanted) in [(Some(OVERRIDE), "world-v2-"), (None, "world-v1-")] {
        let headers: Vec<_> = rule.map(|r| ("l5d-dtab", r)).into_iter().collect();
        let answer = http::ask(A.outgoing(), "hello", &headers).await?;
        println!("  {}", show::way(A, &answer));
        let world = answer.target.context("hello answered without world")?;
        misses.expect(
            world.pod.starts_with(wanted),
            &format!(
                "{} leads to {wanted}*",
                rule.map_or("no override", |_| "the override")
            ),
        );
    }
    Ok(())
}

/// A pod goes from one host to the other; both proxies hear of it.
async fn moved_pod(world: &mut World, misses: &mut Misses) -> anyhow::Result<()> {
    println!(
        "\nworld-v1-a leaves {}, {} starts on {}:",
        A.name, MOVED.name, B.name
    );
    for host in [A, B] {
        http::ask(host.outgoing(), "world", &[]).await?;
    }
    let took = world.move_pod().await?;
    println!(
        "  both outgoing proxies knew it {} ms after the API server",
        took.as_millis()
    );
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(http::ask(A.outgoing(), "world", &[]).await?.pod);
    }
    seen.sort();
    seen.dedup();
    println!("  world is now answered by {}", seen.join(", "));
    misses.expect(
        !seen.iter().any(|pod| pod == "world-v1-a"),
        "the pod that left gets no request",
    );
    misses.expect(
        seen.iter().any(|pod| pod == MOVED.name),
        "the pod that came gets requests",
    );
    Ok(())
}

/// namerd watches three kinds, whoever follows.
fn watches(world: &World, misses: &mut Misses) {
    let open = world.open_watches();
    println!("\nwatches that namerd holds on the API server: {open}");
    misses.expect(open == 3, "namerd holds three watches");
}

async fn state_pages(misses: &mut Misses) -> anyhow::Result<()> {
    for (what, addr) in [
        ("namerd", NAMERD_ADMIN),
        (A.name, A.admin()),
        (B.name, B.admin()),
    ] {
        for path in ["/ready", "/metrics", "/state.json"] {
            misses.expect(
                is_ok(addr, path).await?,
                &format!("{what} answers {path} with 200"),
            );
        }
    }
    Ok(())
}

async fn is_ok(addr: SocketAddr, path: &str) -> anyhow::Result<bool> {
    let host = addr.to_string();
    let (status, _) = http::send(addr, Method::GET, path, &[("host", &host)], "").await?;
    Ok(status.is_success())
}

impl Misses {
    fn expect(&mut self, happened: bool, what: &str) {
        if !happened && !self.0.iter().any(|m| m == what) {
            self.0.push(what.to_owned());
        }
    }
}
