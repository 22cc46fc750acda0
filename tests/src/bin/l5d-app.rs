//! `hello` or `world` as a process of its own, for hosts in network namespaces.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use l5d_tests::app::{App, Target};
use tokio::signal::unix::{SignalKind, signal};

/// An application of the published example: says who it is, and calls a target through the proxy.
#[derive(Parser, Debug)]
struct Args {
    /// Listen address
    #[arg(long)]
    addr: SocketAddr,
    /// Where it answers gRPC, with the health service
    #[arg(long)]
    grpc: Option<SocketAddr>,
    /// The pod's name
    #[arg(long)]
    pod: String,
    /// The node's name
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// What it says
    #[arg(long, default_value = "World")]
    text: String,
    /// The name that it calls
    #[arg(long, requires = "http_proxy")]
    target: Option<String>,
    /// The outgoing proxy
    #[arg(long, env = "http_proxy")]
    http_proxy: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("l5d-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: Args) -> anyhow::Result<()> {
    let app = App {
        pod: args.pod,
        node: args.node,
        text: args.text,
        target: args
            .target
            .zip(args.http_proxy)
            .map(|(name, http_proxy)| Target { name, http_proxy }),
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let running = app
        .start(args.addr)
        .await
        .with_context(|| format!("cannot listen on {}", args.addr))?;
    let mut grpc = tokio::task::JoinSet::new();
    if let Some(addr) = args.grpc {
        let (_, health) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder().add_service(health);
        grpc.spawn(server.serve(addr));
    }
    println!("listening on {}", running.addr);
    tokio::select! {
        _ = terminate.recv() => {}
        Some(ended) = grpc.join_next() => ended?.context("gRPC")?,
    }
    running.stop().await;
    Ok(())
}
