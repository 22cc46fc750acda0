//! A generic gRPC client, grpcurl, with a running namerd: what a person without our tools finds out by reflection.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, bail};
use l5d_tests::real::{Binaries, is_required};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::{Value, json};

const GRPCURL: &str = "grpcurl-v1.9.4";
const CONFIG: &str = "
admin: {port: 0}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: '/svc => /$/inet/127.0.0.1'
interfaces:
- {kind: io.l5d.mesh, port: 0}
";

/// The client and where namerd is; `None` after a line that says what is missing.
async fn start() -> Result<Option<(Client, Running)>> {
    let program = Binaries::folder().join(GRPCURL);
    if !program.is_file() {
        let message = format!(
            "{} is missing; `cargo xtask test` builds it",
            program.display()
        );
        if is_required() {
            bail!(message);
        }
        eprintln!("skipped: {message}");
        return Ok(None);
    }
    let (config, _) = Config::read("namerd.yml", CONFIG, &|_| None)?;
    let running = run(config, Vec::new(), Arc::new(NoLevels)).await?;
    let at = running.addresses.interfaces[0].1;
    Ok(Some((Client { program, at }, running)))
}

struct Client {
    program: std::path::PathBuf,
    at: SocketAddr,
}

impl Client {
    async fn run(&self, before: &[&str], after: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        let at = self.at.to_string();
        command
            .args(["-plaintext", "-max-time", "60"])
            .args(before)
            .arg(at)
            .args(after);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            bail!(
                "{before:?} {after:?}: {said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(said)
    }

    /// One answer to one question.
    async fn call(&self, method: &str, question: &Value) -> Result<Value> {
        let question = question.to_string();
        let answer = self.run(&["-d", &question], &[method]).await?;
        Ok(serde_json::from_str(&answer)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_messages_are_found_by_reflection() -> Result<()> {
    let Some((client, _namerd)) = start().await? else {
        return Ok(());
    };
    let services = client.run(&[], &["list"]).await?;
    for service in [
        "grpc.health.v1.Health",
        "io.linkerd.mesh.Codec",
        "io.linkerd.mesh.Delegator",
        "io.linkerd.mesh.Interpreter",
        "io.linkerd.mesh.Resolver",
        "l5d.resolver.v1.Resolver",
    ] {
        assert!(
            services.lines().any(|line| line == service),
            "{service} in {services}"
        );
    }
    let methods = client
        .run(&[], &["list", "l5d.resolver.v1.Resolver"])
        .await?;
    for method in ["Explain", "Follow", "Nodes", "Resolve", "Watch"] {
        let method = format!("l5d.resolver.v1.Resolver.{method}");
        assert!(
            methods.lines().any(|line| line == method),
            "{method} in {methods}"
        );
    }
    let message = client
        .run(&[], &["describe", "l5d.resolver.v1.ResolveRequest"])
        .await?;
    assert!(message.contains("uint32 wait_ms = 7;"), "{message}");
    let method = client
        .run(
            &[],
            &["describe", "io.linkerd.mesh.Interpreter.GetBoundTree"],
        )
        .await?;
    assert!(method.contains("( .io.linkerd.mesh.BindReq )"), "{method}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_asked_over_the_resolver_api() -> Result<()> {
    let Some((client, _namerd)) = start().await? else {
        return Ok(());
    };
    let question = json!({"root": "default", "path": "/svc/8080"});
    let resolved = client
        .call("l5d.resolver.v1.Resolver/Resolve", &question)
        .await?;
    assert_eq!(resolved["tree"]["leaf"]["id"], "/$/inet/127.0.0.1/8080");
    assert_eq!(resolved["clusters"][0]["endpoints"][0]["port"], 8080);
    let explained = client
        .call("l5d.resolver.v1.Resolver/Explain", &question)
        .await?;
    assert_eq!(explained["steps"]["children"][0]["rule"]["prefix"], "/svc");
    let wrong = json!({"root": "default", "path": "svc"});
    let refused = client
        .call("l5d.resolver.v1.Resolver/Resolve", &wrong)
        .await;
    let refused = format!("{:#}", refused.expect_err("no path"));
    assert!(refused.contains("Code: InvalidArgument"), "{refused}");
    let health = client
        .call("grpc.health.v1.Health/Check", &json!({}))
        .await?;
    assert_eq!(health["status"], "SERVING");
    Ok(())
}

/// Control plane 4.3 and 4.6, with nothing but the descriptions that namerd gives.
#[tokio::test(flavor = "multi_thread")]
async fn thin_clients_use_the_mesh_api() -> Result<()> {
    let Some((client, _namerd)) = start().await? else {
        return Ok(());
    };
    let text = "/svc=>/$/inet/127.0.0.1;/a/*=>0.30*/b & 0.70*/c";
    let read = client
        .call("io.linkerd.mesh.Codec/ReadDtab", &json!({"text": text}))
        .await?;
    assert_eq!(
        read["dtab"]["dentries"].as_array().map(Vec::len),
        Some(2),
        "{read}"
    );
    let shown = client.call("io.linkerd.mesh.Codec/ShowDtab", &read).await?;
    assert_eq!(shown["text"], text);
    let read = async |path: &str| {
        client
            .call("io.linkerd.mesh.Codec/ReadPath", &json!({"text": path}))
            .await
    };
    let (root, name) = (read("/default").await?, read("/svc/8080").await?);
    let shown = client.call("io.linkerd.mesh.Codec/ShowPath", &name).await?;
    assert_eq!(shown["text"], "/svc/8080");

    let question = json!({"root": root["path"], "name": name["path"], "dtab": {}});
    let bound = client
        .call("io.linkerd.mesh.Interpreter/GetBoundTree", &question)
        .await?;
    let leaf = &bound["tree"]["leaf"];
    let id = client
        .call(
            "io.linkerd.mesh.Codec/ShowPath",
            &json!({"path": leaf["id"]}),
        )
        .await?;
    assert_eq!(id["text"], "/$/inet/127.0.0.1/8080");
    let replicas = client
        .call(
            "io.linkerd.mesh.Resolver/GetReplicas",
            &json!({"id": leaf["id"]}),
        )
        .await?;
    let endpoint = &replicas["bound"]["endpoints"][0];
    assert_eq!(endpoint["port"], 8080, "{replicas}");
    Ok(())
}
