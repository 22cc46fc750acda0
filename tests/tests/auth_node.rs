//! The node proxy's side of the proof: it shows a certificate or a token, reads both again, and moves when its connection is
//! old (resolver API 6, 7; node-proxy 14.2).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use l5d_node::cache::{Contact, FollowSet};
use l5d_node::config::{Identity, read};
use l5d_node::control::{Plan, follow};
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::pki::Authority;
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

const PATIENCE: Duration = Duration::from_secs(90);

async fn namerd(mesh: &str) -> Result<Running> {
    let text = format!(
        "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, port: 0, {mesh}}}]"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

/// A node's control side, following.
struct Node {
    set: Arc<FollowSet>,
    _stop: DropGuard,
}

impl Node {
    fn start(namerd: &Running, name: &str, keys: &str) -> Result<Self> {
        let addr = namerd.addresses.interfaces[0].1;
        let text = format!(
            "routers: [{{protocol: http, servers: [{{port: 0}}], interpreter: {{kind: io.l5d.mesh, retry: {{maxSeconds: 1}}, \
             dst: /$/inet/{}/{}, {keys}}}}}]",
            addr.ip(),
            addr.port()
        );
        let config = read("l5d.yml", &text)?;
        let identity = Identity {
            node_name: Some(name.to_owned()),
            ..Identity::default()
        };
        let plan = Plan::all(&config, &identity).remove(0);
        let (set, stop) = (Arc::clone(&plan.set), CancellationToken::new());
        tokio::spawn(follow(plan, stop.clone()));
        Ok(Self {
            set,
            _stop: stop.drop_guard(),
        })
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Contact) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.set.contact()) {
            assert!(
                begun.elapsed() < PATIENCE,
                "not {what}: {:?}",
                self.set.contact()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn server_tls(folder: &Path, authority: &Authority) -> Result<String> {
    let (cert, key) = authority.issue(&["namerd.test"])?.write(folder, "server")?;
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    Ok(format!(
        "tls: {{certPath: {}, keyPath: {}, caCertPath: {}}}",
        cert.display(),
        key.display(),
        ca.display()
    ))
}

#[tokio::test]
async fn a_node_shows_its_certificate_and_takes_a_new_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("mesh")?;
    let tls = server_tls(folder.path(), &authority)?;
    let namerd = namerd(&format!(
        "{tls}, auth: {{nodes: certificate, trustDomain: c.l}}"
    ))
    .await?;
    // At first it has the certificate of another node.
    let (cert, key) = authority
        .issue(&["spiffe://c.l/node/node-2"])?
        .write(folder.path(), "node")?;
    let keys = format!(
        "tls: {{commonName: namerd.test, trustCertsBundle: {}, clientAuth: {{certPath: {}, keyPath: {}}}}}",
        folder.path().join("ca.pem").display(),
        cert.display(),
        key.display()
    );
    let node = Node::start(&namerd, "node-1", &keys)?;
    node.until("denied", |contact| contact.counts.denied > 0)
        .await;
    assert_eq!(node.set.contact().counts.streams, 0);
    authority
        .issue(&["spiffe://c.l/node/node-1"])?
        .write(folder.path(), "node")?;
    node.until("following", |contact| contact.has_followed)
        .await;

    // A namerd with another name is not talked to.
    let keys = keys.replace("namerd.test", "other.test");
    let node = Node::start(&namerd, "node-1", &keys)?;
    node.until("refusing", |contact| contact.counts.failures > 0)
        .await;
    assert_eq!(node.set.contact().counts.streams, 0);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_shows_the_token_that_its_file_has_now() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let account = "system:serviceaccount:linkerd:l5d";
    double
        .reviews()
        .add("good", "namerd", account, Some("node-1"));
    let (host, port) = (double.addr().ip(), double.addr().port());
    let auth = format!("auth: {{nodes: serviceAccount, host: {host}, port: {port}}}");
    let namerd = namerd(&auth).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    let node = Node::start(&namerd, "node-1", &format!("tokenFile: {}", file.display()))?;
    node.until("without a token", |contact| contact.counts.failures > 0)
        .await;
    std::fs::write(&file, "bad\n")?;
    node.until("denied", |contact| contact.counts.denied > 0)
        .await;
    std::fs::write(&file, "good\n")?;
    node.until("following", |contact| contact.has_followed)
        .await;
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_on_an_old_connection_moves_without_a_gap() -> Result<()> {
    let namerd = namerd("maxConnectionAgeSecs: 1").await?;
    let node = Node::start(&namerd, "node-1", "root: /default")?;
    node.until("following", |contact| contact.has_followed)
        .await;
    node.until("moved", |contact| {
        assert!(contact.is_connected(), "there is a gap: {contact:?}");
        contact.counts.streams > 1
    })
    .await;
    assert_eq!(node.set.contact().counts.failures, 0);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}
