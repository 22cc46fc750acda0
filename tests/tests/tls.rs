//! `tls` blocks of a whole namerd: every server, the right protocol, and files that change while it runs (control plane 3.6).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_resolver::v1;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_tests::client::ApiClient;
use l5d_tests::pki::{Authority, channel};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

async fn start(folder: &TempDir, more: &str) -> Result<Running> {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let tls = format!(
        "tls: {{certPath: {}, keyPath: {}{more}}}",
        at("s.crt"),
        at("s.key")
    );
    let text = format!(
        "
admin: {{port: 0, {tls}}}
storage:
  kind: io.l5d.inMemory
  namespaces: {{default: '/svc => /$/inet/127.1/80'}}
interfaces:
- {{kind: io.l5d.httpController, port: 0, {tls}}}
- {{kind: io.l5d.mesh, port: 0, {tls}}}
"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

fn question() -> v1::ResolveRequest {
    v1::ResolveRequest {
        root: "default".to_owned(),
        path: "/$/inet/127.0.0.1/80".to_owned(),
        ..v1::ResolveRequest::default()
    }
}

/// Whether somebody who trusts this authority only gets an answer.
async fn trusts(namerd: &Running, authority: &Authority) -> Result<bool> {
    let config = authority.client(None, &["http/1.1"])?;
    let client = ApiClient::over(namerd.addresses.interfaces[0].1, config);
    Ok(client.get("/api/1/dtabs").await.is_ok())
}

#[tokio::test]
async fn every_server_speaks_tls_and_takes_new_certificates_as_they_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (old, new) = (Authority::new("old")?, Authority::new("new")?);
    old.issue(&["127.0.0.1"])?.write(folder.path(), "s")?;
    let namerd = start(&folder, "").await?;
    let [(_, http), (_, mesh)] = namerd.addresses.interfaces[..] else {
        unreachable!("two interfaces")
    };

    let admin = ApiClient::over(namerd.addresses.admin, old.client(None, &["http/1.1"])?);
    assert_eq!(admin.get("/live").await?.status, 200);
    assert!(trusts(&namerd, &old).await? && !trusts(&namerd, &new).await?);
    assert!(ApiClient::plain(http).get("/api/1/dtabs").await.is_err());
    assert!(channel(mesh, old.client(None, &["spdy/1"])?).await.is_err());
    let mut open = ResolverClient::new(channel(mesh, old.client(None, &["h2"])?).await?);
    let resolved = open.resolve(question()).await?.into_inner();
    assert_eq!(resolved.clusters[0].endpoints[0].ip, "127.0.0.1");

    new.issue(&["127.0.0.1"])?.write(folder.path(), "s")?;
    let begun = Instant::now();
    while !trusts(&namerd, &new).await? {
        assert!(
            begun.elapsed() < PATIENCE,
            "the new certificate is not taken"
        );
        sleep(Duration::from_millis(50)).await;
    }
    // What is open goes on.
    open.resolve(question()).await?;
    // The three servers look at different moments.
    let admin = ApiClient::over(namerd.addresses.admin, new.client(None, &["http/1.1"])?);
    let metrics = loop {
        if let Ok(metrics) = admin.get("/metrics").await {
            break String::from_utf8(metrics.body.to_vec())?;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "admin does not take the new certificate"
        );
        sleep(Duration::from_millis(50)).await;
    };
    let reloads = r#"namerd_tls_reloads_total{server="admin",result="ok"} 1"#;
    assert!(metrics.contains(reloads), "{metrics}");
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

#[tokio::test]
async fn clients_without_a_certificate_are_refused_where_one_is_required() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (authority, other) = (Authority::new("ours")?, Authority::new("other")?);
    authority.issue(&["127.0.0.1"])?.write(folder.path(), "s")?;
    std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
    let ca = folder.path().join("ca.pem");
    let more = format!(", caCertPath: {}, requireClientAuth: true", ca.display());
    let namerd = start(&folder, &more).await?;
    let http = namerd.addresses.interfaces[0].1;
    let (ours, theirs) = (authority.issue(&["client"])?, other.issue(&["client"])?);
    for (shown, is_let_in) in [(Some(&ours), true), (Some(&theirs), false), (None, false)] {
        let config = authority.client(shown, &["http/1.1"])?;
        let answer = ApiClient::over(http, config).get("/api/1/dtabs").await;
        assert_eq!(answer.is_ok(), is_let_in, "{answer:?}");
    }
    let mesh = namerd.addresses.interfaces[1].1;
    let ours = authority.client(Some(&ours), &["h2"])?;
    let mut client = ResolverClient::new(channel(mesh, ours).await?);
    client
        .resolve(question())
        .await
        .context("with a certificate")?;
    Ok(())
}
