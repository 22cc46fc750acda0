//! The admin server's page in a real browser, over a namerd with a cluster, stored dtabs and connected nodes. Pictures go to
//! `$L5D_PICTURES`, or to a folder that is removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use l5d_tests::browser::{Browser, find};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster, Workload};
use l5d_tests::control::{daemonset, localnode};
use l5d_tests::follower::Follower;
use l5d_tests::objects::{Pod, Port};
use namerd::app::{NoLevels, Running, run};
use namerd::config::Config;
use serde_json::{Value, json};
use tonic::transport::Endpoint;

/// A namerd with something to look at.
struct World {
    namerd: Running,
    _followers: Vec<Follower>,
    _cluster: Cluster,
}

/// A browser at its page.
struct Reader {
    browser: Browser,
    base: String,
    pictures: PathBuf,
    _folder: tempfile::TempDir,
}

const STORED: (&str, &str) = ("/svc", "/#/io.l5d.k8s/default/http");

fn pod(node: u8, n: u8) -> Pod {
    Pod::new(
        format!("pod-{node}-{n}"),
        [10, 1, node, n],
        format!("node-{node}"),
    )
}

impl World {
    async fn start() -> Result<Self> {
        let cluster = Cluster::double()?;
        let http = [Port::new("http", 80, 8080)];
        let pods = vec![pod(1, 11), pod(1, 12), pod(2, 13)];
        Workload::create(&cluster, "default", "world", &http, pods).await?;
        Workload::create(&cluster, "default", "hello", &http, vec![pod(2, 21)]).await?;
        let incoming = [Port::new("incoming", 4141, 4141)];
        let gateways = vec![pod(1, 1), pod(2, 1)];
        Workload::create(&cluster, "linkerd", "l5d", &incoming, gateways).await?;
        for node in ["node-1", "node-2"] {
            cluster.node(node, Some("zone-1")).await?;
        }
        let namerd = namerd(&cluster).await?;
        let admin = ApiClient::plain(namerd.addresses.admin);
        for _ in 0..1_000 {
            if admin.get("/ready").await?.status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut followers = Vec::new();
        for node in ["node-1", "node-2", "<b>node-3</b>"] {
            let mesh = namerd.addresses.interfaces[1].1;
            let channel = Endpoint::from_shared(format!("http://{mesh}"))?
                .connect()
                .await?;
            let routers = [
                (
                    "outgoing",
                    vec![daemonset("linkerd")],
                    vec!["/svc/world", "/svc/hello"],
                ),
                ("incoming", vec![localnode()], vec!["/svc/world"]),
            ];
            let follower = Follower::start(channel, node, &routers).await?;
            follower.until_answered(3).await;
            followers.push(follower);
        }
        Ok(Self {
            namerd,
            _followers: followers,
            _cluster: cluster,
        })
    }

    /// `None` where there is no browser.
    fn reader(&self) -> Result<Option<Reader>> {
        let Some(program) = find()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let given = std::env::var_os("L5D_PICTURES").map(PathBuf::from);
        let pictures = given.unwrap_or_else(|| folder.path().to_owned());
        std::fs::create_dir_all(&pictures)?;
        Ok(Some(Reader {
            browser: Browser::start(&program, 1280, 900)?,
            base: format!("http://{}", self.namerd.addresses.admin),
            pictures,
            _folder: folder,
        }))
    }

    /// As `namerctl dtab update` would.
    async fn store(&self, name: &str, entries: &[(&str, &str)]) -> Result<()> {
        let controller = ApiClient::plain(self.namerd.addresses.interfaces[0].1);
        let entry = |(prefix, dst): &(&str, &str)| json!({"prefix": prefix, "dst": dst});
        let dtab: Value = entries.iter().map(entry).collect();
        let path = format!("/api/1/dtabs/{name}");
        let headers = [("Content-Type", "application/json")];
        let answer = controller
            .send(Method::PUT, &path, &headers, Some(&dtab))
            .await?;
        ensure!(answer.status == 204, "{answer:?}");
        Ok(())
    }
}

async fn namerd(cluster: &Cluster) -> Result<Running> {
    let Backing::Double(double) = cluster.backing() else {
        unreachable!("built on the double")
    };
    let api = double.addr();
    let (host, port) = (api.ip(), api.port());
    let text = format!(
        r#"
admin: {{port: 0}}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: |
      /k8s => /#/io.l5d.k8s/default/http ;
      /svc => /#/io.l5d.fs.none ;
      /svc => /k8s ;
      /svc/split => 9 * /k8s/world & 1 * /k8s/hello ;
      /svc/off => ! ;
    out: /svc => /#/ds/default/http
    "<img src=x onerror=document.title='owned'>": /a => /b
namers:
- {{kind: io.l5d.k8s, host: {host}, port: {port}, startupJitter: 0}}
- kind: io.l5d.k8s
  host: {host}
  port: {port}
  startupJitter: 0
  prefix: /ds
  transformers:
  - {{kind: io.l5d.k8s.daemonset, namespace: linkerd, service: l5d, port: incoming}}
interfaces:
- {{kind: io.l5d.httpController, port: 0}}
- {{kind: io.l5d.mesh, port: 0}}
"#
    );
    let (config, warnings) = Config::read("namerd.yml", &text, &|_| None)?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    Ok(run(config, warnings, Arc::new(NoLevels)).await?)
}

impl Reader {
    fn go(&mut self, target: &str) -> Result<()> {
        let url = format!("{}{target}", self.base);
        self.browser.open(&url)
    }

    fn picture(&mut self, name: &str) -> Result<()> {
        let file = self.pictures.join(format!("{name}.png"));
        self.browser.picture(&file)
    }

    /// Nothing was logged as an error, nothing from outside became markup, nothing came from elsewhere.
    fn is_clean(&mut self, expected_errors: &[&str]) -> Result<()> {
        let is_unexpected = |e: &&String| !expected_errors.iter().any(|known| e.contains(known));
        let errors: Vec<_> = self.browser.errors.iter().filter(is_unexpected).collect();
        ensure!(errors.is_empty(), "{errors:#?}");
        let foreign: Vec<_> = self
            .browser
            .asked
            .iter()
            .filter(|url| !url.starts_with(&self.base) && *url != "about:blank")
            .collect();
        ensure!(foreign.is_empty(), "asked elsewhere: {foreign:?}");
        let markup =
            "document.querySelector('main img, main b') === null && document.title !== 'owned'";
        ensure!(
            self.browser.eval(markup)? == true,
            "markup came from outside"
        );
        Ok(())
    }

    fn value(&mut self, text: &str) -> Result<()> {
        let set = format!(
            "{{ const t = document.getElementById('dtab'); t.value = {}; t.dispatchEvent(new Event('input')); true }}",
            json!(text)
        );
        self.browser.eval(&set).map(drop)
    }
}

/// Every view shows what there is, in light and dark and on a small screen, and escapes it.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_shows_what_there_is() -> Result<()> {
    let world = World::start().await?;
    let Some(mut reader) = world.reader()? else {
        return Ok(());
    };
    reader.go("/")?;
    reader.browser.until_text("k8s/endpointslices")?;
    reader.browser.until_text("Every source answers")?;
    reader
        .browser
        .until("document.getElementById('live').textContent === 'live'")?;
    reader.picture("1-overview")?;
    reader.go("/#/namespaces")?;
    reader.browser.until_text("onerror=document.title")?;
    reader.picture("2-namespaces")?;
    reader.go("/#/ns/default?path=/svc/split/x")?;
    reader
        .browser
        .until_text("bound to /#/io.l5d.k8s/default/http/world")?;
    reader.browser.until_text("10.1.1.11:8080")?;
    reader
        .browser
        .until("document.querySelector('.taken meter') !== null")?;
    reader.browser.until_text("5 rules, no mistake")?;
    reader.picture("3-tree")?;
    reader.browser.prefer("dark")?;
    reader.picture("4-tree-dark")?;
    reader.browser.prefer("light")?;
    reader.go("/#/ns/out?path=/svc/world")?;
    reader.browser.until_text("daemonset")?;
    reader.browser.until_text("10.1.1.1:4141")?;
    reader.picture("5-transformed")?;
    reader.go("/#/names?q=world")?;
    reader.browser.until_text("localnode")?;
    reader.picture("6-names")?;
    let first = "document.querySelector('main table a').click(), true";
    reader.browser.eval(first)?;
    reader.browser.until_text("node-1")?;
    reader.picture("7-name")?;
    reader.go("/#/nodes")?;
    reader.browser.until_text("<b>node-3</b>")?;
    reader.picture("8-nodes")?;
    reader.browser.eval(first)?;
    reader.browser.until_text("Follows")?;
    reader.browser.until_text("/svc/hello")?;
    reader.picture("9-node")?;
    reader.browser.resize(400, 800)?;
    reader.go("/#/ns/default?path=/svc/world")?;
    reader.browser.until_text("bound to")?;
    let fits = "document.documentElement.scrollWidth <= 400";
    ensure!(
        reader.browser.eval(fits)? == true,
        "a small screen scrolls sideways"
    );
    reader.picture("10-small")?;
    reader.is_clean(&[])
}

/// The page has said that a save is done. ("not saved" stands on it before.)
const SAVED: &str = "document.getElementById('say').textContent === 'saved'";

/// Mistakes are marked where they are, a save shows the difference first, and of two writers the second learns it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dtab_is_edited_saved_and_restored() -> Result<()> {
    let world = World::start().await?;
    let Some(mut reader) = world.reader()? else {
        return Ok(());
    };
    reader.go("/dtab/default#/svc/world")?;
    reader.browser.until_text("5 rules, no mistake")?;
    reader
        .browser
        .until_text("bound to /#/io.l5d.k8s/default/http/world")?;
    reader.value(
        "/svc => /#/io.l5d.k8s/default/http ;\n/web = /svc/world ;\n# note\n/x => /y | | /z ;\n",
    )?;
    reader.browser.until_text("2 mistakes")?;
    reader.browser.until_text("line 2, column 7")?;
    reader
        .browser
        .until("document.querySelectorAll('.paint .under.error').length >= 2")?;
    reader
        .browser
        .until("document.querySelector('#dtab').getAttribute('aria-invalid') === 'true'")?;
    reader.picture("11-mistakes")?;
    reader.value("/svc => /#/io.l5d.k8s/default/http ;\n/svc/none => ~ ;\n")?;
    reader.browser.until_text("2 rules, no mistake")?;
    // Unsaved edits are tried as they stand.
    reader
        .browser
        .until_text("bound to /#/io.l5d.k8s/default/http/world")?;
    let press = |word: &str| {
        format!(
            "[...document.querySelectorAll('button')].find((b) => b.textContent.startsWith('{word}')).click(), true"
        )
    };
    reader
        .browser
        .until("!document.querySelector('button.main').disabled")?;
    reader.browser.eval(&press("Save"))?;
    reader
        .browser
        .until("document.querySelector('dialog .diff .gone') !== null")?;
    reader.picture("12-difference")?;
    reader
        .browser
        .eval("document.querySelector('dialog button.main').click(), true")?;
    reader.browser.until(SAVED)?;
    reader.browser.until_text("what has changed since")?;

    // Somebody else writes while this text is being edited.
    reader.value("/svc => /#/io.l5d.k8s/default/http ;\n/mine => /svc ;\n")?;
    reader.browser.until_text("2 rules, no mistake")?;
    world
        .store("default", &[STORED, ("/theirs", "/svc")])
        .await?;
    reader
        .browser
        .until_text("changed elsewhere while you were editing")?;
    reader.picture("13-conflict")?;
    reader.browser.eval(&press("Take theirs"))?;
    reader
        .browser
        .until("document.getElementById('dtab').value.includes('/theirs')")?;
    // And a change elsewhere is seen without being asked for.
    world.store("default", &[STORED]).await?;
    reader
        .browser
        .until("!document.getElementById('dtab').value.includes('/theirs')")?;

    // The write itself is conditional, also if the news has not come yet.
    let late = "fetch('ui/dtab.json?namespace=default', {method: 'PUT', headers: {'Content-Type': 'application/dtab', 'If-Match': 'AAAAAAAAAAE='}, body: '/a=>/b'}).then((r) => r.status)";
    ensure!(reader.browser.eval(late)? == 412);
    reader.browser.eval(&press("Put into the editor"))?;
    reader
        .browser
        .until("document.getElementById('dtab').value.includes('/theirs')")?;
    reader.is_clean(&["412"])
}

/// The page can be used without a mouse, from the address bar to a saved dtab.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() -> Result<()> {
    let world = World::start().await?;
    let Some(mut reader) = world.reader()? else {
        return Ok(());
    };
    reader.go("/")?;
    reader.browser.until_text("To look at")?;
    let browser = &mut reader.browser;
    browser.key("Tab", 0)?;
    ensure!(browser.eval("document.activeElement.id")? == "skip");
    browser.key("Enter", 0)?;
    ensure!(browser.eval("document.activeElement.id")? == "main");
    browser.key("?", 0)?;
    browser.until("document.querySelector('dialog[open]') !== null")?;
    browser.key("Escape", 0)?;
    browser.until("document.querySelector('dialog') === null")?;
    browser.key("2", 0)?;
    browser.until_text("Dtab namespaces")?;
    browser.until("document.querySelector('a[href=\"#/ns/out\"]') !== null")?;
    browser.tab_to("a[href='#/ns/out']")?;
    let outlined = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    ensure!(browser.eval(outlined)? == true, "the focus is not seen");
    browser.key("Enter", 0)?;
    browser.until_text("1 rule, no mistake")?;
    browser.key("/", 0)?;
    ensure!(browser.eval("document.activeElement.id")? == "path");
    browser.type_text("/svc/world")?;
    browser.key("Enter", 0)?;
    browser.until_text("bound to")?;
    // Through the tree with arrows, and from a step to its rule.
    browser.tab_to("[role=treeitem]")?;
    browser.key("ArrowDown", 0)?;
    ensure!(browser.eval("document.activeElement.getAttribute('aria-level')")? == "2");
    browser.key("ArrowLeft", 0)?;
    ensure!(browser.eval("document.activeElement.getAttribute('aria-level')")? == "1");
    browser.key("ArrowLeft", 0)?;
    ensure!(browser.eval("document.activeElement.getAttribute('aria-expanded')")? == "false");
    browser.key("ArrowRight", 0)?;
    browser.key("ArrowRight", 0)?;
    browser.key("Enter", 0)?;
    browser.until("document.activeElement.id === 'dtab'")?;
    let selected = "document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)";
    ensure!(browser.eval(selected)? == "/svc => /#/ds/default/http");
    browser.key("End", 2)?;
    browser.type_text("/more => /svc ;\n")?;
    browser.until_text("2 rules, no mistake")?;
    browser.key("s", 2)?;
    browser.until("document.querySelector('dialog[open] .diff .new') !== null")?;
    ensure!(browser.eval("document.activeElement.textContent")? == "Save");
    browser.key("Enter", 0)?;
    browser.until(SAVED)?;
    let controller = ApiClient::plain(world.namerd.addresses.interfaces[0].1);
    let stored = controller.get("/api/1/dtabs/out").await?.ok()?;
    ensure!(stored[1]["prefix"] == "/more", "{stored}");
    // Names and roles for those who cannot see the page.
    let nameless = "[...document.querySelectorAll('input, select, textarea, button')].filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)";
    ensure!(reader.browser.eval(nameless)? == json!([]));
    reader.is_clean(&[])
}
