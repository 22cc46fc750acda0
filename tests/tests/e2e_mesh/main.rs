//! End to end: the real API server, namerd, three hosts with a node proxy each, and the published example's applications,
//! under a steady load whose every answer is checked.

mod heard;
mod load;
mod mesh;
mod truth;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_tests::hosts::with_hosts;
use l5d_tests::real::Binaries;

use crate::load::Load;
use crate::mesh::{Mesh, program};

/// How long the load runs undisturbed between two disturbances.
const CALM: Duration = Duration::from_millis(500);

/// Runs a scenario on a mesh with two pods of hello and of world, on different hosts.
fn on_a_mesh(test: &str, scenario: impl AsyncFnOnce(&mut Mesh) -> Result<()>) -> Result<()> {
    on_a_control_plane(test, async |mesh| {
        mesh.add_proxies().await?;
        for (service, host) in [("hello", 1), ("hello", 2), ("world", 2), ("world", 3)] {
            mesh.add_pod(service, host).await?;
        }
        scenario(mesh).await
    })
}

/// Runs a scenario with namerd and the API server, without proxies and applications.
fn on_a_control_plane(
    test: &str,
    scenario: impl AsyncFnOnce(&mut Mesh) -> Result<()>,
) -> Result<()> {
    build_programs()?;
    if Binaries::find()?.is_none() {
        return Ok(());
    }
    with_hosts(test, 3, async |hosts| {
        let Some(mut mesh) = Mesh::start(hosts).await? else {
            return Ok(());
        };
        scenario(&mut mesh).await.with_context(|| mesh.last_words())
    })
}

/// `cargo xtask test` has built them; `cargo test` alone has not.
fn build_programs() -> Result<()> {
    if program("namerd").is_ok() && program("l5d-node").is_ok() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = Command::new(cargo)
        .args(["build", "--package", "namerd", "--package", "l5d-node"])
        .status()?;
    if !build.success() {
        bail!("namerd and l5d-node do not build");
    }
    Ok(())
}

/// Disturbs the mesh while hello, and through it world, is asked from every host; nothing may fail.
async fn under_load(
    mesh: &mut Mesh,
    disturb: impl AsyncFnOnce(&mut Mesh) -> Result<()>,
) -> Result<()> {
    let load = Load::start(&mesh.truth, &mesh.all_outgoing(), "hello", 2);
    tokio::time::sleep(CALM).await;
    let disturbed = disturb(mesh).await;
    tokio::time::sleep(CALM).await;
    let report = load.stop().await?;
    report.check("hello")?;
    disturbed
}

#[test]
fn pods_come_move_and_go() -> Result<()> {
    on_a_mesh("pods_come_move_and_go", async |mesh| {
        under_load(mesh, async |mesh| {
            for service in ["world", "hello"] {
                for to in [1, 3, 2] {
                    let (pod, _) = mesh.pods_of(service).remove(0);
                    mesh.move_pod(service, &pod, to).await?;
                    tokio::time::sleep(CALM).await;
                }
            }
            Ok(())
        })
        .await?;
        a_service_sleeps_and_wakes(mesh).await
    })
}

/// Scaled to zero and back: requests fail at once while nobody is there, and not before or after.
async fn a_service_sleeps_and_wakes(mesh: &mut Mesh) -> Result<()> {
    let load = |mesh: &Mesh| Load::start(&mesh.truth, &mesh.all_outgoing(), "moon", 1);
    let mut pod = mesh.add_pod("moon", 1).await?;
    for host in [2, 3] {
        mesh.all_have_heard().await?;
        let load = load(mesh);
        tokio::time::sleep(CALM).await;
        mesh.truth.gap_begins("moon");
        mesh.retire_pod("moon", &pod).await?;
        tokio::time::sleep(CALM).await;
        pod = mesh.add_pod("moon", host).await?;
        mesh.all_have_heard().await?;
        mesh.truth.gap_ends("moon");
        tokio::time::sleep(CALM).await;
        let report = load.stop().await?;
        report.check("moon")?;
        assert!(report.excused > 0, "nobody was there and somebody answered");
    }
    Ok(())
}

#[test]
fn the_control_plane_goes_and_comes_back() -> Result<()> {
    on_a_mesh("the_control_plane_goes_and_comes_back", async |mesh| {
        under_load(mesh, async |mesh| {
            mesh.cluster.stop_api().await?;
            tokio::time::sleep(CALM).await;
            mesh.cluster.start_api().await?;
            let (pod, _) = mesh.pods_of("world").remove(0);
            mesh.move_pod("world", &pod, 1).await?;
            for gracefully in [true, false] {
                mesh.stop_namerd(gracefully).await?;
                tokio::time::sleep(CALM).await;
                mesh.start_namerd()?;
                mesh.namerd_is_ready().await?;
                let (pod, _) = mesh.pods_of("world").remove(0);
                mesh.move_pod("world", &pod, 2).await?;
            }
            // Both at once (F26): a namerd that knows nothing yet tells nothing.
            mesh.cluster.stop_api().await?;
            mesh.stop_namerd(false).await?;
            mesh.start_namerd()?;
            tokio::time::sleep(CALM).await;
            assert!(!mesh.is_namerd_ready().await);
            mesh.cluster.start_api().await?;
            mesh.namerd_is_ready().await?;
            let (pod, _) = mesh.pods_of("world").remove(0);
            mesh.move_pod("world", &pod, 3).await?;
            Ok(())
        })
        .await
    })
}

#[test]
fn node_proxies_are_replaced_and_restarted() -> Result<()> {
    on_a_mesh("node_proxies_are_replaced_and_restarted", async |mesh| {
        under_load(mesh, async |mesh| {
            mesh.replace_proxy(3).await?;
            tokio::time::sleep(CALM).await;
            mesh.restart_proxy(3).await?;
            mesh.all_have_heard().await?;
            // With nobody to ask it serves what it knew.
            tokio::time::sleep(CALM).await;
            mesh.stop_namerd(false).await?;
            mesh.restart_proxy(3).await?;
            tokio::time::sleep(CALM).await;
            mesh.start_namerd()?;
            mesh.namerd_is_ready().await?;
            let (pod, _) = mesh.pods_of("world").remove(0);
            mesh.move_pod("world", &pod, 1).await.map(drop)
        })
        .await
    })
}

/// Measures and prints, and asserts nothing about time: from the API server's answer to the balancers of all three proxies.
#[test]
fn a_change_reaches_every_balancer() -> Result<()> {
    on_a_mesh("a_change_reaches_every_balancer", async |mesh| {
        mesh.add_pod("moon", 1).await?;
        let load = Load::start(&mesh.truth, &mesh.all_outgoing(), "moon", 1);
        tokio::time::sleep(CALM).await;
        // Every proxy follows the name from now on.
        load.stop().await?.check("moon")?;
        let before = mesh.listed("moon");
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for round in 0..60 {
            let mut more = before.clone();
            more.push(mesh.paper_pod(1 + round % 3, 100 + round));
            added.push(mesh.time_to_hear("moon", more).await?);
            removed.push(mesh.time_to_hear("moon", before.clone()).await?);
        }
        for (what, mut times) in [("added", added), ("removed", removed)] {
            times.sort();
            let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!(
                "an endpoint {what} reaches every balancer after: median {median:?}, 99th {p99:?}"
            );
        }
        Ok(())
    })
}

/// With the tools of others: reflection, a name, the same over HTTP.
#[test]
fn tools_of_others_understand_namerd() -> Result<()> {
    on_a_control_plane("tools_of_others_understand_namerd", async |mesh| {
        for host in [1, 2] {
            mesh.add_pod("world", host).await?;
        }
        let grpcurl = Binaries::folder().join("grpcurl-v1.9.4");
        let at = mesh.control(4321).addr().to_string();
        let run = |program: &std::path::Path, args: &[&str]| -> Result<String> {
            let output = Command::new(program).args(args).output()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() {
                bail!(
                    "{args:?}: {said} {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Ok(said)
        };
        let services = run(&grpcurl, &["-plaintext", &at, "list"])?;
        assert!(services.contains("l5d.resolver.v1.Resolver"), "{services}");
        assert!(services.contains("grpc.health.v1.Health"), "{services}");
        let request = r#"{"root":"default","path":"/svc/world"}"#;
        let method = "l5d.resolver.v1.Resolver/Resolve";
        let resolved = run(&grpcurl, &["-plaintext", "-d", request, &at, method])?;
        assert!(
            resolved.contains("/#/io.l5d.k8s/default/http/world"),
            "{resolved}"
        );
        let url = format!(
            "http://{}/api/1/resolve/default?path=/svc/world",
            mesh.control(4180).addr()
        );
        if Command::new("curl").arg("--version").output().is_err() {
            eprintln!("left out: curl is not installed (apt-get install curl)");
            return Ok(());
        }
        let curl = run("curl".as_ref(), &["-sSf", &url])?;
        let addrs: serde_json::Value = serde_json::from_str(&curl)?;
        assert_eq!(addrs["type"], "bound", "{curl}");
        assert_eq!(addrs["addrs"].as_array().map(Vec::len), Some(2), "{curl}");
        Ok(())
    })
}
