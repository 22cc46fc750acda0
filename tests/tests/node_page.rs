//! The node proxy's page in a real browser, over a proxy that follows a namerd and has requests. Pictures go to
//! `$L5D_PICTURES`, or to a folder that is removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use l5d_node::app::{Options, Running, run};
use l5d_node::config::{Identity, read};
use l5d_tests::browser::{Browser, find};
use l5d_tests::moody;
use namerd::app::NoLevels;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

/// A proxy with something to look at.
struct World {
    node: Running,
    _namerd: namerd::app::Running,
    _app: AbortOnDropHandle<()>,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    async fn start() -> Result<Self> {
        let (app, task) = moody::start().await?;
        let text = "admin: {port: 0}\nstorage: {kind: io.l5d.inMemory}\ninterfaces: [{kind: io.l5d.mesh, port: 0}]";
        let (config, _) = namerd::config::Config::read("namerd.yml", text, &|_| None)?;
        let namerd = namerd::app::run(config, Vec::new(), Arc::new(NoLevels)).await?;
        let mesh = namerd.addresses.interfaces[0].1;
        let text = format!(
            "admin: {{port: 0}}\ntelemetry: [{{kind: io.l5d.recentRequests, sampleRate: 1.0, capacity: 50}}]\n\
             routers:\n- protocol: http\n  label: outgoing\n  servers: [{{port: 0}}]\n  interpreter: {{kind: io.l5d.mesh, dst: /$/inet/{}/{}}}\n  \
             dtab: |\n    /svc/web => /$/inet/127.0.0.1/{} ;\n    /svc/down => /$/inet/127.0.0.1/1 ;\n",
            mesh.ip(),
            mesh.port(),
            app.port()
        );
        let config = read("l5d.yml", &text)?;
        let identity = Identity {
            node_name: Some("node-1".to_owned()),
            ..Identity::default()
        };
        let options = Options {
            workers: Some(2),
            ..Options::default()
        };
        Ok(Self {
            node: run(config, identity, options)?,
            _namerd: namerd,
            _app: task,
        })
    }

    async fn ask(&self, host: &str, target: &str) -> Result<u16> {
        let mut stream = TcpStream::connect(self.node.addresses[0][0]).await?;
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).context("a status")?;
        Ok(status.parse()?)
    }

    /// Until the name is bound and answers.
    async fn until_served(&self) -> Result<()> {
        let begun = Instant::now();
        while self.ask("web", "/hello").await? != 200 {
            ensure!(begun.elapsed() < PATIENCE, "web is not served");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// A browser at the page; `None` where there is none.
fn browser() -> Result<Option<(Browser, PathBuf, tempfile::TempDir)>> {
    let Some(program) = find()? else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let given = std::env::var_os("L5D_PICTURES").map(PathBuf::from);
    let pictures = given.unwrap_or_else(|| folder.path().to_owned());
    std::fs::create_dir_all(&pictures)?;
    Ok(Some((
        Browser::start(&program, 1280, 900)?,
        pictures,
        folder,
    )))
}

const MARKUP: &str = "/<img/src=x/onerror=document.title='owned'>";

/// Every view shows what there is, live, in light and dark and on a small screen, with the keyboard alone.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_shows_what_there_is() -> Result<()> {
    let world = World::start().await?;
    let Some((mut browser, pictures, _folder)) = browser()? else {
        return Ok(());
    };
    world.until_served().await?;
    world.ask("web", "/bad").await?;
    world.ask("down", "/").await?;
    world.ask("web", MARKUP).await?;
    let base = format!("http://{}", world.node.admin);
    browser.open(&format!("{base}/"))?;
    browser.until("document.getElementById('live')?.textContent === 'live'")?;
    browser.until_text("Node node-1")?;
    browser.until_text("outgoing")?;
    browser.until_text("1 of 1")?;
    browser.until_text("following")?;
    browser.picture(&pictures.join("node-1-overview.png"))?;
    browser.prefer("dark")?;
    browser.picture(&pictures.join("node-2-overview-dark.png"))?;
    // The keyboard goes everywhere.
    browser.key("2", 0)?;
    browser.until_text("svc/web")?;
    browser.until_text("svc/down")?;
    browser.picture(&pictures.join("node-3-services.png"))?;
    browser.key("/", 0)?;
    browser.type_text("down")?;
    browser.until("!document.querySelector('main').innerText.includes('svc/web')")?;
    browser.key("Escape", 0)?;
    browser.prefer("light")?;
    browser.key("3", 0)?;
    browser.until_text("$/inet/127.0.0.1")?;
    browser.tab_to("main table button")?;
    browser.key("Enter", 0)?;
    browser.until("document.activeElement.getAttribute('aria-expanded') === 'true'")?;
    browser.until_text("weight 1")?;
    // What comes later changes the page, and the focus stays.
    let rate = "[...document.querySelectorAll('tbody tr')].map((r) => r.innerText).join()";
    let before = browser.eval(rate)?;
    for _ in 0..40 {
        world.ask("web", "/more").await?;
    }
    browser.until(&format!("({rate}) !== {before}"))?;
    ensure!(browser.eval("document.activeElement.tagName")? == "BUTTON");
    browser.picture(&pictures.join("node-4-clients.png"))?;
    browser.key("4", 0)?;
    browser.until_text("GET /more")?;
    browser.until_text("connect_failed")?;
    browser.until_text("onerror=document.title")?;
    browser.picture(&pictures.join("node-5-requests.png"))?;
    browser.key("?", 0)?;
    browser.until("document.querySelector('dialog[open]') !== null")?;
    browser.key("Escape", 0)?;
    browser.resize(400, 800)?;
    browser.key("1", 0)?;
    browser.until_text("1 of 1")?;
    ensure!(
        browser.eval("document.documentElement.scrollWidth <= 400")? == true,
        "a small screen scrolls sideways"
    );
    browser.picture(&pictures.join("node-6-small.png"))?;
    // Names for those who cannot see, no error, no markup from outside, nothing from elsewhere.
    let nameless = "[...document.querySelectorAll('input, button')].filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).length";
    ensure!(browser.eval(nameless)? == json!(0));
    ensure!(browser.errors.is_empty(), "{:#?}", browser.errors);
    let owned = "document.title === 'owned' || document.querySelector('main img') !== null";
    ensure!(browser.eval(owned)? == false, "markup came from outside");
    let foreign = |url: &&String| !url.starts_with(&base) && *url != "about:blank";
    let foreign: Vec<_> = browser.asked.iter().filter(foreign).collect();
    ensure!(foreign.is_empty(), "asked elsewhere: {foreign:?}");
    drop(browser);
    world.node.join().await;
    Ok(())
}
